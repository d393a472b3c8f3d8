"""Uploads: from the files of a release to a collection of documents."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from dataclasses import replace
from difflib import get_close_matches
from typing import Any

from hubkernel.jobs.context import current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import Plugin, PluginManager
from hubkernel.pipeline.upload.errors import NoSuchUploaderError, UploadBusyError, UploadError
from hubkernel.pipeline.upload.options import STEPS, Options, checked, policy
from hubkernel.pipeline.upload.progress import Tally
from hubkernel.pipeline.upload.run import UploadRun
from hubkernel.pipeline.upload.state import UploadState
from hubkernel.pipeline.upload.uploaders import DEFAULT_BATCH
from hubkernel.pipeline.upload.validation import model_files, write_model
from hubkernel.pipeline.upload.versions import Versions, go_back

logger = logging.getLogger(__name__)


class UploadManager:
    """The uploads of a hub. Threading: commands run on the hub loop; parsers only ever in workers."""

    def __init__(
        self,
        context: PipelineContext,
        plugins: PluginManager,
        *,
        keep_archive: int = 3,
        max_loss: float = 20,
        max_loss_of: Mapping[str, float] | None = None,
    ) -> None:
        """``keep_archive`` is how many earlier versions of a collection are kept. ``max_loss`` is how many per cent of
        its documents a collection may lose with a new release, ``max_loss_of`` the same for single sources; 0 allows
        any loss.
        """
        self.context = context
        self.plugins = plugins
        self.policy = policy(keep_archive, max_loss, max_loss_of)
        self._running: dict[str, int | None] = {}

    async def upload_src(
        self,
        src: str,
        validate: bool = False,
        *,
        steps: str | Iterable[str] = STEPS,
        force: bool = False,
        release: str | None = None,
        accept_loss: bool = False,
        limit: int | None = None,
        batch_size: int = DEFAULT_BATCH,
        max_batch_num: int | None = None,
        options: Mapping[str, Any] | None = None,
    ) -> dict[str, dict[str, Any]]:
        """Upload a source: all its collections, or one as ``"source.collection"``.

        The old collection stays until the new one is complete, then it is kept as an archive. ``force`` takes the
        recorded data folder even if its dump did not succeed, and parses what is in place already; ``release`` takes an
        earlier release that is still there.
        ``validate`` checks all documents against the collection's model first. ``accept_loss`` lets a release in that
        lost more documents than ``max_loss`` allows. ``limit`` (or ``batch_size`` times ``max_batch_num``) makes it a
        preview: so many documents at most, in a collection ``<name>_preview``, and nothing else changes. ``options``
        are keyword arguments for what the plugin itself overrides (``post_update_data``, ``update_data``, ``load``).

        Returns ``{collection: {"count", "received", "duplicates", "added", "changed", "removed", "unchanged",
        "release"}}``, with ``rejected`` and ``too_large`` if documents were left out. The four tell what differs from
        what the collection held before; if nothing does it stays as it is, and nothing becomes an archive.
        """
        chosen = checked(
            steps,
            batch_size,
            limit,
            max_batch_num,
            force=force,
            validate=validate,
            accept_loss=accept_loss,
            release=release,
            more=dict(options or {}),
        )
        plugin, collections = self.find(src)
        self._reserve(collections)
        try:
            tally = Tally()
            runs = [self._run(plugin, name, tally, chosen) for name in collections]
            results = await _each([run.run() for run in runs])
        finally:
            self._release(collections)
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
        runs = [self._run(plugin, name, Tally()) for name in collections]
        found = await _each([run.refresh_master(dry) for run in runs])
        return [change for change in found if change is not None]

    def upload_info(self) -> dict[str, list[str]]:
        """The collections of each source: ``{source: [collection, ...]}``."""
        return {name: list(plugin.specs) for name, plugin in sorted(self.plugins.plugins.items())}

    async def versions(self, src: str) -> dict[str, list[dict[str, Any]]]:
        """The versions of each collection that are still there, newest first, the one in place before all.

        Returns ``{collection: [{"name", "live", "release", "count", "bytes", "uploaded_at"}]}``.
        """
        plugin, collections = self.find(src)
        return {name: await asyncio.to_thread(self._versions(plugin, name).list) for name in collections}

    async def rollback(self, src: str, archive: str | None = None) -> dict[str, dict[str, Any]]:
        """Put the version before the present one (or the ``archive`` of that name) in place again; what is there now
        becomes an archive. One step: readers see one or the other. Of a source with several collections each goes back
        to its version before, or none if one of them has none.

        Returns ``{collection: {"collection", "release", "count", "archive"}}``: what is in place, and the name of what
        was. Raises :class:`NoSuchVersionError`.
        """
        plugin, collections = self.find(src)
        if archive is not None and len(collections) > 1:
            raise UploadError(f"{src} has several collections: name one, as in {src}.{collections[0]}")
        self._reserve(collections)
        try:
            versions = {name: self._versions(plugin, name) for name in collections}
            # All or none: each has to have a version before one of them is put back.
            chosen = {name: await asyncio.to_thread(versions[name].choose, archive) for name in collections}
            return {name: await go_back(versions[name], chosen[name]) for name in collections}
        finally:
            self._release(collections)

    async def validate_src(self, name: str, model_file: str | None = None) -> dict[str, dict[str, Any]]:
        """Check the documents of a source (or of ``source.collection``) against their models.

        The model is ``validation/<collection>_model.py`` of the plugin, or ``model_file`` there; without one it is made
        from the mapping. Returns ``{collection: {"model_file", "checked", "invalid", "faults"}}`` if all are valid.
        Raises :class:`InvalidDocumentsError` with the most frequent faults; ``src_dump`` keeps the numbers.
        """
        plugin, collections = self.find(name)
        runs = [self._run(plugin, one, Tally()) for one in collections if plugin.specs[one].loads]
        results = await _each([run.validate(model_file) for run in runs])
        return {run.collection: result for run, result in zip(runs, results, strict=True)}

    async def save_pydantic_model(self, name: str, overwrite: bool = False) -> list[str]:
        """Write models of the documents of a source, made from their mappings, into its plugin's folder
        ``validation``. Returns the files. A file that is there already is only written with ``overwrite``.
        """
        plugin, collections = self.find(name)
        written = []
        for one in collections:
            mapping = await self._run(plugin, one, Tally()).mapping()
            written.append(str(write_model(plugin.folder, one, mapping, overwrite)))
        return written

    def get_validations(self, name: str) -> list[str]:
        """The files with models that the plugin of a source has."""
        plugin, _ = self.find(name)
        return model_files(plugin.folder)

    def _run(self, plugin: Plugin, collection: str, tally: Tally, chosen: Options | None = None) -> UploadRun:
        policy = replace(self.policy, keylookup=self.plugins.keylookup)
        return UploadRun(self.context, plugin, collection, tally=tally, policy=policy, options=chosen)

    def _versions(self, plugin: Plugin, collection: str) -> Versions:
        state = UploadState(self.context.state, plugin.name, collection)
        return Versions(self.context.store, state, collection)

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
            if not plugin.specs:
                raise NoSuchUploaderError(f"{main} has no uploader: it is only dumped")
            return plugin, list(plugin.specs)
        if sub in plugin.specs:
            return plugin, [sub]
        near = get_close_matches(sub, list(plugin.specs), n=1)
        hint = f"did you mean '{main}.{near[0]}'?" if near else f"it has {', '.join(plugin.specs) or 'none'}"
        raise NoSuchUploaderError(f"{main} has no collection {sub!r}: {hint}")

    def _reserve(self, collections: list[str]) -> None:
        busy = [name for name in collections if name in self._running]
        if busy:
            job = self._running[busy[0]]
            by = f" by job {job}" if job is not None else ""
            raise UploadBusyError(f"{busy[0]} is being uploaded already{by}: wait for it, or cancel it")
        self._running.update(dict.fromkeys(collections, current().id))

    def _release(self, collections: list[str]) -> None:
        for name in collections:
            self._running.pop(name, None)


async def _each(runs: list[Any]) -> list[Any]:
    """One failing collection does not stop the others of its source; the first error is raised in the end."""
    outcomes = await asyncio.gather(*runs, return_exceptions=True)
    failures = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
    for failure in failures[1:]:
        logger.error("%s", failure)
    if failures:
        raise failures[0]
    return outcomes
