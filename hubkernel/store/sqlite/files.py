"""The folder of a document store: its catalog, and the files of collections and of writers.

A writer's *token* names everything it makes: ``<token>.<number>.part`` (what a part has written), ``<token>.db`` (the
sealed collection), ``<token>.base`` (another name of the file of the collection that this one is to replace, so that it
stays for as long as it is needed) and ``<token>.lock`` (held by flock for as long as its creator lives). Indexes of a
collection's fields are ``<token>.<hash of the field>.index`` (:mod:`hubkernel.store.sqlite.index`). The catalog says
which ``.db`` files are collections. All that has a token, no lock and no name in the catalog is left over.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import sqlite3
import time
import uuid
import weakref
from collections.abc import Container, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from hubkernel.store.errors import CollectionExistsError, NoSuchCollectionError, StoreError
from hubkernel.store.sqlite.connection import Pool, connect_immutable, connect_shared, transaction, translated

_SCHEMA = """
CREATE TABLE IF NOT EXISTS collections(
    name TEXT PRIMARY KEY, token TEXT NOT NULL UNIQUE, documents INTEGER NOT NULL, created REAL NOT NULL)
    WITHOUT ROWID;
"""
INDEX = ".index"
_LASTING = (".db", INDEX)
TRIES = 10
"""So often what was replaced between a look into the catalog and the opening of its file is looked up again."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A collection in the catalog."""

    name: str
    token: str
    documents: int


class Folder:
    """Catalog and files of one store. Any thread, any process; what changes the catalog is one transaction on disk."""

    def __init__(self, path: Path, max_pages: int = 0) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.max_pages = max_pages
        self._catalog = path / "catalog.db"
        self.readers = Pool(connect_immutable)
        self._pool = Pool(lambda catalog: connect_shared(catalog, _SCHEMA))
        self.names()

    def file(self, token: str) -> Path:
        return self.path / f"{token}.db"

    def part(self, token: str, number: int) -> Path:
        return self.path / f"{token}.{number}.part"

    def parts(self, token: str) -> list[Path]:
        """The parts that were written, in the order of their numbers."""
        return sorted(self.path.glob(f"{token}.*.part"), key=part_number)

    def base(self, token: str) -> Path:
        return self.path / f"{token}.base"

    def hold(self, name: str, token: str) -> Entry | None:
        """Make the collection that is called ``name`` now the base of a writer; None if there is none."""
        for _ in range(TRIES):
            entry = self.find(name)
            # Between the look into the catalog and this line the file may have been swapped away.
            with contextlib.suppress(FileNotFoundError), translated(self.path):
                if entry is not None:
                    self.base(token).hardlink_to(self.file(entry.token))
                return entry
        return None

    def lock(self, token: str) -> Path:
        return self.path / f"{token}.lock"

    def close(self) -> None:
        self.readers.close()
        self._pool.close()

    def names(self) -> list[str]:
        with self._pool.use(self._catalog) as conn:
            return [name for (name,) in conn.execute("SELECT name FROM collections ORDER BY name")]

    def find(self, name: str) -> Entry | None:
        with self._pool.use(self._catalog) as conn:
            return _entry(conn, name)

    def entry(self, name: str) -> Entry:
        """Raises :class:`NoSuchCollectionError`, naming the nearest name there is."""
        if (found := self.find(name)) is None:
            raise self._no_such(name)
        return found

    def is_used(self, token: str) -> bool:
        """Whether a collection is what a writer of that token made."""
        with self._pool.use(self._catalog) as conn:
            return conn.execute("SELECT 1 FROM collections WHERE token=?", (token,)).fetchone() is not None

    def add(self, name: str, token: str, documents: int, archive: str | None) -> str | None:
        """Make a file the collection ``name``; returns the token of the file that this put out of use, if any.

        What had the name is renamed to ``archive`` in the same transaction, if that is given.
        """
        with self._change() as conn:
            old = _entry(conn, name)
            if old is not None and archive is not None:
                _must_be_free(conn, archive)
                conn.execute("UPDATE collections SET name=? WHERE name=?", (archive, name))
            else:
                conn.execute("DELETE FROM collections WHERE name=?", (name,))
            conn.execute("INSERT INTO collections VALUES(?,?,?,?)", (name, token, documents, time.time()))
        return old.token if old is not None and archive is None else None

    def rename(self, old: str, new: str, *, replace: bool, archive: str | None = None) -> str | None:
        """Returns the token of the file that this put out of use, if any."""
        with self._change() as conn:
            if _entry(conn, old) is None:
                raise self._no_such(old)
            if old == new:
                return None
            if archive is not None:
                _must_be_free(conn, archive)
                conn.execute("UPDATE collections SET name=? WHERE name=?", (archive, new))
            elif not replace:
                _must_be_free(conn, new)
            gone = _entry(conn, new)
            conn.execute("DELETE FROM collections WHERE name=?", (new,))
            conn.execute("UPDATE collections SET name=? WHERE name=?", (new, old))
        return gone.token if gone else None

    def remove(self, name: str) -> str | None:
        """Returns the token of the file that this put out of use, if any."""
        with self._change() as conn:
            gone = _entry(conn, name)
            conn.execute("DELETE FROM collections WHERE name=?", (name,))
        return gone.token if gone else None

    def erase(self, token: str, *, collection: bool = True) -> None:
        """Unlink all files of a token (its sealed file and indexes only if ``collection``). Readers go on reading."""
        if collection:
            self.readers.forget(self.file(token))
        for path in self.path.glob(f"{token}.*"):
            if collection or path.suffix not in _LASTING:
                path.unlink(missing_ok=True)

    def sweep(self, keep: Container[str] = ()) -> list[str]:
        """Erase what no living writer and no collection needs; returns the tokens."""
        swept = []
        tokens = {path.name.split(".")[0] for path in self.path.iterdir()} - {"catalog"}
        for token in sorted(token for token in tokens if token not in keep):
            with _claimed(self.lock(token)) as claimed:
                # Only with the lock in hand is the catalog's answer final: a writer commits before it lets go.
                if claimed and self._erase_leftovers(token):
                    swept.append(token)
        return swept

    def sync(self) -> None:
        """Make creations and renames in the folder durable."""
        fd = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def _erase_leftovers(self, token: str) -> bool:
        used = self.is_used(token)
        leftovers = [path for path in self.path.glob(f"{token}.*") if not (used and path.suffix in _LASTING)]
        self.erase(token, collection=not used)
        return any(path.suffix != ".lock" for path in leftovers)

    @contextmanager
    def _change(self) -> Iterator[sqlite3.Connection]:
        with self._pool.use(self._catalog) as conn, transaction(conn):
            yield conn

    def _no_such(self, name: str) -> NoSuchCollectionError:
        near = get_close_matches(name, self.names(), n=1)
        hint = f"; did you mean {near[0]!r}?" if near else ""
        return NoSuchCollectionError(f"there is no collection {name!r}{hint}")


def part_number(path: Path) -> int:
    return int(path.suffixes[-2][1:])


class Claim:
    """The lock of a living writer. Given up by :meth:`release`, and by the end of the process that made it.

    A forked child does not inherit it: otherwise the child would keep a dead writer alive.
    """

    _fd = -1

    def __init__(self, folder: Folder, token: str | None = None) -> None:
        """``token``: that of a writer that lives no more. Raises :class:`StoreError` if it does, or has ended."""
        with translated(folder.path):
            self.token, self._fd = _claim_new(folder) if token is None else (token, _claim_again(folder.lock(token)))
        _claims.add(self)

    def release(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.release()


_claims: weakref.WeakSet[Claim] = weakref.WeakSet()


def _claim_new(folder: Folder) -> tuple[str, int]:
    while True:
        token = uuid.uuid4().hex
        path = folder.lock(token)
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        fcntl.flock(fd, fcntl.LOCK_EX)
        # A sweep may have come between the two lines above, and unlinked what seemed to be left over.
        if path.exists():
            return token, fd
        os.close(fd)


def _claim_again(path: Path) -> int:
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        raise StoreError(f"the writer {path.stem!r} has ended: it was committed, aborted or swept") from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if path.exists():
            return fd
        fault = "has ended: it was swept"
    except BlockingIOError:
        fault = "is at work: another process has it"
    os.close(fd)
    raise StoreError(f"the writer {path.stem!r} {fault}")


@contextmanager
def _claimed(path: Path) -> Iterator[bool]:
    """Whether nobody holds the lock at ``path``; nobody can take it within the context."""
    try:
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        yield True
        return
    try:
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield True
            return
        yield False
    finally:
        os.close(fd)


def _forget_claims() -> None:
    for claim in list(_claims):
        claim.release()


os.register_at_fork(after_in_child=_forget_claims)


def _entry(conn: sqlite3.Connection, name: str) -> Entry | None:
    row = conn.execute("SELECT name, token, documents FROM collections WHERE name=?", (name,)).fetchone()
    return Entry(*row) if row else None


def _must_be_free(conn: sqlite3.Connection, name: str) -> None:
    if _entry(conn, name) is not None:
        raise CollectionExistsError(f"there is a collection {name!r} already: drop it or choose another name")
