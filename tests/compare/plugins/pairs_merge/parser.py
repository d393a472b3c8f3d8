import os

from biothings.utils.dataload import tabfile_feeder, unlist


def load_data(data_folder):
    for left, right, score, kind, related in tabfile_feeder(os.path.join(data_folder, "pairs.tsv"), header=1):
        doc = {"_id": left, "partner": right, "kind": kind, "scores": [float(score)]}
        if kind == "typed":
            doc["evidence"] = {"kind": kind, "score": float(score)}
        if related:
            doc["related"] = [{"name": name} for name in related.split("+")]
        yield unlist(doc)
