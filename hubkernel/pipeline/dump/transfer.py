"""What all protocols share of a download.

It goes to ``<name>.part`` first, is resumed after a break or a kill, is checked against the announced size and hash,
and gets its own name only when it is complete and on disk. Where a protocol is awaited (HTTP) the pieces are used
directly; one that blocks (FTP, S3) describes itself as an :class:`Origin` and calls :func:`transfer`.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import shutil
import threading
from abc import ABC, abstractmethod
from collections.abc import Callable, Coroutine, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar
from urllib.parse import urlsplit, urlunsplit

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.errors import DiskFullError, FetchError
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile

T = TypeVar("T")

CHUNK = 1 << 20
LOOK_UP = 0.2
"""Seconds between two looks whether the job was cancelled."""
PART = ".part"
NOTE = ".part.json"
"""Beside a ``.part``: what its server said of the file when the download began."""


@dataclass(frozen=True)
class Policy:
    """How patient a download is. Times in seconds."""

    attempts: int = 5
    """Tries in a row that bring nothing new before a download fails."""
    backoff: float = 0.5
    """Wait before the second try; doubled for each one after it, up to a minute."""
    timeout: float = 60.0
    """Longest silence of a server."""
    connect_timeout: float = 15.0
    logins: Mapping[str, str] = field(default_factory=dict)
    """Host -> reference to its login (:mod:`hubkernel.pipeline.credentials`)."""
    docker_config: Mapping[str, Mapping[str, str | None]] = field(default_factory=dict)
    """Connection -> where that docker engine is."""
    docker_host: str | None = None
    """Connection for all docker urls."""


class Retry(Exception):  # noqa: N818 - a signal, handled by Patience
    """Worth another try; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


class Damaged(Retry):
    """What came is not what was announced: the next try begins anew."""


class Patience:
    """Counts the tries of one thing; one that brought a MiB more (``gained``, in bytes) does not count."""

    def __init__(self, url: str, policy: Policy, gained: Callable[[], int] = lambda: 0) -> None:
        self._url, self._policy, self._gained = url, policy, gained
        self._failures, self._best = 0, gained()

    def after(self, error: Exception) -> float:
        """Seconds to wait before the next try. Raises :class:`FetchError` when there were enough."""
        gained = self._gained()
        self._failures = 0 if gained >= self._best + CHUNK else self._failures + 1
        self._best = max(self._best, gained)
        if self._failures >= self._policy.attempts:
            said = str(error) if isinstance(error, Retry) else f"{shown(self._url)}: {error or type(error).__name__}"
            raise FetchError(f"{said} (tried {self._policy.attempts} times)") from None
        wait = error.wait if isinstance(error, Retry) else None
        return min(60.0, self._policy.backoff * 2 ** max(self._failures - 1, 0) if wait is None else wait)


def patiently(worker: Worker, action: Callable[[], T], patience: Patience) -> T:
    """Call it until it does not raise :class:`Retry`. Raises :class:`FetchError` when patience is at its end."""
    while True:
        worker.check()
        try:
            return action()
        except Retry as error:
            pause(worker, patience.after(error))


def pause(worker: Worker, seconds: float) -> None:
    """Wait; a cancelled job ends it at once."""
    bell = threading.Event()
    while seconds > 0:
        worker.check()
        bell.wait(min(seconds, LOOK_UP))
        seconds -= LOOK_UP


def stoppable(worker: Worker, action: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in this thread; a cancelled job ends it at once, however silent the server is."""

    async def run() -> T:
        task = asyncio.ensure_future(action)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=LOOK_UP)
                worker.check()
        finally:
            task.cancel()
            await asyncio.wait([task])
        return task.result()

    return asyncio.run(run())


# --- the file in the making -------------------------------------------------------------------------------------------


class PartWriter:
    """Takes the bytes of one file, hashes them and reports progress."""

    def __init__(self, worker: Worker, file: IO[bytes], total: int | None, name: str, hashes: Iterable[str]) -> None:
        self._worker, self._file, self._total, self._name = worker, file, total, name
        self.hashes = {kind: hashlib.new(kind, usedforsecurity=False) for kind in hashes}

    def begin(self, start: int) -> None:
        """Hash the first ``start`` bytes that are already there; what comes after them is cut off."""
        self._file.seek(0)
        left = start
        while left > 0 and (chunk := self._file.read(min(CHUNK, left))):
            self._hash(chunk)
            left -= len(chunk)
        self._file.truncate(start)
        self._file.seek(start)

    def write(self, chunk: bytes) -> None:
        """Raises :class:`CancelledWork` if the job was cancelled."""
        self._hash(chunk)
        self._file.write(chunk)
        self._worker.progress(self._file.tell(), self._total, self._name)

    def sha256(self) -> str:
        return self.hashes["sha256"].hexdigest()

    def _hash(self, chunk: bytes) -> None:
        for each in self.hashes.values():
            each.update(chunk)


@contextmanager
def part_writer(
    worker: Worker, part: Path, start: int, total: int | None, name: str, *, hashes: Iterable[str] = ("sha256",)
) -> Iterator[PartWriter]:
    """Go on in ``part`` after its first ``start`` bytes. What was written is on disk afterwards."""
    with part.open("r+b" if start else "w+b") as file:
        writer = PartWriter(worker, file, total, name, hashes)
        writer.begin(start)
        yield writer
        sync(file)


def settle(part: Path, target: Path) -> None:
    """Give a complete file its name, durably."""
    part.replace(target)
    sync_folder(target.parent)


def sync(file: IO[bytes]) -> None:
    """Put what was written on disk."""
    file.flush()
    os.fsync(file.fileno())


def size_of(file: Path) -> int:
    """Bytes; 0 if it is not there."""
    return file.stat().st_size if file.exists() else 0


# --- protocols that block ---------------------------------------------------------------------------------------------


class Origin(ABC):
    """One file on a server. All methods may raise :class:`Retry`, after which they are called anew, and
    :class:`FetchError`, which ends the download.
    """

    url: str
    """For messages."""

    @abstractmethod
    def look(self) -> RemoteFile:
        """Called before and after each try: what the server says of the file now."""

    @abstractmethod
    def read(self, remote: RemoteFile, start: int) -> AbstractContextManager[tuple[int, Iterable[bytes]]]:
        """Called once per try: where the bytes begin (``start``, or 0 if the server cannot go on there), and them."""

    def checksum(self, remote: RemoteFile) -> tuple[str, str] | None:
        """``(name, hex digest)`` that the content must have, if the server says one."""
        return None


def transfer(worker: Worker, origin: Origin, target: Path, policy: Policy) -> ReleaseFile:
    """Download to ``target``, by as many tries as it takes. Raises :class:`FetchError`.

    Goes on in a ``.part`` that an earlier try, or an earlier process, left for this very file (same size, ETag, date);
    a file that changes meanwhile is begun anew. For a ``.part`` without a note the caller vouches.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part, note = target.with_name(target.name + PART), target.with_name(target.name + NOTE)
    patience = Patience(origin.url, policy, lambda: size_of(part))
    with full_disk_explained(part):
        remote, digest = patiently(worker, lambda: _once(worker, origin, part, note), patience)
        settle(part, target)
    note.unlink()
    return ReleaseFile(**{**remote.model_dump(), "size": target.stat().st_size}, sha256=digest)


def _once(worker: Worker, origin: Origin, part: Path, note: Path) -> tuple[RemoteFile, str]:
    try:
        return _one_try(worker, origin, part, note)
    except Damaged:
        part.unlink(missing_ok=True)
        raise


def _one_try(worker: Worker, origin: Origin, part: Path, note: Path) -> tuple[RemoteFile, str]:
    remote = origin.look()
    start = size_of(part) if remote.validator() and (not note.exists() or describes(note, remote)) else 0
    if remote.size is not None and start > remote.size:
        start = 0
    note.write_text(remote.model_dump_json(), "utf-8")
    writer = _receive(worker, origin, remote, part, start)
    _check_size(remote, part)
    _check_hash(origin, remote, writer)
    if _differ(remote, origin.look()):
        raise Damaged(f"{shown(remote.url)}: changed while it was downloaded")
    return remote, writer.sha256()


def _receive(worker: Worker, origin: Origin, remote: RemoteFile, part: Path, start: int) -> PartWriter:
    expected = origin.checksum(remote)
    kinds = {"sha256", *([expected[0]] if expected else [])}
    if start and start == remote.size:  # complete, but not yet checked
        with part_writer(worker, part, start, remote.size, remote.name, hashes=kinds) as writer:
            return writer
    with origin.read(remote, start) as (begin, chunks):
        with part_writer(worker, part, begin, remote.size, remote.name, hashes=kinds) as writer:
            for chunk in chunks:
                writer.write(chunk)
        return writer


def _check_size(remote: RemoteFile, part: Path) -> None:
    received = size_of(part)
    if remote.size is None or received == remote.size:
        return
    if received > remote.size:
        raise Damaged(f"{shown(remote.url)}: {received:,} bytes came, {remote.size:,} were announced")
    raise Retry(f"{shown(remote.url)}: truncated download, {received:,} of {remote.size:,} bytes")


def _check_hash(origin: Origin, remote: RemoteFile, writer: PartWriter) -> None:
    kind, expected = origin.checksum(remote) or ("sha256", writer.sha256())
    found = writer.hashes[kind].hexdigest()
    if found != expected.lower():
        raise Damaged(f"{shown(remote.url)}: {kind} is {found}, the server says {expected}")


def _differ(before: RemoteFile, after: RemoteFile) -> bool:
    return (before.size, before.etag, before.modified) != (after.size, after.etag, after.modified)


def describes(note: Path, remote: RemoteFile) -> bool:
    """Whether the note is of this very file, so that what is beside it is its beginning."""
    try:
        return remote.unchanged_since(RemoteFile.model_validate_json(note.read_bytes()))
    except (OSError, ValueError):
        return False


# --- for messages, and for the disk -----------------------------------------------------------------------------------


def shown(url: str) -> str:
    """An url without user and password, for messages and state."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


@contextmanager
def full_disk_explained(file: Path) -> Iterator[None]:
    """Turns the system's error into :class:`DiskFullError`, which names the file and the room there is."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        free = shutil.disk_usage(file.parent).free
        reason = "a file may not grow that big here" if error.errno == errno.EFBIG else f"{free:,} bytes are free"
        raise DiskFullError(f"disk full while writing {file}: {reason}; make room and dump again") from None


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
