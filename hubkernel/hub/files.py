"""Files that somebody outside may read or write: they stay below their root, and no large one is held in memory."""

from __future__ import annotations

import gzip
import io
import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import BinaryIO

BLOCK = 64 * 1024
Stream = BinaryIO | gzip.GzipFile


class OutsideError(PermissionError):
    """The path leads out of its root. The message does not tell what is there."""


def inside(root: Path, path: str) -> Path:
    """The place of ``path`` (relative, already decoded) below ``root``, with all links followed; it need not exist.

    Raises :class:`OutsideError` if it is absolute, or leads out of ``root`` by ``..`` or by a link.
    """
    top = root.resolve()
    if "\0" in path or path.startswith(("/", "\\")) or ".." in path.replace("\\", "/").split("/"):
        raise OutsideError(f"{path!r} leads out of the folder")
    found = (top / path).resolve()
    if found != top and top not in found.parents:
        raise OutsideError(f"{path!r} leads out of the folder")
    return found


def plain_name(name: str) -> str:
    """``name`` if it can be the name of one visible file in a folder. Raises :class:`OutsideError`."""
    odd = any(character in name for character in "/\\\0") or any(ord(character) < 32 for character in name)
    if not name or odd or name.startswith(".") or len(os.fsencode(name)) > 200:
        raise OutsideError(f"{name!r} is no plain file name")
    return name


def listing(root: Path, folder: Path, words: Iterable[str] = ()) -> list[str]:
    """The sorted names in a folder, those of folders with a ``/`` at the end; with ``words``, only names that have one
    of them. Hidden files and links out of ``root`` are left out.
    """
    wanted = [word for word in words if word]
    names = []
    for entry in folder.iterdir():
        hidden = entry.name.startswith(".") or not _stays(root, entry)
        if not hidden and (not wanted or any(word in entry.name for word in wanted)):
            names.append(f"{entry.name}/" if entry.is_dir() else entry.name)
    return sorted(names)


def _stays(root: Path, entry: Path) -> bool:
    return not entry.is_symlink() or root.resolve() in entry.resolve().parents


def open_text(file: Path) -> Stream:
    """The file's bytes, unpacked if it is a ``.gz``."""
    return gzip.open(file) if file.suffix == ".gz" else file.open("rb")


def blocks(stream: Stream) -> Iterator[bytes]:
    """The rest of a stream, a block at a time."""
    while block := stream.read(BLOCK):
        yield block


def seek_last_lines(stream: Stream, lines: int) -> bool:
    """Go to where the last ``lines`` lines begin; whether there are more lines before them.

    A plain file is read backwards from its end. A packed one is read once from its begin, and only the places of the
    last lines are kept.
    """
    if isinstance(stream, gzip.GzipFile):
        return _seek_forwards(stream, lines)
    end = position = stream.seek(0, io.SEEK_END)
    missing = lines
    while position > 0:
        start = max(0, position - BLOCK)
        stream.seek(start)
        block = stream.read(position - start)
        if position == end and block.endswith(b"\n"):
            block = block[:-1]
        count = block.count(b"\n")
        if count >= missing:
            stream.seek(start + _nth_from_end(block, missing) + 1)
            return True
        missing -= count
        position = start
    stream.seek(0)
    return False


def _nth_from_end(block: bytes, number: int) -> int:
    """Where the line break stands that is the ``number``-th from the end."""
    at = len(block)
    for _ in range(number):
        at = block.rindex(b"\n", 0, at)
    return at


def _seek_forwards(stream: Stream, lines: int) -> bool:
    starts: deque[int] = deque([0], maxlen=lines + 2)
    position = 0
    for block in blocks(stream):
        at = -1
        while (at := block.find(b"\n", at + 1)) >= 0:
            starts.append(position + at + 1)
        position += len(block)
    if starts[-1] == position:  # what follows the last line break is no line
        starts.pop()
    more = len(starts) > lines
    stream.seek(starts[-lines] if more else 0)
    return more
