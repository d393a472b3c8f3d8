"""One build of one recipe."""

from __future__ import annotations

import asyncio
import logging
import os
import re
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from hubkernel.executors.base import OnProgress
from hubkernel.jobs.context import JobContext, current
from hubkernel.pipeline.build import recipes, steps
from hubkernel.pipeline.build.errors import (
    BuildError,
    BuildExistsError,
    RecipeError,
    SourceChangedError,
    SourcesNotReadyError,
    unknown,
)
from hubkernel.pipeline.build.metadata import SourceInfo, build_meta, check_releases, merge_mappings, source_infos
from hubkernel.pipeline.build.models import MergeRange, MergeReport, Range, Recipe, Source, divide
from hubkernel.pipeline.build.state import Builds, BuildState
from hubkernel.pipeline.common import all_or_first_error, random_letters
from hubkernel.pipeline.context import PipelineContext
from hubkernel.store import CollectionWriter, StoreError, WriteReport
from hubkernel.store.base import Document

logger = logging.getLogger(__name__)

RANGE_SIZE = 20_000
"""Source documents in one range of ids, about; small enough that workers end together."""


class DataBuilder:
    """Merges all sources of a recipe in one pass, in as many workers as there are.

    The methods that answer a question about the build (:meth:`merge_plan`, :meth:`mapping`, :meth:`metadata`,
    :meth:`version`, :meth:`target`) are what other kinds of builds answer in their own way.
    """

    def __init__(self, context: PipelineContext, document: Document, recipe: Recipe) -> None:
        self.context = context
        self.document = document
        self.recipe = recipe
        self.builds = Builds(context.state)
        self.job: JobContext = current()
        self.started = datetime.now(UTC)
        self.warnings: list[str] = []
        self.total = 0
        """Source documents to read."""

    # What is built

    def chosen(self, sources: str | Sequence[str] | None) -> list[str]:
        """The sources to merge. Raises :class:`RecipeError` for one that the recipe does not have."""
        if sources is None:
            return self.recipe.sources
        names = [sources] if isinstance(sources, str) else list(sources)
        for name in names:
            if name not in self.recipe.sources:
                raise RecipeError(f"{self.recipe.name}: {unknown('source', name, self.recipe.sources)}")
        if not names:
            raise RecipeError(f"{self.recipe.name}: sources is empty; leave it out to merge all")
        return list(dict.fromkeys(names))

    def check_ready(self, infos: Iterable[SourceInfo], force: bool) -> None:
        """Raises :class:`SourcesNotReadyError` with all sources that have no complete upload.

        ``force`` takes what stands in the collections, whatever became of the last upload.
        """
        stored = set(self.context.store.names())
        faults = [fault for info in infos if (fault := _not_ready(info, stored, force))]
        if faults:
            hint = "" if force else " (force=True builds from what is there)"
            raise SourcesNotReadyError(f"{self.recipe.name} cannot be built: {'; '.join(faults)}{hint}")

    def merge_plan(self, chosen: Iterable[str], infos: dict[str, SourceInfo]) -> list[Source]:
        plan = recipes.plan(self.recipe, chosen, {name: info.master for name, info in infos.items()})
        if not any(source.root for source in plan):
            self._warn("none of the merged sources is a root: nothing can be created")
        return plan

    def mapping(self, infos: Iterable[SourceInfo]) -> dict[str, Any]:
        """Of all sources of the recipe. One without a mapping leaves its fields to the index."""
        found = list(infos)
        for info in found:
            if not info.master.get("mapping"):
                self._warn(f"source {info.collection} has no mapping: the index decides on the types of its fields")
        return merge_mappings(found)

    def metadata(self, infos: Sequence[SourceInfo], report: MergeReport, total: int, version: str) -> dict[str, Any]:
        written = dict(zip(report.sources, report.written, strict=True))
        return build_meta(self.recipe, infos, written, total=total, version=version, started=self.started)

    def version(self) -> str:
        """By the recipe's pattern; a number is added if a build of that version exists."""
        version = self.started.strftime(self.recipe.build_version)
        taken = self.builds.versions(self.recipe.name)
        numbered = (f"{version}_{number}" for number in range(2, len(taken) + 3))
        return version if version not in taken else next(name for name in numbered if name not in taken)

    def target(self, name: str | None, version: str) -> str:
        """The name of the build. Raises :class:`BuildExistsError` for a name that something else has."""
        if name is None:
            return f"{self.recipe.name}_{version}_{random_letters(8)}".lower()
        if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", name, re.ASCII):
            raise RecipeError(f"target_name: {name!r} is not a name: use letters, digits, '_', '-' and '.'")
        there = BuildState(self.context.state, name).load()
        of_this_recipe = there is not None and there.get("build_config", {}).get("name") == self.recipe.name
        if not of_this_recipe and (there is not None or name in self.context.store):
            raise BuildExistsError(f"{name!r} is not a build of {self.recipe.name}: choose another target_name")
        return name

    # Building it

    async def run(
        self, sources: str | Sequence[str] | None, target_name: str | None, *, force: bool, ids: Iterable[str] | None
    ) -> str:
        """Returns the name of the build."""
        chosen = self.chosen(sources)
        infos = await asyncio.to_thread(source_infos, self.context.state, self.recipe.sources)
        await asyncio.to_thread(self.check_ready, [infos[name] for name in chosen], force)
        merged = [infos[name] for name in chosen]
        check_releases(merged)
        plan = self.merge_plan(chosen, infos)
        mapping = self.mapping(merged)
        wanted = self._ids(ids)
        version = self.version()
        name = await asyncio.to_thread(self.target, target_name, version)
        writer = await asyncio.to_thread(self.context.store.writer)
        try:
            state = self._begin(name, version, chosen)
            with state.step("merge", [source.collection for source in plan], self.job.id):
                report = await self._merge(writer, plan, wanted)
            with state.step("finalizing", job=self.job.id):
                sealed = await self._seal(writer, merged)
            with state.step("metadata", job=self.job.id, in_place=lambda: self._settled(state)):
                meta = self.metadata(merged, report, sealed.documents, version)
                state.prepare(writer.token, self._values(report, mapping, meta))
                await self.job.run(steps.publish, writer, name, where="thread", description=f"{name}: publish")
                state.settle(self.context.store)
        except StoreError as error:
            raise BuildError(f"{self.recipe.name}: {error}") from error
        finally:
            await asyncio.shield(asyncio.to_thread(writer.abort))
        self._log(f"{name}: {sealed.documents:,} documents ({sealed.bytes / 1e6:.1f} MB)")
        return name

    def _ids(self, ids: Iterable[str] | None) -> frozenset[str] | None:
        wanted = self.recipe.ids if ids is None else ids
        if wanted is None:
            return None
        found = frozenset([wanted] if isinstance(wanted, str) else wanted)
        wrong = next((one for one in found if not isinstance(one, str)), None)
        if wrong is not None or not found:
            raise RecipeError(f"ids: {'it is empty' if not found else f'{wrong!r} is not a string'}")
        return found

    def _begin(self, name: str, version: str, chosen: list[str]) -> BuildState:
        state = BuildState(self.context.state, name)
        before = state.load() or {}
        started = {
            "target_name": name,
            "target_backend": self.context.store_url.split(":", 1)[0],
            "backend_url": name,
            "build_config": self.document,
            "build_version": version,
            "sources": self.recipe.sources,
            "merged_sources": chosen,
            "started_at": self.started,
            "jobs": before.get("jobs", []),
        }
        state.set(started)
        return state

    async def _merge(self, writer: CollectionWriter, plan: list[Source], ids: frozenset[str] | None) -> MergeReport:
        names = [source.collection for source in plan]
        total, ranges = await asyncio.to_thread(self._ranges, names)
        works = [
            MergeRange(self.context.store_url, writer.token, number, tuple(plan), start, stop, ids)
            for number, (start, stop) in enumerate(ranges)
        ]
        self.total = total
        tally = _Tally(self.job, total)
        report = MergeReport(names)
        for part in await all_or_first_error([self._merge_range(work, tally, len(works)) for work in works]):
            report.add(part)
        self._tell(report)
        return report

    def _ranges(self, names: Iterable[str]) -> tuple[int, list[Range]]:
        collections = [self.context.store[name] for name in names]
        counts = [collection.count() for collection in collections]
        total = sum(counts)
        parts = max(1, min(4 * (os.cpu_count() or 1), total // RANGE_SIZE))
        splits = [collection.split(2 * parts) for collection in collections] if parts > 1 else []
        return total, divide(zip(counts, splits, strict=False), parts)

    async def _merge_range(self, work: MergeRange, tally: _Tally, works: int) -> MergeReport:
        description = f"{self.recipe.name}: merge range {work.part + 1} of {works}"
        report: MergeReport = await self.job.run(
            steps.merge_range, work, description=description, on_progress=tally.of(work.part)
        )
        return report

    async def _seal(self, writer: CollectionWriter, infos: Sequence[SourceInfo]) -> WriteReport:
        # The writer belongs to this process; and what sealing does is done by the store, outside of Python.
        sealed: WriteReport = await self.job.run(
            steps.finish,
            writer,
            where="thread",
            description=f"{self.recipe.name}: seal",
            on_progress=lambda done, total, message: self.job.progress(self.total, self.total, message),
        )
        now = await asyncio.to_thread(source_infos, self.context.state, [info.collection for info in infos])
        changed = [info.collection for info in infos if now[info.collection].uploaded_at != info.uploaded_at]
        if changed:
            raise SourceChangedError(f"{', '.join(changed)} was uploaded anew during the build: build again")
        return sealed

    def _settled(self, state: BuildState) -> bool:
        try:
            return state.settle(self.context.store)
        except StoreError:
            return False  # what was prepared is still there: the next start asks again

    def _values(self, report: MergeReport, mapping: dict[str, Any], meta: dict[str, Any]) -> dict[str, Any]:
        values: dict[str, Any] = {
            "merge_stats": report.stats(),
            "merge_conflicts": report.conflicts(),
            "mapping": mapping,
            "_meta": meta,
            "warnings": self.warnings,
        }
        if self.recipe.autobuild is not None and self.recipe.autobuild.index_env:
            values["pending"] = ["index"]  # counts once the build's status is success
        return values

    def _tell(self, report: MergeReport) -> None:
        for name, numbers in report.stats().items():
            left_out = f", {numbers['orphans']:,} left out (no root has their id)" if numbers["orphans"] else ""
            self._log(f"{name}: {numbers['read']:,} read, {numbers['written']:,} merged{left_out}")

    def _warn(self, text: str) -> None:
        self.warnings.append(text)
        self._log(text)

    def _log(self, text: str) -> None:
        logger.info("%s: %s", self.recipe.name, text)
        self.job.log(text)


class _Tally:
    """Source documents read by all workers as one progress of the job."""

    def __init__(self, job: JobContext, total: int) -> None:
        self.job = job
        self.total = total
        self.done: dict[int, float] = {}

    def of(self, part: int) -> OnProgress:
        """The callback for one range; called on the hub loop."""

        def report(done: float, total: float | None, message: str) -> None:
            self.done[part] = done
            self.job.progress(sum(self.done.values()), self.total, "merging")

        return report


def _not_ready(info: SourceInfo, stored: set[str], force: bool) -> str | None:
    name, status = info.collection, info.upload.get("status")
    upload = f"upload({(info.main if info.main == name else f'{info.main}.{name}')!r})"
    if status is None and name not in stored:
        return f"{name} has not been uploaded: run {upload}"
    if name not in stored:
        return f"{name} has no documents (its upload is {status!r}): run {upload}"
    if not force and status != "success":
        return f"the last upload of {name} is {status or 'unknown'!r}: run {upload}"
    return None


def doc_line(cls: type) -> str:
    """The docstring of a class, on one line."""
    return " ".join((cls.__doc__ or "").split())
