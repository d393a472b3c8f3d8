import csv
import os

from biothings import config
from biothings.utils.dataload import dict_convert, dict_sweep, unlist, value_convert_to_number

logging = config.logger
EMPTY = ["", None, "-", "NA", "n/a", "."]


def load_data(data_folder):
    names = {}
    with open(os.path.join(data_folder, "names.txt"), encoding="utf-8") as lines:
        for line in lines:
            key, _, name = line.rstrip("\n").partition("=")
            names.setdefault(key, []).append(name)
    logging.info("%s names", len(names))
    with open(os.path.join(data_folder, "drugs.tsv"), encoding="utf-8", newline="") as source:
        for row in csv.DictReader(source, delimiter="\t"):
            yield make(row, names)


def make(row, names):
    doc = {"drug": dict_convert(row, keyfn=lambda key: key.strip().lower().replace(" ", "_"))}
    drug = doc["drug"]
    drug["targets"] = [part.strip() for part in drug["targets"].split("|")]
    drug["name"] = names.get(drug.pop("drug_id"), ["-"])
    drug["dose"] = {"low": drug.pop("dose_low"), "high": drug.pop("dose_high"), "unit": drug.pop("unit")}
    doc = value_convert_to_number(doc, skipped_keys=["code", "chrom"])
    doc = unlist(dict_sweep(doc, EMPTY))
    doc["_id"] = row["Drug ID"]
    return doc
