"""The first step of a dump, in a worker: what is new?"""

from __future__ import annotations

import shutil
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.dumpers.base import BaseDumper
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.models import MANIFEST, RemoteFile
from hubkernel.pipeline.dump.staging import folder_name, hide_release, set_aside
from hubkernel.pipeline.dump.work import Item, Listing, Work, build, call, check_keywords, in_hub, state_of


@in_hub
def list_files(worker: Worker, work: Work, force: bool, kwargs: Mapping[str, Any]) -> Listing:
    """Let the dumper say what there is to download. Raises :class:`DumpError`."""
    set_aside(work.staging)
    dumper = build(worker, work)
    answers: dict[str, tuple[str, bool]] = {}
    dumper.remote_is_better = _recording(dumper.remote_is_better, answers)  # type: ignore[method-assign, assignment]
    check_keywords(work, dumper.create_todump_list, kwargs)
    try:
        call(work, "create_todump_list", dumper.create_todump_list, force=force, **kwargs)
    finally:
        dumper.unprepare()
    return _listing(work, dumper, answers)


def check(worker: Worker, work: Work, force: bool, kwargs: Mapping[str, Any]) -> Listing:
    """:func:`list_files` that leaves no trace."""
    try:
        return list_files(worker, work, force, kwargs)
    finally:
        shutil.rmtree(work.staging, ignore_errors=True)


def _recording(ask: Callable[[str, str], bool], answers: dict[str, tuple[str, bool]]) -> Callable[[str, str], bool]:
    """Remember by local file what was asked and answered: what is not better is taken over."""

    def remote_is_better(remotefile: str, localfile: str) -> bool:
        better = ask(remotefile, localfile)
        answers[str(localfile)] = remotefile, bool(better)
        return better

    return remote_is_better


def _listing(work: Work, dumper: BaseDumper, answers: Mapping[str, tuple[str, bool]]) -> Listing:
    suffix = getattr(dumper, dumper.SUFFIX_ATTR, None)
    if not suffix:
        if dumper.to_dump or dumper.ALWAYS:
            raise DumpError(f"{type(dumper).__name__}.create_todump_list has to set self.{dumper.SUFFIX_ATTR}")
        suffix = dumper.current_release or "none"
    items = _items(dumper, {remote for remote, better in answers.values() if better})
    kept = _kept(work, dumper, {local: remote for local, (remote, better) in answers.items() if not better})
    for item in items:
        kept.pop(item.name, None)
    return Listing(
        release=dumper.release,
        folder=folder_name(str(suffix)),
        items=items,
        kept=kept,
        state=state_of(dumper),
        uncompress=bool(dumper.UNCOMPRESS),
        complete=dumper.COMPLETE_LIST,
        always=dumper.ALWAYS,
        by_content=dumper.BY_CONTENT,
        named_by_date=dumper.SUFFIX_ATTR != "release",
        keep_label=dumper.MANUAL,
        archive=bool(dumper.archive),
        auto_upload=bool(dumper.AUTO_UPLOAD),
        max_parallel=dumper.MAX_PARALLEL_DUMP,
        pause=float(dumper.SLEEP_BETWEEN_DOWNLOAD or 0),
    )


def _items(dumper: BaseDumper, better: Collection[str]) -> list[Item]:
    items: dict[str, Item] = {}
    for entry in dumper.to_dump:
        try:
            remote, local = entry["remote"], str(entry["local"])
        except (TypeError, KeyError):
            raise DumpError(f'to_dump holds {entry!r}: write {{"remote": ..., "local": ...}}') from None
        item = Item(remote, _name(dumper, remote, local), dumper._described.get(remote), remote in better)
        other = items.setdefault(item.name, item)
        if other.remote != item.remote:
            raise DumpError(f"{other.remote} and {remote} would both become {item.name}: give each a name of its own")
    return list(items.values())


def _name(dumper: BaseDumper, remote: str, local: str) -> str:
    root = Path(dumper.new_data_folder)
    path = root.resolve().joinpath(Path(local).parent.resolve(), Path(local).name)
    if not path.is_relative_to(root.resolve()):
        raise DumpError(f"{remote} would become {local}, outside of the release: begin it with self.new_data_folder")
    if path.name.startswith(MANIFEST):
        raise DumpError(f"{remote} would become {local}, a name that the hub keeps for itself")
    return path.relative_to(root.resolve()).as_posix()


def _kept(work: Work, dumper: BaseDumper, refused: Mapping[str, str]) -> dict[str, RemoteFile | None]:
    """What is taken over: what the dumper was asked about and refused; and if the release has the name of the last one,
    all else that stands in it, as in a folder that is filled anew.
    """
    current = work.current
    if current is None:
        return {}
    kept = {dumper.name_of(local): dumper._described.get(remote) for local, remote in refused.items()}
    if dumper.release and dumper.surroundings and dumper.surroundings.show_current:
        folder = Path(dumper.new_data_folder)
        shown = hide_release(current, folder) if folder.name == current.name else []
        if not dumper.COMPLETE_LIST:
            kept = {**dict.fromkeys(shown), **kept}
    return {name: remote for name, remote in kept.items() if (current / name).is_file()}
