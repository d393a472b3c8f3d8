"""Bring the code of a plugin to this machine: from a git repository, or from a zip file.

What is fetched is the hub's own, below one folder, and may be replaced and removed; a user's folder is only ever read.
"""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from hubkernel.pipeline.plugins.errors import PluginError

if TYPE_CHECKING:
    from hubkernel.executors import Worker
    from hubkernel.pipeline.dump.transfer import Policy

MAX_BYTES = 200 * 1024**2
"""Of a zip file, and of all that is in it."""
MAX_FILES = 10_000
_GITHUB_TREE = re.compile(r"(https://github\.com/[^/]+/[^/]+)/tree/([^/]+)(?:/(.+?))?/?")


class FetchPluginError(PluginError):
    """The code of a plugin cannot be had; names the url and why."""


@dataclass(frozen=True)
class Place:
    """Where the code of a plugin comes from."""

    kind: str
    """``local``, ``git`` or ``zip``."""
    url: str
    release: str | None = None
    """Branch, tag or commit; None is the repository's default branch."""
    folder: str = ""
    """Of the plugin, in the repository or the zip file."""

    @classmethod
    def of(cls, url: str, release: str | None = None, folder: str | None = None) -> Place:
        """What an url means: ``local://<folder>`` or a folder; a zip file, here or on a server; or a git repository,
        also as ``git+<url>@<branch>#subdirectory=<folder>``, or as GitHub shows a folder
        (``.../tree/<branch>/<folder>``). Raises :class:`FetchPluginError`.
        """
        parts = urlsplit(url)
        local = unquote(parts.netloc + parts.path) if parts.scheme in ("local", "file") else url
        is_zip = parts.path.lower().endswith(".zip")
        if parts.scheme in ("", "local") or (parts.scheme == "file" and not is_zip and not _is_repository(Path(local))):
            return cls("zip", local, None, _inside(folder)) if is_zip else cls("local", local, None, folder or "")
        if is_zip:
            return cls("zip", url, None, _inside(folder))
        if tree := _GITHUB_TREE.fullmatch(url):
            return cls("git", tree[1], release or tree[2], _inside(folder or tree[3]))
        from hubkernel.pipeline.dump.dumpers.git import GitPlace
        from hubkernel.pipeline.dump.errors import FetchError

        if url.startswith("-") or "::" in url:  # an option of git, or a program that it would run
            raise FetchPluginError(f"{url!r} is no url of a git repository")
        try:
            place = GitPlace.of(url)
        except FetchError as error:
            raise FetchPluginError(str(error)) from None
        return cls("git", place.url, release or place.ref, _inside(folder or place.folder))

    @property
    def shown_kind(self) -> str:
        """As ``data_plugin`` has it."""
        return "github" if self.kind == "git" and urlsplit(self.url).hostname == "github.com" else self.kind

    @property
    def name(self) -> str:
        """What the folder of the code is called, and the plugin unless its manifest says otherwise."""
        last = PurePosixPath(self.folder).name or PurePosixPath(urlsplit(self.url).path.rstrip("/")).name
        name = re.sub(r"[^\w-]", "_", re.sub(r"\.(git|zip)$", "", last, flags=re.IGNORECASE))
        return name.strip("_") or "plugin"


def _is_repository(folder: Path) -> bool:
    return folder.name.endswith(".git") or (folder / ".git").exists() or (folder / "HEAD").is_file()


def _inside(folder: str | None) -> str:
    """A path that stays in the repository or zip file. Raises :class:`FetchPluginError`."""
    path = PurePosixPath((folder or "").strip("/"))
    if ".." in path.parts:
        raise FetchPluginError(f"the folder {folder!r} leads out of the plugin's code")
    return "" if str(path) == "." else str(path)


def fetch_code(worker: Worker, place: Place, policy: Policy, target: Path) -> str:
    """Bring the code of a git repository or zip file into ``target``, which must not exist; returns its version:
    ``<ref> <short hash>``, or the hash of the zip file. Leaves nothing behind if it fails.

    Raises :class:`FetchPluginError`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    version = (_clone if place.kind == "git" else _unzip)(worker, place, policy, target)
    if not (target / place.folder).is_dir():
        shutil.rmtree(target, ignore_errors=True)
        raise FetchPluginError(f"{place.url}: there is no folder {place.folder!r} in it")
    return version


def _clone(worker: Worker, place: Place, policy: Policy, target: Path) -> str:
    from hubkernel.pipeline.dump.dumpers.git import clone
    from hubkernel.pipeline.dump.errors import FetchError

    try:
        return clone(place.url, place.release, target, worker, policy, links=False).label
    except FetchError as error:
        raise FetchPluginError(str(error)) from None


def _unzip(worker: Worker, place: Place, policy: Policy, target: Path) -> str:
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".zip-") as folder:
        digest = _download(worker, place.url, policy, Path(folder, "plugin.zip"))
        files = Path(folder, "files")
        try:
            with zipfile.ZipFile(Path(folder, "plugin.zip")) as archive:
                _extract(worker, archive, files, place.url)
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise FetchPluginError(f"{place.url}: no zip file that can be read: {error}") from None
        _top(files).rename(target)
    return digest[:12]


def _download(worker: Worker, url: str, policy: Policy, target: Path) -> str:
    """Bring a zip file here; returns its hash."""
    from hubkernel.pipeline.dump.errors import FetchError
    from hubkernel.pipeline.dump.fetch import download, probe

    source = url if "://" in url else Path(url).expanduser().absolute().as_uri()
    bounded = _Bounded(worker, url)
    try:
        (remote,) = probe(bounded, source, policy)
        bounded.progress(remote.size or 0)
        return download(bounded, remote, target, target.with_name("part"), policy).sha256
    except FetchError as error:
        raise FetchPluginError(str(error)) from None


class _Bounded:
    """A worker that takes no more bytes than a plugin may have."""

    def __init__(self, worker: Worker, url: str) -> None:
        self._worker, self._url = worker, url

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        if done > MAX_BYTES:
            raise FetchPluginError(f"{self._url}: is larger than {MAX_BYTES // 1024**2} MB: no plugin")
        self._worker.progress(done, total, message)

    def log(self, message: str) -> None:
        self._worker.log(message)

    def check(self) -> None:
        self._worker.check()


def _extract(worker: Worker, archive: zipfile.ZipFile, target: Path, url: str) -> None:
    """All of a zip file. What leads out of the folder, links, and too much are refused before anything is written."""
    members = archive.infolist()
    if len(members) > MAX_FILES or sum(member.file_size for member in members) > MAX_BYTES:
        raise FetchPluginError(f"{url}: holds more than {MAX_FILES:,} files or {MAX_BYTES // 1024**2} MB: no plugin")
    for member in members:
        name = member.filename.replace("\\", "/")
        if name.startswith("/") or re.match(r"[A-Za-z]:", name) or ".." in name.split("/"):
            raise FetchPluginError(f"{url}: {member.filename!r} leads out of the plugin's folder")
        if stat.S_ISLNK(member.external_attr >> 16):
            raise FetchPluginError(f"{url}: {member.filename!r} is a link")
    target.mkdir()
    for member in members:
        worker.check()
        archive.extract(member, target)  # no more than the size that was added up


def _top(files: Path) -> Path:
    """The one folder that everything is in, as in the zip files that servers make of a repository; else the whole."""
    entries = [entry for entry in files.iterdir() if entry.name != "__MACOSX"]
    return entries[0] if len(entries) == 1 and entries[0].is_dir() else files
