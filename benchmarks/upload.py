"""Upload 200,000 JSON lines: ours on SQLite against the peer's command on SQLite, its hub on mongod, and the limit.

``python -m benchmarks.upload [--runs 5] [--workers 1] [--only NAME]``. All sides run one parser. Ours and the peer's
command are whole processes with their start; the peer's hub is timed from the call on, which is in its favour.
"""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness import (
    Contender,
    Run,
    compare,
    measured,
    mongod,
    options,
    peer_hub,
    peer_python,
    scratch,
    workload,
)
from benchmarks.ours import Home, plugin

NAME = "big"
DOCUMENTS = 200_000


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The peer's dumper takes no file urls: serve the workload on loopback."""
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


def ours(home: Home, data: Path) -> Contender:
    def prepare() -> None:
        home.reset()
        home.add(NAME, data / f"{NAME}.jsonl")
        home.execute(f"dump({NAME!r})")

    def run() -> Run:
        figures = home.measure(f"upload({NAME!r})", DOCUMENTS)
        if (found := home.count(NAME)) != DOCUMENTS:
            sys.exit(f"ours holds {found} documents, not {DOCUMENTS}")
        return figures

    return Contender("ours: hubkernel exec, SQLite", run, prepare)


def peer_command(folder: Path, url: str) -> Contender:
    command = peer_python().with_name("biothings-cli")
    target = folder / NAME

    def prepare() -> None:
        shutil.rmtree(target, ignore_errors=True)
        plugin(folder, NAME, f"{url}/{NAME}.jsonl")
        measured([command, "dataplugin", "dump"], cwd=target)

    def run() -> Run:
        _, figures = measured([command, "dataplugin", "upload"], cwd=target)
        return Run(DOCUMENTS, figures["wall"], figures["cpu"], figures["rss"])

    return Contender("peer: biothings-cli dataplugin upload, SQLite", run, prepare)


def peer_uploader(folder: Path, data: Path, port: int, workers: int) -> Contender:
    def run() -> Run:
        return peer_hub(folder, port, data, workers, "upload", NAME)

    return Contender("peer: its hub's uploader, mongod (mongod's CPU not counted)", run)


def limit(folder: Path, data: Path) -> Contender:
    database = folder / "limit.db"

    def prepare() -> None:
        for leftover in folder.glob("limit.db*"):
            leftover.unlink()

    def run() -> Run:
        line = [sys.executable, "-m", "benchmarks.limits", "upload", data / f"{NAME}.jsonl", database]
        output, figures = measured(line, cwd=folder)
        inside = json.loads(output.splitlines()[-1])
        return Run(inside["documents"], inside["wall"], inside["cpu"], figures["rss"])

    return Contender("limit: json.loads + bson.encode + SQLite insert", run, prepare)


def main() -> None:
    arguments = options(__doc__)
    data = workload(f"{NAME}.jsonl")
    with scratch() as folder, mongod(folder / "mongod") as server, served(data) as url:
        contenders = [
            ours(Home(folder / "home", workers=arguments.workers), data),
            limit(folder, data),
            peer_command(folder / "peer", url),
            peer_uploader(folder, data, server.port, arguments.workers),
        ]
        compare(contenders, arguments)


if __name__ == "__main__":
    main()
