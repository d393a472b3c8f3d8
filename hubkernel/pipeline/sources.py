"""All that is known of each source, in one place: plugin, download, uploads, documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump import DumpManager
from hubkernel.pipeline.plugins import Plugin, PluginManager, UnknownPluginError
from hubkernel.pipeline.upload import UploadManager
from hubkernel.pipeline.upload.state import COUNTED, LEFT_OUT
from hubkernel.store import NoSuchCollectionError
from hubkernel.store.base import Document

DOWNLOAD = ("status", "time", "started_at", "last_success", "release", "data_folder")
RESET = {"download": ("download", "last_good"), "upload": ("upload",), "inspect": ("inspect",)}
"""What is forgotten of ``src_dump``."""
UPLOAD = (*DOWNLOAD, *COUNTED, *LEFT_OUT, "rolled_back")
VALIDATE = ("status", "time", "started_at", "model_file", "checked", "invalid", "faults")


class SourceManager:
    """Reads what the other managers write; has no state of its own."""

    def __init__(
        self, context: PipelineContext, plugins: PluginManager, dump: DumpManager, upload: UploadManager
    ) -> None:
        self.context = context
        self.plugins = plugins
        self.dump = dump
        self.upload = upload

    def get_sources(self, id: str | None = None, debug: bool = False, detailed: bool = False) -> list[dict[str, Any]]:
        """All sources by name, or the one called ``id``: ``{"_id", "name", "download", "upload", "data_plugin",
        "count"}``, where ``count`` is the number of documents in all its collections.

        A plugin that cannot be used has the reason under ``data_plugin.error``. ``debug`` adds tracebacks,
        ``detailed`` what :meth:`get_source` has.
        """
        names = self._names() if id is None else [self.known(id)]
        return [self._source(name, debug, detailed) for name in names]

    def get_source(self, name: str, debug: bool = False) -> dict[str, Any]:
        """One source, with the mapping and metadata of its collections too.

        Raises :class:`UnknownPluginError` with the nearest name.
        """
        return self._source(self.known(name), debug, detailed=True)

    def reset(self, name: str, key: str = "upload", subkey: str | None = None) -> None:
        """Forget the state of a source's ``download``, ``upload`` or ``inspect``; its files and documents stay.

        ``subkey`` restricts it to one collection. Afterwards the source counts as never dumped (or uploaded).
        """
        if key not in RESET:
            raise ValueError(f"key is {key!r}; it is one of {', '.join(RESET)}")
        self._refuse_running(self.known(name), key)
        paths = RESET[key]
        if subkey is not None:
            jobs = (self.context.state["src_dump"].find_one({"_id": name}) or {}).get(key, {}).get("jobs", {})
            if subkey not in jobs:
                raise LookupError(f"{name} has no {key} of {subkey!r}; there is {', '.join(jobs) or 'none'}")
            paths = (f"{key}.jobs.{subkey}",)
        self.context.state["src_dump"].update_one({"_id": name}, {"$unset": dict.fromkeys(paths, "")})

    def _refuse_running(self, name: str, key: str) -> None:
        plugin = self.plugins.plugins.get(name)
        uploading = self.upload.running().keys() & (plugin.uploaders if plugin else {}).keys()
        if (key == "upload" and uploading) or (key == "download" and name in self.dump.running()):
            raise ValueError(f"the {key} of {name} is running: wait for it, or cancel it")

    def save_mapping(
        self, name: str, mapping: dict[str, Any] | None = None, dest: str = "master", mode: str = "mapping"
    ) -> None:
        """Save a mapping (Elasticsearch ``properties``) for the collection of a source, for later builds and indices.

        ``name`` is the source, or ``source.collection`` if it has several. A mapping that the plugin itself declares
        takes its place again at the next upload.
        """
        if dest != "master" or mode != "mapping" or not isinstance(mapping, dict):
            raise ValueError("only a given mapping can be saved, as dest='master': documents cannot be inspected yet")
        _, collections = self.upload.find(name)
        if len(collections) > 1:
            raise ValueError(f"{name} has several collections: name one, as in {name}.{collections[0]}")
        masters = self.context.state["src_master"]
        if masters.find_one({"_id": collections[0]}) is None:
            raise LookupError(f"{name} has not been uploaded yet: run upload({name!r}) first")
        masters.update_one({"_id": collections[0]}, {"$set": {"mapping": mapping}})

    def _names(self) -> list[str]:
        recorded = {document["_id"] for document in self.context.state["src_dump"].find(projection=["_id"])}
        return sorted(recorded | self.plugins.plugins.keys() | self.plugins.broken.keys())

    def known(self, name: str) -> str:
        """``name``, if a source of that name is loaded, broken or remembered. Raises :class:`UnknownPluginError`."""
        names = self._names()
        if name in names:
            return name
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names[:10]) or 'none yet'}"
        raise UnknownPluginError(f"no source {name!r}: {hint}")

    def _source(self, name: str, debug: bool, detailed: bool) -> dict[str, Any]:
        plugin = self.plugins.plugins.get(name)
        document = self.context.state["src_dump"].find_one({"_id": name}) or {}
        jobs: Mapping[str, Any] = document.get("upload", {}).get("jobs", {})
        collections = list(dict.fromkeys([*(plugin.uploaders if plugin else ()), *jobs]))
        source: dict[str, Any] = {"_id": name, "name": name, "count": sum(map(self._count, collections))}
        if document.get("download") or (plugin and plugin.dumper):
            source["download"] = _download(plugin, document.get("download") or {}, debug)
        if collections:
            uploads = {sub: _upload(plugin, sub, jobs.get(sub) or {}, debug) for sub in collections}
            source["upload"] = {"sources": uploads}
        if validated := document.get("validate", {}).get("jobs", {}):
            source["validate"] = {"sources": {sub: _state(job, VALIDATE, debug) for sub, job in validated.items()}}
        source["data_plugin"] = self._plugin(name, plugin)
        if detailed:
            source.update(self._details(plugin, collections))
        return source

    def _count(self, collection: str) -> int:
        try:
            return self.context.store[collection].count()
        except NoSuchCollectionError:
            return 0

    def _plugin(self, name: str, plugin: Plugin | None) -> dict[str, Any]:
        if plugin is None:
            reason = self.plugins.broken.get(name, "its plugin is gone; what it loaded is still there")
            return {"error": reason}
        entry = self.plugins.registry.about(name) or {}
        described = {
            "url": f"local://{plugin.folder}",
            "type": "local",
            "active": True,
            **entry.get("plugin", {}),
            "loader": plugin.loader,
            "display_name": plugin.display_name,
            "biothing_type": plugin.biothing_type,
        }
        about = {"plugin": described, "warnings": list(plugin.warnings)}
        return {**about, "download": entry["download"]} if "download" in entry else about

    def _details(self, plugin: Plugin | None, collections: Iterable[str]) -> dict[str, Any]:
        masters = {document["_id"]: document for document in self.context.state["src_master"].find()}
        found = {name: masters[name] for name in collections if name in masters}
        mapped = {name: master["mapping"] for name, master in found.items() if "mapping" in master}
        metas = [master.get("src_meta", {}) for master in found.values()]
        alike = all(meta == metas[0] for meta in metas)
        return {
            "mapping": {
                name: {"mapping": mapping, "origin": _origin(plugin, name)} for name, mapping in mapped.items()
            },
            "__metadata__": metas[0]
            if metas and alike
            else [{name: master.get("src_meta", {})} for name, master in found.items()],
            "auto_validate": {name: _auto_validates(plugin, name) for name in collections},
        }


def _auto_validates(plugin: Plugin | None, collection: str) -> bool:
    return plugin is not None and collection in plugin.specs and plugin.specs[collection].auto_validate


def _origin(plugin: Plugin | None, collection: str) -> str:
    """Who made a mapping: the plugin's own function, or somebody who saved it."""
    spec = plugin.specs.get(collection) if plugin else None
    declared = spec is not None and (spec.target is not None or (spec.section is not None and spec.section.mapping))
    return "uploader" if declared else "master"


def _download(plugin: Plugin | None, state: Document, debug: bool) -> dict[str, Any]:
    shown = _state(state, DOWNLOAD, debug)
    if plugin is None:
        return shown
    dumper = plugin.dumper
    if dumper is None:
        return shown
    schedule = {"cron": dumper.schedule, "strdelta": None} if dumper.schedule else None
    described = {"name": plugin.name, "bases": list(dumper.bases), "schedule": schedule, "manual": dumper.manual}
    return {**shown, "dumper": {**described, "disabled": dumper.disabled}}


def _upload(plugin: Plugin | None, collection: str, state: Document, debug: bool) -> dict[str, Any]:
    spec = plugin.specs.get(collection) if plugin else None
    uploader = {"name": collection, "bases": list(spec.bases), "dummy": spec.dummy} if spec else None
    return {**_state(state, UPLOAD, debug), "uploader": uploader}


def _state(state: Document, keys: Iterable[str], debug: bool) -> dict[str, Any]:
    shown = {key: state[key] for key in keys if state.get(key) is not None}
    if state.get("err"):
        shown["error"] = state["err"]
        if debug:
            shown["traceback"] = state.get("tb")
    return shown
