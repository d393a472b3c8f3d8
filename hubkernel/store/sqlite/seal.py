"""Sealing: the parts of a new collection become one file, in ``_id`` order, each ``_id`` once.

The first part's file becomes the collection's file where it stands; the rows of other parts are copied behind it as
whole records, which SQLite does not unpack. Most collections arrive sorted, or as some sorted runs: they stay as they
are. Only rows that are really out of order are written once more. What is different where the collection replaces
another one, see :mod:`hubkernel.store.sqlite.rebase`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from hubkernel.store.base import Duplicate, Fold, WriteReport
from hubkernel.store.encode import Tally
from hubkernel.store.errors import DuplicateIdError
from hubkernel.store.sqlite import merging, rebase
from hubkernel.store.sqlite.connection import attach, connect_immutable
from hubkernel.store.sqlite.files import Folder
from hubkernel.store.sqlite.part import CACHE_KIB, attach_base, create, read_tallies, sync

Progress = Callable[[int, int], None]

_RUNS = 16
"""So many sorted runs are read in ``_id`` order nearly as fast as one: a page of each stays in the cache."""
_HOLES = 10
"""The file is written anew if one row in so many was a duplicate: the space of deleted rows would stay in it."""
_STEPS = 200_000
"""Steps of SQLite's machine between two calls of ``progress``: some ten milliseconds."""


class Sealing:
    """One run of :meth:`SQLiteWriter.seal`."""

    def __init__(self, folder: Folder, token: str, progress: Progress | None, *, compare: bool = False) -> None:
        """``compare``: the writer was opened with a base, whether there is one or not."""
        self._folder = folder
        self._compare = compare
        self._base = folder.base(token)
        self._token = token
        self._path = folder.file(token)
        self._fresh = self._path.with_suffix(".fresh")
        self._progress = progress
        self._stopped: BaseException | None = None
        self._done = self._total = 0

    def run(self, policy: Duplicate, fold: Fold | None) -> WriteReport:
        try:
            report = self._run(policy, fold)
        except sqlite3.OperationalError:
            if self._stopped is not None:
                raise self._stopped from None
            raise
        if not report.same:
            sync(self._path)
            self._folder.sync()
        return report

    def _run(self, policy: Duplicate, fold: Fold | None) -> WriteReport:
        parts = self._folder.parts(self._token)
        # Opening a part also rolls back what a killed worker had not flushed: its journal goes by the part's name.
        tallies = [tally for path in parts for tally in self._tallies(path)]
        self._total = received = sum(tally.documents for tally in tallies)
        falls = _falls(tallies)
        if parts:
            parts[0].rename(self._path)
        with closing(self._open(self._path)) as conn:
            attach_base(conn, self._base)
            self._gather(conn, parts[1:])
            _index(conn)
            duplicates = self._settle(conn, policy, fold) if falls else 0
        untidy = falls >= _RUNS or duplicates * _HOLES > received
        if self._fresh.exists():
            self._fresh.replace(self._path)
            untidy = False
        with closing(self._open(self._path)) as conn:
            attach_base(conn, self._base)
            found = rebase.compare(conn) if self._compare else None
            way = rebase.choose(conn, found, untidy=untidy, exists=self._base.exists())
        self._make(way)
        size = self._size() if duplicates else sum(tally.bytes for tally in tallies)
        self._report(received)
        counts = found.counts() if found else {}
        same = way is rebase.Way.NOTHING
        return WriteReport(received, received - duplicates, duplicates, size, **counts, same=same, token=self._token)

    def _open(self, path: Path) -> sqlite3.Connection:
        conn = create(path, self._folder.max_pages)
        # A sealing that does not end is thrown away as a whole.
        conn.execute("PRAGMA journal_mode=OFF")
        if self._progress is not None:
            conn.set_progress_handler(self._interrupts, _STEPS)
        return conn

    def _interrupts(self) -> bool:
        """Called by SQLite now and then; true ends the running statement."""
        try:
            self._report(self._done)
        except BaseException as error:
            self._stopped = error
            return True
        return False

    def _report(self, done: int) -> None:
        self._done = done
        if self._progress is not None:
            self._progress(done, self._total)

    def _tallies(self, path: Path) -> list[Tally]:
        with closing(self._open(path)) as part:
            return read_tallies(part)

    def _gather(self, conn: sqlite3.Connection, others: list[Path]) -> None:
        for path in others:
            attach(conn, path, "part")
            conn.execute("INSERT INTO main.documents SELECT * FROM part.documents")
            conn.execute("DETACH part")
            path.unlink()

    def _settle(self, conn: sqlite3.Connection, policy: Duplicate, fold: Fold | None) -> int:
        """Leave one row of each id; returns how many rows went."""
        conn.execute("BEGIN")
        conn.execute("CREATE TEMP TABLE twice(id TEXT PRIMARY KEY, extra INTEGER) WITHOUT ROWID")
        conn.execute("INSERT INTO twice SELECT id, count(*) - 1 FROM main.documents GROUP BY id HAVING count(*) > 1")
        (duplicates,) = conn.execute("SELECT coalesce(sum(extra), 0) FROM twice").fetchone()
        if duplicates and policy is Duplicate.ERROR:
            raise _duplicate_error(conn, duplicates)
        if duplicates and fold is not None and policy is Duplicate.MERGE:
            self._merge(conn, fold, anew=duplicates * _HOLES > self._total)
        elif duplicates:
            keep = "max" if policy is Duplicate.LAST else "min"
            conn.execute(
                "DELETE FROM main.documents WHERE seq IN (SELECT seq FROM twice JOIN documents USING (id)"
                f" WHERE seq <> (SELECT {keep}(seq) FROM main.documents WHERE id = twice.id))"
            )
        if conn.in_transaction:
            conn.execute("COMMIT")
        return int(duplicates)

    def _merge(self, conn: sqlite3.Connection, fold: Fold, *, anew: bool) -> None:
        if not anew:
            merging.merge_in_place(conn, fold)
            return
        conn.execute("COMMIT")
        self._open(self._fresh).close()
        attach(conn, self._fresh, "fresh")
        conn.execute(f"PRAGMA fresh.cache_size=-{CACHE_KIB}")
        conn.execute("PRAGMA fresh.synchronous=OFF")
        conn.execute("PRAGMA fresh.journal_mode=OFF")
        conn.execute("BEGIN")
        merging.merge_anew(conn, fold)
        conn.execute("CREATE INDEX fresh.by_id ON documents(id, hash)")

    def _make(self, way: rebase.Way) -> None:
        """From the rows that were written to the file of the collection."""
        if way is rebase.Way.NOTHING:
            self._path.unlink()
        elif way is not rebase.Way.AS_WRITTEN:
            self._renew(way)

    def _renew(self, way: rebase.Way) -> None:
        new = self._path.with_suffix(".new")
        if way is rebase.Way.CHANGE:
            rebase.copy(self._base, new, lambda: self._report(self._done))
        with closing(self._open(new)) as conn:
            attach(conn, self._path, "written")
            if way is rebase.Way.CHANGE:
                rebase.change(conn)
            else:
                attach_base(conn, self._base)
                rebase.fill(conn)
                _index(conn)
        new.replace(self._path)

    def _size(self) -> int:
        path = self._path if self._path.exists() else self._base
        with closing(connect_immutable(path)) as conn:
            (size,) = conn.execute("SELECT coalesce(sum(length(document)), 0) FROM main.documents").fetchone()
        return int(size)


def _index(conn: sqlite3.Connection) -> None:
    conn.execute("CREATE INDEX main.by_id ON documents(id, hash)")


def _falls(tallies: list[Tally]) -> int:
    """How often an id is not greater than the one before it, over all parts in order."""
    written = [tally for tally in tallies if tally.documents]
    between = sum(after.first <= before.last for before, after in pairwise(written))
    return between + sum(tally.falls for tally in written)


def _duplicate_error(conn: sqlite3.Connection, duplicates: int) -> DuplicateIdError:
    found = conn.execute("SELECT id FROM twice ORDER BY id LIMIT ?", (DuplicateIdError.EXAMPLES,))
    return DuplicateIdError.among((doc_id for (doc_id,) in found), duplicates)
