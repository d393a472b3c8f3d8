"""What every benchmark shares: the peer in its own environment, a mongod, measured runs, medians and the printed table.

A benchmark runs the contenders in turn (A B C A B C ...), so that a machine that slows down slows them all, and prints
the median of the runs, the ratio of medians, and the load average before and after.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks import workloads
from tests.services import sdk
from tests.services.mongod import Mongod

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("HUBKERNEL_BENCH_CACHE", ROOT / ".cache"))


COLUMNS = {"wall s": 8, "docs/s": 10, "CPU s": 8, "docs/CPU s": 12, "MB": 6, "x our wall": 12, "x our CPU": 11}
"""Titles and widths of the printed table."""


@dataclass(frozen=True)
class Run:
    """One measured run: seconds of wall time, CPU seconds of the client (without a database server), MB of memory."""

    documents: int
    wall: float
    cpu: float
    rss: float = 0.0
    start: float = 0.0
    """Of the CPU seconds those that a command takes which does nothing: what is left is counted from the call on."""

    @property
    def call(self) -> float:
        return self.cpu - self.start


@dataclass
class Contender:
    """One way of doing the work. ``prepare`` is called before each run and is not measured."""

    name: str
    run: Callable[[], Run]
    prepare: Callable[[], object] = lambda: None
    runs: list[Run] = field(default_factory=list)

    def median(self, figure: str) -> float:
        return statistics.median(getattr(run, figure) for run in self.runs)

    def per_second(self, figure: str) -> float:
        return statistics.median(run.documents / getattr(run, figure) for run in self.runs)


@dataclass(frozen=True)
class Target:
    """A promised ratio between two contenders, each named by how its title begins; of several the fastest counts."""

    figure: str
    """``cpu``: documents per CPU second; ``call``: the same from the call on, without the start of a hub; ``wall``:
    documents per second; ``rss``: the inverse of the memory used."""
    ours: str
    against: str | float
    """A number is a fixed limit, in MB."""
    at_least: float

    def ratio(self, contenders: Sequence[Contender]) -> float | None:
        """None if one of them did not run."""
        mine, theirs = (
            [self._value(item) for item in contenders if isinstance(name, str) and item.name.startswith(name)]
            for name in (self.ours, self.against)
        )
        if isinstance(self.against, float | int):
            theirs = [1 / self.against]
        return max(mine) / max(theirs) if mine and theirs else None

    def verdict(self, contenders: Sequence[Contender]) -> str:
        ratio = self.ratio(contenders)
        against = f"{self.against} MB" if isinstance(self.against, float | int) else f"'{self.against}'"
        call = "documents per CPU second from the call on"
        what = {
            "cpu": "documents per CPU second",
            "call": call,
            "wall": "documents per second",
            "rss": "memory (inverse)",
        }
        said = "not measured" if ratio is None else f"{ratio:.2f}  {'kept' if ratio >= self.at_least else 'MISSED'}"
        return f"{what[self.figure]}: '{self.ours}' to {against}, promised {self.at_least:g}: {said}"

    def _value(self, item: Contender) -> float:
        return 1 / item.median("rss") if self.figure == "rss" else item.per_second(self.figure)


def options(
    description: str | None, *, documents: int = 0, cases: Mapping[str, object] | None = None
) -> argparse.Namespace:
    """The arguments of a benchmark; ``documents`` is the default of ``--documents``, which 0 leaves out. ``cases``:
    those that may be chosen from.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    if cases:
        parser.add_argument("cases", nargs="*", metavar="CASE", help=f"of {', '.join(cases)} (default: all)")
    if documents:
        parser.add_argument("--documents", type=int, default=documents, help=f"how many (default: {documents})")
    parser.add_argument("--runs", type=int, default=5, help="runs of each contender; the median counts (default: 5)")
    parser.add_argument("--workers", type=int, default=1, help="worker processes of every contender (default: 1)")
    parser.add_argument("--only", help="run only contenders whose name contains this")
    arguments = parser.parse_args()
    if cases and (unknown := set(arguments.cases) - set(cases)):
        parser.error(f"no such case: {', '.join(sorted(unknown))}; there are {', '.join(cases)}")
    return arguments


def peer_python() -> Path:
    """The interpreter of the peer's own virtual environment, made on first use (some minutes, 280 MB)."""
    return sdk.python()


def peer_hub(folder: Path, *arguments: object) -> Run:
    """One action of the peer's hub (``benchmarks/peer/hub.py``); its wall time is from the call on.

    The script is copied out first: the peer asks git for the remote of every source file and fails where there is none.
    """
    script = shutil.copy(ROOT / "benchmarks" / "peer" / "hub.py", folder)
    output, figures = measured([peer_python(), script, *arguments], cwd=folder)
    inside = json.loads(output.splitlines()[-1])
    return Run(inside["documents"], inside["wall"], figures["cpu"], figures["rss"], figures["cpu"] - inside["cpu"])


def workload(*names: str) -> Path:
    folder = CACHE / "workloads"
    for name in names:
        workloads.write(folder, name)
    return folder


@contextmanager
def mongod(folder: Path) -> Iterator[Mongod]:
    """A mongod with memory enough to hold every workload."""
    server = Mongod(folder, cache_gb=2)
    server.start()
    try:
        yield server
    finally:
        server.stop()


@contextmanager
def scratch() -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="hubkernel-bench-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def measured(
    command: Sequence[object], *, cwd: Path, env: Mapping[str, str] | None = None
) -> tuple[str, dict[str, Any]]:
    """Run a command under :mod:`benchmarks.measure`; returns its standard output and the figures. Fails loudly."""
    line = [sys.executable, "-m", "benchmarks.measure", *map(str, command)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **(env or {})}
    done = subprocess.run(line, cwd=cwd, env=environment, capture_output=True, text=True, check=False)
    *output, last = done.stdout.strip().splitlines() or ["{}"]
    figures = json.loads(last)
    if figures.get("code") != 0:
        sys.exit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-3000:]}\n{done.stderr[-3000:]}")
    return "\n".join(output), figures


def compare(
    contenders: list[Contender], arguments: argparse.Namespace, *, targets: Sequence[Target] = (), runs: int = 0
) -> None:
    """Run them in turn, then print a row each, the ratios to the first one (which is ours) and what was promised."""
    runs = runs or arguments.runs
    chosen = [item for item in contenders if not arguments.only or arguments.only in item.name]
    if not chosen:
        print(f"nothing to run: no contender's name contains {arguments.only!r}")
        return
    before = os.getloadavg()[0]
    for number in range(runs):
        for contender in chosen:
            contender.prepare()
            print(f"run {number + 1}/{runs}: {contender.name}", file=sys.stderr, flush=True)
            contender.runs.append(contender.run())
    report(chosen, before)
    for target in targets:
        print(target.verdict(chosen), flush=True)


def report(contenders: list[Contender], load_before: float) -> None:
    ours = contenders[0]
    counts = sorted({run.documents for item in contenders for run in item.runs})
    print(f"documents: {' / '.join(map(str, counts))}; median of {len(ours.runs)} runs, in turn")
    print(f"load average: {load_before:.1f} before, {os.getloadavg()[0]:.1f} after; {os.cpu_count()} cores")
    print(" " * 58 + "".join(title.rjust(width) for title, width in COLUMNS.items()))
    for item in contenders:
        wall, cpu = item.median("wall"), item.median("cpu")
        faster = f"{wall / ours.median('wall'):>11.2f}x{cpu / ours.median('cpu'):>10.2f}x" if item is not ours else ""
        rates = f"{item.per_second('wall'):>10,.0f}{cpu:>8.2f}{item.per_second('cpu'):>12,.0f}"
        print(f"{item.name:<58}{wall:>8.2f}{rates}{item.median('rss'):>6.0f}{faster}")
