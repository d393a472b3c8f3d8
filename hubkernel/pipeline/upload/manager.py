"""Uploads: from the files of a release to a collection of documents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable
from difflib import get_close_matches
from typing import Any

from hubkernel.jobs.context import current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import Plugin, PluginManager
from hubkernel.pipeline.upload.errors import NoSuchUploaderError, UploadBusyError, UploadError
from hubkernel.pipeline.upload.progress import Tally
from hubkernel.pipeline.upload.run import Steps, UploadRun

logger = logging.getLogger(__name__)

STEPS = ("data", "master", "post", "clean")
"""``data``: parse and swap. ``master``: mapping and metadata. ``post``: nothing for manifest plugins. ``clean``: drop
old archives."""


class UploadManager:
    """The uploads of a hub. Threading: commands run on the hub loop; parsers only ever in workers."""

    def __init__(self, context: PipelineContext, plugins: PluginManager, *, keep_archive: int = 3) -> None:
        """``keep_archive`` is how many earlier versions of a collection are kept."""
        if isinstance(keep_archive, bool) or not isinstance(keep_archive, int) or keep_archive < 0:
            raise ValueError(f"keep_archive is {keep_archive!r}: it takes a whole number from 0 on")
        self.context = context
        self.plugins = plugins
        self.keep_archive = keep_archive
        self._running: dict[str, int | None] = {}

    async def upload_src(
        self,
        src: str,
        validate: bool = False,
        *,
        steps: str | Iterable[str] = STEPS,
        force: bool = False,
    ) -> dict[str, dict[str, Any]]:
        """Upload a source: all its collections, or one as ``"source.collection"``.

        The old collection stays until the new one is complete, then it is kept as an archive. ``force`` takes the
        recorded data folder even if its dump did not succeed. Returns ``{collection: {"count", "received",
        "duplicates", "added", "changed", "removed", "unchanged", "release"}}``. The four tell what differs from what
        the collection held before; if nothing does it stays as it is, and nothing becomes an archive.
        """
        if validate:
            raise UploadError("documents cannot be validated yet: leave out validate=True")
        chosen = _steps(steps)
        plugin, collections = self.find(src)
        self._reserve(collections)
        try:
            tally = Tally()
            runs = [UploadRun(self.context, plugin, name, tally, self.keep_archive) for name in collections]
            results = await _each([run.run(chosen, force) for run in runs])
        finally:
            for name in collections:
                self._running.pop(name, None)
        return dict(zip(collections, results, strict=True))

    async def upload_all(
        self, raise_on_error: bool = False, *, steps: str | Iterable[str] = STEPS, force: bool = False
    ) -> dict[str, Any]:
        """Upload every source that has been dumped, one after the other.

        Returns ``{source: result or "error: ..."}``; with ``raise_on_error`` one error at the end names all failures.
        """
        results: dict[str, Any] = {}
        failed: list[str] = []
        for name in sorted(self.plugins.plugins):
            try:
                results[name] = await self.upload_src(name, steps=steps, force=force)
            except UploadError as error:
                results[name] = f"error: {error}"
                failed.append(str(error))
        if failed and raise_on_error:
            raise UploadError(f"{len(failed)} of {len(results)} sources failed:\n" + "\n".join(failed))
        return results

    async def update_source_meta(self, src: str, dry: bool = False) -> list[dict[str, Any]]:
        """Write what the plugin says of a source (its mapping and metadata) again, without its data.

        Returns ``[{"kclass", "current", "new"}]`` for each collection about which it says something else than is
        stored; ``dry`` only tells.
        """
        plugin, collections = self.find(src)
        runs = [UploadRun(self.context, plugin, name, Tally(), self.keep_archive) for name in collections]
        found = await _each([run.refresh_master(dry) for run in runs])
        return [change for change in found if change is not None]

    def upload_info(self) -> dict[str, list[str]]:
        """The collections of each source: ``{source: [collection, ...]}``."""
        return {name: list(plugin.uploaders) for name, plugin in sorted(self.plugins.plugins.items())}

    def running(self) -> dict[str, int | None]:
        """The collections that are being uploaded, and the jobs that do it."""
        return dict(self._running)

    def find(self, src: str) -> tuple[Plugin, list[str]]:
        """The plugin and the collections that ``"source"`` or ``"source.collection"`` means.

        Raises :class:`NoSuchUploaderError`, or the plugin manager's error if there is no such source.
        """
        main, _, sub = src.partition(".")
        plugin = self.plugins[main]
        if not sub:
            return plugin, list(plugin.uploaders)
        if sub in plugin.uploaders:
            return plugin, [sub]
        near = get_close_matches(sub, list(plugin.uploaders), n=1)
        hint = f"did you mean '{main}.{near[0]}'?" if near else f"it has {', '.join(plugin.uploaders)}"
        raise NoSuchUploaderError(f"{main} has no collection {sub!r}: {hint}")

    def _reserve(self, collections: list[str]) -> None:
        busy = [name for name in collections if name in self._running]
        if busy:
            job = self._running[busy[0]]
            by = f" by job {job}" if job is not None else ""
            raise UploadBusyError(f"{busy[0]} is being uploaded already{by}: wait for it, or cancel it")
        self._running.update(dict.fromkeys(collections, current().id))


def _steps(steps: str | Iterable[str]) -> Steps:
    names = steps.split(",") if isinstance(steps, str) else list(steps)
    chosen = frozenset(name.strip() for name in names)
    unknown = sorted(chosen - set(STEPS))
    if unknown or not chosen:
        raise UploadError(f"steps is {steps!r}: use some of {', '.join(STEPS)}")
    return chosen


async def _each(runs: list[Any]) -> list[Any]:
    """One failing collection does not stop the others of its source; the first error is raised in the end."""
    outcomes = await asyncio.gather(*runs, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for failure in failures[1:]:
        logger.error("%s", failure)
    if failures:
        raise failures[0]
    return outcomes
