"""Documents that share an ``_id``, folded into one while sealing. The temporary table ``twice`` holds their ids."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Iterator
from itertools import groupby
from operator import itemgetter

from hubkernel.store.base import Fold
from hubkernel.store.encode import content_hash, decode, encode
from hubkernel.store.errors import InvalidDocumentError
from hubkernel.store.sqlite.part import NEW, SAME, UNLESS_IN_BASE

_BYTES = f"CASE WHEN {SAME} THEN (SELECT document FROM base.documents old WHERE old.id = new.id) ELSE document END"
# The order of the tables is ours (CROSS JOIN), so that ids come in order and nothing is sorted with its documents.
_ROWS = f"SELECT new.id, seq, {_BYTES} FROM twice CROSS JOIN main.documents new ON new.id = twice.id ORDER BY twice.id"
_ROWS_OF = f"SELECT id, seq, {_BYTES} FROM main.documents new WHERE id = ?"
_REPLACE = (
    f"UPDATE main.documents AS row SET hash = new.hash, document = {UNLESS_IN_BASE} FROM {NEW} WHERE row.seq = new.seq"
)
_INSERT = f"INSERT INTO fresh.documents SELECT new.seq, new.id, new.hash, {UNLESS_IN_BASE} FROM {NEW}"
_Row = tuple[str, int, bytes]


def merge_in_place(conn: sqlite3.Connection, fold: Fold) -> None:
    """For few: the first row of an id takes all, the others go."""
    for (doc_id,) in conn.execute("SELECT id FROM twice ORDER BY id"):
        rows = conn.execute(_ROWS_OF, (doc_id,)).fetchall()
        conn.executemany(_REPLACE, _folded(rows, fold))
        first = min(seq for _, seq, _ in rows)
        conn.executemany("DELETE FROM main.documents WHERE seq=?", [(seq,) for _, seq, _ in rows if seq != first])


def merge_anew(conn: sqlite3.Connection, fold: Fold) -> None:
    """For many: write all to ``fresh``, an empty file: first the other rows, then what was folded, each in order."""
    conn.execute(
        "INSERT INTO fresh.documents(id, hash, document) SELECT id, hash, document FROM main.documents"
        " WHERE id NOT IN (SELECT id FROM twice) ORDER BY id"
    )
    rows = ((None, *folded[1:]) for folded in _folded(conn.execute(_ROWS), fold))
    conn.executemany(_INSERT, rows)


def _folded(rows: Iterable[_Row], fold: Fold) -> Iterator[tuple[int, str, bytes, bytes]]:
    """``(row number of the first, id, hash, bytes)`` of each id."""
    for doc_id, group in groupby(rows, key=itemgetter(0)):
        versions = sorted((seq, data) for _, seq, data in group)
        merged_id, data = encode(fold([decode(data) for _, data in versions]))
        if merged_id != doc_id:
            raise InvalidDocumentError(f"merging {doc_id!r} gave the _id {merged_id!r}", doc_id=doc_id)
        yield versions[0][0], doc_id, content_hash(data), data
