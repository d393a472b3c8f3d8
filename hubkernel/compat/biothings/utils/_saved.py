"""Objects and files on disk."""

from __future__ import annotations

import bz2
import gzip
import hashlib
import lzma
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any, NoReturn

_OPENERS: dict[str, Callable[..., Any]] = {"gzip": gzip.open, "bz2": bz2.open, "lzma": lzma.open}


def dump(obj: Any, filename: str, protocol: int = 4, compress: str = "gzip") -> None:
    """Pickle an object into a file compressed with ``gzip``, ``bz2`` or ``lzma`` (anything else: not compressed)."""
    opener = _OPENERS.get(compress)
    with opener(filename, "wb") if opener else Path(filename).open("wb") as file:
        pickle.dump(obj, file, protocol)


def loadobj(filename: Any, mode: str = "file") -> Any:
    """What :func:`dump` wrote; a file or an open one. As with any pickle, only load what you wrote yourself: it can run
    code.
    """
    if mode == "gridfs":
        _no_gridfs()
    if hasattr(filename, "read"):
        return pickle.loads(_decompressed(filename.read()))
    return pickle.loads(_decompressed(Path(filename).read_bytes()))


def _decompressed(data: bytes) -> bytes:
    kinds: dict[bytes, Callable[[bytes], bytes]] = {
        b"\x1f\x8b": gzip.decompress,
        b"BZh": bz2.decompress,
        b"\xfd7zXZ": lzma.decompress,
    }
    return next((decompress(data) for head, decompress in kinds.items() if data.startswith(head)), data)


def dump2gridfs(obj: Any, filename: str, db: Any, protocol: int = 2) -> NoReturn:
    """Not here: there is no GridFS."""
    _no_gridfs()


def _no_gridfs() -> NoReturn:
    raise NotImplementedError("hubkernel has no GridFS: keep the object in a file, with biothings.utils.common.dump")


def md5sum(fname: str) -> str:
    """MD5 of a file, in hexadecimal digits."""
    with Path(fname).open("rb") as file:
        return hashlib.file_digest(file, "md5").hexdigest()


def file_newer(source: str, target: str) -> bool:
    """Whether ``source`` was changed after ``target``."""
    return Path(source).stat().st_mtime > Path(target).stat().st_mtime


def rmdashfr(top: str) -> None:
    """Delete a folder with all that is in it; one that is not there is no error."""
    shutil.rmtree(top, ignore_errors=True)


def safewfile(filename: str, prompt: bool = True, default: str = "C", mode: str = "w") -> tuple[IO[Any], str]:
    """``(open file, its name)``, for writing under a name that is free: ``filename``, or one with a number. With
    ``default="O"`` it overwrites, with ``"A"`` it appends. Nobody is asked: there is no terminal in a worker.
    """
    path = Path(filename)
    if default.upper() == "A":
        mode = mode.replace("w", "a")
    elif default.upper() != "O":
        number = 1
        while path.exists():
            path = Path(filename).with_stem(f"{Path(filename).stem}_{number}")
            number += 1
    return path.open(mode), str(path)
