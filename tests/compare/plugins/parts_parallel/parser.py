import json
import os


def load_part(path):
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            doc = json.loads(line)
            doc["part"] = os.path.basename(path)
            yield doc
