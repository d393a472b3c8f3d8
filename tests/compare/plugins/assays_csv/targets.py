from collections import OrderedDict


def load_targets(data_folder):
    from .common import rows_of

    found = OrderedDict()
    for row in rows_of(data_folder, "assays", "rows.csv"):
        doc = found.setdefault(row["target"], {"_id": row["target"], "assays": []})
        doc["assays"].append({"id": row["id"], "value": row["value"]})
    return list(found.values())
