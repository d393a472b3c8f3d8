"""The physical limit of an upload on this machine: what any Python hub must at least do for each document.

``python -m benchmarks.limits upload FILE DATABASE``: parse a line with :mod:`json` as the plugin does, encode it as
BSON, insert it into a bare SQLite table with a text key (WAL, 10,000 rows a transaction). No hub, no hash, no checks.
The cyclic garbage collector is off, as nothing here needs it.
"""

from __future__ import annotations

import gc
import json
import sqlite3
import sys
import time
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import bson

BATCH = 10_000


def rows(lines: Iterator[str]) -> Iterator[tuple[str, bytes]]:
    for line in lines:
        document = json.loads(line)
        yield document["_id"], bson.encode(document)


def upload(source: Path, database: Path) -> int:
    gc.disable()
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute("CREATE TABLE docs (id TEXT PRIMARY KEY, doc BLOB)")
    count = 0
    with source.open() as lines:
        stream = rows(lines)
        while batch := list(islice(stream, BATCH)):
            connection.execute("BEGIN")
            connection.executemany("INSERT INTO docs VALUES (?, ?)", batch)
            connection.execute("COMMIT")
            count += len(batch)
    connection.close()
    return count


def main() -> None:
    source, database = map(Path, sys.argv[2:4])
    started, spent = time.perf_counter(), time.process_time()
    count = upload(source, database)
    wall, cpu = time.perf_counter() - started, time.process_time() - spent
    print(json.dumps({"documents": count, "wall": wall, "cpu": cpu}))


if __name__ == "__main__":
    main()
