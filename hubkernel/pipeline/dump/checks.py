"""What ``post_dump`` may ask for: sizes are checked, files deleted. Both stay inside of the release."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from pathlib import Path

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.errors import UnpackError
from hubkernel.pipeline.dump.unpack import open_compressed

_CHUNK = 1 << 20


def check_sizes(worker: Worker, folder: Path, checks: Iterable[Sequence[object]], logger: logging.Logger) -> None:
    """Each check is ``(path, n)``. Raises :class:`DumperException` if the file has fewer lines, the folder fewer
    entries.
    """
    from hubkernel.pipeline.dump.dumpers.base import DumperException

    for check in checks:
        try:
            name, wanted = check
            least = int(wanted)  # type: ignore[call-overload]
        except (ValueError, TypeError):
            raise DumperException(f"to_check holds {check!r}: write (path, least number of lines or entries)") from None
        path = inside(folder, str(name), "to_check")
        if not path.exists():
            logger.warning("%s cannot be checked: it is not there", name)
            continue
        kind = "entries" if path.is_dir() else "lines"
        there = sum(1 for _ in path.iterdir()) if path.is_dir() else count_lines(worker, path)
        if there < least:
            raise DumperException(f"{name} has {there:,} {kind}, it should have at least {least:,}")


def count_lines(worker: Worker, path: Path) -> int:
    """Lines of a text file, plain or compressed; the last one need not end."""
    lines, last = 0, b"\n"
    try:
        with open_compressed(path) as reader:
            while chunk := reader.read(_CHUNK):
                worker.check()
                lines += chunk.count(b"\n")
                last = chunk
    except EOFError as error:
        raise UnpackError(f"{path.name} is damaged: {error}") from None
    return lines + (not last.endswith(b"\n"))


def delete_files(folder: Path, names: Iterable[str], logger: logging.Logger) -> None:
    """Raises :class:`DumperException` for a path outside of ``folder``; then nothing is deleted."""
    for path in [inside(folder, name, "to_delete") for name in names]:
        if not path.exists() and not path.is_symlink():
            logger.warning("%s cannot be deleted: it is not there", path.relative_to(folder))
        elif path.is_dir() and not path.is_symlink():
            _delete_folder(path, folder)
        else:
            path.unlink()


def _delete_folder(path: Path, folder: Path) -> None:
    from hubkernel.pipeline.dump.dumpers.base import DumperException

    try:
        path.rmdir()
    except OSError as error:
        raise DumperException(f"{path.relative_to(folder)} cannot be deleted: {error.strerror}") from None


def inside(folder: Path, name: str, what: str) -> Path:
    """The path of a name in ``folder``. Raises :class:`DumperException` if it would be elsewhere, or the folder."""
    from hubkernel.pipeline.dump.dumpers.base import DumperException

    path = Path(folder, name)
    real = Path(path.parent.resolve(), path.name).resolve() if path.name == ".." else path.parent.resolve() / path.name
    if not name or not real.is_relative_to(folder.resolve()) or real == folder.resolve():
        raise DumperException(f"{what} holds {name!r}, which is outside of the release: name files below its folder")
    return path
