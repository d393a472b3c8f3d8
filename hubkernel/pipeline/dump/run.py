"""One run of a dump: look, download what changed, assemble, publish."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from hubkernel.executors import CancelledWork
from hubkernel.executors.base import OnProgress
from hubkernel.jobs.context import JobContext, current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump import steps
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.fetch import Policy
from hubkernel.pipeline.dump.models import Release, ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.state import SourceState
from hubkernel.pipeline.plugins import Plugin

NOTHING = "Nothing to dump"


@dataclass(frozen=True)
class Settings:
    """What all dumps of a hub share."""

    policy: Policy
    slots: asyncio.Semaphore
    """Files that may be downloaded at once."""
    auto_upload: bool
    """Whether a new release is marked for upload."""


@dataclass
class Tally:
    """The bytes of several downloads as one progress of the job."""

    job: JobContext = field(default_factory=current)
    done: dict[str, float] = field(default_factory=dict)
    total: dict[str, float] = field(default_factory=dict)

    def expect(self, files: Sequence[RemoteFile]) -> None:
        self.total.update({file.url: file.size or 0 for file in files})

    def of(self, url: str) -> OnProgress:
        """The callback for the download of one url; called on the hub loop."""

        def report(done: float, total: float | None, message: str) -> None:
            self.done[url] = done
            self.total[url] = max(total or 0, done, self.total.get(url, 0))
            self.job.progress(sum(self.done.values()), sum(self.total.values()), message)

        return report


class DumpRun:
    """One run for one source."""

    def __init__(self, context: PipelineContext, settings: Settings, plugin: Plugin, tally: Tally, force: bool) -> None:
        self.settings = settings
        self.plugin = plugin
        self.tally = tally
        self.force = force
        self.dumper = plugin.manifest.dumper
        self.state = SourceState(context, plugin.name)
        self.archive = context.archive / plugin.name
        self.incoming = self.archive / ".incoming"
        self.job = current()
        self.started = datetime.now(UTC)
        self.last = self.state.last_good()

    async def run(self, check_only: bool) -> str:
        if check_only:
            return await self._check()
        try:
            return await self._run()
        except (CancelledWork, asyncio.CancelledError):
            self.state.fail(DumpError("cancelled; the next dump goes on where it was"), self.started, status="canceled")
            raise
        except Exception as error:
            self.state.log(f"failed: {error}")
            self.state.fail(error, self.started)
            raise

    async def _check(self) -> str:
        files = await self._look()
        if self._nothing_new(files):
            return NOTHING
        return await self._label(files) or f"{self.started:%Y-%m-%d} (and a hash of the content)"

    async def _run(self) -> str:
        files = await self._look()
        if self._nothing_new(files):
            self._log("nothing new")
            return NOTHING
        label = await self._label(files)
        self._log(f"new release {label or '(labelled by its content)'}")
        before = self.state.begin(self.started)
        fresh = await self._download_all(files)
        release = self._describe(files, fresh, label)
        if self.last and not self.force and self._same_as_last(release):
            return await self._keep_last(release, before)
        return await self._publish(release, sorted(fresh))

    async def _look(self) -> list[RemoteFile]:
        urls = self.dumper.data_url
        look = self.job.run(
            steps.look, urls, self.settings.policy, where="thread", description="look for a new release"
        )
        files: list[RemoteFile] = await look
        return files

    def _known(self) -> dict[str, ReleaseFile]:
        return {file.name: file for file in self.last[0].files} if self.last else {}

    def _unchanged(self, files: Sequence[RemoteFile]) -> dict[str, ReleaseFile]:
        """What the last good release already has, by name."""
        known = {} if self.force else self._known()
        return {
            file.name: known[file.name]
            for file in files
            if file.name in known and file.unchanged_since(known[file.name])
        }

    def _nothing_new(self, files: Sequence[RemoteFile]) -> bool:
        if self.force or not self.last or not self.state.succeeded():
            return False
        names = {file.name for file in files}
        same_files = names == self._known().keys() == self._unchanged(files).keys()
        return same_files and self.last[0].uncompress == self.dumper.uncompress

    async def _label(self, files: list[RemoteFile]) -> str | None:
        urls = self.dumper.data_url
        if not self.dumper.release:
            return steps.default_label(files, urls)
        described = f"release function {self.dumper.release}"
        folder = str(self.plugin.folder)
        label: str = await self.job.run(steps.label, folder, self.dumper.release, urls, description=described)
        return label

    async def _download_all(self, files: Sequence[RemoteFile]) -> dict[str, ReleaseFile]:
        if self.force:
            await self._step(steps.discard, str(self.incoming), description="clean up")
        unchanged = self._unchanged(files)
        wanted = [file for file in files if file.name not in unchanged]
        self.tally.expect(wanted)
        downloads = [self._download(file) for file in wanted]
        return {file.name: file for file in await _all_or_first_error(downloads)}

    async def _download(self, remote: RemoteFile) -> ReleaseFile:
        async with self.settings.slots:
            file: ReleaseFile = await self.job.run(
                steps.fetch,
                remote,
                str(self.incoming),
                self.settings.policy,
                where="thread",
                description=f"download {remote.name}",
                on_progress=self.tally.of(remote.url),
            )
            return file

    def _describe(self, files: Sequence[RemoteFile], fresh: dict[str, ReleaseFile], label: str | None) -> Release:
        available = {**self._unchanged(files), **fresh}
        release = Release(
            source=self.plugin.name,
            release=label or "",
            created=self.started,
            uncompress=self.dumper.uncompress,
            files=[available[file.name] for file in files],
        )
        if not label:
            self._log("the server gives neither a date nor an ETag: the release is labelled by today's date and a hash")
            release.release = steps.fallback_label(release)
        return release

    def _same_as_last(self, release: Release) -> bool:
        last = self.last[0] if self.last else None
        return last is not None and (last.contents(), last.uncompress) == (release.contents(), release.uncompress)

    async def _keep_last(self, release: Release, before: dict[str, Any]) -> str:
        """The content is that of the last good release: learn its new dates, change nothing else."""
        last, folder = self.last or (release, "")
        await self._step(steps.refresh, last, release.files, folder, description="note the new dates")
        await self._step(steps.discard, str(self.incoming), description="clean up")
        if before.get("status") == "success":
            self.state.restore(before)
            self._log("the files have new dates but the same content")
            return NOTHING
        self.state.succeed(last, folder, self.started, pending=False)
        self._log(f"release {last.release} is still the newest")
        return last.release

    async def _publish(self, release: Release, fresh: list[str]) -> str:
        incoming, previous = str(self.incoming), self.last[1] if self.last else None
        release = await self._step(steps.assemble, release, fresh, incoming, previous, description="assemble release")
        published = await self._step(steps.publish, release, incoming, str(self.archive), description="publish release")
        folder, release = published
        self.state.succeed(release, folder, self.started, pending=self.settings.auto_upload)
        self._log(f"release {release.release} is in {folder}")
        return release.release

    async def _step(self, function: Any, *args: Any, description: str) -> Any:
        return await self.job.run(function, *args, where="thread", description=description)

    def _log(self, message: str) -> None:
        self.job.log(f"{self.plugin.name}: {message}")
        self.state.log(message)


async def _all_or_first_error(downloads: Sequence[Coroutine[Any, Any, ReleaseFile]]) -> list[ReleaseFile]:
    """Results in order; the first error ends the others first and is then raised."""
    tasks = [asyncio.ensure_future(download) for download in downloads]
    try:
        return await asyncio.gather(*tasks)
    except BaseException:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        raise
