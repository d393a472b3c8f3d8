"""A release on disk: which files it has and where each came from."""

from __future__ import annotations

import hashlib
import os
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel

MANIFEST = ".hubkernel-release.json"
"""Name of the file in a release's folder that describes it. The folder is complete if and only if it is there."""


class RemoteFile(BaseModel):
    """A file as its server (or the local file system) describes it before it is downloaded."""

    url: str
    name: str
    """Where it goes, relative to the release's folder, with ``/``."""
    size: int | None = None
    """Bytes, if known."""
    etag: str | None = None
    modified: datetime | None = None

    def validator(self) -> str | None:
        """What ``If-Range`` may be given: a strong ETag or a date; None if the file cannot be told from a later one."""
        if self.etag and not self.etag.startswith("W/"):
            return self.etag
        return self.modified.strftime("%a, %d %b %Y %H:%M:%S GMT") if self.modified else None

    def unchanged_since(self, other: RemoteFile) -> bool:
        """Whether this surely is still the same content; false if there is nothing to tell it by."""
        sizes = {self.size, other.size} - {None}
        if (self.url, self.name) != (other.url, other.name) or len(sizes) > 1:
            return False
        if self.etag or other.etag:
            return self.etag == other.etag
        return self.modified is not None and self.modified == other.modified


class ReleaseFile(RemoteFile):
    """A file of a release."""

    size: int
    sha256: str
    """Of its content; ``stat:...`` for files that were put in place by hand and never read."""
    members: list[str] = []
    """What was unpacked from it, relative to the release's folder."""
    whole: bool = True
    """False: the dumper's own code changed or deleted some of what was unpacked, which is not among the members."""


class MadeFile(BaseModel):
    """A file of a release that its dumper made of what was downloaded."""

    name: str
    size: int
    sha256: str


class Release(BaseModel):
    """The description of a release, kept in its folder as ``.hubkernel-release.json``."""

    source: str
    release: str
    created: datetime
    uncompress: bool = False
    files: list[ReleaseFile]
    made: list[MadeFile] = []
    """What the dumper's own code wrote, or changed."""
    removed: list[ReleaseFile] = []
    """What was downloaded and is no longer there as it was: the dumper's own code deleted or changed it."""
    skipped: list[str] = []
    """What the server refused with an answer that the dumper ignores."""

    @property
    def size(self) -> int:
        """Bytes that were downloaded, unpacked files not counted."""
        return sum(file.size for file in (*self.files, *self.removed))

    def digest(self) -> str:
        """Hex hash of names and contents: two releases of one digest hold the same files."""
        rows = sorted(f"{file.sha256} {file.name} {sorted(file.members)}" for file in self.files)
        rows += sorted(f"{file.sha256} {file.name}" for file in self.made)
        return hashlib.sha256("\n".join(rows).encode()).hexdigest()

    def contents(self) -> dict[str, str]:
        """Hash by name of what was downloaded."""
        return {file.name: file.sha256 for file in (*self.files, *self.removed)}

    def write(self, folder: Path) -> None:
        """Put the description into the release's folder, all of it or nothing."""
        draft = folder / f"{MANIFEST}.new"
        with draft.open("w", encoding="utf-8") as writer:
            writer.write(self.model_dump_json(indent=2))
            writer.flush()
            os.fsync(writer.fileno())
        draft.replace(folder / MANIFEST)

    @classmethod
    def read(cls, folder: Path) -> Release | None:
        """The release in ``folder``; None if there is none that is complete."""
        try:
            release = cls.model_validate_json((folder / MANIFEST).read_bytes())
        except (OSError, ValueError):
            return None
        names = [name for entry in release.files for name in (entry.name, *entry.members)]
        names += [entry.name for entry in release.made]
        return release if all((folder / name).is_file() for name in names) else None
