import os


def load_data(data_folder):
    with open(os.path.join(data_folder, "clashes.tsv"), encoding="utf-8") as lines:
        next(lines)
        for line in lines:
            key, value = line.rstrip("\n").split("\t")
            yield {"_id": key, "value": value}
