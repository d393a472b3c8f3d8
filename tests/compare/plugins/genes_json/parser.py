import json
import os


def load_genes(data_folder, filename, prefix="x", keep=()):
    with open(os.path.join(data_folder, filename), encoding="utf-8") as source:
        records = json.load(source)["genes"]
    return {f"{prefix}:{record['id']}": make(f"{prefix}:{record['id']}", record, keep) for record in records}


def make(identifier, record, keep):
    doc = {key: record[key] for key in keep if key in record}
    doc["_id"] = identifier
    return doc
