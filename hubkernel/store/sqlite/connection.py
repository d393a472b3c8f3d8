"""SQLite connections: how they are opened, shared and kept from crossing a fork, and what their errors mean."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import resource
import sqlite3
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from hubkernel.store.errors import StoreError, StoreFullError

BUSY_SECONDS = 60
"""How long a writer waits for another one's transaction."""
IMMUTABLE = "?mode=ro&immutable=1"
_IDLE = 8


@dataclass(frozen=True, slots=True)
class Location:
    """A ``sqlite://`` url, taken apart."""

    path: Path
    max_pages: int = 0
    """Limit of each file, in pages (0: none): ``?max_pages=100``, for tests of a full disk and for quotas."""

    @classmethod
    def parse(cls, url: str) -> Location:
        """Raises ``ValueError`` for anything but ``sqlite:///absolute/path[?max_pages=N]``. The path is literal.

        A fourth slash, as other libraries want it before an absolute path, changes nothing.
        """
        match = re.fullmatch(r"sqlite://(/.+?)(?:\?max_pages=(\d+))?", url, re.DOTALL)
        if match is None:
            raise ValueError(f"bad url {url!r}: use sqlite:///absolute/path")
        return cls(Path("/" + match[1].lstrip("/")), int(match[2] or 0))


def connect(path: Path, *, max_pages: int = 0, timeout: float = BUSY_SECONDS) -> sqlite3.Connection:
    """A connection in autocommit mode: transactions are explicit. May be used by any thread, one at a time."""
    conn = sqlite3.connect(_uri(path), uri=True, timeout=timeout, isolation_level=None, check_same_thread=False)
    if max_pages:
        conn.execute(f"PRAGMA max_page_count={max_pages}")
    return conn


def attach(conn: sqlite3.Connection, path: Path, name: str, *, immutable: bool = False) -> None:
    """Make a file part of the connection, as the schema ``name``."""
    conn.execute(f"ATTACH ? AS {name}", (_uri(path, IMMUTABLE if immutable else ""),))


def connect_immutable(path: Path) -> sqlite3.Connection:
    """A reader of a file that is never changed again: takes no locks, and goes on when the file is unlinked.

    Raises ``FileNotFoundError``.
    """
    try:
        return sqlite3.connect(_uri(path, IMMUTABLE), uri=True, isolation_level=None, check_same_thread=False)
    except sqlite3.OperationalError:
        path.stat()
        raise


def _uri(path: Path, options: str = "") -> str:
    return f"file:{quote(str(path))}{options}"


def connect_shared(path: Path, schema: str, *, max_pages: int = 0) -> sqlite3.Connection:
    """A connection to a small file that several processes read and write; each commit reaches the disk.

    The first one to come creates the file and its ``schema`` (one script, idempotent).
    """
    conn = connect(path)
    try:
        if conn.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            _set_up(conn, path, schema)
        conn.execute("PRAGMA synchronous=FULL")
        if max_pages:
            conn.execute(f"PRAGMA max_page_count={max_pages}")
    except BaseException:
        conn.close()
        raise
    return conn


def _set_up(conn: sqlite3.Connection, path: Path, schema: str) -> None:
    # Turning WAL on does not wait for others as a transaction does: it fails as "locked". One process at a time.
    fd = os.open(f"{path}.setup", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        # The schema goes first: whoever then sees WAL sees a finished file.
        conn.executescript(f"BEGIN IMMEDIATE; {schema} COMMIT;")
        conn.execute("PRAGMA journal_mode=WAL")
    finally:
        os.close(fd)


class Pool:
    """Idle connections of this process, by file: an operation takes one and gives it back.

    *Threading*: any thread may take one; while taken it is that thread's alone (a half-read iterator may move to
    another thread with it). *Forking*: a child starts with an empty pool and opens its own.
    """

    def __init__(self, open_file: Callable[[Path], sqlite3.Connection]) -> None:
        self._open = open_file
        self._lock = threading.Lock()
        self._idle: list[tuple[Path, sqlite3.Connection]] = []
        self._inherited: list[object] = []
        self._closed = False
        _pools.add(self)

    @contextmanager
    def use(self, path: Path) -> Iterator[sqlite3.Connection]:
        """A connection to ``path``; errors of SQLite leave as store errors."""
        with translated(path):
            conn = self._take(path)
            try:
                yield conn
            except sqlite3.Error:
                conn.close()
                raise
            except BaseException:
                self._give_back(path, conn)
                raise
            self._give_back(path, conn)

    def forget(self, path: Path) -> None:
        """Close the idle connections to a file that is going away."""
        self._close_where(lambda idle: idle == path)

    def close(self) -> None:
        self._closed = True
        self._close_where(lambda _: True)

    def _take(self, path: Path) -> sqlite3.Connection:
        with self._lock:
            for place in range(len(self._idle) - 1, -1, -1):
                if self._idle[place][0] == path:
                    return self._idle.pop(place)[1]
        # A new file may have taken the place of one that is gone: let go of its space.
        self._close_where(lambda idle: not idle.exists())
        return self._open(path)

    def _give_back(self, path: Path, conn: sqlite3.Connection) -> None:
        surplus = [conn]
        with self._lock:
            if not self._closed and not conn.in_transaction and path.exists():
                self._idle.append((path, conn))
                surplus = [self._idle.pop(0)[1]] if len(self._idle) > _IDLE else []
        for one in surplus:
            one.close()

    def _close_where(self, test: Callable[[Path], bool]) -> None:
        with self._lock:
            gone = [conn for path, conn in self._idle if test(path)]
            self._idle = [(path, conn) for path, conn in self._idle if not test(path)]
        for conn in gone:
            conn.close()

    def after_fork(self) -> None:
        """Begin anew in a child; the parent's threads may have held the lock."""
        # Closing what the parent opened would be a use of it: SQLite forbids that on this side of a fork.
        self._inherited += self._idle
        self._idle = []
        self._lock = threading.Lock()


_pools: weakref.WeakSet[Pool] = weakref.WeakSet()


def _after_fork() -> None:
    for pool in list(_pools):
        pool.after_fork()


os.register_at_fork(after_in_child=_after_fork)


@contextmanager
def transaction(conn: sqlite3.Connection) -> Iterator[None]:
    """One write transaction, taken at once so that what is read in it is still true when it is written."""
    conn.execute("BEGIN IMMEDIATE")
    try:
        yield
        conn.execute("COMMIT")
    except BaseException:
        if conn.in_transaction:
            conn.execute("ROLLBACK")
        raise


@contextmanager
def translated(path: Path) -> Iterator[None]:
    """Errors of SQLite and of the disk as errors of the store."""
    try:
        yield
    except sqlite3.Error as error:
        raise _store_error(error, path) from error
    except OSError as error:
        if isinstance(error, StoreError) or error.errno not in _NO_SPACE:
            raise
        raise StoreFullError(_full(path)) from error


_NO_SPACE = {errno.ENOSPC, errno.EFBIG, errno.EDQUOT}


def _store_error(error: sqlite3.Error, path: Path) -> StoreError:
    code = getattr(error, "sqlite_errorcode", None)
    if code == sqlite3.SQLITE_FULL or (code == sqlite3.SQLITE_IOERR_WRITE and _at_a_limit(path)):
        return StoreFullError(_full(path))
    if code is not None and code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return StoreError(f"{path} is being written by another process ({error})")
    if code is not None and code & 0xFF in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
        return StoreError(f"{path} is damaged ({error}): restore it from a copy or delete it and load it again")
    return StoreError(f"{path}: {error}")


def _at_a_limit(path: Path) -> bool:
    """SQLite tells a full disk (ENOSPC) from a failing one, but not a limit on the size of a file or of a user."""
    if resource.getrlimit(resource.RLIMIT_FSIZE)[0] != resource.RLIM_INFINITY:
        return True
    space = os.statvfs(path.parent)
    return space.f_bavail * space.f_frsize < 1 << 20


def _full(path: Path) -> str:
    return f"no space left for {path} (disk full, or at its limit): free some and try again; nothing committed is lost"
