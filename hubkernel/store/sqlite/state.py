"""The hub's state in one SQLite file."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from hubkernel.store.base import Document, Filter, Projection, Sort, StateCollection, StateStore
from hubkernel.store.encode import decode, encode_state
from hubkernel.store.errors import DuplicateIdError
from hubkernel.store.order import arrange, compile_sort
from hubkernel.store.projection import compile_projection
from hubkernel.store.query import compile_filter, wanted_ids
from hubkernel.store.sqlite.connection import Location, Pool, connect_shared, transaction
from hubkernel.store.update import Replacement, Update

_log = logging.getLogger(__name__)

# `id` has no declared type, so SQLite keeps a string a string and an int an int; `seq` is the order of insertion.
_SCHEMA = """
CREATE TABLE IF NOT EXISTS documents(
    seq INTEGER PRIMARY KEY, collection TEXT NOT NULL, id NOT NULL, document BLOB NOT NULL, UNIQUE(collection, id));
CREATE TABLE IF NOT EXISTS counters(collection TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""
_Row = tuple[int, Document]


class SQLiteState(StateStore):
    """Hub state in the file of ``sqlite:///absolute/file.db``; created when missing.

    Threading: any thread, any process. Every write is one transaction that has reached the disk when the call returns.
    """

    def __init__(self, url: str) -> None:
        location = Location.parse(url)
        self.url = url
        self._path = location.path
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self._pool = Pool(lambda path: connect_shared(path, _SCHEMA, max_pages=location.max_pages))
        with self.connection():
            pass

    def collection(self, name: str) -> SQLiteStateCollection:
        return SQLiteStateCollection(self, name)

    def names(self) -> list[str]:
        with self.connection() as conn:
            return [name for (name,) in conn.execute("SELECT DISTINCT collection FROM documents ORDER BY collection")]

    def close(self) -> None:
        self._pool.close()

    @contextmanager
    def connection(self) -> Iterator[sqlite3.Connection]:
        with self._pool.use(self._path) as conn:
            yield conn

    def tell(self, collection: str, operation: str, doc_id: Any, document: Document | None) -> None:
        """Report a committed change to the hub."""
        if self.on_change is None:
            return
        try:
            self.on_change(collection, operation, doc_id, document)
        except Exception:
            _log.exception("a listener failed on %s of %s %r", operation, collection, doc_id)


class SQLiteStateCollection(StateCollection):
    """One collection of a :class:`SQLiteState`. Without ``sort``, documents come in the order of their insertion."""

    def __init__(self, state: SQLiteState, name: str) -> None:
        if not name:
            raise ValueError("a collection needs a name")
        self.name = name
        self._state = state

    def find(
        self,
        filter: Filter | None = None,
        projection: Projection | None = None,
        *,
        sort: Sort | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> list[Document]:
        project = compile_projection(projection)
        order = compile_sort(sort)
        with self._state.connection() as conn:
            found = (document for _, document in self._matches(conn, filter))
            return [project(document) for document in arrange(found, order, skip, limit)]

    def find_one(
        self, filter: Filter | None = None, projection: Projection | None = None, *, sort: Sort | None = None
    ) -> Document | None:
        found = self.find(filter, projection, sort=sort, limit=1)
        return found[0] if found else None

    def count(self, filter: Filter | None = None) -> int:
        with self._state.connection() as conn:
            if filter:
                return sum(1 for _ in self._matches(conn, filter))
            (count,) = conn.execute("SELECT count(*) FROM documents WHERE collection=?", (self.name,)).fetchone()
            return int(count)

    def insert_one(self, document: Mapping[str, Any]) -> None:
        with self._write() as conn:
            doc_id, data = self._insert(conn, document)
        self._state.tell(self.name, "insert", doc_id, decode(data))

    def replace_one(self, filter: Filter, document: Mapping[str, Any], *, upsert: bool = False) -> int:
        return self._change_one(filter, Replacement(document), "replace", upsert)

    def update_one(self, filter: Filter, update: Mapping[str, Any], *, upsert: bool = False) -> int:
        return self._change_one(filter, Update(update), "update", upsert)

    def update_many(self, filter: Filter, update: Mapping[str, Any]) -> int:
        change = Update(update)
        with self._write() as conn:
            rows = list(self._matches(conn, filter))
            for seq, document in rows:
                self._store(conn, seq, change.apply(document))
        if rows:
            self._state.tell(self.name, "update", None, None)
        return len(rows)

    def delete_one(self, filter: Filter) -> int:
        with self._write() as conn:
            row = next(self._matches(conn, filter), None)
            if row is None:
                return 0
            conn.execute("DELETE FROM documents WHERE seq=?", (row[0],))
        self._state.tell(self.name, "delete", row[1]["_id"], None)
        return 1

    def delete_many(self, filter: Filter) -> int:
        with self._write() as conn:
            rows = [(seq,) for seq, _ in self._matches(conn, filter)]
            conn.executemany("DELETE FROM documents WHERE seq=?", rows)
        if rows:
            self._state.tell(self.name, "delete", None, None)
        return len(rows)

    def next_id(self) -> int:
        with self._write() as conn:
            (value,) = conn.execute(
                "INSERT INTO counters VALUES(?, 1) ON CONFLICT(collection) DO UPDATE SET value=value+1 RETURNING value",
                (self.name,),
            ).fetchone()
        return int(value)

    @contextmanager
    def _write(self) -> Iterator[sqlite3.Connection]:
        with self._state.connection() as conn, transaction(conn):
            yield conn

    def _matches(self, conn: sqlite3.Connection, filter: Filter | None) -> Iterator[_Row]:
        matches = compile_filter(filter)
        wanted = wanted_ids(filter)
        rows: Iterable[tuple[int, bytes]]
        if wanted.ids is None:
            rows = conn.execute("SELECT seq, document FROM documents WHERE collection=? ORDER BY seq", (self.name,))
        else:
            rows = self._by_id(conn, wanted.ids)
        for seq, data in rows:
            document = decode(data)
            if matches(document):
                yield seq, document

    def _by_id(self, conn: sqlite3.Connection, ids: Iterable[Any]) -> list[tuple[int, bytes]]:
        query = "SELECT seq, document FROM documents WHERE collection=? AND id=?"
        known = (doc_id for doc_id in ids if isinstance(doc_id, str | int | float))
        found = [row for doc_id in known for row in conn.execute(query, (self.name, doc_id))]
        return sorted(found)

    def _change_one(self, filter: Filter, change: Update | Replacement, operation: str, upsert: bool) -> int:
        with self._write() as conn:
            row = next(self._matches(conn, filter), None)
            if row is None and not upsert:
                return 0
            if row is None:
                operation = "insert"
                doc_id, data = self._insert(conn, change.insert(filter))
            else:
                doc_id, data = self._store(conn, row[0], change.apply(row[1]))
        self._state.tell(self.name, operation, doc_id, decode(data))
        return 1

    def _insert(self, conn: sqlite3.Connection, document: Mapping[str, Any]) -> tuple[str | int, bytes]:
        doc_id, data = encode_state(document)
        try:
            conn.execute("INSERT INTO documents(collection, id, document) VALUES(?,?,?)", (self.name, doc_id, data))
        except sqlite3.IntegrityError:
            raise DuplicateIdError.taken(self.name, doc_id) from None
        return doc_id, data

    def _store(self, conn: sqlite3.Connection, seq: int, document: Document) -> tuple[str | int, bytes]:
        doc_id, data = encode_state(document)
        conn.execute("UPDATE documents SET document=? WHERE seq=?", (data, seq))
        return doc_id, data
