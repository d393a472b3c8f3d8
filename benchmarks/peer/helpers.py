"""Time helpers of one module, ours or the peer's: JSON with microseconds of CPU per document."""

from __future__ import annotations

import copy
import gc
import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path


def main(module: str, file: str, documents: int, calls: list[str]) -> None:
    helpers = importlib.import_module(module)
    with Path(file).open() as lines:
        originals = [json.loads(line) for _, line in zip(range(documents), lines, strict=False)]
    pairs = list(zip(originals, [*originals[1:], originals[0]], strict=True))
    spent = {}
    gc.disable()
    for call in calls:
        given = [copy.deepcopy(document) for document in originals]
        function: Callable[..., object] = getattr(helpers, call)
        others: list[list[object]] = [[] for _ in given]
        if call == "merge_struct":  # with another document of the same fields
            others = [[{**copy.deepcopy(other), "_id": document["_id"]}] for document, other in pairs]
        started = time.process_time()
        for document, more in zip(given, others, strict=False):
            function(document, *more)
        spent[call] = (time.process_time() - started) / documents * 1e6
    print(json.dumps(spent))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4:])
