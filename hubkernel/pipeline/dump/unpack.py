"""Unpack archives into a release: zip, tar, gz, bz2, xz, zst and tars of these. Nothing is written outside of it."""

from __future__ import annotations

import bz2
import gzip
import importlib
import lzma
import os
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath
from typing import IO, Any

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.errors import UnpackError

_CHUNK = 1 << 20


def _open_zst(path: Path) -> IO[bytes]:
    for module in ("compression.zstd", "zstandard"):  # the standard library's is there since Python 3.14
        try:
            return importlib.import_module(module).open(path, "rb")  # type: ignore[no-any-return]
        except ModuleNotFoundError:
            continue
    raise UnpackError(f"{path.name}: needs Python 3.14, or: pip install zstandard")


_COMPRESSIONS: dict[str, Callable[[Path], Any]] = {
    ".gz": gzip.open,
    ".bz2": bz2.open,
    ".xz": lzma.open,
    ".zst": _open_zst,
}
_TARS = {".tgz": ".gz", ".tbz2": ".bz2", ".txz": ".xz", ".tzst": ".zst"}
_DAMAGED = (zipfile.BadZipFile, tarfile.TarError, lzma.LZMAError, zlib.error, EOFError, gzip.BadGzipFile, RuntimeError)


def open_compressed(path: Path) -> IO[bytes]:
    """A file for reading, decompressed if its name says that it is compressed."""
    opener = _COMPRESSIONS.get(path.suffix.lower())
    return opener(path) if opener else path.open("rb")


def is_archive(name: str) -> bool:
    """Whether :func:`unpack` has something to do for a file of that name."""
    return PurePosixPath(name.lower()).suffix in {".zip", ".tar", *_COMPRESSIONS, *_TARS}


def unpack(worker: Worker, archive: Path, folder: Path) -> list[str]:
    """Unpack ``archive`` into ``folder``; returns the new files, relative to it.

    Raises :class:`UnpackError` if the archive is damaged, would leave the folder, or would overwrite a file.
    """
    made: list[str] = []
    try:
        for name, open_member in _members(worker, archive):
            target = _inside(folder, name, archive)
            with open_member() as reader:
                _write(worker, reader, target)
            made.append(target.relative_to(folder.resolve()).as_posix())
    except UnpackError:
        raise
    except (*_DAMAGED, OSError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise
        raise UnpackError(f"{archive.name} is damaged and cannot be unpacked: {error}") from error
    return made


def _members(worker: Worker, archive: Path) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    path = PurePosixPath(archive.name.lower())
    suffix = _TARS.get(path.suffix, path.suffix)
    if suffix == ".zip":
        yield from _zip_members(archive)
    elif suffix == ".tar" or path.suffix in _TARS or PurePosixPath(path.stem).suffix == ".tar":
        opener = _COMPRESSIONS.get(suffix)
        with opener(archive) if opener else archive.open("rb") as stream:
            yield from _tar_members(worker, stream)
    else:
        yield archive.name[: -len(suffix)], lambda: _COMPRESSIONS[suffix](archive)


def _zip_members(archive: Path) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    with zipfile.ZipFile(archive) as opened:
        for info in opened.infolist():
            if not info.is_dir():
                yield info.filename, lambda info=info: opened.open(info)  # type: ignore[misc]


def _tar_members(worker: Worker, stream: IO[bytes]) -> Iterator[tuple[str, Callable[[], IO[bytes]]]]:
    with tarfile.open(fileobj=stream, mode="r|") as opened:
        for info in opened:
            if info.isfile():
                yield info.name, lambda info=info: opened.extractfile(info)  # type: ignore[misc]
            elif not info.isdir():
                worker.log(f"{info.name}: links and devices are not unpacked")


def _inside(folder: Path, name: str, archive: Path) -> Path:
    root = folder.resolve()
    target = (root / name).resolve()
    if not name or not target.is_relative_to(root) or target == root:
        raise UnpackError(f"{archive.name} holds {name!r}, which would be written outside of the release")
    if target.name.startswith(".hubkernel"):
        raise UnpackError(f"{archive.name} holds {name!r}, a name that the hub keeps for itself")
    if target.exists():
        raise UnpackError(f"{archive.name} holds {name!r}, and the release already has a file of that name")
    target.parent.mkdir(parents=True, exist_ok=True)
    return target


def _write(worker: Worker, reader: IO[bytes], target: Path) -> None:
    with target.open("wb") as writer:
        while chunk := reader.read(_CHUNK):
            worker.check()
            writer.write(chunk)
        writer.flush()
        os.fsync(writer.fileno())
