"""Indexes of a collection's fields: for each a file beside that of the documents, with which it comes and goes.

An entry is ``(key, id)``. Values that are equal have equal keys; values with equal keys need not be equal, and what an
index finds is tested like any other document. So a key can be simple: all numbers are floats, all objects are one.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing
from hashlib import blake2b
from pathlib import Path
from typing import Any

from bson import Decimal128

from hubkernel.store.encode import decode
from hubkernel.store.paths import MISSING, elements, values_at
from hubkernel.store.sqlite.connection import connect_immutable
from hubkernel.store.sqlite.files import INDEX, Folder
from hubkernel.store.sqlite.part import create, sync

_SCHEMA = """
CREATE TABLE about(field TEXT);
CREATE TABLE entries(key TEXT, id TEXT, PRIMARY KEY(key, id)) WITHOUT ROWID;
"""
_OTHER = "o"
_LONG = 200


def path(folder: Folder, token: str, field: str) -> Path:
    return folder.path / f"{token}.{blake2b(field.encode(), digest_size=8).hexdigest()}{INDEX}"


def fields(folder: Folder, token: str) -> list[str]:
    """The indexed fields of the collection that a writer of that token made."""
    return sorted(_field(file) for file in folder.path.glob(f"{token}.*{INDEX}"))


def build(folder: Folder, token: str, field: str, into: str, progress: Callable[[], None]) -> None:
    """Index the documents of ``token``; meanwhile the file goes by the token ``into``, whose writer lives."""
    unfinished = folder.path / f"{into}.indexing"
    unfinished.unlink(missing_ok=True)
    with closing(connect_immutable(folder.file(token))) as documents, closing(_empty(unfinished, folder)) as conn:
        conn.execute("INSERT INTO about VALUES(?)", (field,))
        conn.execute("BEGIN")
        rows = documents.execute("SELECT id, document FROM documents")
        conn.executemany("INSERT OR IGNORE INTO entries VALUES(?, ?)", _entries(rows, field.split("."), progress))
        conn.execute("COMMIT")
    sync(unfinished)
    unfinished.rename(path(folder, token, field))
    folder.sync()


def find(conn: sqlite3.Connection, values: Iterable[Any], *, down: bool = False) -> Iterator[str]:
    """The ids of all documents that may have one of the values, in order, each once."""
    keys = json.dumps(sorted({key_of(value) for value in values}))
    order = "id DESC" if down else "id"
    query = f"SELECT DISTINCT id FROM entries WHERE key IN (SELECT value FROM json_each(?)) ORDER BY {order}"
    return (doc_id for (doc_id,) in conn.execute(query, (keys,)))


def key_of(value: Any) -> str:
    if isinstance(value, str):
        return f"s{value[:_LONG]}".replace("\0", "")
    if value is None or value is MISSING:
        return "z"
    if isinstance(value, bool):
        return f"b{value:d}"
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    try:
        return f"n{float(value) + 0.0!r}"
    except (TypeError, ValueError):
        return _OTHER


def _entries(
    rows: Iterable[tuple[str, bytes]], parts: list[str], progress: Callable[[], None]
) -> Iterator[tuple[str, str]]:
    for number, (doc_id, data) in enumerate(rows):
        if not number % 10_000:
            progress()
        for value in elements(values_at(decode(data), parts)):
            yield key_of(value), doc_id


def _empty(file: Path, folder: Folder) -> sqlite3.Connection:
    conn = create(file, folder.max_pages, schema=_SCHEMA)
    conn.execute("PRAGMA journal_mode=OFF")
    return conn


def _field(file: Path) -> str:
    with closing(connect_immutable(file)) as conn:
        (field,) = conn.execute("SELECT field FROM about").fetchone()
    return str(field)
