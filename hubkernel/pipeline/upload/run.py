"""One upload of one collection: parse in workers, settle duplicates, swap, remember."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

from hubkernel.executors import CancelledWork, WorkerDied
from hubkernel.jobs.context import current
from hubkernel.pipeline.common import all_or_first_error
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import Plugin
from hubkernel.pipeline.upload import steps
from hubkernel.pipeline.upload.errors import EmptyUploadError, NotReadyError, UploadError
from hubkernel.pipeline.upload.models import Describe, Finish, Parse, Status, UploaderView, UploadJob, parser_file
from hubkernel.pipeline.upload.progress import Tally
from hubkernel.pipeline.upload.state import UploadState, check_metadata, release_of
from hubkernel.store import CollectionWriter, StoreError, WriteReport

logger = logging.getLogger(__name__)

MAX_PARTS = 64
"""Parts of one collection at most; more parallel calls than that share parts, in their order."""
Steps = frozenset[str]


class UploadRun:
    """One run for one collection."""

    def __init__(
        self, context: PipelineContext, plugin: Plugin, collection: str, tally: Tally, keep_archive: int
    ) -> None:
        self.context = context
        self.plugin = plugin
        self.collection = collection
        self.section = plugin.uploader(collection)
        self.tally = tally
        self.keep_archive = keep_archive
        self.job = current()
        self.state = UploadState(context.state, plugin.name, collection)
        self.parser_file = parser_file(plugin.folder, self.section.parser)
        self.tally.expect(collection, self.state.last_count())

    async def run(self, chosen: Steps, force: bool) -> dict[str, Any]:
        """Returns ``{"count", "received", "duplicates", "added", "changed", "removed", "unchanged", "release"}``."""
        release, folder = self._ready(force)
        check_metadata(self.plugin.metadata, str(self.plugin.manifest_file))
        if "data" not in chosen:
            return await self._refresh(chosen, release, folder)
        record = self.state.begin(release, folder, self.job.id)
        try:
            report = await self._load(record, chosen)
            self.state.succeed(record)
        except (CancelledWork, asyncio.CancelledError):
            self._end(record, "canceled", "cancelled")
            raise
        except UploadError as error:
            raise self._failed(record, error) from error.__cause__
        except (StoreError, WorkerDied) as error:
            raise self._failed(record, UploadError(f"{self.collection}: {error}.")) from error
        except Exception as error:
            logger.exception("upload of %s", self.collection)
            self._end(record, "failed", f"{type(error).__name__}: {error}")
            raise
        self._log(
            f"{report.documents:,} documents of release {release} ({report.bytes / 1e6:.1f} MB): {differences(report)}"
        )
        numbers = {"count": report.documents, "received": report.received, "duplicates": report.duplicates}
        return {**numbers, **report.differences, "release": release}

    def _ready(self, force: bool) -> tuple[str | None, str]:
        release, folder = release_of(self.context.state, self.plugin.name, force=force)
        if not Path(folder).is_dir():
            hint = f"run dump({self.plugin.name!r}, force=True)"
            raise NotReadyError(f"the data folder of {self.plugin.name} is gone ({folder}): {hint}")
        return release, folder

    async def _refresh(self, chosen: Steps, release: str | None, folder: str) -> dict[str, Any]:
        """Everything but the data."""
        if "master" in chosen:
            await self.refresh_master()
        if "clean" in chosen:
            await asyncio.to_thread(steps.prune_archives, self.context.store, self.collection, self.keep_archive)
        return {"count": self.state.load().get("count"), "release": release}

    async def refresh_master(self, dry: bool = False) -> dict[str, Any] | None:
        """Returns what changes: ``{"kclass", "current", "new"}``, or None."""
        check_metadata(self.plugin.metadata, str(self.plugin.manifest_file))
        last = self.state.load()
        mapping, _ = await self._describe(last.get("release"), last.get("data_folder") or "", calls=False)
        current = self.state.master()
        new = self.state.new_master(self.plugin.metadata, mapping)
        if not dry:
            self.state.save_master(new)
        before, after = ({**document, "timestamp": None} for document in (current, new))
        return None if before == after else {"kclass": self.collection, "current": current, "new": new}

    async def _load(self, record: UploadJob, chosen: Steps) -> WriteReport:
        folder = record.data_folder or ""
        mapping, calls = await self._describe(record.release, folder)
        if calls is not None and not calls:
            raise EmptyUploadError(f"{self.collection}: {self.section.parallelizer} returned nothing to parse.")
        writer = await asyncio.to_thread(self.context.store.writer, self.collection)
        try:
            await self._parse(writer, [(folder,)] if calls is None else calls, folder, calls is not None)
            master = self.state.new_master(self.plugin.metadata, mapping) if "master" in chosen else None
            return await self._finish(writer, lambda report: self.state.prepare(record, report, master))
        except BaseException:
            await asyncio.shield(asyncio.to_thread(writer.abort))
            raise

    async def _describe(
        self, release: str | None, folder: str, *, calls: bool = True
    ) -> tuple[dict[str, Any] | None, list[tuple[Any, ...]] | None]:
        parallelizer = self.section.parallelizer if calls else None
        if not self.section.mapping and not parallelizer:
            return None, None
        view = UploaderView(self.collection, self.plugin.name, folder, release, dict(self.plugin.metadata))
        work = Describe(str(self.plugin.folder), view, self.section.mapping, parallelizer)
        answer: tuple[dict[str, Any] | None, list[tuple[Any, ...]] | None] = await self.job.run(
            steps.describe, work, description=f"{self.collection}: ask the plugin", on_progress=_ignore
        )
        return answer

    async def _parse(
        self, writer: CollectionWriter, calls: Sequence[tuple[Any, ...]], folder: str, parallel: bool
    ) -> None:
        shares = share(calls, MAX_PARTS)
        works = [
            Parse(
                store_url=self.context.store_url,
                token=writer.token,
                part=number,
                collection=self.collection,
                plugin_folder=str(self.plugin.folder),
                parser=self.section.parser,
                calls=tuple(some),
                kwargs=dict(self.section.parser_kwargs),
                data_folder=folder,
                parallel=parallel,
            )
            for number, some in enumerate(shares)
        ]
        self.tally.begin(self.collection, len(works))
        counts = await all_or_first_error([self._parse_part(work, len(works) == 1) for work in works])
        if not sum(counts):
            raise EmptyUploadError(
                f"{self.collection}: the parser produced no documents ({self.parser_file}, {folder})."
            )

    async def _parse_part(self, work: Parse, alone: bool) -> int:
        report = self.tally.of(self.collection, work.part)
        description = f"{self.collection}: parse" + ("" if alone else f", part {work.part + 1}")
        count: int = await self.job.run(steps.parse, work, description=description, on_progress=report)
        self.tally.finish(self.collection, work.part, count)
        return count

    async def _finish(self, writer: CollectionWriter, prepare: Callable[[WriteReport], None]) -> WriteReport:
        work = Finish(
            collection=self.collection,
            on_duplicates=self.section.duplicates,
            keep_archive=self.keep_archive,
            parser=self.parser_file,
        )
        # The writer belongs to this process; and what sealing does is done by the store, outside of Python.
        description = f"{self.collection}: sort and swap"
        report: WriteReport = await self.job.run(
            steps.finish,
            self.context.store,
            writer,
            work,
            prepare,
            where="thread",
            description=description,
            on_progress=self.tally.sorting(self.collection),
        )
        return report

    def _failed(self, record: UploadJob, error: UploadError) -> UploadError:
        kept = record.current
        old = f"The old data is kept ({kept.count:,} documents of release {kept.release})." if kept else ""
        swapped = self._swapped(record)
        if swapped is None:
            error.add("Whether the new data is in place is not known; the hub looks at its next start.")
        else:
            error.add("The new data is in place." if swapped else old or "Nothing was stored.")
        self._end(record, "failed", str(error), error.details)
        return error

    def _end(self, record: UploadJob, status: Status, error: str, trace: str = "") -> None:
        """After an error: one that came behind the swap does not undo it."""
        swapped = self._swapped(record)
        if swapped:
            self.state.succeed(record)
            return
        if swapped is not None:
            record.prepared = None
        self.state.fail(record, status, error, trace)

    def _swapped(self, record: UploadJob) -> bool | None:
        """None while the store does not tell."""
        try:
            return self.state.in_place(record, self.context.store)
        except StoreError:
            return None

    def _log(self, text: str) -> None:
        logger.info("%s: %s", self.collection, text)
        self.job.log(f"{self.collection}: {text}")


def share(calls: Sequence[tuple[Any, ...]], parts: int) -> list[Sequence[tuple[Any, ...]]]:
    """At most ``parts`` runs of neighbours of about one length."""
    count = min(len(calls), parts)
    bounds = [len(calls) * number // count for number in range(count + 1)]
    return [calls[start:stop] for start, stop in pairwise(bounds)]


def differences(report: WriteReport) -> str:
    """In words: ``"3 added, 12 removed, 1,985 unchanged"``."""
    return ", ".join(f"{count:,} {what}" for what, count in report.differences.items() if count) or "no documents"


def _ignore(done: float, total: float | None, message: str) -> None:
    """Progress of a step too short to show."""
