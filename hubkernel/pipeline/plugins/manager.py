"""All plugins of a hub: found, read, and either usable or broken with a reason."""

from __future__ import annotations

import importlib.util
import logging
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins.errors import ManifestError, PluginError, Problem, UnknownPluginError, nearest
from hubkernel.pipeline.plugins.loader import forget, load_function
from hubkernel.pipeline.plugins.models import Manifest, UploaderSection
from hubkernel.pipeline.plugins.reader import find_manifest, read_manifest
from hubkernel.pipeline.plugins.specs import DumperSpec, UploaderSpec, dumper_of, uploader_of

logger = logging.getLogger(__name__)


@dataclass
class Plugin:
    """A plugin that can be used. Its functions are imported when they are first asked for."""

    name: str
    """Name of the plugin and of its source."""
    folder: Path
    manifest: Manifest
    manifest_file: Path
    warnings: list[str] = field(default_factory=list)

    @property
    def uploaders(self) -> dict[str, UploaderSection]:
        """Uploaders by collection name."""
        return {section.name or self.name: section for section in self.manifest.all_uploaders}

    @property
    def dumper(self) -> DumperSpec | None:
        """What the hub knows of its dumper; None for a source whose collections are filled in another way."""
        return dumper_of(self.name, self.name, self.manifest.dumper)

    @property
    def specs(self) -> dict[str, UploaderSpec]:
        """What the hub knows of its uploaders, by collection name."""
        sections = self.manifest.all_uploaders
        specs = [uploader_of(self.name, section, self.manifest.metadata) for section in sections]
        return {spec.name: spec for spec in specs}

    @property
    def metadata(self) -> dict[str, Any]:
        """``__metadata__`` of the manifest: the ``src_meta`` of its collections."""
        return self.manifest.metadata

    def uploader(self, name: str | None = None) -> UploaderSection:
        """The uploader of that collection name; the only one if ``name`` is None."""
        if name is None and len(self.uploaders) == 1:
            return next(iter(self.uploaders.values()))
        if name in self.uploaders:
            return self.uploaders[name]
        there = ", ".join(self.uploaders)
        raise UnknownPluginError(f"plugin {self.name} has no uploader {name!r}: it has {there}")

    def function(self, target: str) -> Callable[..., Any]:
        """Any ``"module:function"`` of the plugin. Raises :class:`PluginCodeError`."""
        return load_function(self.folder, target)

    def parser(self, uploader: str | None = None) -> Callable[..., Any]:
        """``function(data_folder, **parser_kwargs)``; gives documents."""
        return self.function(self.uploader(uploader).parser)

    def parallelizer(self, uploader: str | None = None) -> Callable[..., Any] | None:
        """``function(uploader)``; gives a list of tuples, each the arguments of one call of the parser."""
        target = self.uploader(uploader).parallelizer
        return self.function(target) if target else None

    def mapping(self, uploader: str | None = None) -> Callable[..., Any] | None:
        """``function(cls)``; gives Elasticsearch ``properties``."""
        target = self.uploader(uploader).mapping
        return self.function(target) if target else None


def load_plugin(folder: Path) -> Plugin:
    """Read and check the plugin of ``folder``; nothing of its code is run.

    Raises :class:`ManifestError` with every fault, or :class:`PluginError` if it is no manifest plugin.
    """
    folder = folder.resolve()
    file = find_manifest(folder)
    if file is None:
        raise PluginError(_no_manifest(folder))
    manifest, warnings = read_manifest(file)
    forget(folder)
    missing = [f"needs {text}: pip install '{text}'" for text in manifest.requires if not _installed(text)]
    return Plugin(manifest.name or folder.name, folder, manifest, file, [*map(str, warnings), *missing])


def _no_manifest(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder"
    if (folder / "__init__.py").is_file():
        return f"{folder}: advanced plugins (classes in __init__.py) cannot be loaded yet: give it a manifest.json"
    return f"{folder}: no manifest.json or manifest.yaml"


def _installed(requirement: str) -> bool:
    name = re.split(r"[^\w.-]", requirement, maxsplit=1)[0]
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


class PluginManager:
    """Plugins by name, and what is wrong with the others. A broken plugin never stops the hub or another plugin."""

    def __init__(self, context: PipelineContext, **custom_args: Any) -> None:
        if custom_args:
            raise TypeError(f"plugin manager takes no {', '.join(custom_args)}")
        self.context = context
        self.plugins: dict[str, Plugin] = {}
        self.broken: dict[str, str] = {}
        self.adjust: Callable[[Plugin], object] = lambda plugin: None
        """Called with each plugin that was loaded, before it is used: what the hub's settings say of it."""
        self.sources: list[str | ModuleType] = []
        """Dotted module paths or packages whose folders hold plugins: ``source_list`` of the hub."""

    def load_all(self) -> None:
        """Load every plugin there is, anew. What is wrong goes to :attr:`broken`."""
        found = _Found(adjust=self.adjust)
        for folder in self._folders():
            found.try_load(folder)
        for source in self.sources:
            found.load_source(source)
        self.plugins, self.broken = found.plugins, found.broken

    def load(self, folder: Path) -> Plugin:
        """Load (again) the plugin of one folder. Raises :class:`PluginError`; what was loaded before stays then."""
        return _Found(self.plugins, self.broken, self.adjust).load(Path(folder))

    def load_sources(self, sources: Iterable[str | ModuleType] | str | ModuleType) -> None:
        """Add module paths, packages or packages of packages whose folders are plugins, and load them."""
        added = [sources] if isinstance(sources, str | ModuleType) else list(sources)
        self.sources += added
        for source in added:
            _Found(self.plugins, self.broken, self.adjust).load_source(source)

    def register(self, folder: Path | str) -> Plugin:
        """Load the plugin of a folder anywhere, and remember it for the next start. Raises :class:`PluginError`."""
        plugin = self.load(Path(folder))
        entry = {"url": f"local://{plugin.folder}", "type": "local", "active": True, "loader": "manifest"}
        update = {"$set": {"plugin": {**entry, "display_name": plugin.manifest.display_name}}}
        self.context.state["data_plugin"].update_one({"_id": plugin.name}, update, upsert=True)
        return plugin

    def unregister(self, name: str) -> None:
        """Forget a plugin that was registered. Its folder stays as it is."""
        self[name]
        self.context.state["data_plugin"].delete_one({"_id": name})
        del self.plugins[name]

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
        for parent in dict.fromkeys([self.context.plugins, *self.context.plugin_folders]):
            if parent.is_dir():
                yield from sorted(folder for folder in parent.iterdir() if _looks_like_plugin(folder))
        for entry in self.context.state["data_plugin"].find({"plugin.type": "local"}):
            yield Path(entry["plugin"]["url"].removeprefix("local://"))


@dataclass
class _Found:
    """Plugins as they are found, and what is wrong with the others."""

    plugins: dict[str, Plugin] = field(default_factory=dict)
    broken: dict[str, str] = field(default_factory=dict)
    adjust: Callable[[Plugin], object] = lambda plugin: None

    def load(self, folder: Path) -> Plugin:
        plugin = load_plugin(folder)
        self.adjust(plugin)
        self._check_names(plugin)
        for name in [name for name, other in self.plugins.items() if other.folder == plugin.folder]:
            del self.plugins[name]  # it may have had another name
        self.plugins[plugin.name] = plugin
        self.broken.pop(plugin.name, None)
        for warning in plugin.warnings:
            logger.warning("plugin %s: %s", plugin.name, warning)
        return plugin

    def try_load(self, folder: Path) -> None:
        if any(plugin.folder == folder.resolve() for plugin in self.plugins.values()):
            return
        try:
            self.load(folder)
        except PluginError as error:
            self._break(folder.name, folder, str(error))

    def load_source(self, source: str | ModuleType) -> None:
        """Load what an entry of ``source_list`` means."""
        name = source if isinstance(source, str) else source.__name__
        try:
            folders = _source_folders(source)
        except ImportError as error:
            self._break(name, name, f"source_list: {name} cannot be imported: {error}")
            return
        for folder in folders:
            self.try_load(folder)

    def _break(self, name: str, folder: Path | str, reason: str) -> None:
        key = str(folder) if name in self.plugins or name in self.broken else name
        self.broken[key] = reason
        logger.error("plugin %s is broken: %s", name, reason)

    def _check_names(self, plugin: Plugin) -> None:
        """Names of sources and of collections are unique in a hub."""
        for other in self.plugins.values():
            if other.folder == plugin.folder:
                continue
            if other.name == plugin.name:
                reason = f'the name {plugin.name!r} belongs to the plugin in {other.folder}: give one another "name"'
                raise ManifestError([Problem(plugin.manifest_file, 1, "name", reason)])
            shared = sorted(plugin.uploaders.keys() & other.uploaders.keys())
            if shared:
                reason = f"collection {shared[0]!r} belongs to plugin {other.name!r}: rename the uploader"
                raise ManifestError([Problem(plugin.manifest_file, 1, "uploaders", reason)])


def _source_folders(source: str | ModuleType) -> list[Path]:
    """The plugin folders that an entry of ``source_list`` means: its own, or else those below it."""
    if isinstance(source, str) and Path(source).is_dir():
        parents = [Path(source)]
    else:
        spec = importlib.util.find_spec(source) if isinstance(source, str) else source.__spec__
        if spec is None:
            raise ModuleNotFoundError(f"no module named {source!r}")
        parents = [Path(folder) for folder in spec.submodule_search_locations or []]
        if not parents and spec.origin:
            raise ImportError("it is a module; a source is a package folder with a manifest")
    found = [folder for folder in parents if find_manifest(folder)]
    below = (folder for parent in parents for folder in sorted(parent.iterdir()))
    return found or [folder for folder in below if _looks_like_plugin(folder)] or parents


def _looks_like_plugin(folder: Path) -> bool:
    if not folder.is_dir() or folder.name.startswith((".", "_")):
        return False
    return any(entry.suffix in (".py", ".json", ".yaml", ".yml") for entry in folder.iterdir())
