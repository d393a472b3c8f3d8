"""Plugins that somebody registered: from a folder of theirs, a git repository or a zip file. Each is a document of
``data_plugin``: ``{"_id", "plugin": {"url", "type", "active", "loader", ...}, "download": {"release", "data_folder",
...}}``.
"""

from __future__ import annotations

import asyncio
import hashlib
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.jobs.context import current
from hubkernel.pipeline.plugins.errors import PluginError, UnknownPluginError, nearest
from hubkernel.pipeline.plugins.fetching import Place, fetch_code
from hubkernel.pipeline.plugins.plugin import Plugin

if TYPE_CHECKING:
    from hubkernel.pipeline.context import PipelineContext
    from hubkernel.store.base import Document

Load = Callable[[Path], Plugin]


class Registry:
    """What is registered. ``load`` puts a plugin into the hub, ``check`` only tells whether it could be."""

    def __init__(self, context: PipelineContext, load: Load, check: Load) -> None:
        self.context = context
        self.load, self.check = load, check
        self.logins: dict[str, str] = {}
        self._changing = asyncio.Lock()

    @property
    def fetched(self) -> Path:
        """Below it is the code that the hub has brought here itself; nothing else is ever removed."""
        return self.context.root / "fetched"

    def folders(self) -> Iterator[Path]:
        """Folders of all plugins that are registered and active."""
        for entry in self._documents():
            if entry["plugin"].get("active", True):
                yield self.folder(entry)

    def hidden(self) -> set[Path]:
        """Folders of plugins that were unregistered though they lie among the hub's plugins."""
        return {self.folder(entry) for entry in self._documents() if not entry["plugin"].get("active", True)}

    def folder(self, entry: Document) -> Path:
        """Where the plugin of a document is."""
        kept = entry.get("download", {}).get("data_folder")
        return Path(kept or entry["plugin"]["url"].removeprefix("local://"))

    def about(self, name: str) -> Document | None:
        """The document of a plugin, None if it was not registered."""
        return self.context.state["data_plugin"].find_one({"_id": name})

    def find(self, name_or_url: str) -> Document:
        """Raises :class:`UnknownPluginError` with the nearest name."""
        documents = [entry for entry in self._documents() if entry["plugin"].get("active", True)]
        wanted = name_or_url.rstrip("/").removesuffix(".git")
        for entry in documents:
            url = entry["plugin"]["url"].rstrip("/").removesuffix(".git")
            if entry["_id"] == name_or_url or wanted in (url, url.removeprefix("local://")):
                return entry
        names = [str(entry["_id"]) for entry in documents]
        near = nearest(name_or_url, names, cutoff=0.5)
        hint = f"did you mean {near!r}?" if near else f"there is {', '.join(names) or 'none'}"
        raise UnknownPluginError(f"no plugin {name_or_url!r} is registered: {hint}")

    def _documents(self) -> list[Document]:
        return list(self.context.state["data_plugin"].find())

    # ------------------------------------------------------------------------------------------------------- register

    async def register(self, url: str, release: str | None, folder: str | None) -> Plugin:
        """Bring the code here if need be, load it, and remember it. Raises :class:`PluginError`; nothing stays then."""
        place = Place.of(url, release, folder)
        async with self._changing:
            if place.kind == "local":
                return await asyncio.to_thread(self.register_folder, self._local(place))
            base = self._base(place)
            self._refuse_known(place, base)
            await asyncio.to_thread(shutil.rmtree, base, ignore_errors=True)  # what a killed hub left
            try:
                version = await self._fetch(place, base)
                plugin = await asyncio.to_thread(self.load, base / place.name / place.folder)
            except BaseException:
                await asyncio.to_thread(shutil.rmtree, base, ignore_errors=True)
                raise
            self._remember(plugin, place, version)
            return plugin

    def register_folder(self, folder: Path) -> Plugin:
        """Load the plugin of a user's folder, and remember it. Raises :class:`PluginError`."""
        plugin = self.load(folder)
        self._remember(plugin, Place("local", f"local://{plugin.folder}"), None)
        return plugin

    def _local(self, place: Place) -> Path:
        """A relative path is one among the hub's plugins, or else from here."""
        folder = Path(place.url).expanduser()
        among = self.context.plugins / folder
        return (among if among.is_dir() else folder) / place.folder

    def _base(self, place: Place) -> Path:
        key = "\n".join((place.kind, place.url, place.folder))
        return self.fetched / hashlib.sha256(key.encode()).hexdigest()[:12]

    def _refuse_known(self, place: Place, base: Path) -> None:
        for entry in self._documents():
            if base in self.folder(entry).parents:
                name = entry["_id"]
                raise PluginError(
                    f"{place.url} is registered already, as {name}: dump_plugin({name!r}) updates its code"
                )

    async def _fetch(self, place: Place, base: Path) -> str:
        from hubkernel.pipeline.dump.transfer import Policy

        policy, target = Policy(logins=self.logins), base / place.name
        fetched: str = await current().run(
            fetch_code, place, policy, target, where="thread", description=f"fetch {place.url}"
        )
        return fetched

    def _remember(self, plugin: Plugin, place: Place, version: str | None) -> None:
        about: dict[str, Any] = {
            "url": place.url,
            "type": place.shown_kind,
            "active": True,
            "loader": plugin.loader,
            "display_name": plugin.display_name,
            "biothing_type": plugin.biothing_type,
            "release": place.release,
            "folder": place.folder,
        }
        document: Document = {"_id": plugin.name, "plugin": about}
        if version is not None:
            now = datetime.now(UTC)
            document["download"] = {"status": "success", "release": version, "started_at": now}
            document["download"] |= {"data_folder": str(plugin.folder), "last_success": now}
        states = self.context.state["data_plugin"]
        for entry in self._documents():  # it may have had another name
            if entry["_id"] != plugin.name and self.folder(entry) == plugin.folder:
                states.delete_one({"_id": entry["_id"]})
        states.replace_one({"_id": plugin.name}, document, upsert=True)

    # -------------------------------------------------------------------------------------------- update and unregister

    async def update(self, name: str, release: str | None) -> dict[str, Any]:
        """Replace the code of a plugin by the newest one (of ``release``, else of what it was registered with). The old
        code stays if the new one cannot be used. Raises :class:`PluginError`.
        """
        async with self._changing:
            entry = self.find(name)
            about = entry["plugin"]
            if about["type"] == "local":
                plugin = await asyncio.to_thread(self.load, self.folder(entry))
                return {"name": plugin.name, "release": None, "changed": False, "folder": str(plugin.folder)}
            kind = "git" if about["type"] == "github" else about["type"]
            place = Place(kind, about["url"], release or about.get("release"), about.get("folder") or "")
            version, plugin = await self._replace(place)
            changed = version != entry["download"]["release"]
            self._remember(plugin, place, version)
            return {"name": plugin.name, "release": version, "changed": changed, "folder": str(plugin.folder)}

    async def _replace(self, place: Place) -> tuple[str, Plugin]:
        base = self._base(place)
        new, old = base.with_name(f".{base.name}.new"), base.with_name(f".{base.name}.old")
        for leftover in (new, old):
            await asyncio.to_thread(shutil.rmtree, leftover, ignore_errors=True)
        try:
            version = await self._fetch(place, new)
            await asyncio.to_thread(self.check, new / place.name / place.folder)
            base.rename(old)
            new.rename(base)
        finally:
            await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
        try:
            plugin = await asyncio.to_thread(self.load, base / place.name / place.folder)
        except BaseException:
            base.rename(new)
            old.rename(base)
            raise
        finally:
            await asyncio.to_thread(shutil.rmtree, new, ignore_errors=True)
            await asyncio.to_thread(shutil.rmtree, old, ignore_errors=True)
        return version, plugin

    def forget(self, entry: Document) -> None:
        """Remember a plugin no more, and remove its code if the hub has brought it here. A user's folder stays."""
        folder = self.folder(entry)
        states = self.context.state["data_plugin"]
        if entry["plugin"]["type"] != "local":
            states.delete_one({"_id": entry["_id"]})
            base = next((parent for parent in folder.parents if parent.parent == self.fetched), None)
            if base is not None:
                shutil.rmtree(base, ignore_errors=True)
        elif folder.parent.resolve() in {
            path.resolve() for path in (self.context.plugins, *self.context.plugin_folders)
        }:
            states.update_one({"_id": entry["_id"]}, {"$set": {"plugin.active": False}})  # it would be found again
        else:
            states.delete_one({"_id": entry["_id"]})
