"""What is done to indices that exist, and to mappings before there is an index of them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Iterable, Mapping
from typing import Any

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.index.environments import Environments
from hubkernel.pipeline.index.errors import NoSuchIndexError, SearchError
from hubkernel.pipeline.index.mapping import index_body
from hubkernel.pipeline.index.query import reason_of
from hubkernel.pipeline.index.subjects import Subject

logger = logging.getLogger(__name__)


def try_mapping(client: Any, mapping: Mapping[str, Any]) -> None:
    """Make an empty index of these ``properties`` and remove it. Raises :class:`SearchError` with what is wrong."""
    from elasticsearch import ApiError

    if "properties" in mapping and set(mapping) <= {"properties", "dynamic", "_meta"}:
        mapping = mapping["properties"]
    elif len(mapping) == 1 and isinstance(next(iter(mapping.values())), Mapping):
        inner = next(iter(mapping.values()))  # {root key: {"properties": ...}}, as BioThings Studio sends it
        mapping = inner["properties"] if set(inner) == {"properties"} and "type" not in inner else mapping
    name = f"hubkernel_validate_{secrets.token_hex(8)}"
    try:
        client.indices.create(index=name, mappings={"properties": dict(mapping)})
    except (ApiError, ValueError) as error:
        reason = reason_of(error) if isinstance(error, ApiError) else str(error)
        raise SearchError(f"the mapping is not valid: {reason}") from error
    finally:
        client.indices.delete(index=name, ignore_unavailable=True)


def write_meta(client: Any, index: str, meta: Mapping[str, Any]) -> dict[str, Any]:
    """Replace the ``_meta`` of an index; returns it. Raises :class:`NoSuchIndexError`."""
    if not client.indices.exists(index=index):
        served = client.indices.get_alias(index="*").values()
        raise NoSuchIndexError(index, {alias for each in served for alias in each["aliases"]})
    client.indices.put_mapping(index=index, meta=dict(meta))
    return dict(meta)


def meta_of(subject: Subject) -> dict[str, Any]:
    """What an index of this build would have as its ``_meta``."""
    found: dict[str, Any] = index_body(subject.mapping, {}, subject.meta, subject.recipe)["mappings"]["_meta"]
    return found


class Cleanup:
    """The indices of builds of which there are newer ones: all but the ``keep`` newest of each build configuration."""

    def __init__(self, context: PipelineContext, environments: Environments, keep: int) -> None:
        if keep < 0:
            raise ValueError(f"keep is {keep}; it takes a whole number from 0 on")
        self.builds = context.state["src_build"]
        self.environments = environments
        self.keep = keep

    def old(self, envs: Iterable[str], recipe: str | None) -> list[dict[str, Any]]:
        """``[{"environment", "build_config", "build_name", "index", "created_at"}]``."""
        wanted = set(envs)
        groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
        for build in self.builds.find({}, {"index": 1, "build_config": 1}):
            name = (build.get("build_config") or {}).get("name", "")
            for index, record in (build.get("index") or {}).items():
                if record["environment"] in wanted and recipe in (None, name):
                    found = {"environment": record["environment"], "build_config": name, "build_name": build["_id"]}
                    groups.setdefault((record["environment"], name), []).append(
                        {**found, "index": index, "created_at": record["created_at"]}
                    )
        kept = [sorted(group, key=lambda each: each["created_at"], reverse=True) for group in groups.values()]
        return [each for group in kept for each in group[self.keep :]]

    def remove(self, found: Mapping[str, Any]) -> None:
        """Remove one index, then what is remembered of it."""
        client = self.environments.client(found["environment"])
        if client.indices.exists_alias(name=found["index"]):
            for concrete in client.indices.get_alias(name=found["index"]):
                client.indices.delete(index=concrete, ignore_unavailable=True)
        build = self.builds.find_one({"_id": found["build_name"]}) or {}
        left = {name: record for name, record in (build.get("index") or {}).items() if name != found["index"]}
        self.builds.update_one({"_id": found["build_name"]}, {"$set": {"index": left}})
        logger.info("removed the index %s of %s", found["index"], found["build_name"])
