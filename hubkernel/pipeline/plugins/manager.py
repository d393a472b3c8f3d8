"""All plugins of a hub: found, read, and either usable or broken with a reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import ModuleType
from typing import Any

from hubkernel.jobs.context import current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins.cells import Cell, write_cell
from hubkernel.pipeline.plugins.discovery import TIMEOUT, Classes, Discovery, Request
from hubkernel.pipeline.plugins.errors import ManifestError, PluginError, Problem, UnknownPluginError, nearest
from hubkernel.pipeline.plugins.export import PARTS, export_plugin
from hubkernel.pipeline.plugins.loading import (
    Draft,
    Look,
    draft_of,
    finish,
    load_plugin,
    looks_like_plugin,
    source_drafts,
)
from hubkernel.pipeline.plugins.lookup import check_lookup, lookup_target
from hubkernel.pipeline.plugins.plugin import Plugin
from hubkernel.pipeline.plugins.preview import Preview, preview
from hubkernel.pipeline.plugins.registry import Registry
from hubkernel.pipeline.plugins.requirements import install, pip_command, unmet
from hubkernel.pipeline.surroundings import Surroundings
from hubkernel.store.base import Document

__all__ = ["Plugin", "PluginManager", "load_plugin"]

logger = logging.getLogger(__name__)


MOST_SHOWN = 100
"""Documents that a preview has at most."""


class PluginManager:
    """Plugins by name, and what is wrong with the others. A broken plugin never stops the hub or another plugin."""

    def __init__(
        self, context: PipelineContext, *, timeout: float = TIMEOUT, keylookup: Any = None, **custom_args: Any
    ) -> None:
        """``timeout``: seconds that the code of one plugin may take to be imported (in a process of its own).
        ``keylookup``: the class (or ``"module:Class"``) that looks ids up for manifests that ask for it.
        """
        if custom_args:
            raise TypeError(f"plugin manager takes no {', '.join(custom_args)}")
        self.context = context
        self.keylookup = lookup_target(keylookup)
        self.discovery = Discovery(context.root / "cache" / "classes.json", timeout, self._surroundings)
        self.registry = Registry(context, self.load, self._checked)
        self.install = False
        """Whether packages that plugins require may be installed."""
        self.on_change: Callable[[], object] = lambda: None
        """Called after a plugin was added, replaced or taken away by a command."""
        self.is_busy: Callable[[str], bool] = lambda name: False
        """Whether a job of that source runs."""
        self.plugins: dict[str, Plugin] = {}
        self.broken: dict[str, str] = {}
        self.adjust: Callable[[Plugin], object] = lambda plugin: None
        """Called with each plugin that was loaded, before it is used: what the hub's settings say of it."""
        self.sources: list[str | ModuleType] = []
        """Dotted module paths or packages whose folders hold plugins: ``source_list`` of the hub."""

    def load_all(self) -> None:
        """Load every plugin there is, anew. What is wrong goes to :attr:`broken`."""
        found = _Found(self.discovery.look, adjust=self._admit, install=self.install)
        found.load_folders(self._folders())
        found.load_sources(self.sources)
        self.plugins, self.broken = found.plugins, found.broken

    def load(self, folder: Path) -> Plugin:
        """Load (again) the plugin of one folder. Raises :class:`PluginError`; what was loaded before stays then."""
        return self._found().load(draft_of(Path(folder)))

    def load_sources(self, sources: Iterable[str | ModuleType] | str | ModuleType) -> None:
        """Add module paths, packages or packages of packages whose folders are plugins, and load them."""
        added = [sources] if isinstance(sources, str | ModuleType) else list(sources)
        self.sources += added
        self._found().load_sources(added)

    def _checked(self, folder: Path) -> Plugin:
        return load_plugin(folder, self.discovery.look)

    def _surroundings(self) -> Surroundings:
        return Surroundings.of(self.context)

    def _found(self) -> _Found:
        return _Found(self.discovery.look, self.plugins, self.broken, self._admit, self.install)

    def _admit(self, plugin: Plugin) -> None:
        self.adjust(plugin)
        check_lookup(plugin, self.keylookup)

    def register(self, folder: Path | str) -> Plugin:
        """Load the plugin of a folder anywhere, and remember it for the next start. Raises :class:`PluginError`."""
        return self.registry.register_folder(Path(folder))

    async def register_url(self, url: str, release: str | None = None, folder: str | None = None) -> dict[str, Any]:
        """Add a plugin: of a folder, a git repository (of its branch, tag or commit ``release``) or a zip file, each
        here or on a server; ``folder`` is where in it the plugin is.

        The code is checked before the hub has it. Returns ``{"name", "folder", "warnings"}``.
        """
        plugin = await self.registry.register(url, release, folder)
        self.on_change()
        return {"name": plugin.name, "folder": str(plugin.folder), "warnings": list(plugin.warnings)}

    async def unregister_url(self, url: str | None = None, name: str | None = None) -> str:
        """Take a plugin out of the hub, by its url or name; returns its name. What it loaded stays, as does a folder
        that somebody else made; code that the hub had fetched itself is removed.
        """
        if (wanted := url or name) is None:
            raise ValueError("name a plugin or its url")
        if wanted in self.plugins and self.registry.about(wanted) is None:
            self.register(self.plugins[wanted].folder)
        entry = self.registry.find(wanted)
        if self.is_busy(str(entry["_id"])):
            raise PluginError(f"a job of {entry['_id']} runs: wait for it, or cancel it")
        await asyncio.to_thread(self._unregister, entry)
        return str(entry["_id"])

    def unregister(self, name: str) -> None:
        """Forget a plugin that was registered. A folder that the hub did not make stays as it is."""
        self._unregister(self.registry.find(name))

    def _unregister(self, entry: Document) -> None:
        self.registry.forget(entry)
        self.plugins.pop(str(entry["_id"]), None)
        self.broken.pop(str(entry["_id"]), None)
        self.on_change()

    async def dump_plugin(self, src: str, release: str | None = None) -> dict[str, Any]:
        """Bring the newest code of a plugin here, or that of a branch, tag or commit; jobs that run are not disturbed.

        If the new code cannot be used the old one stays. Returns ``{"name", "release", "changed", "folder"}``.
        """
        if self.is_busy(src):
            raise PluginError(f"a job of {src} runs: wait for it, or cancel it")
        result = await self.registry.update(src, release)
        self.on_change()
        return result

    async def export_plugin(
        self,
        plugin_name: str,
        folder: str | None = None,
        what: list[str] | tuple[str, ...] | str = PARTS,
        purge: bool = False,
    ) -> dict[str, Any]:
        """Write the Python classes that a plugin's manifest stands for: ``dump.py``, ``upload.py`` and ``__init__.py``
        in ``<folder>/<plugin>`` (default: below ``exported`` in the hub's home), with the plugin's own files.

        ``what`` is some of ``dumper``, ``uploader``, ``mapping``; ``purge`` writes over an earlier export. Returns by
        part ``{"status", "file", "class", "message", "origin"}``.
        """
        target = Path(folder) if folder else self.context.root / "exported"
        return await asyncio.to_thread(export_plugin, self[plugin_name], target, what, purge=purge)

    async def plugin_cell(
        self, name: str, cell: str, data_folder: str | None = None, limit: int = 10, overwrite: bool = False
    ) -> dict[str, Any]:
        """Write a plugin from the text of a notebook's cell (a manifest in YAML, a line ``---``, Python), load it, and
        try it on the files in ``data_folder``, or else on the release that was dumped last. In a notebook it is
        ``%%hub plugin``.

        Returns ``{"name", "folder", "warnings", "release", "preview"}``, where ``preview`` has by collection up to
        ``limit`` ``documents`` and the ``error`` that ended it; it is None if there are no files yet.
        """
        if not 0 <= limit <= MOST_SHOWN:
            raise ValueError(f"limit is {limit}: up to {MOST_SHOWN} documents can be shown")
        if self.is_busy(name):
            raise PluginError(f"a job of {name} runs: wait for it, or cancel it")
        folder = await asyncio.to_thread(write_cell, self.context.plugins, name, cell, self._checked, overwrite)
        plugin = await asyncio.to_thread(self.load, folder)
        self.on_change()
        download = (self.context.state["src_dump"].find_one({"_id": plugin.name}) or {}).get("last_good") or {}
        where = data_folder or download.get("data_folder")
        shown = await self._preview(plugin, str(Path(where).expanduser()), limit) if where else None
        for about in (shown or {}).values():
            about["error"] = Cell.of(cell).told(about["error"], folder.resolve()) if about["error"] else None
        release = None if data_folder else download.get("release")
        about_plugin = {"name": plugin.name, "folder": str(plugin.folder), "warnings": list(plugin.warnings)}
        return {**about_plugin, "release": release, "preview": shown}

    async def _preview(self, plugin: Plugin, data_folder: str, limit: int) -> dict[str, Any]:
        if not Path(data_folder).is_dir():
            raise PluginError(f"there is no folder {data_folder} to take data from")
        shown = {}
        for name, spec in plugin.specs.items():
            work = Preview(str(plugin.folder), spec, data_folder, limit, self._surroundings(), self.keylookup)
            shown[name] = await current().run(preview, work, description=f"{name}: the first documents")
        return shown

    def __getitem__(self, name: str) -> Plugin:
        """Raises :class:`UnknownPluginError` with the nearest name, or why the plugin is broken."""
        if name in self.plugins:
            return self.plugins[name]
        if name in self.broken:
            raise UnknownPluginError(f"source {name!r} is broken:\n{self.broken[name]}")
        near = nearest(name, [*self.plugins, *self.broken], cutoff=0.5)
        there = ", ".join(sorted(self.plugins)) or f"none yet; put a plugin into {self.context.plugins}"
        raise UnknownPluginError(f"no source {name!r}: " + (f"did you mean {near!r}?" if near else f"there is {there}"))

    def _folders(self) -> Iterator[Path]:
        hidden = self.registry.hidden()
        for parent in dict.fromkeys([self.context.plugins, *self.context.plugin_folders]):
            if parent.is_dir():
                found = sorted(folder for folder in parent.iterdir() if looks_like_plugin(folder))
                yield from (folder for folder in found if folder.resolve() not in hidden)
        yield from self.registry.folders()


Trial = Draft | tuple[str, Path, PluginError]


@dataclass
class _Found:
    """Plugins as they are found, and what is wrong with the others."""

    look: Look
    plugins: dict[str, Plugin] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    adjust: Callable[[Plugin], object] = lambda plugin: None
    install: bool = False

    def load_folders(self, folders: Iterable[Path]) -> None:
        """Load the plugins of folders; each folder once."""
        self._load(list({folder.resolve(): _trial(folder) for folder in folders}.values()))

    def load_sources(self, sources: Iterable[str | ModuleType]) -> None:
        """Load what entries of ``source_list`` mean."""
        trials: list[Trial] = []
        for source in sources:
            name = source if isinstance(source, str) else source.__name__
            try:
                trials += source_drafts(source)
            except ImportError as error:
                self._break(name, name, f"source_list: {name} cannot be imported: {error}")
        self._load(trials)

    def _load(self, trials: list[Trial]) -> None:
        """Their code is looked at all at once, which takes one process."""
        there = {(plugin.folder, plugin.module) for plugin in self.plugins.values()}
        new = [trial for trial in trials if not (isinstance(trial, Draft) and (trial.folder, trial.module) in there)]
        for trial in new:
            if isinstance(trial, Draft):
                self._prepare(trial)
        answers = self.look([trial.request for trial in new if isinstance(trial, Draft) and trial.request])
        for trial in new:
            if isinstance(trial, Draft):
                self._try(trial, answers)
            else:
                self._break(trial[0], trial[1], str(trial[2]))

    def _prepare(self, draft: Draft) -> None:
        """Install what it requires, if that is allowed."""
        wanted = unmet(draft.requires) if self.install else []
        if not wanted:
            return
        logger.info("plugin %s: %s", draft.name, pip_command(wanted))
        if (fault := install(wanted)) is not None:
            draft.warnings.append(fault)

    def _try(self, draft: Draft, answers: Mapping[Request, Classes]) -> None:
        try:
            for plugin in finish(draft, lambda _: answers):
                self._add(plugin)
        except PluginError as error:
            self._break(draft.name if draft.module else draft.folder.name, draft.folder, str(error))

    def load(self, draft: Draft) -> Plugin:
        """Raises :class:`PluginError`."""
        self._prepare(draft)
        plugins = finish(draft, self.look)
        for plugin in plugins:
            self._add(plugin)
        return plugins[0]

    def _add(self, plugin: Plugin) -> None:
        self.adjust(plugin)
        if plugin.module and not plugin.classes.dumpers and plugin.name in self.plugins:
            self._add_uploaders(self.plugins[plugin.name], plugin)
            return
        self._check_names(plugin)
        for name, other in list(self.plugins.items()):
            if other.folder == plugin.folder and other.module is plugin.module is None:
                del self.plugins[name]  # it may have had another name
        self.plugins[plugin.name] = plugin
        self.broken.pop(plugin.name, None)
        for warning in plugin.warnings:
            logger.warning("plugin %s: %s", plugin.name, warning)

    def _add_uploaders(self, plugin: Plugin, more: Plugin) -> None:
        """In a hub's own code, uploaders of a source may be in a package of their own."""
        if (plugin.folder, plugin.module) == (more.folder, more.module):
            self.plugins[more.name] = more
            return
        if plugin.module is None:
            self._check_names(more)
        for other in self.plugins.values():
            self._check_collections(more, other)
        both = Classes(plugin.classes.dumpers, [*plugin.classes.uploaders, *more.classes.uploaders])
        self.plugins[plugin.name] = replace(plugin, classes=both)

    def _break(self, name: str, folder: Path | str, reason: str) -> None:
        key = str(folder) if name in self.plugins or name in self.broken else name
        self.broken[key] = reason
        logger.error("plugin %s is broken: %s", name, reason)

    def _check_names(self, plugin: Plugin) -> None:
        """Names of sources and of collections are unique in a hub."""
        for other in self.plugins.values():
            if (other.folder, other.module) == (plugin.folder, plugin.module):
                continue
            if other.name == plugin.name:
                reason = f'the name {plugin.name!r} belongs to the plugin in {other.folder}: give one another "name"'
                raise ManifestError([Problem(plugin.manifest_file, 1, "name", reason)])
            self._check_collections(plugin, other)

    def _check_collections(self, plugin: Plugin, other: Plugin) -> None:
        shared = sorted(plugin.specs.keys() & other.specs.keys())
        if shared:
            reason = f"collection {shared[0]!r} belongs to plugin {other.name!r}: rename the uploader"
            raise ManifestError([Problem(plugin.manifest_file, 1, "uploaders", reason)])


def _trial(folder: Path) -> Trial:
    try:
        return draft_of(folder)
    except PluginError as error:
        return folder.name, folder, error
