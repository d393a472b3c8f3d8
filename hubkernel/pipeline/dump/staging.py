"""The folder in which a release is made, ``<archive>/<source>/.incoming``: nobody sees it before it is complete.

It holds ``<release>/`` in the making, ``.earlier/`` with what an interrupted dump left, and ``.notes/`` which tell what
each file is, so that the next dump goes on where the last one was.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from pathlib import Path

from hubkernel.pipeline.dump.models import MANIFEST, ReleaseFile, RemoteFile

INCOMING = ".incoming"


def folder_name(release: str) -> str:
    """A release's label as the name of a folder: nothing in it can leave the archive."""
    clean = "".join(sign if sign.isalnum() or sign in "-+._ " else "_" for sign in release).strip(". ")
    return clean[:150] or "release"


def set_aside(staging: Path) -> None:
    """What an interrupted dump left goes to ``.earlier``, whatever its release was called."""
    if not staging.is_dir():
        return
    earlier = staging / ".earlier"
    for folder in [entry for entry in staging.iterdir() if not entry.name.startswith(".")]:
        for file in [path for path in folder.rglob("*") if path.is_file() and not path.is_symlink()]:
            target = earlier / file.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)
        shutil.rmtree(folder, ignore_errors=True)


def show_release(current: Path, folder: Path) -> None:
    """Make the files of the last good release visible in ``folder``, if it is not there yet."""
    if folder.exists():
        return
    folder.mkdir(parents=True)
    for name in files_in(current):
        target = folder / name
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(current / name)


def hide_release(current: Path, folder: Path) -> list[str]:
    """Take away what :func:`show_release` showed; returns the names that were still the old files."""
    hidden = []
    for name in files_in(folder):
        shown = folder / name
        if shown.is_symlink() and shown.readlink() == current / name:
            shown.unlink()
            hidden.append(name)
    return hidden


def files_in(folder: Path) -> list[str]:
    """Files below a folder, relative to it with ``/``, without the hub's own."""
    found = (path for path in folder.rglob("*") if path.is_file() and not path.name.startswith(MANIFEST))
    return sorted(path.relative_to(folder).as_posix() for path in found)


def link(source: Path, target: Path) -> None:
    """A hard link, or a copy where there is none."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def stamp(path: Path) -> tuple[int, int] | None:
    """What changes when a file is written to; None if it is not there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def sha256_of(path: Path) -> str:
    """Hash of a file that a dumper's own code wrote, which is on disk afterwards."""
    with path.open("rb") as reader:
        os.fsync(reader.fileno())
        return hashlib.file_digest(reader, "sha256").hexdigest()


class Note:
    """What is remembered of one file between an interrupted dump and the next."""

    def __init__(self, staging: Path, name: str) -> None:
        self.earlier = staging / ".earlier" / name
        self.path = staging / ".notes" / f"{name}.json"

    def finished(self, remote: RemoteFile | None) -> ReleaseFile | None:
        """The file as it was completed earlier, if that surely is what the server still has."""
        try:
            file = ReleaseFile.model_validate_json(self.path.read_bytes())
            whole = self.earlier.stat().st_size == file.size
        except (OSError, ValueError):
            return None
        return file if whole and remote and remote.unchanged_since(file.model_copy(update=_place(remote))) else None

    def begin(self, remote: RemoteFile | None, local: Path) -> None:
        """Before a download: its beginning, if there is one of this very file, becomes ``<local>.part``."""
        part, beginning = Path(f"{local}.part"), Path(f"{self.earlier}.part")
        proof = beginning.with_name(f"{beginning.name}.json")  # of protocols that know for themselves
        if beginning.is_file() and (proof.is_file() or (remote and self._same(remote))):
            beginning.replace(part)
            if proof.is_file():
                proof.replace(part.with_name(f"{part.name}.json"))
        if remote:
            self._write(remote.model_dump_json())

    def finish(self, file: ReleaseFile) -> None:
        self._write(file.model_dump_json())

    def _same(self, remote: RemoteFile) -> bool:
        try:
            return remote.unchanged_since(RemoteFile.model_validate_json(self.path.read_bytes()))
        except (OSError, ValueError):
            return False

    def _write(self, text: str) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(text, "utf-8")


def _place(remote: RemoteFile) -> dict[str, str]:
    return {"name": remote.name}
