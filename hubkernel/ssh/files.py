"""Files over scp and sftp, into the folder of uploads and nowhere else."""

from __future__ import annotations

import asyncio
import errno
import io
import os
import secrets
from pathlib import Path
from typing import Any

import asyncssh
from asyncssh import SFTPAttrs, SFTPError, SFTPNoSuchFile, SFTPOpUnsupported, SFTPPermissionDenied
from asyncssh.constants import FXF_APPEND, FXF_CREAT, FXF_EXCL, FXF_READ, FXF_TRUNC, FXF_WRITE

SFTP_VERSION = 3
"""Of the protocol; what OpenSSH speaks."""


class File(io.FileIO):
    """An open file. An upload is written beside its ``target`` and takes its place when it is complete."""

    def __init__(self, handle: int, mode: str, target: Path | None = None, temporary: Path | None = None) -> None:
        super().__init__(handle, mode)
        self.target, self.temporary = target, temporary
        self.failed = False
        self.lock = asyncio.Lock()
        """Held by one operation at a time, so that a file is closed after all that came before."""


class UploadServer(asyncssh.SFTPServer):
    """What scp and sftp of one session see: the folder of uploads as if there were nothing else.

    Links are neither made nor followed out of it. Reads and writes run in threads, since the loop is the hub's.
    """

    def __init__(self, channel: Any, root: Path) -> None:
        root.mkdir(parents=True, exist_ok=True)
        super().__init__(channel, chroot=os.fsencode(root))
        self._root = os.path.realpath(os.fsencode(root))
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
            return File(os.open(local, os.O_RDONLY | os.O_NONBLOCK), "rb")
        if not pflags & (FXF_READ | FXF_APPEND) and (pflags & FXF_TRUNC or _creates(local, pflags)):
            return _upload(local, pflags, mode)
        flags = os.O_RDWR if pflags & FXF_READ else os.O_WRONLY
        flags |= (os.O_APPEND if pflags & FXF_APPEND else 0) | (os.O_TRUNC if pflags & FXF_TRUNC else 0)
        flags |= (os.O_CREAT if pflags & FXF_CREAT else 0) | (os.O_EXCL if pflags & FXF_EXCL else 0)
        return File(os.open(local, flags, mode), "r+b" if pflags & FXF_READ else "wb")

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
                return await asyncio.to_thread(_write_all, file.fileno(), data, offset)
            except OSError:
                file.failed = True
                raise

    async def close(self, file_obj: object) -> None:
        """Called by asyncssh for each file: when the client closes it, or when the client is gone."""
        file = _file(file_obj)
        async with file.lock:
            await asyncio.to_thread(_finish, file, complete=not (file.failed or self.interrupted))

    def exit(self) -> None:
        """Called by asyncssh at the end. OpenSSH's scp has failed if there is no exit status."""
        if not self.channel.is_closing():
            self.channel.exit(0)

    def setstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Called by asyncssh: times and permissions, not owners."""
        super().setstat(path, _harmless(attrs))

    def lsetstat(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Called by asyncssh, see :meth:`setstat`."""
        super().lsetstat(path, _harmless(attrs))

    def fsetstat(self, file_obj: object, attrs: SFTPAttrs) -> None:
        """Called by asyncssh, see :meth:`setstat`."""
        super().fsetstat(file_obj, _harmless(attrs))

    def mkdir(self, path: bytes, attrs: SFTPAttrs) -> None:
        """Called by asyncssh."""
        super().mkdir(path, _harmless(attrs))

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

    def __init__(self, root: Path) -> None:
        self._root = root
        self._servers: list[UploadServer] = []
        self._stream: Any = asyncssh.stream.SSHServerStreamSession(None, self._server, SFTP_VERSION, True)

    def _server(self, channel: Any) -> UploadServer:
        self._servers.append(UploadServer(channel, self._root))
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
    if file.target is None or file.temporary is None:
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


def _harmless(attrs: SFTPAttrs) -> SFTPAttrs:
    """Without owners, and without the bits that let a program run as someone else."""
    attrs.uid = attrs.gid = attrs.owner = attrs.group = None
    if attrs.permissions is not None:
        attrs.permissions &= 0o777
    return attrs
