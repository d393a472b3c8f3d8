"""Uploads: ours against the peer's command on SQLite, its hub on mongod, and the physical limit.

``python -m benchmarks.upload [CASE ...] [--runs 5] [--only NAME]``. Each case runs its contenders in turn, prints the
medians, and below them the ratios that are promised and whether they are kept.

======== ================================================================================== ==========================
case     what is measured                                                                   about how long, 5 runs
======== ================================================================================== ==========================
jsonl    200,000 JSON lines                                                                 5 minutes
merge    200,000 lines, each ``_id`` twice, documents merged (the peer on SQLite: 40,000)   9 minutes
ignore   the same 200,000 lines, the first document of an ``_id`` stays                     5 minutes
workers  eight files with 25,000 lines each, one worker against two, on SQLite and mongod   4 minutes
again    the same release once more, parsed again, and one with changes (100,000 lines)      4 minutes
memory   100,000 and 2,000,000 lines: the largest process (one run)                         3 minutes
======== ================================================================================== ==========================

All sides run one parser. The table shows whole processes with their start, except for the wall time of the peer's hub,
which is from the call on. Promises about CPU compare hubs from the call on: from ours the CPU of a command is taken off
that only starts a hub and a worker, from the peer's hub what it spent before the call; its command is taken as a whole.
CPU seconds are the client's: a database server's are not counted.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from benchmarks.harness import (
    Contender,
    Run,
    Target,
    compare,
    measured,
    mongod,
    options,
    peer_hub,
    peer_python,
    scratch,
    workload,
)
from benchmarks.ours import IN_PARTS, REPEATED, Home, plugin
from tests.services.mongod import Mongod

LINES = 200_000
PARTS = [f"par/part{number}.jsonl" for number in range(8)]
SHORT = 40_000
"""Lines for the peer's merge on SQLite, which takes minutes for all of them."""
MEGABYTES = 250


@dataclass(frozen=True)
class Place:
    """What the contenders of a case are given: a folder of their own, the workloads, and servers."""

    folder: Path
    data: Path
    server: Mongod
    url: str
    """Where the workloads are served: the peer's dumper takes no file urls."""

    def file(self, name: str) -> Path:
        return workload(name) / name

    def home(self, name: str, *, workers: int = 1, mongo: bool = False) -> Home:
        store = f"mongodb://127.0.0.1:{self.server.port}/{name}" if mongo else ""
        return Home(self.folder / name, workers=workers, store=store)

    def hub(self, name: str) -> Path:
        """A folder for the peer's hub."""
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        return folder


def ours(title: str, home: Home, source: str, files: list[Path], *, lines: int, count: int, **how: str) -> Contender:
    """A first upload in a new home."""

    def prepare() -> None:
        home.reset()
        home.add(source, *files, **how)
        home.execute(f"dump({source!r})")

    return Contender(title, lambda: home.upload(source, lines, count=count), prepare)


def peer_command(title: str, place: Place, source: str, lines: int, on_duplicates: str = "error") -> Contender:
    command = peer_python().with_name("biothings-cli")
    folder = place.folder / "peer"
    target = folder / source

    def prepare() -> None:
        shutil.rmtree(target, ignore_errors=True)
        plugin(folder, source, f"{place.url}/{source}.jsonl", on_duplicates)
        measured([command, "dataplugin", "dump"], cwd=target)

    def run() -> Run:
        _, figures = measured([command, "dataplugin", "upload"], cwd=target)
        return Run(lines, figures["wall"], figures["cpu"], figures["rss"])

    return Contender(title, run, prepare)


def peer_uploader(title: str, place: Place, source: str, storage: str) -> Contender:
    def run() -> Run:
        done = peer_hub(place.hub("hub"), place.server.port, place.data, 1, "upload", source, storage)
        return replace(done, documents=LINES)

    return Contender(title, run)


def limit(place: Place) -> Contender:
    database = place.folder / "limit.db"

    def prepare() -> None:
        for leftover in place.folder.glob("limit.db*"):
            leftover.unlink()

    def run() -> Run:
        line = [sys.executable, "-m", "benchmarks.limits", "upload", place.file("big.jsonl"), database]
        output, figures = measured(line, cwd=place.folder)
        inside = json.loads(output.splitlines()[-1])
        return Run(inside["documents"], inside["wall"], inside["cpu"], figures["rss"])

    return Contender("limit: json.loads + bson.encode + SQLite insert", run, prepare)


def jsonl(place: Place) -> tuple[list[Contender], list[Target]]:
    contenders = [
        ours("ours: SQLite", place.home("jsonl"), "big", [place.file("big.jsonl")], lines=LINES, count=LINES),
        limit(place),
        peer_command("peer: biothings-cli, SQLite", place, "big", LINES),
        peer_uploader("peer: its hub, mongod", place, "big", "BasicStorage"),
    ]
    return contenders, [Target("call", "ours", "peer", 3.0), Target("call", "ours", "limit", 0.7)]


def merge(place: Place) -> tuple[list[Contender], list[Target]]:
    file, short = place.file("dup.jsonl"), place.data / "dup_short.jsonl"
    if not short.exists():
        with file.open() as lines, short.open("w") as some:
            some.writelines(islice(lines, SHORT // 2))
        with file.open() as lines, short.open("a") as some:
            some.writelines(islice(lines, LINES // 2, LINES // 2 + SHORT // 2))
    contenders = [
        ours("ours: SQLite", place.home("merge"), "dup", [file], lines=LINES, count=LINES // 2, on_duplicates="merge"),
        peer_command("peer: biothings-cli, SQLite", place, "dup_short", SHORT, "merge"),
        peer_uploader("peer: its hub's MergerStorage, mongod", place, "dup", "MergerStorage"),
    ]
    return contenders, [Target("call", "ours", "peer: biothings", 10.0), Target("call", "ours", "peer: its hub", 4.0)]


def ignore(place: Place) -> tuple[list[Contender], list[Target]]:
    file = place.file("dup.jsonl")
    contenders = [
        ours(
            "ours: SQLite", place.home("ignore"), "dup", [file], lines=LINES, count=LINES // 2, on_duplicates="ignore"
        ),
        peer_uploader("peer: its hub's IgnoreDuplicatedStorage, mongod", place, "dup", "IgnoreDuplicatedStorage"),
    ]
    return contenders, [Target("call", "ours", "peer", 3.0)]


def workers(place: Place) -> tuple[list[Contender], list[Target]]:
    files = [place.file(name) for name in PARTS]
    contenders = []
    for store in ("SQLite", "mongod"):
        for number in (1, 2):
            home = place.home(f"workers_{number}", workers=number, mongo=store == "mongod")
            title = f"ours: {store}, {number} worker{'s' if number > 1 else ''}"
            contenders.append(ours(title, home, "par", files, lines=LINES, count=LINES, parser=IN_PARTS))
    pairs = {"SQLite": 1.5, "mongod": 1.6}
    return contenders, [Target("wall", f"ours: {db}, 2", f"ours: {db}, 1", least) for db, least in pairs.items()]


def again(place: Place) -> tuple[list[Contender], list[Target]]:
    home = place.home("again")
    first, changed = place.file("src_a.jsonl"), place.file("new_a.jsonl")
    lines = LINES // 2

    def release(file: Path) -> Callable[[], None]:
        """A next release with that content."""

        def prepare() -> None:
            copy = place.folder / "next" / "src_a.jsonl"
            copy.parent.mkdir(exist_ok=True)
            shutil.copyfile(file, copy)
            home.add("src_a", copy)
            home.execute("dump('src_a', force=True)")

        return prepare

    def new() -> None:
        home.reset()
        release(first)()

    def back() -> None:
        release(first)()
        home.execute("upload('src_a')")
        release(changed)()

    def run(*, force: bool = False, **expected: int) -> Callable[[], Run]:
        return lambda: home.upload("src_a", lines, force=force, **expected)

    contenders = [
        Contender("first upload", run(added=lines), new),
        Contender("the same release once more", run(unchanged=lines)),
        Contender("the same release, parsed again (force=True)", run(force=True, unchanged=lines)),
        Contender("a release of which 7 % of the documents differ", run(added=1000), back),
    ]
    return contenders, [Target(figure, "the same", "first", 2.0) for figure in ("wall", "cpu")]


def memory(place: Place) -> tuple[list[Contender], list[Target]]:
    contenders = []
    for times in (1, 20):
        home = place.home(f"memory_{times}")
        lines = times * LINES // 2
        file = [place.file("src_a.jsonl")]
        contenders.append(
            ours(
                f"ours: {lines:,} lines",
                home,
                "src_a",
                file,
                lines=lines,
                count=lines,
                parser=REPEATED,
                times=str(times),
            )
        )
    few, many = (contender.name for contender in contenders)
    return contenders, [
        Target("rss", few, MEGABYTES, 1.0),
        Target("rss", many, MEGABYTES, 1.0),
        Target("rss", many, few, 0.9),
    ]


CASES = {case.__name__: case for case in (jsonl, merge, ignore, workers, again, memory)}


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """Serve the workloads on loopback."""
    handler = functools.partial(QuietHandler, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()


class QuietHandler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> None:
    arguments = options(__doc__, cases=CASES)
    for name in arguments.cases or CASES:
        print(f"\n== {name}")
        data = workload()
        with scratch() as folder, mongod(folder / "mongod") as server, served(data) as url:
            contenders, targets = CASES[name](Place(folder, data, server, url))
            runs = 1 if name == "memory" else arguments.runs
            compare(contenders, arguments, targets=targets, runs=runs)


if __name__ == "__main__":
    main()
