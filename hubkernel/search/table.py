"""The documents of one index in SQLite: the truth that the search files are made from, and their translog.

Every change of a document is a new row with the next ``seq``; the row before it is *retired* and stays until nobody
needs it (the search files still hold it, or a scroll reads from them).

Threading: one connection writes, under the lock of the index; another one reads, under a lock of its own, and always
sees the last committed state.
"""

from __future__ import annotations

import sqlite3
import threading
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import orjson

from hubkernel.search.errors import ApiError

_SCHEMA = """
create table documents (
    seq integer primary key, id text not null, version integer not null, live integer not null, source blob not null
) strict;
create unique index live_id on documents (id) where live;
create index retired on documents (seq) where not live;
create table meta (key text primary key, value blob not null) strict, without rowid;
"""
_CHUNK = 500


class Row(NamedTuple):
    seq: int
    id: str
    version: int
    source: bytes
    """JSON text, as it was given."""


class DocumentTable:
    """Opens or makes ``path``. ``compress`` packs new rows; reading knows both forms."""

    def __init__(self, path: Path, *, compress: bool = False) -> None:
        self.compress = compress
        fresh = not path.exists()
        self._writer = self._connect(path)
        if fresh:
            self._writer.executescript(f"begin;{_SCHEMA}commit;")
        self._reader = self._connect(path)
        self._reading = threading.Lock()
        self._closed = False

    @staticmethod
    def _connect(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=full")
        return connection

    def close(self) -> None:
        self._closed = True
        with self._reading:
            self._reader.close()
            self._writer.close()

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All or nothing, and durable when it is left."""
        try:
            self._writer.execute("begin immediate")
            yield
            self._writer.execute("commit")
        except BaseException as error:
            if self._writer.in_transaction:
                self._writer.execute("rollback")
            if isinstance(error, sqlite3.OperationalError):
                raise ApiError(507, "io_exception", f"could not write the documents: {error}") from error
            raise

    # --- writing, inside of a transaction

    def latest(self, id: str) -> tuple[int, int] | None:
        """``(seq, version)`` of the live row, uncommitted changes included."""
        query = "select seq, version from documents where id = ? and live"
        row: tuple[int, int] | None = self._writer.execute(query, (id,)).fetchone()
        return row

    def latest_source(self, seq: int) -> bytes:
        row = self._writer.execute("select source from documents where seq = ?", (seq,)).fetchone()
        return _unpacked(row[0])

    def retire(self, seq: int) -> None:
        self._writer.execute("update documents set live = 0 where seq = ?", (seq,))

    def insert(self, seq: int, id: str, version: int, source: bytes) -> None:
        packed = zlib.compress(source, 1) if self.compress else source
        self._writer.execute("insert into documents values (?, ?, ?, 1, ?)", (seq, id, version, packed))

    def set_meta(self, key: str, value: Any) -> None:
        self._writer.execute("insert or replace into meta values (?, ?)", (key, orjson.dumps(value)))

    def purge(self, seqs: list[int]) -> None:
        self._writer.executemany("delete from documents where seq = ? and not live", ((seq,) for seq in seqs))

    # --- reading

    def _read(self, query: str, values: Iterable[Any] = ()) -> list[Any]:
        with self._reading:
            if self._closed:
                raise ApiError(404, "index_not_found_exception", "the index was deleted")
            return self._reader.execute(query, tuple(values)).fetchall()

    def meta(self, key: str, default: Any = None) -> Any:
        rows = self._read("select value from meta where key = ?", (key,))
        return orjson.loads(rows[0][0]) if rows else default

    def last_seq(self) -> int:
        return int(self._read("select coalesce(max(seq), 0) from documents")[0][0])

    def count(self) -> int:
        return int(self._read("select count(*) from documents where live")[0][0])

    def retired(self) -> list[int]:
        return [row[0] for row in self._read("select seq from documents where not live")]

    def get(self, id: str) -> Row | None:
        rows = self._read("select seq, id, version, source from documents where id = ? and live", (id,))
        return _row(rows[0]) if rows else None

    def rows(self, seqs: list[int]) -> dict[int, Row]:
        """Rows by ``seq``, retired ones too."""
        found: dict[int, Row] = {}
        for start in range(0, len(seqs), _CHUNK):
            chunk = seqs[start : start + _CHUNK]
            marks = ",".join("?" * len(chunk))
            query = f"select seq, id, version, source from documents where seq in ({marks})"
            found.update((raw[0], _row(raw)) for raw in self._read(query, chunk))
        return found

    def live_after(self, seq: int) -> Iterator[Row]:
        """Live rows with a higher ``seq``, in order. Flat memory."""
        query = "select seq, id, version, source from documents where live and seq > ? order by seq limit ?"
        while chunk := self._read(query, (seq, _CHUNK)):
            yield from map(_row, chunk)
            seq = chunk[-1][0]


def _row(raw: tuple[int, str, int, bytes]) -> Row:
    return Row(raw[0], raw[1], raw[2], _unpacked(raw[3]))


def _unpacked(source: bytes) -> bytes:
    return source if source.startswith(b"{") else zlib.decompress(source)
