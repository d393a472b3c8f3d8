"""A collection that replaces another one, its *base*: what differs, and its file made with as little writing as can be.

While sealing, ``main.documents`` holds a row for each document; those that the base has already are without their
bytes (:mod:`hubkernel.store.sqlite.part`), and ``base.documents`` has them. If little has changed, the base's file is
copied, which costs a tenth of inserting its rows, and the changes are applied to the copy.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from hubkernel.store.sqlite.part import SAME

_FEW = 4
"""Copy the base if at most one document in so many was added, changed or removed."""
_WEAR = 8
"""A file that is changed so often, or of which one document in so many has gone, is written anew, in order."""
_CHUNK = 8 << 20


class Way(Enum):
    """How the collection's file comes about."""

    NOTHING = "the base stays"
    AS_WRITTEN = "the rows are complete and in order"
    CHANGE = "change a copy of the base"
    FILL = "write all rows once more, in order, with what only the base has"


@dataclass(frozen=True, slots=True)
class Differences:
    """Between a base and what was written, in documents."""

    added: int
    changed: int
    removed: int
    unchanged: int

    @property
    def count(self) -> int:
        return self.added + self.changed + self.removed

    def counts(self) -> dict[str, int]:
        return {what: getattr(self, what) for what in ("added", "changed", "removed", "unchanged")}


def compare(conn: sqlite3.Connection) -> Differences:
    """To be called when each id stands in one row."""
    documents, unchanged = _one(conn, f"SELECT count(*), coalesce(sum({SAME}), 0) FROM main.documents")
    (before,) = _one(conn, "SELECT count(*) FROM base.documents")
    changed = 0
    if before and unchanged < documents:
        both = "FROM main.documents new JOIN base.documents old ON old.id = new.id"
        (changed,) = _one(conn, f"SELECT count(*) {both} WHERE length(new.document) > 0")
    return Differences(documents - unchanged - changed, changed, before - unchanged - changed, unchanged)


def choose(conn: sqlite3.Connection, found: Differences | None, *, untidy: bool, exists: bool) -> Way:
    """``untidy``: the rows are out of order, or many were deleted. ``exists``: there is a base."""
    if exists and found is not None and not found.count:
        return Way.NOTHING
    if found is None or not found.unchanged:
        return Way.FILL if untidy else Way.AS_WRITTEN
    times, gone = _wear(conn, "base")
    worn = times >= _WEAR or (gone + found.removed) * _WEAR > found.unchanged
    return Way.FILL if worn or found.count * _FEW > found.unchanged else Way.CHANGE


def copy(base: Path, new: Path, progress: Callable[[], None]) -> None:
    with base.open("rb", buffering=0) as source, new.open("wb", buffering=0) as target:
        while chunk := source.read(_CHUNK):
            target.write(chunk)
            progress()


def change(conn: sqlite3.Connection) -> None:
    """Make ``main``, a copy of the base, what ``written`` says."""
    conn.execute("BEGIN")
    gone = conn.execute(
        "DELETE FROM main.documents WHERE seq IN (SELECT seq FROM main.documents old"
        " WHERE NOT EXISTS (SELECT 1 FROM written.documents new WHERE new.id = old.id))"
    ).rowcount
    conn.execute("CREATE TEMP TABLE differs(id TEXT PRIMARY KEY, new INTEGER, old INTEGER) WITHOUT ROWID")
    conn.execute(
        "INSERT INTO differs SELECT new.id, new.seq, old.seq FROM written.documents new"
        " LEFT JOIN main.documents old ON old.id = new.id WHERE length(new.document) > 0"
    )
    conn.execute(
        "UPDATE main.documents SET (hash, document) ="
        " (SELECT hash, document FROM written.documents new WHERE new.id = main.documents.id)"
        " WHERE seq IN (SELECT old FROM differs WHERE old IS NOT NULL)"
    )
    conn.execute(
        "INSERT INTO main.documents(id, hash, document) SELECT new.id, new.hash, new.document"
        " FROM differs JOIN written.documents new ON new.seq = differs.new WHERE old IS NULL ORDER BY differs.id"
    )
    times, before = _wear(conn, "main")
    conn.execute("CREATE TABLE IF NOT EXISTS main.wear(times INTEGER, gone INTEGER)")
    conn.execute("DELETE FROM main.wear")
    conn.execute("INSERT INTO main.wear VALUES(?, ?)", (times + 1, before + gone))
    conn.execute("COMMIT")


def fill(conn: sqlite3.Connection) -> None:
    """Fill ``main``, which is empty, from ``written`` and ``base``, in the order of the ids."""
    conn.execute(
        "INSERT INTO main.documents(id, hash, document) SELECT new.id, new.hash, CASE WHEN length(new.document) = 0"
        " THEN (SELECT document FROM base.documents old WHERE old.id = new.id) ELSE new.document END"
        " FROM written.documents new ORDER BY new.id"
    )


def _wear(conn: sqlite3.Connection, schema: str) -> tuple[int, int]:
    """How often a file was changed since it was written in order, and how many documents have gone from it."""
    if not _one(conn, f"SELECT count(*) FROM {schema}.sqlite_master WHERE name = 'wear'")[0]:
        return 0, 0
    times, gone = _one(conn, f"SELECT times, gone FROM {schema}.wear")
    return times, gone


def _one(conn: sqlite3.Connection, query: str) -> tuple[int, ...]:
    row: tuple[int, ...] = conn.execute(query).fetchone()
    return row
