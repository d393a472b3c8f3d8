"""The helpers that parsers call for every document, against those of the peer: microseconds of CPU per document.

``python -m benchmarks.helpers``. Both run the same call on the same documents (``src_a.jsonl``), in turn, each in its
own interpreter; what a call is given is a copy, made before the clock starts. The median of the runs counts.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
from pathlib import Path

from benchmarks.harness import ROOT, options, peer_python, workload

OURS = "hubkernel.compat.biothings.utils.dataload"
PEERS = "biothings.utils.dataload"
CLOCK = ROOT / "benchmarks" / "peer" / "helpers.py"
CALLS = ("dict_sweep", "value_convert_to_number", "unlist", "merge_struct")
LIMITS = {"dict_sweep": 40.0, "value_convert_to_number": 15.0}
"""Microseconds that are promised."""


def main() -> None:
    args = options(__doc__, documents=5000)
    file = workload("src_a.jsonl") / "src_a.jsonl"
    contenders = {OURS: Path(sys.executable), PEERS: peer_python()}
    figures: dict[tuple[str, str], list[float]] = {}
    for _ in range(args.runs):
        for module, python in contenders.items():
            for call, spent in measured(python, module, file, args.documents).items():
                figures.setdefault((module, call), []).append(spent)
    report(figures)


def measured(python: Path, module: str, file: Path, documents: int) -> dict[str, float]:
    command = [str(python), "-W", "ignore", str(CLOCK), module, str(file), str(documents), *CALLS]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    found: dict[str, float] = json.loads(done.stdout)
    return found


def report(figures: dict[tuple[str, str], list[float]]) -> None:
    print(f"{'us CPU / document':26}{'ours':>9}{'peer':>9}{'x':>7}{'limit':>9}")
    for call in CALLS:
        ours, peer = (statistics.median(figures[module, call]) for module in (OURS, PEERS))
        limit = LIMITS.get(call)
        verdict = "" if limit is None else f"{limit:8.0f} " + ("met" if ours <= limit else "MISSED")
        print(f"{call:26}{ours:9.1f}{peer:9.1f}{peer / ours:7.1f}{verdict}")


if __name__ == "__main__":
    main()
