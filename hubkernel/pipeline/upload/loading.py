"""The data step of an upload: parse in workers, settle duplicates, put the new collection in the old one's place."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from hubkernel.executors import CancelledWork, WorkerDied
from hubkernel.jobs.context import JobContext
from hubkernel.pipeline.common import all_or_first_error
from hubkernel.pipeline.upload import steps
from hubkernel.pipeline.upload.archives import drop_unchecked, unchecked_name
from hubkernel.pipeline.upload.errors import EmptyUploadError
from hubkernel.pipeline.upload.intake import PartReport, totals
from hubkernel.pipeline.upload.models import Described, Parse
from hubkernel.pipeline.upload.options import Options
from hubkernel.pipeline.upload.origin import Origin
from hubkernel.pipeline.upload.progress import Tally
from hubkernel.pipeline.upload.resuming import Progress
from hubkernel.store import CollectionWriter, DocumentStore, WriteReport

MAX_PARTS = 64
"""Parts of one collection at most; more parallel calls than that share parts, in their order."""


@dataclass
class Loading:
    """One new version of a collection in the making. A context: who leaves it with an error leaves nothing behind."""

    store: DocumentStore
    origin: Origin
    described: Described
    tally: Tally
    job: JobContext
    options: Options
    progress: Progress
    """What of it is kept if it is interrupted."""
    made_of: str | None = None
    parts: list[PartReport] = field(default_factory=list)
    held: str | None = None
    """Name of the collection while its documents are checked."""
    _writer: CollectionWriter | None = None

    @property
    def collection(self) -> str:
        return self.origin.spec.name

    @property
    def validates(self) -> bool:
        """The documents are to be checked before they are put in place."""
        return self.options.validate or self.described.validates

    @property
    def writer(self) -> CollectionWriter:
        assert self._writer is not None
        return self._writer

    async def __aenter__(self) -> Loading:
        # A writer with a base can only replace that; what is held or a preview has another name at first.
        if self.options.limit is not None:
            self._writer = await asyncio.to_thread(self.store.writer)
            return self
        base = None if self.validates else self.collection
        made_of = self.made_of if base is not None and self.described.rules.stores else None
        calls = min(len(self.described.calls or ()), MAX_PARTS)
        self._writer = await asyncio.to_thread(self.progress.open, made_of, calls, base)
        return self

    async def __aexit__(self, kind: object, error: object, trace: object) -> None:
        if self.options.limit is not None:
            await asyncio.shield(asyncio.to_thread(self.writer.abort))  # which does nothing once it is committed
            return
        if kind is None:
            self.progress.end()
            return
        interrupted = isinstance(error, CancelledWork | WorkerDied | asyncio.CancelledError)
        await asyncio.shield(asyncio.to_thread(self._undo, interrupted))

    def _undo(self, interrupted: bool) -> None:
        if interrupted:
            self.progress.interrupted(self.writer)
        else:
            self.writer.abort()
            self.progress.end()
        if self.held is not None:
            drop_unchecked(self.store, self.collection)

    async def parse(self) -> None:
        """Raises :class:`EmptyUploadError` if nothing is to be stored, and what workers raise."""
        shares = share(self._calls(), 1 if self.options.limit else MAX_PARTS)
        works = [self._part(number, tuple(some)) for number, some in enumerate(shares)]
        self.tally.begin(self.collection, len(works))
        if self.progress.done:
            self.job.log(
                f"{self.collection}: {len(self.progress.done)} of {len(works)} parts were parsed before the last upload"
                " was interrupted: going on with the others"
            )
        at_once = asyncio.Semaphore(self.described.max_parallel or len(works))
        self.parts = await all_or_first_error([self._parse_part(work, len(works) == 1, at_once) for work in works])
        self._refuse_empty()

    def _calls(self) -> Sequence[tuple[Any, ...]]:
        calls = self.described.calls
        if calls is not None and not calls:
            section = self.origin.spec.section
            who = section.parallelizer if section and section.parallelizer else f"{self.origin.target}.jobs"
            raise EmptyUploadError(f"{self.collection}: {who} returned nothing to parse.")
        return [(self.origin.data_folder,)] if calls is None else calls

    def _part(self, number: int, calls: tuple[tuple[Any, ...], ...]) -> Parse:
        return Parse(
            store_url=self.origin.surroundings.store_url,
            token=self.writer.token,
            part=number,
            origin=self.origin,
            calls=calls,
            parallel=self.described.calls is not None,
            limit=self.options.limit,
            batch_size=self.options.batch_size,
        )

    async def _parse_part(self, work: Parse, alone: bool, at_once: asyncio.Semaphore) -> PartReport:
        on_progress = self.tally.of(self.collection, work.part)
        if (known := self.progress.done.get(work.part)) is not None:
            self.tally.finish(self.collection, work.part, known.received)
            return known
        description = f"{self.collection}: parse" + ("" if alone else f", part {work.part + 1}")
        async with at_once:
            report: PartReport = await self.job.run(steps.parse, work, description=description, on_progress=on_progress)
        self.tally.finish(self.collection, work.part, report.received)
        self.progress.finished(work.part, report)
        return report

    def _refuse_empty(self) -> None:
        all = totals(self.parts)
        where = f"({self.origin.file}, {self.origin.data_folder})"
        if not all["received"]:
            raise EmptyUploadError(f"{self.collection}: the parser produced no documents {where}.")
        if all["received"] == all["rejected"] + all["too_large"]:
            why = f"check_doc_func left out {all['rejected']:,}, {all['too_large']:,} were too large"
            raise EmptyUploadError(f"{self.collection}: none of the parser's documents is to be stored: {why} {where}.")

    async def seal(self) -> WriteReport:
        # The writer belongs to this process; and what sealing does is done by the store, outside of Python.
        report: WriteReport = await self._in_thread(
            steps.seal,
            self.writer,
            self.origin,
            self.described.rules,
            [part.marks for part in self.parts],
            description=f"{self.collection}: sort",
        )
        return report

    async def hold(self) -> str:
        """Put the sealed collection aside, to be read before it is put in place; returns its name."""
        self.held = unchecked_name(self.collection)
        await asyncio.to_thread(self.writer.commit, self.held)
        return self.held

    async def place(self, prepare: Callable[[], None], keep: int, prune: bool) -> None:
        """The new collection takes the place of the old, which becomes an archive if any are to be kept."""
        work = steps.Place(self.collection, self.held, keep, prune)
        description = f"{self.collection}: swap"
        await self._in_thread(steps.place, self.store, self.writer, work, prepare, description=description)

    async def _in_thread(self, function: Callable[..., Any], *args: Any, description: str) -> Any:
        on_progress = self.tally.sorting(self.collection)
        return await self.job.run(function, *args, where="thread", description=description, on_progress=on_progress)


def share(calls: Sequence[tuple[Any, ...]], parts: int) -> list[Sequence[tuple[Any, ...]]]:
    """At most ``parts`` runs of neighbours of about one length."""
    count = min(len(calls), parts)
    bounds = [len(calls) * number // count for number in range(count + 1)]
    return [calls[start:stop] for start, stop in pairwise(bounds)]
