"""One run of a dump: look, download what changed, complete, publish."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.executors import CancelledWork
from hubkernel.jobs.context import current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump import assembling, listing
from hubkernel.pipeline.dump.assembling import Draft
from hubkernel.pipeline.dump.downloading import Fetched, fetch
from hubkernel.pipeline.dump.dumpers.base import Surroundings
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.fetch import Policy, shown
from hubkernel.pipeline.dump.models import Release, ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.progress import Tally
from hubkernel.pipeline.dump.staging import INCOMING, folder_name
from hubkernel.pipeline.dump.state import SourceState
from hubkernel.pipeline.dump.work import Item, Listing, Work
from hubkernel.pipeline.plugins.specs import DumperSpec
from hubkernel.pipeline.surroundings import Surroundings as HubSurroundings

NOTHING = "Nothing to dump"


@dataclass(frozen=True)
class Settings:
    """What all dumps of a hub share."""

    policy: Policy
    slots: asyncio.Semaphore
    """Files that may be downloaded at once."""
    auto_upload: bool
    """Whether a new release is marked for upload."""


@dataclass(frozen=True)
class Asked:
    """What a dump was asked for."""

    force: bool = False
    post_only: bool = False
    kwargs: Mapping[str, Any] | None = None
    """For ``create_todump_list``."""
    overrides: Mapping[str, Any] | None = None
    """Attributes of the dumper that were set for this source."""


async def pause(seconds: float) -> None:
    """Wait before a download."""
    if seconds > 0:
        await asyncio.sleep(seconds)


class DumpRun:
    """One run for one source."""

    def __init__(
        self, context: PipelineContext, settings: Settings, source: tuple[DumperSpec, Path], tally: Tally, asked: Asked
    ) -> None:
        """``source`` is what is known of the dumper, and the folder of its plugin."""
        self.settings = settings
        spec, folder = source
        self.spec = spec
        self.tally = tally
        self.asked = asked
        self.state = SourceState(context, spec.source)
        self.archive = context.archive / spec.folder
        self.job = current()
        self.started = datetime.now(UTC)
        self.last = self.state.last_good()
        self.where: Any = "process" if spec.target else "thread"
        self.work = self._work(context, folder)
        self.stopped = False

    def _work(self, context: PipelineContext, folder: Path) -> Work:
        surroundings = Surroundings(
            staging=str(self.archive / INCOMING),
            current_folder=self.last[1] if self.last else None,
            src_doc=self.state.load(),
            log_folder=str(context.logs),
            policy=self.settings.policy,
            settings=dict(self.asked.overrides or {}),
            root=str(self.archive),
        )
        return Work(str(folder), self.spec, surroundings, HubSurroundings.of(context))

    async def run(self, check_only: bool) -> str:
        if check_only:
            return await self._check()
        try:
            return await (self._post() if self.asked.post_only else self._run())
        except (CancelledWork, asyncio.CancelledError):
            self.state.fail(DumpError("cancelled; the next dump goes on where it was"), self.started, status="canceled")
            raise
        except Exception as error:
            self.state.log(f"failed: {error}")
            self.state.fail(error, self.started)
            raise

    async def _check(self) -> str:
        found = await self._list(listing.check, self.work.staging.with_name(f"{INCOMING}-check"))
        if self._nothing_new(found):
            return NOTHING
        label = found.release or found.folder
        return f"{label} (and a hash of the content)" if found.by_content else label

    async def _run(self) -> str:
        found = await self._list(listing.list_files, self.work.staging)
        if self._nothing_new(found):
            self._log("nothing new")
            if self.work.staging.exists():
                await self._step(assembling.discard, str(self.work.staging), description="clean up")
            return NOTHING
        self._log(f"new release {found.release or found.folder}" + (" and a hash" if found.by_content else ""))
        before = self.state.begin(self.started)
        fetched = await self._download_all(found)
        draft = self._draft(found, fetched)
        if self.last and not self.asked.force and not found.always and self._same_as_last(draft.release):
            return await self._keep_last(draft.release, before)
        return await self._publish(found, draft)

    async def _list(self, function: Any, staging: Path) -> Listing:
        theirs = self.spec.target or (self.spec.section and self.spec.section.release)
        show = replace(self.work.surroundings, staging=str(staging), show_current=not self.asked.force)
        found: Listing = await self.job.run(
            function,
            replace(self.work, surroundings=show),
            self.asked.force or self.state.unfinished(),
            dict(self.asked.kwargs or {}),
            where="process" if theirs else "thread",
            description="look for a new release",
        )
        return found

    def _known(self) -> dict[str, ReleaseFile]:
        return {file.name: file for file in self.last[0].files} if self.last else {}

    def _nothing_new(self, found: Listing) -> bool:
        if found.items or found.always:
            return False
        if not self.last:
            return True
        if self.asked.force or not self.state.succeeded() or self.last[0].uncompress != found.uncompress:
            return False
        return not found.complete or found.kept.keys() == self._known().keys()

    async def _download_all(self, found: Listing) -> list[Fetched]:
        if self.asked.force:
            await self._step(assembling.discard, str(self.work.staging / ".earlier"), description="clean up")
        self.tally.expect(found.items)
        slots, turn = asyncio.Semaphore(found.max_parallel or len(found.items) or 1), asyncio.Lock()
        downloads = [self._download(found, item, slots, turn) for item in found.items]
        return await _all_or_first_error(downloads)

    async def _download(self, found: Listing, item: Item, slots: asyncio.Semaphore, turn: asyncio.Lock) -> Fetched:
        async with slots, self.settings.slots:
            async with turn:
                await pause(found.pause)
            if self.stopped:
                raise asyncio.CancelledError
            try:
                fetched: Fetched = await self.job.run(
                    fetch,
                    self.work,
                    found.state,
                    item,
                    not (self.asked.force or item.better),
                    where=self.where,
                    description=f"download {item.name}",
                    on_progress=self.tally.of(item),
                )
            except BaseException:
                self.stopped = True  # whoever waits for this slot has it before the error is known elsewhere
                raise
            self.tally.finish(item, sum(file.size for file in fetched.files))
            return fetched

    def _draft(self, found: Listing, fetched: Sequence[Fetched]) -> Draft:
        """The release as the downloads make it, before anything is done to them."""
        kept = self._kept(found, fetched)
        fresh = [file for one in fetched for file in one.files]
        _refuse_twice(fresh)
        names = {file.name for file in fresh}
        known = self._known()
        taken = [self._taken_over(known[name], says, found) for name, says in kept.items() if name in known]
        release = Release(
            source=self.spec.source,
            release=found.release or found.folder,
            created=self.started,
            uncompress=found.uncompress,
            files=[*fresh, *(file for file in taken if file.name not in names)],
            skipped=[
                shown(i.remote) for i, one in zip(found.items, fetched, strict=True) if not (one.files or one.kept)
            ],
        )
        if not release.files and not kept and not found.always:
            raise DumpError(
                f"{self.spec.source}: nothing was downloaded: {', '.join(release.skipped[:5]) or 'no file'}"
            )
        if found.by_content:
            self._log("the server gives neither a date nor an ETag: the release is named by the date and a hash")
            release.release = f"{release.release}-{release.digest()[:8]}"
        changed = [name for one in fetched for name in one.changed]
        to_delete = [name for one in fetched for name in one.to_delete]
        return Draft(release, found.state, [name for name in kept if name not in names], changed, to_delete)

    def _kept(self, found: Listing, fetched: Sequence[Fetched]) -> dict[str, RemoteFile | None]:
        kept = dict(found.kept)
        if not found.items and not found.complete:  # it is only to be unpacked now
            kept = {**dict.fromkeys(self._known()), **kept}
        kept.update({item.name: one.kept for item, one in zip(found.items, fetched, strict=True) if one.kept})
        return kept

    def _taken_over(self, file: ReleaseFile, says: RemoteFile | None, found: Listing) -> ReleaseFile:
        unpacked = found.uncompress and self.last is not None and self.last[0].uncompress and file.whole
        now = {"url": says.url, "etag": says.etag, "modified": says.modified} if says else {}
        return file.model_copy(update={**now, "members": list(file.members) if unpacked else [], "whole": True})

    def _same_as_last(self, release: Release) -> bool:
        last = self.last[0] if self.last else None
        return last is not None and (last.contents(), last.uncompress) == (release.contents(), release.uncompress)

    async def _keep_last(self, release: Release, before: dict[str, Any]) -> str:
        """The content is that of the last good release: learn its new dates, change nothing else."""
        last, folder = self.last or (release, "")
        await self._step(assembling.refresh, last, release.files, folder, description="note the new dates")
        await self._step(assembling.discard, str(self.work.staging), description="clean up")
        if before.get("status") == "success":
            self.state.restore(before)
            self._log("the files have new dates but the same content")
            return NOTHING
        self.state.succeed(last, folder, self.started, pending=False)
        self._log(f"release {last.release} is still the newest")
        return last.release

    async def _post(self) -> str:
        """``post_dump`` once more, on copies of the last good release: what it changes is a release of its own."""
        if not self.last:
            raise DumpError(f"{self.spec.source} has no release yet: dump it first")
        self.state.begin(self.started)
        release, folder = self.last
        found = await self.job.run(
            assembling.again, self.work, release, where=self.where, description="post_dump: begin with the last release"
        )
        names = [*(file.name for file in release.files), *(file.name for file in release.made)]
        unpack = found.uncompress and not release.uncompress
        draft = Draft(release.model_copy(deep=True), found.state, names, unpack=unpack)
        draft.release.uncompress = found.uncompress
        draft.release.created = self.started
        return await self._publish(replace(found, folder=Path(folder).name, keep_label=True), draft)

    async def _publish(self, found: Listing, draft: Draft) -> str:
        release = await self.job.run(
            assembling.complete, self.work, draft, where=self.where, description="complete the release"
        )
        draft = replace(draft, release=release)
        name = found.folder if found.named_by_date or self.asked.post_only else folder_name(release.release)
        staged, place = str(self.work.staging / found.folder), str(self.archive / name)
        new_label = not self.last or self.last[0].release != release.release
        keep = found.keep_label or (found.named_by_date and new_label)
        folder, release = await self._step(
            assembling.publish, release, staged, place, keep_label=keep, description="publish the release"
        )
        pending = self.settings.auto_upload and found.auto_upload
        self.state.succeed(release, folder, self.started, pending=pending)
        self._log(f"release {release.release} is in {folder}")
        if release.skipped:
            self._log(f"left out, for the server refused them: {', '.join(release.skipped)}")
        await self._afterwards(found, draft, folder)
        label: str = release.release
        return label

    async def _afterwards(self, found: Listing, draft: Draft, folder: str) -> None:
        if self.spec.target:
            await self.job.run(assembling.after, self.work, draft, description="tidy up")
        if not found.archive:
            keep = [folder, *self.state.being_uploaded()]
            gone = await self._step(assembling.prune, str(self.archive), keep, description="remove earlier releases")
            if gone:
                self._log(f"removed {', '.join(gone)}: only the newest release is kept")

    async def _step(self, function: Any, *args: Any, description: str, **kwargs: Any) -> Any:
        return await self.job.run(function, *args, where="thread", description=description, **kwargs)

    def _log(self, message: str) -> None:
        self.job.log(f"{self.spec.source}: {message}")
        self.state.log(message)


def _refuse_twice(files: Sequence[ReleaseFile]) -> None:
    urls: dict[str, str] = {}
    for file in files:
        if file.name in urls:
            raise DumpError(f"{shown(urls[file.name])} and {shown(file.url)} both became {file.name}")
        urls[file.name] = file.url


async def _all_or_first_error(downloads: Sequence[Coroutine[Any, Any, Fetched]]) -> list[Fetched]:
    """Results in order; the first error ends the others first and is then raised."""
    tasks = [asyncio.ensure_future(download) for download in downloads]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
