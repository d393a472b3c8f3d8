"""The second step of a dump, in workers: one file each."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.dumpers.base import BaseDumper
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.fetch import full_disk_explained
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.staging import Note, files_in, sha256_of, stamp
from hubkernel.pipeline.dump.work import Item, Work, build, call, in_hub


@dataclass(frozen=True)
class Fetched:
    """What became of one download."""

    files: list[ReleaseFile] = field(default_factory=list)
    kept: RemoteFile | None = None
    """Nothing was downloaded: the last good release has the file, and this is what the server says of it now."""
    changed: list[str] = field(default_factory=list)
    """Files that ``post_download`` changed or removed."""
    to_delete: list[str] = field(default_factory=list)


@in_hub
def fetch(worker: Worker, work: Work, state: bytes, item: Item, trust: bool) -> Fetched:
    """Download one file into the release in the making, or take what an interrupted dump left of it.

    ``trust``: what the server still has as in the last good release is not downloaded again.
    """
    dumper = build(worker, work, state)
    dumper._described[item.remote] = item.described
    if item.described is None:
        dumper._described.pop(item.remote)
    try:
        return _fetch(worker, work, dumper, item, trust)
    finally:
        dumper.unprepare()


def _fetch(worker: Worker, work: Work, dumper: BaseDumper, item: Item, trust: bool) -> Fetched:
    local, note = Path(dumper.new_data_folder, item.name), Note(work.staging, item.name)
    local.parent.mkdir(parents=True, exist_ok=True)
    remote = call(work, "describe", dumper.described, item.remote)
    if done := note.finished(remote):
        note.earlier.replace(local)
        worker.progress(done.size, done.size, item.name)
        return Fetched([done.model_copy(update={"name": item.name, "url": item.remote})])
    if trust and work.current and dumper.unchanged(item.remote, str(work.current / item.name)):
        return Fetched(kept=remote)
    note.begin(remote, local)
    if local.is_file():
        local.unlink()
    with full_disk_explained(local):
        made = call(work, f"download of {item.remote}", dumper.download, item.remote, str(local))
    files = _files(dumper, item, remote, local, made)
    before = set(dumper.to_delete)
    changed = _look_over(work, dumper, item, files, local)
    if remote and not changed and [file.name for file in files] == [item.name]:
        says = {"url": remote.url, "name": remote.name, "etag": remote.etag, "modified": remote.modified}
        note.finish(files[0].model_copy(update=says))
    found = [file.model_copy(update={"url": item.remote}) for file in files]
    return Fetched(found, changed=changed, to_delete=[name for name in dumper.to_delete if name not in before])


def _files(dumper: BaseDumper, item: Item, remote: RemoteFile | None, local: Path, made: Any) -> list[ReleaseFile]:
    """What a download made, from what it returned or by looking."""
    if isinstance(made, ReleaseFile):
        return [made]
    if isinstance(made, list) and all(isinstance(file, ReleaseFile) for file in made):
        return made
    root = Path(dumper.new_data_folder)
    if local.is_dir():
        paths: Iterable[Path] = (local / name for name in files_in(local))
    elif local.is_file():
        paths = [local]
    else:
        raise DumpError(f"the download of {item.remote} made no file {item.name}")
    found = [_looked_at(path, root, item, remote) for path in paths]
    if not found:
        raise DumpError(f"the download of {item.remote} made an empty folder")
    return found


def _looked_at(path: Path, root: Path, item: Item, remote: RemoteFile | None) -> ReleaseFile:
    size = path.stat().st_size
    if remote and remote.size is not None and remote.size != size and path == root / item.name:
        raise DumpError(f"{item.remote}: truncated download, {size:,} of {remote.size:,} bytes")
    return ReleaseFile(
        url=item.remote,
        name=path.relative_to(root).as_posix(),
        size=size,
        sha256=sha256_of(path),
        etag=remote.etag if remote else None,
        modified=remote.modified if remote else None,
    )


def _look_over(work: Work, dumper: BaseDumper, item: Item, files: list[ReleaseFile], local: Path) -> list[str]:
    """Let the dumper look at its file; returns the names of those that it changed or removed."""
    root = Path(dumper.new_data_folder)
    paths = {file.name: root / file.name for file in files}
    before = {name: stamp(path) for name, path in paths.items()}
    if paths:
        place = next(iter(paths.values())) if len(paths) == 1 else local
        call(work, f"post_download of {item.remote}", dumper.post_download, item.remote, str(place))
    return [name for name, path in paths.items() if stamp(path) != before[name]]
