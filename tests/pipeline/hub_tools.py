"""A hub's worth of managers without a hub: sources are written as code, work runs in threads."""

from __future__ import annotations

import asyncio
import json
import textwrap
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from hubkernel.pipeline.build import BuildManager
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump import DumpManager
from hubkernel.pipeline.plugins import Plugin, PluginManager
from hubkernel.pipeline.sources import SourceManager
from hubkernel.pipeline.upload import UploadManager
from hubkernel.store import open_state

GOOD = "def load(folder):\n    yield {'_id': '1', 'v': 1}\n    yield {'_id': '2', 'v': 2}\n"


class Hub:
    """``hub.plugin(name, code)``, ``hub.upload(name)``, ``hub.documents(name)``."""

    def __init__(self, root: Path, jobs: Any = None, *, state: str = "", store: str = "") -> None:
        """Urls of the stores, if they are not to be new ones in ``root``."""
        self.root = root
        opened = open_state(state or f"sqlite://{root}/state.db")
        self.context = PipelineContext(root, opened, store or f"sqlite://{root}/store", "", jobs)
        self.plugins = PluginManager(self.context)
        self.dumps = DumpManager(self.context, self.plugins)
        self.uploads = UploadManager(self.context, self.plugins)
        self.builds = BuildManager(self.context)
        self.sources = SourceManager(self.context, self.plugins, self.dumps, self.uploads)

    def plugin(self, name: str, code: str = GOOD, *, release: str | None = "1", **manifest: Any) -> Plugin:
        """Write (again) and load a plugin whose parser is ``load`` in ``parser.py``; ``release`` is what is dumped."""
        folder = self.root / "plugins" / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "parser.py").write_text(textwrap.dedent(code))
        base = {"version": "1.0", "dumper": {"data_url": "file:///nowhere"}}
        if "uploaders" not in manifest:
            manifest["uploader"] = {"parser": "parser:load", **manifest.get("uploader", {})}
        (folder / "manifest.json").write_text(json.dumps({**base, **manifest}))
        if release is not None:
            self.release(name, release)
        return self.plugins.load(folder)

    def release(self, name: str, release: str, files: dict[str, str] | None = None, status: str = "success") -> Path:
        """Write what a dump would have left."""
        folder = self.root / "archive" / name / release
        folder.mkdir(parents=True, exist_ok=True)
        for file, text in (files or {}).items():
            (folder / file).write_text(text)
        download = {"status": status, "release": release, "data_folder": str(folder)}
        self.context.state["src_dump"].update_one({"_id": name}, {"$set": {"download": download}}, upsert=True)
        return folder

    def source(self, name: str, documents: list[dict[str, Any]], **manifest: Any) -> None:
        """A source with these documents, uploaded."""
        self.plugin(name, f"def load(folder):\n    return {documents!r}\n", **manifest)
        if documents:
            self.upload(name, accept_loss=True)
            return
        writer = self.context.store.writer()
        writer.seal()
        writer.commit(name)
        self.context.state["src_master"].replace_one({"_id": name}, {"_id": name, "main_source": name}, upsert=True)
        self.context.state["src_dump"].update_one(
            {"_id": name}, {"$set": {f"upload.jobs.{name}": {"status": "success"}}}
        )

    def upload(self, src: str, **kw: Any) -> dict[str, Any]:
        return run(self.uploads.upload_src(src, **kw))

    def merge(self, recipe: str, **kw: Any) -> str:
        return run(self.builds.merge(recipe, **kw))

    def build(self, name: str, sources: list[str], roots: list[str] | None = None, **params: Any) -> str:
        """A recipe and its build."""
        self.builds.create_build_configuration(name, "thing", sources, roots, params=params)
        return self.merge(name)

    def documents(self, collection: str) -> dict[str, dict[str, Any]]:
        """By ``_id``, without it."""
        found = {}
        for document in self.context.store[collection].find():
            found[document.pop("_id")] = document
        return found

    def job(self, main: str, collection: str | None = None) -> dict[str, Any]:
        """The upload job of a collection."""
        document = self.context.state["src_dump"].find_one({"_id": main}) or {}
        job: dict[str, Any] = document["upload"]["jobs"][collection or main]
        return job

    def leftovers(self) -> list[str]:
        """Files of writers that were not committed."""
        return [path.name for path in (self.root / "store").iterdir() if path.suffix in (".part", ".lock", ".new")]

    def close(self) -> None:
        self.context.close()
        self.context.state.close()


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)
