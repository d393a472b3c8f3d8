"""Compressed files: read, written, and unpacked where they are."""

from __future__ import annotations

import bz2
import fnmatch
import gzip
import io
import lzma
import tarfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

from hubkernel.pipeline.dump.errors import UnpackError

Opener = Callable[[Path], IO[bytes]]

_CHUNK = 1 << 20


def _open_zst(path: Path) -> IO[bytes]:
    from hubkernel.pipeline.dump.unpack import _open_zst as open_zst

    return open_zst(path)


_COMPRESSIONS: dict[str, Callable[..., Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".lzma": lzma.open,
    ".zst": _open_zst,
}
_TARS = (".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tbz2", ".tar.xz", ".txz", ".tar.zst", ".tzst")


def anyfile(infile: Any, mode: str = "r") -> Any:
    """Open a file for reading, compressed (``.gz .bz2 .xz .zst``) or not: as text (UTF-8), or as bytes if ``mode`` has
    a ``b``.

    ``infile`` is a path, or ``(archive, member)`` of a zip or a (compressed) tar. Of a zip alone it is its only member,
    or that with the zip's own name without ``.zip``. Raises ``FileNotFoundError`` or ``KeyError`` naming what there is.
    """
    archive, member = infile if isinstance(infile, tuple) else (infile, None)
    path = Path(archive)
    name = path.name.lower()
    if name.endswith(".zip"):
        return _as_mode(_zip_member(path, member), mode)
    if member is not None or name.endswith(_TARS):
        return _as_mode(_tar_member(path, member), mode)
    opener = _COMPRESSIONS.get(PurePosixPath(name).suffix)
    if opener is not None:
        return _as_mode(opener(path, "rb") if opener is not _open_zst else opener(path), mode)
    return path.open(mode, encoding=None if "b" in mode else "utf-8")


@contextmanager
def open_anyfile(infile: Any, mode: str = "r") -> Iterator[Any]:
    """:func:`anyfile` for a ``with``; what is open already is passed on, and left open."""
    if is_filehandle(infile):
        yield infile
        return
    opened = anyfile(infile, mode)
    try:
        yield opened
    finally:
        opened.close()


def is_filehandle(fh: Any) -> bool:
    """Whether it can be read or written."""
    return hasattr(fh, "read") or hasattr(fh, "write")


def _as_mode(stream: IO[bytes], mode: str) -> Any:
    return stream if "b" in mode else io.TextIOWrapper(stream, encoding="utf-8")


class _Member(io.RawIOBase):
    """A member of an archive that closes the archive with it."""

    def __init__(self, stream: IO[bytes], archive: Any) -> None:
        self._stream, self._archive = stream, archive

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        data = self._stream.read(len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def close(self) -> None:
        if not self.closed:
            self._stream.close()
            for archive in self._archive:
                archive.close()
        super().close()


def _member(stream: IO[bytes], *archives: Any) -> IO[bytes]:
    return io.BufferedReader(_Member(stream, archives), _CHUNK)


def _zip_member(path: Path, member: str | None) -> IO[bytes]:
    archive = zipfile.ZipFile(path)
    try:
        names = [info.filename for info in archive.infolist() if not info.is_dir()]
        return _member(archive.open(_chosen(path, names, member)), archive)
    except BaseException:
        archive.close()
        raise


def _tar_member(path: Path, member: str | None) -> IO[bytes]:
    wanted = member
    if wanted is None:
        archive, under = _open_tar(path)
        with archive:
            wanted = _chosen(path, [info.name for info in archive if info.isfile()], None)
        under.close()
    archive, under = _open_tar(path)
    seen = []
    for info in archive:
        stream = archive.extractfile(info) if info.isfile() and info.name == wanted else None
        if stream is not None:
            return _member(stream, archive, under)
        seen.append(info.name)
    archive.close()
    under.close()
    raise _no_member(path, wanted, seen)


def _open_tar(path: Path) -> tuple[tarfile.TarFile, IO[bytes]]:
    """Of a compression that Python's tarfile does not know, as a stream."""
    if path.name.lower().endswith("zst"):
        under = _open_zst(path)
        return tarfile.open(fileobj=under, mode="r|"), under
    raw = path.open("rb")
    return tarfile.open(fileobj=raw), raw


def _chosen(path: Path, names: list[str], member: str | None) -> str:
    default = path.name.partition(".zip")[0] if path.name.lower().endswith(".zip") else path.name.partition(".tar")[0]
    wanted = member if member is not None else names[0] if len(names) == 1 else default
    if wanted not in names:
        raise _no_member(path, wanted, names)
    return wanted


def _no_member(path: Path, wanted: str, names: list[str]) -> KeyError:
    shown = ", ".join(names[:10]) or "nothing"
    return KeyError(f"{path} has no member {wanted!r}: it has {shown}; open ({path.name!r}, member)")


def open_compressed_file(filename: str) -> Any:
    """Bytes of a file compressed with gzip, bzip2, xz or not at all, as its first bytes say."""
    with Path(filename).open("rb") as file:
        head = file.read(6)
    kinds: dict[bytes, Callable[..., Any]] = {b"\x1f\x8b": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ": lzma.open}
    opener = next((opener for magic, opener in kinds.items() if head.startswith(magic)), None)
    return opener(filename, "rb") if opener else Path(filename).open("rb")


def get_compressed_outfile(filename: str, compress: str = "gzip") -> Any:
    """Write bytes, compressed with ``gzip``, ``bz2`` or ``lzma``; as they are without one of these."""
    openers: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bz2": bz2.open, "lzma": lzma.open}
    return openers[compress](filename, "wb") if compress in openers else Path(filename).open("wb")


def unzipall(folder: str, pattern: str = "*.zip") -> None:
    """Unpack the zips of a folder into it. The archives stay; what is there is replaced."""
    _unpack_all(folder, pattern)


def untargzall(folder: str, pattern: str = "*.tar.gz") -> None:
    """As :func:`unzipall`, for ``.tar.gz``."""
    _unpack_all(folder, pattern)


def untarall(folder: str, pattern: str = "*.tar") -> None:
    """As :func:`unzipall`, for ``.tar``."""
    _unpack_all(folder, pattern)


def unxzall(folder: str, pattern: str = "*.xz") -> None:
    """As :func:`unzipall`, for ``.xz`` and ``.tar.xz``."""
    _unpack_all(folder, pattern)


def gunzipall(folder: str, pattern: str = "*.gz") -> None:
    """As :func:`unzipall`, for ``.gz``. Of ``x.tar.gz`` it makes ``x.tar``."""
    for path in _matching(folder, pattern):
        gunzip(str(path))


def gunzip(f: str, pattern: str = "*.gz") -> None:
    """Decompress one file beside it; ``x.gz`` becomes ``x``. Nothing if its name does not match ``pattern``."""
    path = Path(f)
    if fnmatch.fnmatch(path.name, pattern):
        with gzip.open(path) as source:
            _write(source, path.with_suffix(""))


def uncompressall(folder: str) -> None:
    """Unpack all archives and compressed files of a folder: zip, tar, gz, bz2, xz, zst and tars of these."""
    for pattern in ("*.zip", "*.tar", "*.tgz", "*.tbz2", "*.txz", "*.tzst", "*.gz", "*.bz2", "*.xz", "*.zst"):
        _unpack_all(folder, pattern)


def _matching(folder: str, pattern: str) -> list[Path]:
    return sorted(path for path in Path(folder).glob(pattern) if path.is_file())


def _unpack_all(folder: str, pattern: str) -> None:
    for path in _matching(folder, pattern):
        for name, open_member in _members(path):
            with open_member() as source:
                _write(source, _inside(Path(folder), name, path))


def _members(path: Path) -> Iterator[tuple[str, Callable[[], Any]]]:
    from hubkernel.pipeline.dump.unpack import _members as members

    return members(_Quiet(), path)  # type: ignore[arg-type]


class _Quiet:
    """The worker of an unpacking that nobody follows."""

    def check(self) -> None: ...

    def log(self, message: str) -> None: ...


def _inside(folder: Path, name: str, archive: Path) -> Path:
    target = (folder / name).resolve()
    if not name or not target.is_relative_to(folder.resolve()) or target == folder.resolve():
        raise UnpackError(f"{archive.name} holds {name!r}, which would be written outside of {folder}")
    return target


def _write(source: Any, target: Path) -> None:
    """Nobody ever sees half a file under the name of a whole one."""
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(f".{target.name}.part")
    with part.open("wb") as writer:
        while chunk := source.read(_CHUNK):
            writer.write(chunk)
    part.replace(target)
