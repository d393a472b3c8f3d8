import os

from biothings.utils.common import anyfile, iter_n
from biothings.utils.dataload import dict_sweep, list2dict, tab2dict, tab2list, tabfile_feeder, unlist, value_convert


def load_labels(data_folder):
    synonyms = tab2dict(os.path.join(data_folder, "synonyms.tsv"), (0, 1), 0, alwayslist=True)
    kinds = list2dict([tuple(row) for row in tabfile_feeder(os.path.join(data_folder, "synonyms.tsv"))], 0)
    known = set(tab2list(os.path.join(data_folder, "synonyms.tsv"), 0))
    with anyfile(os.path.join(data_folder, "labels.txt.gz")) as lines:
        for chunk in iter_n(lines, 7):
            for line in chunk:
                key, label, score, refs = line.rstrip("\n").split("|")
                doc = {
                    "_id": key,
                    "label": label,
                    "score": score,
                    "refs": refs.split(";"),
                    "synonyms": synonyms.get(key, []),
                    "kinds": kinds.get(key, "-"),
                    "known": key in known,
                }
                doc = value_convert(doc, lambda value: value.strip() if isinstance(value, str) else value)
                yield unlist(dict_sweep(doc))
