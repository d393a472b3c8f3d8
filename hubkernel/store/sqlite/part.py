"""One part of a new collection: a file that one writer appends to.

It has the layout of the sealed file, and numbers its rows from ``part << 40``: row numbers alone tell the order in
which the documents of all parts were written. Where the writer has a base, the row of a document that this has already
(same ``_id``, same hash) is left without its bytes, which no document has none of.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import astuple
from pathlib import Path
from typing import Any

from hubkernel.store.base import PartWriter
from hubkernel.store.encode import MAX_BYTES, Tally, content_hash, encode_rows
from hubkernel.store.errors import DocumentTooLargeError, StoreError
from hubkernel.store.sqlite.connection import attach, connect, translated

PAGE_BYTES = 16384
CACHE_KIB = 16384
ROW_BITS = 40
_BUSY_SECONDS = 0.5
INSERT = "INSERT INTO documents VALUES(?,?,?,?)"
NEW = "(SELECT ? AS seq, ? AS id, ? AS hash, ? AS document) AS new"
UNLESS_IN_BASE = (
    "CASE WHEN EXISTS(SELECT 1 FROM base.documents AS old WHERE old.id = new.id AND old.hash = new.hash)"
    " THEN x'' ELSE new.document END"
)
""":data:`SAME` in place of a document that the base has; the parameters are those of :data:`INSERT`."""
SAME = "length(document) = 0"
INSERT_UNLESS_IN_BASE = f"INSERT INTO documents SELECT new.seq, new.id, new.hash, {UNLESS_IN_BASE} FROM {NEW}"
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents(
    seq INTEGER PRIMARY KEY, id TEXT NOT NULL, hash BLOB NOT NULL, document BLOB NOT NULL);
CREATE TABLE IF NOT EXISTS tally(
    part INTEGER PRIMARY KEY, documents INTEGER, bytes INTEGER, falls INTEGER, first TEXT, last TEXT,
    closed INTEGER);
"""
_Row = tuple[int, str, bytes, bytes]


def create(path: Path, max_pages: int, schema: str = _SCHEMA) -> sqlite3.Connection:
    """A connection to a file with the layout of a collection, made if it is missing; nothing is synced on its own."""
    conn = connect(path, max_pages=max_pages, timeout=_BUSY_SECONDS)
    try:
        conn.execute(f"PRAGMA page_size={PAGE_BYTES}")
        conn.execute(f"PRAGMA cache_size=-{CACHE_KIB}")
        conn.execute("PRAGMA synchronous=OFF")
        conn.execute("PRAGMA locking_mode=EXCLUSIVE")
        conn.executescript(schema)
    except BaseException:
        conn.close()
        raise
    return conn


def attach_base(conn: sqlite3.Connection, base: Path) -> None:
    """The collection that is to be replaced, as the schema ``base``; an empty one if there is none."""
    if base.exists():
        attach(conn, base, "base", immutable=True)
        conn.execute(f"PRAGMA base.cache_size=-{CACHE_KIB}")
    else:
        conn.execute("ATTACH ':memory:' AS base")
        conn.execute("CREATE TABLE base.documents(seq INTEGER PRIMARY KEY, id TEXT, hash BLOB, document BLOB)")


def sync(path: Path) -> None:
    """Make the content of a file durable."""
    fd = os.open(path, os.O_RDONLY)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def read_tallies(conn: sqlite3.Connection) -> list[Tally]:
    """One tally, or none if nothing was ever flushed."""
    return [Tally(*row) for row in conn.execute("SELECT * FROM tally")]


def read_tally(path: Path) -> Tally | None:
    """That of a part that nobody is writing."""
    with translated(path), closing(create(path, 0)) as conn:
        return next(iter(read_tallies(conn)), None)


class SQLitePart(PartWriter):
    """A part: one transaction from flush to flush. One process has it open at a time; reopened, it goes on."""

    def __init__(self, path: Path, number: int, max_pages: int, base: Path | None = None) -> None:
        self._path = path
        self._base = base
        self._max_pages = max_pages
        self._conn: sqlite3.Connection | None = None
        self._fd = -1
        self._tally = Tally(number)
        self.closed = False

    def write(self, documents: Iterable[Mapping[str, Any]]) -> int:
        return self._append(encode_rows(documents, self._start(), self._tally))

    def write_encoded(self, rows: Iterable[tuple[str, bytes]]) -> int:
        return self._append(_hashed(rows, self._start(), self._tally))

    def flush(self) -> None:
        conn = self._conn
        if conn is None:
            return
        with self._writing():
            if conn.in_transaction:
                conn.execute("REPLACE INTO tally VALUES(?,?,?,?,?,?,?)", astuple(self._tally))
                conn.execute("COMMIT")
            os.fsync(self._fd)

    def close(self) -> None:
        try:
            if not self.closed:
                self._start()
                self._begin(closed=True)
            self.flush()
        finally:
            self.discard()

    def discard(self) -> None:
        """Close without what is not flushed."""
        self.closed = True
        conn, self._conn = self._conn, None
        fd, self._fd = self._fd, -1
        if conn is not None:
            conn.close()
        if fd >= 0:
            os.close(fd)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is None:
            self.close()
        else:
            self.discard()

    def _start(self) -> int:
        """The number of the next row; opens the file."""
        if self.closed:
            raise StoreError("the part is closed")
        if self._conn is None:
            with translated(self._path):
                self._conn = create(self._path, self._max_pages)
                # Closed after the connection: closing any descriptor of a file drops this process's locks on it.
                self._fd = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                self._tally = next(iter(read_tallies(self._conn)), self._tally)
                if self._base is not None:
                    attach_base(self._conn, self._base)
        return (self._tally.part << ROW_BITS) + self._tally.documents

    def _append(self, rows: Iterable[_Row]) -> int:
        before = self._tally.documents
        conn = self._begin(closed=False)
        with self._writing():
            conn.executemany(INSERT if self._base is None else INSERT_UNLESS_IN_BASE, rows)
        return self._tally.documents - before

    def _begin(self, *, closed: bool) -> sqlite3.Connection:
        """A transaction that ends with the next flush."""
        conn = self._conn
        assert conn is not None
        with self._writing():
            if not conn.in_transaction:
                conn.execute("BEGIN IMMEDIATE")
        self._tally.closed = closed
        return conn

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with translated(self._path):
            try:
                yield
            except sqlite3.Error:
                # SQLite may have rolled back more than the last row; what was flushed is what there is.
                self.discard()
                raise


def _hashed(rows: Iterable[tuple[str, bytes]], start: int, tally: Tally) -> Iterator[_Row]:
    """As :func:`encode_rows`."""
    new, seq = not tally.documents, start
    try:
        for doc_id, data in rows:
            if len(data) > MAX_BYTES:
                raise DocumentTooLargeError(
                    f"document {doc_id!r} is {len(data):,} bytes as BSON; the limit is {MAX_BYTES:,}",
                    doc_id=doc_id,
                    position=seq - start,
                )
            if doc_id <= tally.last:
                tally.falls += 1
            elif new:
                tally.first, new = doc_id, False
            tally.last = doc_id
            tally.bytes += len(data)
            yield seq, doc_id, content_hash(data), data
            seq += 1
    finally:
        tally.documents += seq - start
