import json
from pathlib import Path


def load_data(data_folder):
    with Path(data_folder, "variants.jsonl").open(encoding="utf-8") as lines:
        for number, line in enumerate(lines):
            record = json.loads(line)
            yield {"_id": record.pop("hgvs"), "row": number, "variant": record}
