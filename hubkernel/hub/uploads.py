"""Files that are sent to the hub: received beside their place, put there in one step, resumed where they broke off."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

from hubkernel.hub.files import inside, plain_name


class UploadError(Exception):
    """A file cannot be received."""


class TooLargeError(UploadError):
    """The file is larger than the hub takes (setting ``upload_limit``)."""


class OffsetError(UploadError):
    """The part does not begin where the last one ended; ``offset`` is where that is."""

    def __init__(self, offset: int, given: int) -> None:
        self.offset = offset
        super().__init__(
            f"{offset} bytes are here already; the part begins at {given}: send what follows byte {offset}"
        )


class UploadBusyError(UploadError):
    """Somebody else sends the same file just now."""


class Uploads:
    """The folder of what was uploaded: ``<root>/<source>/<file>``; files of at most ``limit`` bytes."""

    def __init__(self, root: Path, limit: int) -> None:
        self.root, self.limit = root, limit

    def place(self, source: str, filename: str) -> Path:
        """Where a file of that name goes. Raises :class:`~hubkernel.hub.files.OutsideError` for odd names."""
        return inside(self.root, plain_name(source)) / plain_name(filename)

    def offset(self, source: str, filename: str) -> int | None:
        """How many bytes of an unfinished upload are here; None if there is none."""
        try:
            return _part_of(self.place(source, filename)).stat().st_size
        except FileNotFoundError:
            return None

    def begin(self, source: str, filename: str, *, length: int | None = None, offset: int | None = None) -> Upload:
        """Receive a file from its begin, or (``offset``) go on with it. ``length`` is the size of the whole file, if it
        is known. Raises :class:`UploadError`.
        """
        if length is not None and length > self.limit:
            raise TooLargeError(self._too_large(length))
        target = self.place(source, filename)
        target.parent.mkdir(parents=True, exist_ok=True)
        return Upload(target, self, length, offset)

    def check(self, size: int) -> None:
        if size > self.limit:
            raise TooLargeError(self._too_large(size))

    def _too_large(self, size: int) -> str:
        return f"{size} bytes are more than the {self.limit} that the hub takes (upload_limit)"


class Upload:
    """One file that is being received. Holds a lock on its unfinished part until :meth:`finish` or :meth:`leave`.

    Threading: one thread at a time.
    """

    def __init__(self, target: Path, uploads: Uploads, length: int | None, offset: int | None) -> None:
        self.target, self.length = target, length
        self._uploads = uploads
        self._part = _part_of(target)
        self._file = _locked(self._part)
        try:
            self.size = self._start(offset)
        except BaseException:
            self.leave()
            raise

    def _start(self, offset: int | None) -> int:
        if offset is None:
            os.ftruncate(self._file, 0)
        size = os.lseek(self._file, 0, os.SEEK_END)
        if offset is not None and size != offset:
            raise OffsetError(size, offset)
        return size

    def write(self, block: bytes) -> None:
        """Append to the part. Raises :class:`UploadError` if the file would get too large."""
        size = self.size + len(block)
        self._uploads.check(size)
        if self.length is not None and size > self.length:
            raise UploadError(f"there are more bytes than the {self.length} that were announced")
        rest = memoryview(block)
        while rest:
            rest = rest[os.write(self._file, rest) :]
        self.size = size

    @property
    def complete(self) -> bool:
        return self.length is None or self.size == self.length

    def finish(self) -> Path:
        """Put the whole file in its place, durably and in one step; a file that stood there is replaced."""
        if not self.complete:
            raise UploadError(f"the file has {self.size} bytes, not the {self.length} that were announced")
        os.fsync(self._file)
        self._part.replace(self.target)
        _sync_folder(self.target.parent)
        self.leave()
        return self.target

    def leave(self) -> None:
        """Keep what has been received, for somebody to go on. Safe to call twice."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def discard(self) -> None:
        """Remove what has been received."""
        if self._file >= 0:
            self._part.unlink(missing_ok=True)
        self.leave()


def _part_of(target: Path) -> Path:
    return target.with_name(f".{target.name}.part")


def _locked(part: Path) -> int:
    file = os.open(part, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        # Whoever held the lock before may have finished: then this file stands in its place by now.
        if part.stat().st_ino == os.fstat(file).st_ino:
            return file
    except (BlockingIOError, FileNotFoundError):
        pass
    except BaseException:
        os.close(file)
        raise
    os.close(file)
    raise UploadBusyError(f"{part.name[1:-5]} is being uploaded by somebody else; try again later")


def _sync_folder(folder: Path) -> None:
    file = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(file)
    finally:
        os.close(file)
