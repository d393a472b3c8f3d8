"""Files over scp and sftp, into the folder of uploads and nowhere else."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh import SFTPAttrs, SFTPError, SFTPNoSuchFile, SFTPOpUnsupported, SFTPPermissionDenied
from asyncssh.constants import FXF_APPEND, FXF_CREAT, FXF_EXCL, FXF_READ, FXF_TRUNC, FXF_WRITE

SFTP_VERSION = 3
"""Of the protocol; what OpenSSH speaks."""


@dataclass(frozen=True)
class UploadFolder:
    """Where files go, the size in bytes that one may have, and what is told of each that came or was changed."""

    root: Path
    limit: int | None = None
    received: Callable[[str, int], None] = lambda name, size: None
    """Called in a thread with a file's name within the folder and its size, once it is complete."""
    changed: Callable[[str], None] = lambda text: None
    """Called in a thread with what was done, such as ``remove('src/data')``."""


class File(io.FileIO):
    """An open file. An upload is written to ``temporary``, beside its ``target``, whose place it takes when it is
    complete; any other is the ``target`` itself.
    """

    def __init__(self, handle: int, mode: str, target: Path, temporary: Path | None = None) -> None:
        super().__init__(handle, mode)
        self.target, self.temporary = target, temporary
        self.appends = self.failed = self.written = False
        self.lock = asyncio.Lock()
        """Held by one operation at a time, so that a file is closed after all that came before."""


class UploadServer(asyncssh.SFTPServer):
    """What scp and sftp of one session see: the folder of uploads as if there were nothing else.

    Links are neither made nor followed out of it. Reads and writes run in threads, since the loop is the hub's.
    """

    def __init__(self, channel: Any, folder: UploadFolder) -> None:
        folder.root.mkdir(parents=True, exist_ok=True)
        super().__init__(channel, chroot=os.fsencode(folder.root))
        self._folder = folder
        self._root = os.path.realpath(os.fsencode(folder.root))
        self.interrupted = False
        """The client is gone: what it had not closed is not complete."""

    def map_path(self, path: bytes) -> bytes:
        """The file meant by a client. Raises ``SFTPError`` if it is outside of the folder."""
        if b"\0" in path:
            raise SFTPNoSuchFile("a name cannot have a zero byte")
        local = super().map_path(path)
        if not _inside(os.path.realpath(local), self._root):
            raise SFTPPermissionDenied("outside of the folder of uploads")
        return local

    def open(self, path: bytes, pflags: int, attrs: SFTPAttrs) -> File:
        """Called by asyncssh. A file that is written anew is an upload; others are opened as they are."""
        local = Path(os.fsdecode(self.map_path(path)))
        mode = 0o777 & (attrs.permissions if attrs.permissions is not None else 0o666)
        if not pflags & FXF_WRITE:
            return File(os.open(local, os.O_RDONLY | os.O_NONBLOCK), "rb", local)
        if not pflags & (FXF_READ | FXF_APPEND) and (pflags & FXF_TRUNC or _creates(local, pflags)):
            return _upload(local, pflags, mode)
        flags = os.O_RDWR if pflags & FXF_READ else os.O_WRONLY
        flags |= (os.O_APPEND if pflags & FXF_APPEND else 0) | (os.O_TRUNC if pflags & FXF_TRUNC else 0)
        flags |= (os.O_CREAT if pflags & FXF_CREAT else 0) | (os.O_EXCL if pflags & FXF_EXCL else 0)
        file = File(os.open(local, flags, mode), "r+b" if pflags & FXF_READ else "wb", local)
        file.appends = bool(pflags & FXF_APPEND)
        return file

    async def read(self, file_obj: object, offset: int, size: int) -> bytes:
        """Called by asyncssh."""
        file = _file(file_obj)
        async with file.lock:
            return await asyncio.to_thread(os.pread, file.fileno(), size, offset)

    async def write(self, file_obj: object, offset: int, data: bytes) -> int:
        """Called by asyncssh. An upload of which a piece could not be written never takes its place."""
        file = _file(file_obj)
        async with file.lock:
            try:
                begin = os.fstat(file.fileno()).st_size if file.appends else offset
                self._check_size(begin + len(data))
                file.written = True
                return await asyncio.to_thread(_write_all, file.fileno(), data, offset)
            except OSError:
                file.failed = True
                raise

    async def close(self, file_obj: object) -> None:
        """Called by asyncssh for each file: when the client closes it, or when the client is gone."""
        file = _file(file_obj)
        async with file.lock:
            await asyncio.to_thread(self._finish, file)

    def _finish(self, file: File) -> None:
        complete = not (file.failed or self.interrupted)
        size = 0 if file.closed else os.fstat(file.fileno()).st_size
        _finish(file, complete=complete)
        if complete and (file.written or file.temporary is not None):
            self._folder.received(self._name(os.fsencode(file.target)), size)

    def _name(self, local: bytes) -> str:
        """Of a file, within the folder."""
        return os.path.relpath(os.fsdecode(local), os.fsdecode(self._root))

    async def remove(self, path: bytes) -> None:
        """Called by asyncssh."""
        super().remove(path)
        await self._changed("remove", path)

    async def rmdir(self, path: bytes) -> None:
        """Called by asyncssh."""
        super().rmdir(path)
        await self._changed("rmdir", path)

    async def rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Called by asyncssh."""
        super().rename(oldpath, newpath)
        await self._changed("rename", oldpath, newpath)

    async def posix_rename(self, oldpath: bytes, newpath: bytes) -> None:
        """Called by asyncssh."""
        super().posix_rename(oldpath, newpath)
        await self._changed("rename", oldpath, newpath)

    async def _changed(self, what: str, *paths: bytes) -> None:
        names = ", ".join(repr(self._name(self.map_path(path))) for path in paths)
        await asyncio.to_thread(self._folder.changed, f"{what}({names})")

    def exit(self) -> None:
        """Called by asyncssh at the end. OpenSSH's scp has failed if there is no exit status."""
        if not self.channel.is_closing():
            self.channel.exit(0)

    def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Called by asyncssh: times and permissions, not owners."""
        super().setstat(path, self._harmless(attrs))

    def lsetstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Called by asyncssh, see :meth:`setstat`."""
        super().lsetstat(path, self._harmless(attrs))

    def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        """Called by asyncssh, see :meth:`setstat`."""
        super().fsetstat(file_obj, self._harmless(attrs))

    def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Called by asyncssh."""
        super().mkdir(path, self._harmless(attrs))

    def _harmless(self, attrs: SFTPAttrs) -> SFTPAttrs:
        """Without owners, and without the bits that let a program run as someone else."""
        attrs.uid = attrs.gid = attrs.owner = attrs.group = None
        if attrs.permissions is not None:
            attrs.permissions &= 0o777
        self._check_size(attrs.size or 0)
        return attrs

    def _check_size(self, size: int) -> None:
        limit = self._folder.limit
        if limit is not None and size > limit:
            raise OSError(errno.EFBIG, f"the hub takes no file of more than {limit} bytes (upload_limit)")

    def symlink(self, oldpath: bytes, newpath: bytes) -> None:
        """Refused: a link could lead out of the folder."""
        raise SFTPPermissionDenied("links cannot be made here")

    def link(self, oldpath: bytes, newpath: bytes) -> None:
        """Refused, see :meth:`symlink`."""
        raise SFTPPermissionDenied("links cannot be made here")

    def open56(self, path: bytes, desired_access: int, flags: int, attrs: SFTPAttrs) -> File:
        """Never called: newer versions of the protocol are not offered."""
        raise SFTPOpUnsupported("not in this version")


class UploadSession(asyncssh.SSHServerSession[bytes]):
    """One scp or sftp of a client. What it does with the protocol is asyncssh's."""

    def __init__(self, folder: UploadFolder) -> None:
        self._folder = folder
        self._servers: list[UploadServer] = []
        self._stream: Any = asyncssh.stream.SSHServerStreamSession(None, self._server, SFTP_VERSION, True)

    def _server(self, channel: Any) -> UploadServer:
        self._servers.append(UploadServer(channel, self._folder))
        return self._servers[-1]

    def _interrupt(self) -> None:
        for server in self._servers:
            server.interrupted = True

    def eof_received(self) -> bool:
        """Called by asyncssh when the client sends nothing more."""
        self._interrupt()
        return bool(self._stream.eof_received())

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh when the channel is gone."""
        self._interrupt()
        self._stream.connection_lost(exc)

    def connection_made(self, chan: Any) -> None:
        self._stream.connection_made(chan)

    def session_started(self) -> None:
        self._stream.session_started()

    def data_received(self, data: bytes, datatype: Any) -> None:
        self._stream.data_received(data, datatype)

    def pause_writing(self) -> None:
        self._stream.pause_writing()

    def resume_writing(self) -> None:
        self._stream.resume_writing()


def _inside(path: bytes, root: bytes) -> bool:
    return path == root or path.startswith(root + b"/")


def _creates(local: Path, pflags: int) -> bool:
    return bool(pflags & FXF_CREAT) and not os.path.lexists(local)


def _upload(local: Path, pflags: int, mode: int) -> File:
    exists = os.path.lexists(local)
    if local.is_dir():
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    if exists and pflags & FXF_EXCL:
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST))
    if not exists and not pflags & FXF_CREAT:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))
    temporary = local.with_name(f".{local.name[:100]}.{secrets.token_hex(4)}.part")
    handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    return File(handle, "wb", local, temporary)


def _file(file_obj: object) -> File:
    if not isinstance(file_obj, File):
        raise SFTPError(4, "this is no open file")
    return file_obj


def _write_all(handle: int, data: bytes, offset: int) -> int:
    done = 0
    while done < len(data):
        done += os.pwrite(handle, data[done:], offset + done)
    return done


def _finish(file: File, *, complete: bool) -> None:
    if file.closed:
        return
    if file.temporary is None:
        file.close()
        return
    try:
        if complete:
            os.fsync(file.fileno())
        file.close()
        if complete:
            file.temporary.replace(file.target)
    finally:
        file.temporary.unlink(missing_ok=True)
