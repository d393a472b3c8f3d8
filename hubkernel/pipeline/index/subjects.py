"""What can be indexed: a build, or any collection of the store."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.index.errors import NoSuchBuildError


@dataclass(frozen=True, slots=True)
class Subject:
    """``build`` is the name of the build, None for a plain collection. ``mapping`` holds what the sources declare."""

    collection: str
    build: str | None
    count: int
    mapping: dict[str, Any]
    meta: dict[str, Any]
    """The ``_meta`` of the index."""
    recipe: dict[str, Any]
    """The build configuration: ``num_shards``, ``extra_index_settings``, ... are read."""


def find_subject(context: PipelineContext, name: str) -> Subject:
    """Raises :class:`NoSuchBuildError` with the nearest name."""
    build = context.state["src_build"].find_one({"_id": name})
    collection = name
    if build is not None and name not in context.store and build.get("backend_url"):
        linked = build["backend_url"]  # the documents of a linked build stay where they are: ["src", collection]
        collection = linked[-1] if isinstance(linked, (list, tuple)) else str(linked)
    if collection not in context.store:
        builds = [each["_id"] for each in context.state["src_build"].find({}, {"_id": 1})]
        raise NoSuchBuildError(name, {*context.store.names(), *builds} - {name})
    count = context.store.collection(collection).count()
    if build is None:
        return _plain(context, collection, count)
    return Subject(
        collection, name, count, dict(build.get("mapping") or {}), dict(build.get("_meta") or {}),
        dict(build.get("build_config") or {}),
    )  # fmt: skip


def _plain(context: PipelineContext, collection: str, count: int) -> Subject:
    master = context.state["src_master"].find_one({"_id": collection}) or {}
    meta = {"biothing_type": collection, "src": {collection: master.get("src_meta") or {}}, "stats": {"total": count}}
    return Subject(collection, None, count, dict(master.get("mapping") or {}), meta, {})
