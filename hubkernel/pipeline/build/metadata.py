"""What a build says of itself: ``_meta`` and the mapping of its documents."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from hubkernel.pipeline.build.errors import BuildError, MappingConflictError
from hubkernel.pipeline.build.models import Recipe
from hubkernel.pipeline.merge import same
from hubkernel.store import StateStore
from hubkernel.store.base import Document


class SourceInfo:
    """What the hub's state says of one collection that is a source of builds."""

    def __init__(self, collection: str, master: Document | None, dump: Document | None) -> None:
        self.collection = collection
        self.master = master or {}
        self.dump = dump or {}
        self.main = str(self.master.get("main_source") or self.dump.get("_id") or collection)

    @property
    def known(self) -> bool:
        return bool(self.master)

    @property
    def upload(self) -> dict[str, Any]:
        """The last upload: ``status``, ``release``, ..., and what stands in the collection under ``current``."""
        found: dict[str, Any] = self.dump.get("upload", {}).get("jobs", {}).get(self.collection) or {}
        return found

    @property
    def release(self) -> str | None:
        """Of what stands in the collection."""
        current = self.upload.get("current") or self.upload
        return current.get("release")

    @property
    def uploaded_at(self) -> datetime | None:
        current = self.upload.get("current") or {}
        return current.get("uploaded_at") or self.upload.get("last_success")


def source_infos(state: StateStore, collections: Iterable[str]) -> dict[str, SourceInfo]:
    """By collection, in the order given."""
    names = list(collections)
    masters = {document["_id"]: document for document in state["src_master"].find({"_id": {"$in": names}})}
    dumps = state["src_dump"].find()
    by_id = {document["_id"]: document for document in dumps}
    by_upload = {name: document for document in dumps for name in document.get("upload", {}).get("jobs", {})}
    found = {}
    for name in names:
        main = masters.get(name, {}).get("main_source")
        found[name] = SourceInfo(name, masters.get(name), by_id.get(main) or by_upload.get(name))
    return found


def merge_mappings(infos: Iterable[SourceInfo]) -> dict[str, Any]:
    """The fields of all mappings together. Raises :class:`MappingConflictError` naming a field and both its sources."""
    merged: dict[str, Any] = {}
    owners: dict[str, str] = {}
    for info in infos:
        _merge_fields(merged, info.master.get("mapping") or {}, owners, info.collection, "")
    return merged


def _merge_fields(
    merged: dict[str, Any], fields: Mapping[str, Any], owners: dict[str, str], source: str, path: str
) -> None:
    for name, new in fields.items():
        here = f"{path}.{name}" if path else name
        old = merged.get(name)
        if old is None:
            merged[name] = _copy(new)
            owners[here] = source
        elif _is_object(old) and _is_object(new):
            _same_settings(old, new, here, owners, source)
            _merge_fields(old.setdefault("properties", {}), new.get("properties", {}), owners, source, here)
        elif not same(old, new):
            raise _conflict(here, old, new, owners, source)


def _is_object(field: Any) -> bool:
    return isinstance(field, dict) and ("properties" in field or field.get("type") in ("object", "nested"))


def _same_settings(old: Any, new: Any, path: str, owners: Mapping[str, str], source: str) -> None:
    """Objects may differ in their properties; whether they are nested, enabled, ... they must agree on."""
    first, second = _settings(old), _settings(new)
    if not same(first, second):
        raise _conflict(path, first, second, owners, source)


def _settings(field: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", **{key: value for key, value in field.items() if key != "properties"}}


def _conflict(path: str, old: Any, new: Any, owners: Mapping[str, str], source: str) -> MappingConflictError:
    steps = path.split(".")
    owner = next(owners[start] for size in range(len(steps), 0, -1) if (start := ".".join(steps[:size])) in owners)
    return MappingConflictError(
        f"the mappings of {owner!r} and {source!r} do not agree on the field {path!r}: {old} and {new}; "
        "change the mapping function of one of them and run update_source_meta for it"
    )


def _copy(value: Any) -> Any:
    return {key: _copy(item) for key, item in value.items()} if isinstance(value, dict) else value


def build_meta(
    recipe: Recipe,
    infos: Sequence[SourceInfo],
    written: Mapping[str, int],
    *,
    total: int,
    version: str,
    started: datetime,
) -> dict[str, Any]:
    """``_meta``: ``biothing_type``, ``src`` by main source, ``stats``, ``build_version``, ``build_date``.

    What the recipe has under ``_meta`` is put over it.
    """
    mains: dict[str, list[SourceInfo]] = {}
    for info in infos:
        mains.setdefault(info.main, []).append(info)
    meta = {
        "biothing_type": recipe.doc_type,
        "src": {main: _source_meta(main, parts, written) for main, parts in mains.items()},
        "stats": {"total": total},
        "build_version": version,
        "build_date": started.isoformat(),
    }
    return {**meta, **((recipe.model_extra or {}).get("_meta") or {})}


def check_releases(infos: Iterable[SourceInfo]) -> None:
    """Raises :class:`BuildError` if the collections of one main source hold different releases of it."""
    releases: dict[str, dict[str, str | None]] = {}
    for info in infos:
        releases.setdefault(info.main, {})[info.collection] = info.release
    for main, found in releases.items():
        if len(set(found.values())) > 1:
            listed = ", ".join(f"{name} has {release}" for name, release in found.items())
            raise BuildError(f"the collections of {main} are of different releases ({listed}): run upload({main!r})")


def _source_meta(main: str, parts: Sequence[SourceInfo], written: Mapping[str, int]) -> dict[str, Any]:
    download = parts[0].dump.get("download", {})
    uploads = [moment for info in parts if (moment := _utc(info.uploaded_at))]
    own = {
        "version": parts[0].release,
        "download_date": _utc(download.get("last_success")),
        "upload_date": max(uploads, default=None),
    }
    stats = {info.collection: written.get(info.collection, 0) for info in parts}
    known = {key: value for key, value in own.items() if value is not None}
    return {**_factored(parts), **known, "stats": stats}


def _factored(parts: Sequence[SourceInfo]) -> dict[str, Any]:
    """``src_meta`` of all collections of a source: what all say once, what differs by collection."""
    metas = {info.collection: info.master.get("src_meta") or {} for info in parts}
    keys = dict.fromkeys(key for meta in metas.values() for key in meta)
    factored = {}
    for key in keys:
        values = {name: meta[key] for name, meta in metas.items() if key in meta}
        first = next(iter(values.values()))
        alike = len(values) == len(parts) and all(same(first, value) for value in values.values())
        factored[key] = first if alike else values
    return factored


def _utc(moment: datetime | None) -> datetime | None:
    return moment.replace(tzinfo=UTC) if moment and moment.tzinfo is None else moment
