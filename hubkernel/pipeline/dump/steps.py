"""What workers do for a dump. Each function is importable, takes its worker first, and only small arguments."""

from __future__ import annotations

import inspect
import logging
import os
import shutil
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.fetch import Policy, download, full_disk_explained, probe, sync_folder
from hubkernel.pipeline.dump.models import Release, ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.unpack import is_archive, unpack
from hubkernel.pipeline.plugins.loader import load_function


def look(worker: Worker, urls: list[str], policy: Policy) -> list[RemoteFile]:
    """All files behind ``urls``, each with a name of its own. Raises :class:`FetchError`."""
    found: list[RemoteFile] = []
    taken: set[str] = set()
    for url in urls:
        worker.check()
        for file in probe(worker, url, policy):
            name = _free_name(file.name, taken)
            if name != file.name:
                worker.log(f"{file.name} is there twice; that of {file.url} becomes {name}")
            taken.add(name)
            found.append(file.model_copy(update={"name": name}))
    return found


def _free_name(name: str, taken: set[str]) -> str:
    stem, dot, suffixes = name.partition(".")
    candidate, number = name, 2
    while candidate in taken:
        candidate, number = f"{stem}-{number}{dot}{suffixes}", number + 1
    return candidate


def label(worker: Worker, folder: str, target: str, urls: list[str]) -> str:
    """The release's label, from the plugin's own function. Raises :class:`DumpError` with the user's file and line."""
    function = load_function(folder, target)
    dumper = _release_context(urls)
    try:
        value = function(dumper) if inspect.signature(function).parameters else function()
    except Exception as error:
        raise DumpError(f"release function {target} failed: {_where(error, folder)}") from error
    finally:
        dumper.close()
    text = str(value).strip() if value is not None else ""
    if not text:
        raise DumpError(f"release function {target} returned {value!r}: it has to return the release's label")
    return text


def _where(error: Exception, folder: str) -> str:
    trace = error.__traceback__
    place = ""
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(str(Path(folder).resolve())):
            place = f"{file}:{trace.tb_lineno}: "
        trace = trace.tb_next
    return f"{place}{type(error).__name__}: {error}"


def _release_context(urls: list[str]) -> Any:
    """What a release function gets as ``self``; ``SRC_URLS`` is also there on its class, as plugins expect."""
    return type("ReleaseContext", (_ReleaseContext,), {"SRC_URLS": urls})()


class _ReleaseContext:
    SRC_URLS: list[str] = []
    logger = logging.getLogger("hubkernel.release")
    _client: Any = None

    @property
    def client(self) -> Any:
        """An ``httpx.Client`` that also takes the words of a ``requests`` session: ``allow_redirects``, ``verify``."""
        if self._client is None:
            from hubkernel.pipeline.dump.session import Session

            self._client = Session(follow_redirects=True, timeout=60)
        return self._client

    def close(self) -> None:
        if self._client is not None:
            self._client.close()


def fetch(worker: Worker, remote: RemoteFile, incoming: str, policy: Policy) -> ReleaseFile:
    """Download one file into the ``incoming`` folder of its source, or take what an interrupted dump left there."""
    files, parts = Path(incoming, "files"), Path(incoming, "parts")
    target, part, note = files / remote.name, parts / f"{remote.name}.part", parts / f"{remote.name}.json"
    done = _finished(note, remote)
    if done and target.is_file() and target.stat().st_size == done.size:
        worker.progress(done.size, done.size, remote.name)
        return done
    if part.exists() and not _same_file(note, remote):
        part.unlink()
    note.parent.mkdir(parents=True, exist_ok=True)
    note.write_text(remote.model_dump_json(), "utf-8")
    file = download(worker, remote, target, part, policy)
    note.write_text(file.model_dump_json(), "utf-8")
    return file


def _finished(note: Path, remote: RemoteFile) -> ReleaseFile | None:
    try:
        file = ReleaseFile.model_validate_json(note.read_bytes())
    except (OSError, ValueError):
        return None
    return file if remote.unchanged_since(file) else None


def _same_file(note: Path, remote: RemoteFile) -> bool:
    try:
        return remote.unchanged_since(RemoteFile.model_validate_json(note.read_bytes()))
    except (OSError, ValueError):
        return False


def assemble(worker: Worker, release: Release, fresh_names: list[str], incoming: str, previous: str | None) -> Release:
    """Make ``<incoming>/release`` and unpack what is to be unpacked; returns the release with its members.

    The files of ``fresh_names`` were downloaded to ``<incoming>/files``; all others are linked from ``previous``.
    """
    folder, fresh = Path(incoming, "release"), Path(incoming, "files")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for number, file in enumerate(release.files):
        worker.progress(number, len(release.files), f"release: {file.name}")
        new = file.name in fresh_names
        origin = fresh if new else Path(previous or "")
        members = file.members if not new and release.uncompress else []
        for name in (file.name, *members):
            _link(origin / name, folder / name)
        file.members = members
    with full_disk_explained(folder):
        _unpack_all(worker, release, folder)
    for path in folder.rglob("*"):
        if path.is_file():
            path.chmod(0o444)
    release.write(folder)
    return release


def _unpack_all(worker: Worker, release: Release, folder: Path) -> None:
    for file in release.files:
        if release.uncompress and is_archive(file.name) and not file.members:
            worker.log(f"unpacking {file.name}")
            archive = folder / file.name
            beside = archive.parent.relative_to(folder)
            file.members = [(beside / name).as_posix() for name in unpack(worker, archive, archive.parent)]


def _link(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:  # another file system, or one without hard links
        shutil.copy2(source, target)


def publish(worker: Worker, release: Release, incoming: str, archive: str) -> tuple[str, Release]:
    """Give the assembled folder its place below ``archive``; returns that place and the release as it is there.

    An existing folder is never touched: if it holds the same files it is the release, else this one gets a label of
    its own, with a hash of its content.
    """
    folder = Path(archive, folder_name(release.release))
    there = Release.read(folder) if folder.exists() else None
    if folder.exists() and (there is None or there.digest() != release.digest()):
        release = release.model_copy(update={"release": f"{release.release}-{release.digest()[:8]}"})
        folder = folder.with_name(folder_name(release.release))
        there = Release.read(folder)
    if there is None:
        staged = Path(incoming, "release")
        release.write(staged)
        if folder.exists():  # of this very content by its name, but incomplete
            shutil.rmtree(folder)
        staged.rename(folder)
        sync_folder(folder.parent)
    discard(worker, incoming)
    return str(folder), there or release


def discard(worker: Worker, incoming: str) -> None:
    """Remove what was downloaded and is not needed."""
    shutil.rmtree(incoming, ignore_errors=True)


def folder_name(release: str) -> str:
    """A release's label as the name of a folder: nothing in it can leave the archive."""
    clean = "".join(sign if sign.isalnum() or sign in "-+._ " else "_" for sign in release).strip(". ")
    return clean[:150] or "release"


def default_label(files: list[RemoteFile], urls: list[str]) -> str | None:
    """Date of the last url, else its ETag; None if it has neither."""
    last = [file for file in files if file.url == urls[-1]] or [file for file in files if file.url.startswith(urls[-1])]
    dates = [file.modified for file in last if file.modified]
    if dates:
        return max(dates).strftime("%Y-%m-%d")
    etags = [file.etag for file in last if file.etag]
    return etags[-1].removeprefix("W/").strip('"') if etags else None


def fallback_label(release: Release) -> str:
    """Today's date and a hash of the content: for sources that say nothing about themselves."""
    return f"{datetime.now(UTC):%Y-%m-%d}-{release.digest()[:8]}"


def refresh(worker: Worker, release: Release, files: list[ReleaseFile], folder: str) -> None:
    """Note the dates and ETags that the same content has now, so that it is not downloaded again for them."""
    now = {file.name: file for file in files}
    kept = [
        file.model_copy(update={"url": now[file.name].url, **_validators(now[file.name])}) for file in release.files
    ]
    release.model_copy(update={"files": kept}).write(Path(folder))


def _validators(file: ReleaseFile) -> dict[str, Any]:
    return {"etag": file.etag, "modified": file.modified}
