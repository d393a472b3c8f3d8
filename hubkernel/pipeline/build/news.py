"""What changed in the sources of a recipe since its last build."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from hubkernel.pipeline.build.metadata import SourceInfo, source_infos
from hubkernel.store import StateStore
from hubkernel.store.base import Document


def news(state: StateStore, recipe: Document, build: Document) -> dict[str, Any]:
    """``{"old_build": {"name", "built_at"}, "sources": {source: {"old": {...}, "new": {...}}}}``.

    A source whose last download or upload did not succeed has no news. ``new`` also has ``uploaded``, the release in
    the collection, if that is not the new one yet. A source that the recipe gained has an empty ``old``, one that it
    lost an empty ``new``.
    """
    then: Mapping[str, Any] = build["_meta"]["src"]
    now: dict[str, list[SourceInfo]] = {}
    for info in source_infos(state, recipe["sources"]).values():
        now.setdefault(info.main, []).append(info)
    changes: dict[str, Any] = {}
    for main, infos in now.items():
        new = _latest(infos)
        old = {"version": then[main].get("version")} if main in then else {}
        if new and new.get("version") != old.get("version", _NEVER):
            changes[main] = {"old": old, "new": new}
    for main in then.keys() - now.keys():
        changes[main] = {"old": {"version": then[main].get("version")}, "new": {}}
    return {"old_build": {"name": build["_id"], "built_at": _built_at(build)}, "sources": changes}


_NEVER = object()


def _latest(infos: list[SourceInfo]) -> dict[str, Any]:
    """The newest release of a source; empty if there is no complete one."""
    download = infos[0].dump.get("download", {})
    uploads = infos[0].dump.get("upload", {}).get("jobs", {}).values()
    if any(job.get("status") != "success" for job in uploads) or not all(info.known for info in infos):
        return {}
    uploaded = infos[0].release
    if not download:
        return {"version": uploaded}
    if download.get("status") != "success":
        return {}
    new = {"version": download.get("release"), "downloaded_at": download.get("last_success")}
    return new if uploaded == new["version"] else {**new, "uploaded": uploaded}


def _built_at(build: Document) -> datetime | str | None:
    moment: datetime | str | None = build.get("started_at") or build["_meta"].get("build_date")
    return moment
