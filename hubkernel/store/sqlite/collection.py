"""Reading a committed collection.

Its file never changes, so readers take no lock, see one state from their first document to their last, and go on when
the collection is swapped or dropped meanwhile. Each call looks the name up anew: it reads what has the name then.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from itertools import islice
from pathlib import Path
from typing import Any

from hubkernel.store.base import Collection, Document, Filter, Projection, Sort, check_field
from hubkernel.store.encode import decode
from hubkernel.store.errors import NoSuchCollectionError
from hubkernel.store.order import arrange, compile_sort
from hubkernel.store.projection import compile_projection
from hubkernel.store.query import WantedIds, compile_filter, wanted_ids, wanted_values
from hubkernel.store.sqlite import index
from hubkernel.store.sqlite.connection import translated
from hubkernel.store.sqlite.files import TRIES, Claim, Folder

_Row = tuple[str, bytes]
_BATCH = 200


class SQLiteCollection(Collection):
    """A collection of a :class:`SQLiteStore`. Threading: any thread; an iterator is used by one thread at a time."""

    def __init__(self, folder: Folder, name: str) -> None:
        self.name = name
        self._folder = folder

    def count(self, filter: Filter | None = None) -> int:
        if not filter:
            return self._folder.entry(self.name).documents
        matches = compile_filter(filter)
        wanted = wanted_ids(filter)
        if wanted.complete and wanted.ids is None:
            condition, arguments = _between(wanted.start, wanted.stop)
            with self._reading() as conn:
                (count,) = conn.execute(f"SELECT count(*) FROM documents{condition}", arguments).fetchone()
            return int(count)
        return sum(1 for _, data in self._candidates(filter, wanted) if matches(decode(data)))

    def get(self, id: str) -> Document | None:
        return next(self.get_many([id]), None)

    def get_many(self, ids: Iterable[str]) -> Iterator[Document]:
        return (decode(data) for _, data in self._rows_of(ids))

    def find(
        self,
        filter: Filter | None = None,
        projection: Projection | None = None,
        *,
        sort: Sort | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        matches = compile_filter(filter)
        project = compile_projection(projection)
        order = compile_sort(sort)
        # Ids are unique: what follows _id in a sort decides nothing.
        by_id = bool(order) and order[0][0] == ["_id"]
        rows = self._candidates(filter, wanted_ids(filter), down=by_id and order[0][1])
        found = (document for document in (decode(data) for _, data in rows) if matches(document))
        return map(project, arrange(found, [] if by_id else order, skip, limit))

    def scan(self, start: str | None = None, stop: str | None = None) -> Iterator[tuple[str, bytes]]:
        return self._select("id, document", start, stop)

    def hashes(self, start: str | None = None, stop: str | None = None) -> Iterator[tuple[str, bytes]]:
        return self._select("id, hash", start, stop)

    def split(self, parts: int) -> list[tuple[str | None, str | None]]:
        if parts < 1:
            raise ValueError(f"a collection cannot be split into {parts} parts")
        step = -(-self.count() // parts) or 1
        with self._reading() as conn:
            bounds = [None, *_every(conn, step)]
        return list(zip(bounds, [*bounds[1:], None], strict=True))

    def size(self) -> int:
        with self._reading() as conn:
            (pages,) = conn.execute("PRAGMA page_count").fetchone()
            (page,) = conn.execute("PRAGMA page_size").fetchone()
        return int(pages) * int(page)

    def create_index(self, field: str, *, progress: Callable[[], None] | None = None) -> None:
        if not check_field(field):
            return
        for _ in range(TRIES):
            token = self._folder.entry(self.name).token
            if not index.path(self._folder, token, field).exists():
                with suppress(FileNotFoundError):
                    self._build(token, field, progress or (lambda: None))
            if self._folder.entry(self.name).token == token:
                return

    def indexes(self) -> list[str]:
        return index.fields(self._folder, self._folder.entry(self.name).token)

    def drop_index(self, field: str) -> None:
        path = index.path(self._folder, self._folder.entry(self.name).token, field)
        self._folder.readers.forget(path)
        path.unlink(missing_ok=True)

    def _build(self, token: str, field: str, progress: Callable[[], None]) -> None:
        """What is unfinished belongs to a writer's token, so that it is swept if this process dies."""
        claim = Claim(self._folder)
        try:
            with translated(self._folder.path):
                index.build(self._folder, token, field, claim.token, progress)
            if not self._folder.is_used(token):
                self._folder.erase(token)
        finally:
            self._folder.erase(claim.token)
            claim.release()

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection]:
        with ExitStack() as stack:
            yield self._open(stack)

    def _open(self, stack: ExitStack) -> sqlite3.Connection:
        for _ in range(TRIES):
            path = self._folder.file(self._folder.entry(self.name).token)
            # Between the look into the catalog and this line the file may have been swapped away.
            with suppress(FileNotFoundError):
                return stack.enter_context(self._folder.readers.use(path))
        raise NoSuchCollectionError(f"the file of collection {self.name!r} is gone: load the collection again")

    def _select(self, columns: str, start: str | None, stop: str | None, *, down: bool = False) -> Iterator[_Row]:
        condition, arguments = _between(start, stop)
        order = "id DESC" if down else "id"
        with self._reading() as conn:
            yield from conn.execute(f"SELECT {columns} FROM documents{condition} ORDER BY {order}", arguments)

    def _candidates(self, filter: Filter | None, wanted: WantedIds, *, down: bool = False) -> Iterator[_Row]:
        """All rows that may match, in order."""
        if wanted.ids is not None:
            return self._rows_of(sorted((doc_id for doc_id in wanted.ids if isinstance(doc_id, str)), reverse=down))
        token = self._folder.entry(self.name).token
        for field, values in wanted_values(filter).items():
            if (path := index.path(self._folder, token, field)).exists():
                return self._indexed(path, self._folder.file(token), values, down=down)
        return self._select("id, document", wanted.start, wanted.stop, down=down)

    def _indexed(self, path: Path, documents: Path, values: list[Any], *, down: bool) -> Iterator[_Row]:
        with ExitStack() as stack:
            try:
                ids, conn = [stack.enter_context(self._folder.readers.use(file)) for file in (path, documents)]
            except FileNotFoundError:  # swapped away a moment ago
                yield from self._select("id, document", None, None, down=down)
                return
            yield from _rows(conn, index.find(ids, values, down=down))

    def _rows_of(self, ids: Iterable[str]) -> Iterator[_Row]:
        with self._reading() as conn:
            yield from _rows(conn, ids)


def _rows(conn: sqlite3.Connection, ids: Iterable[str]) -> Iterator[_Row]:
    remaining = iter(ids)
    while batch := list(islice(remaining, _BATCH)):
        places = ",".join("?" * len(batch))
        found = dict(conn.execute(f"SELECT id, document FROM documents WHERE id IN ({places})", batch))
        yield from ((doc_id, found[doc_id]) for doc_id in batch if doc_id in found)


def _between(start: str | None, stop: str | None) -> tuple[str, list[str]]:
    """A WHERE clause (or nothing) for ``start <= id < stop``, and its arguments."""
    conditions = [text for text, bound in (("id >= ?", start), ("id < ?", stop)) if bound is not None]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return where, [bound for bound in (start, stop) if bound is not None]


def _every(conn: sqlite3.Connection, step: int) -> Iterator[str]:
    """Every ``step``-th id after the first one, in order."""
    at = ""
    query = "SELECT id FROM documents WHERE id >= ? ORDER BY id LIMIT 1 OFFSET ?"
    while row := conn.execute(query, (at, step)).fetchone():
        (at,) = row
        yield at
