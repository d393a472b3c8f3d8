"""The last steps of a dump, in workers: the release is completed, looked over, and put into the archive."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.dumpers.base import BaseDumper
from hubkernel.pipeline.dump.dumpers.table import is_own
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.fetch import full_disk_explained, sync_folder
from hubkernel.pipeline.dump.models import MadeFile, Release, ReleaseFile
from hubkernel.pipeline.dump.staging import files_in, folder_name, link, sha256_of, stamp
from hubkernel.pipeline.dump.unpack import is_archive, unpack
from hubkernel.pipeline.dump.work import Listing, Work, build, call, in_hub, state_of, takes


@dataclass(frozen=True)
class Draft:
    """A release in the making."""

    release: Release
    state: bytes
    taken: list[str] = field(default_factory=list)
    """Names to be taken over from the last good release."""
    changed: list[str] = field(default_factory=list)
    """Files that are no longer as they were downloaded."""
    to_delete: list[str] = field(default_factory=list)
    unpack: bool = True
    """False: archives have been unpacked before."""


@in_hub
def complete(worker: Worker, work: Work, draft: Draft) -> Release:
    """Take over what did not change, unpack, and let the dumper do its ``post_dump``. Returns the release with all of
    its files; they are read-only from now on.
    """
    dumper = build(worker, work, draft.state)
    folder = Path(dumper.new_data_folder)
    folder.mkdir(parents=True, exist_ok=True)
    release, careful = draft.release, not is_own_post_dump(type(dumper))
    if careful and draft.unpack:
        for file in release.files:
            file.members = []  # what was made of them is made again
    taken = _take_over(worker, work, draft, folder, careful)
    with full_disk_explained(folder):
        if draft.unpack:
            _unpack_all(worker, release, folder)
        _post_dump(work, dumper, draft)
    _describe(worker, draft, folder)
    _link_again(work, folder, taken)
    for path in folder.rglob("*"):
        if path.is_file() and not path.is_symlink():
            path.chmod(0o444)
    release.write(folder)
    return release


def is_own_post_dump(kind: type[BaseDumper]) -> bool:
    """Whether what comes after the downloads is the hub's own code, which changes no file."""
    owner = next(base for base in kind.__mro__ if "post_dump" in vars(base))
    return is_own(owner)


def _take_over(
    worker: Worker, work: Work, draft: Draft, folder: Path, careful: bool
) -> dict[str, tuple[int, int] | None]:
    """Link files of the last good release, or copy them if a plugin's code could change them. Returns their stamps."""
    if work.current is None:
        return {}
    members = [name for file in draft.release.files for name in file.members]
    names = list(dict.fromkeys([*draft.taken, *members]))
    for number, name in enumerate(names):
        worker.progress(number, len(names), f"unchanged: {name}")
        source, target = work.current / name, folder / name
        if target.is_symlink() or target.exists():
            continue
        target.parent.mkdir(parents=True, exist_ok=True)
        if careful:
            with full_disk_explained(target):
                shutil.copy2(source, target)
            target.chmod(0o644)
        else:
            link(source, target)
    return {name: stamp(folder / name) for name in names}


def _unpack_all(worker: Worker, release: Release, folder: Path) -> None:
    for file in release.files:
        if release.uncompress and is_archive(file.name) and not file.members and (folder / file.name).is_file():
            worker.log(f"unpacking {file.name}")
            archive = folder / file.name
            beside = archive.parent.relative_to(folder)
            file.members = [(beside / name).as_posix() for name in unpack(worker, archive, archive.parent)]


def _post_dump(work: Work, dumper: BaseDumper, draft: Draft) -> None:
    folder = Path(dumper.new_data_folder)
    dumper.to_dump = [{"remote": file.url, "local": str(folder / file.name)} for file in draft.release.files]
    dumper.to_delete = [*dumper.to_delete, *draft.to_delete]
    names = [name for file in draft.release.files for name in (file.name, *file.members)]
    before = {name: stamp(folder / name) for name in names}
    extra = {"job_manager": None} if takes(dumper.post_dump, "job_manager") else {}
    try:
        call(work, "post_dump", dumper.post_dump, **extra)
    finally:
        dumper.unprepare()
    draft.changed.extend(name for name, was in before.items() if stamp(folder / name) != was)


def _describe(worker: Worker, draft: Draft, folder: Path) -> None:
    """What the folder holds now: downloads as they were, what was unpacked from them, and what else there is."""
    release, there = draft.release, files_in(folder)
    changed = set(draft.changed)
    release.removed += [file for file in release.files if file.name in changed]
    release.files = [file for file in release.files if file.name not in changed]
    for file in release.files:
        file.whole = file.whole and not changed.intersection(file.members)
        file.members = [name for name in file.members if name not in changed]
    known = {name for file in release.files for name in (file.name, *file.members)}
    release.made = []
    for name in there:
        if name not in known:
            worker.check()
            path = folder / name
            release.made.append(MadeFile(name=name, size=path.stat().st_size, sha256=sha256_of(path)))


def _link_again(work: Work, folder: Path, taken: dict[str, tuple[int, int] | None]) -> None:
    """Copies that nobody changed become links."""
    for name, was in taken.items():
        path = folder / name
        source = work.current / name if work.current else path
        if was is None or path.is_symlink() or stamp(path) != was or path.samefile(source):
            continue
        path.unlink()
        link(source, path)


def publish(
    worker: Worker, release: Release, staged: str, place: str, *, keep_label: bool = False
) -> tuple[str, Release]:
    """Give the completed folder ``staged`` its ``place``; returns that place and the release as it is there.

    An existing folder is never touched: if it holds the same files it is the release, else this one gets a name of its
    own, with a hash of its content; and so does its label, unless ``keep_label``.
    """
    made, folder = Path(staged), Path(place)
    there = _there(folder, release)
    if folder.exists() and (there is None or there.digest() != release.digest()):
        mark = release.digest()[:8]
        folder = folder.with_name(f"{folder.name}-{mark}")
        if not keep_label:
            release = release.model_copy(update={"release": f"{release.release}-{mark}"})
        there = Release.read(folder)
    if there is None:
        release.write(made)
        if folder.exists():  # of this very content by its name, but incomplete
            shutil.rmtree(folder)
        made.rename(folder)
        sync_folder(folder.parent)
    discard(worker, str(made.parent))
    return str(folder), there or release


def _there(folder: Path, release: Release) -> Release | None:
    """The release in a folder. One without a description that holds the very files becomes it: somebody put them
    there by hand.
    """
    there = Release.read(folder) if folder.is_dir() else None
    if there is None and folder.is_dir() and _holds(folder, release):
        release.write(folder)
        return release
    return there


def _holds(folder: Path, release: Release) -> bool:
    members = {name for file in release.files for name in file.members}
    hashes = {file.name: file.sha256 for file in release.files} | {file.name: file.sha256 for file in release.made}
    if members or set(files_in(folder)) != hashes.keys():
        return False
    return all(sha256_of(folder / name) == digest for name, digest in hashes.items())


def adopt(source: str, folder: Path) -> Release:
    """Describe a folder that somebody has filled by hand, so that it is a release. Raises :class:`DumpError`."""
    there = Release.read(folder)
    if there is not None:
        return there
    files = []
    for name in files_in(folder):
        file = folder / name
        files.append(ReleaseFile(url=file.as_uri(), name=name, size=file.stat().st_size, sha256=sha256_of(file)))
    if not files:
        raise DumpError(f"{folder} is empty: put the data of {source} there first")
    release = Release(source=source, release=folder.name, created=datetime.now(UTC), files=files)
    release.write(folder)
    return release


@in_hub
def again(worker: Worker, work: Work, release: Release) -> Listing:
    """Make a dumper that does ``post_dump`` once more, on copies of the last good release."""
    shutil.rmtree(work.staging, ignore_errors=True)
    dumper = build(worker, work)
    dumper.steps = ["post"]
    dumper.release = release.release
    name = work.current.name if work.current else folder_name(release.release)
    setattr(dumper, dumper.SUFFIX_ATTR, name)
    return Listing(
        release=release.release,
        folder=name,
        items=[],
        kept={},
        state=state_of(dumper),
        uncompress=bool(dumper.UNCOMPRESS),
        archive=bool(dumper.archive),
        auto_upload=bool(dumper.AUTO_UPLOAD),
    )


@in_hub
def after(worker: Worker, work: Work, draft: Draft) -> None:
    """The release is published: the dumper may tidy up."""
    dumper = build(worker, work, draft.state)
    dumper.to_dump = [
        {"remote": file.url, "local": file.name} for file in (*draft.release.files, *draft.release.removed)
    ]
    call(work, "published", dumper.published)


def refresh(worker: Worker, release: Release, files: Sequence[ReleaseFile], folder: str) -> None:
    """Note the dates and ETags that the same content has now, so that it is not downloaded again for them."""
    now = {file.name: file for file in files}
    for kept in (*release.files, *release.removed):
        if file := now.get(kept.name):
            kept.url, kept.etag, kept.modified = file.url, file.etag, file.modified
    release.write(Path(folder))


def prune(worker: Worker, archive: str, keep: list[str]) -> list[str]:
    """Remove earlier releases from a source's archive, but for the folders ``keep``; returns their names."""
    gone = []
    for folder in sorted(Path(archive).iterdir()):
        hidden = folder.name.startswith(".") or not folder.is_dir()
        if not hidden and str(folder) not in keep and Release.read(folder) is not None:
            shutil.rmtree(folder)
            gone.append(folder.name)
    return gone


def discard(worker: Worker, incoming: str) -> None:
    """Remove what was downloaded and is not needed."""
    shutil.rmtree(incoming, ignore_errors=True)
