"""Merge 4 x 100,000 overlapping documents into 175,000: ours on SQLite against the peer's hub on mongod.

``python -m benchmarks.build [--runs 5] [--workers 2]``. The rate counts source documents (400,000). Ours is the whole
command with its start; the peer is timed from the call of its merge on. What mongod spends is not in the peer's CPU.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from tests.services.mongod import mongod

from benchmarks.harness import Contender, Run, compare, measured, options, peer_python, scratch, workload
from benchmarks.ours import Home
from benchmarks.upload import PEER_HUB

SOURCES = ("src_a", "src_b", "src_c", "src_d")
READ, MERGED = 400_000, 175_000


def ours(home: Home, data: Path) -> Contender:
    home.reset()
    for name in SOURCES:
        home.add(name, data / f"{name}.jsonl")
        home.execute(f"dump({name!r}) && upload({name!r})")
    home.execute(f"create_build_conf('all', 'gene', {list(SOURCES)!r})")

    def run() -> Run:
        figures = home.measure("merge('all', target_name='all_now', force=True)", READ)
        builds, _ = home.execute("builds('all_now')")
        if (found := builds[0]["count"]) != MERGED:
            sys.exit(f"ours merged {found} documents, not {MERGED}")
        return figures

    def prepare() -> None:
        home.execute("rmmerge('all_now')")

    return Contender("ours: hubkernel exec merge, SQLite", run, prepare)


def peer(folder: Path, data: Path, port: int, workers: int) -> Contender:
    def hub(action: str, *names: str) -> tuple[str, dict[str, float]]:
        return measured([peer_python(), PEER_HUB, port, data, workers, action, *names], cwd=folder)

    for name in SOURCES:
        hub("upload", name)

    def run() -> Run:
        output, figures = hub("merge", *SOURCES)
        inside = json.loads(output.splitlines()[-1])
        if inside["documents"] != MERGED:
            sys.exit(f"the peer merged {inside['documents']} documents, not {MERGED}")
        return Run(READ, inside["wall"], inside["cpu"], figures["rss"])

    return Contender("peer: its hub's DataBuilder, mongod (mongod's CPU not counted)", run)


def main() -> None:
    arguments = options(__doc__)
    data = workload(*(f"{name}.jsonl" for name in SOURCES))
    with scratch() as folder, mongod(folder / "mongod") as server:
        contenders = [
            ours(Home(folder / "home", workers=arguments.workers), data),
            peer(folder, data, server.port, arguments.workers),
        ]
        compare(contenders, arguments)


if __name__ == "__main__":
    main()
