"""Merge 4 x 100,000 overlapping documents into 175,000: ours on SQLite against the peer's hub on mongod.

``python -m benchmarks.build [--runs 5] [--workers 2]``. The rate counts source documents (400,000). Ours is the whole
command with its start; the peer is timed from the call of its merge on. What mongod spends is not in the peer's CPU.
"""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from benchmarks.harness import Contender, Run, compare, mongod, options, peer_hub, scratch, workload
from benchmarks.ours import Home

SOURCES = ("src_a", "src_b", "src_c", "src_d")
READ, MERGED = 400_000, 175_000


def ours(home: Home, data: Path) -> Contender:
    home.reset()
    for name in SOURCES:
        home.add(name, data / f"{name}.jsonl")
        home.execute(f"dump({name!r})")
        home.execute(f"upload({name!r})")
    home.execute(f"create_build_conf('all', 'gene', {list(SOURCES)!r})")

    def run() -> Run:
        figures = home.measure("merge('all', target_name='all_now', force=True)", READ)
        build, _ = home.execute("build('all_now')")
        if (found := build["count"]) != MERGED:
            sys.exit(f"ours merged {found} documents, not {MERGED}")
        return figures

    def prepare() -> None:
        if home.execute("builds()")[0]:
            home.execute("rmmerge('all_now')")

    return Contender("ours: hubkernel exec merge, SQLite", run, prepare)


def peer(folder: Path, data: Path, port: int, workers: int) -> Contender:
    for name in SOURCES:
        peer_hub(folder, port, data, workers, "upload", name)

    def run() -> Run:
        merged = peer_hub(folder, port, data, workers, "merge", *SOURCES)
        if merged.documents != MERGED:
            sys.exit(f"the peer merged {merged.documents} documents, not {MERGED}")
        return dataclasses.replace(merged, documents=READ, cpu=merged.call, start=0.0)

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
