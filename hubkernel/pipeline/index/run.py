"""One index job: look at the documents, make an index beside the served one, fill it, check it, serve it."""

from __future__ import annotations

import asyncio
import logging
import re
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any

from hubkernel.executors import Worker
from hubkernel.jobs.context import Where, current
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.index.environments import Environments
from hubkernel.pipeline.index.errors import IndexingError
from hubkernel.pipeline.index.mapping import index_body
from hubkernel.pipeline.index.shapes import Shapes
from hubkernel.pipeline.index.steps import Load, Range, load, look
from hubkernel.pipeline.index.subjects import Subject

logger = logging.getLogger(__name__)

_PARALLEL_FROM = 5_000
"""Documents; fewer are looked at in one thread, without starting processes."""
_PARTS = 4
_TEMPORARY = re.compile(r"_\d{14}_[0-9a-f]{8}")


@dataclass(frozen=True, slots=True)
class Place:
    """Where the new index goes: served as ``name``, made as ``temporary``."""

    env: str
    name: str
    temporary: str

    @classmethod
    def new(cls, env: str, name: str) -> Place:
        return cls(env, name, f"{name}_{datetime.now(UTC):%Y%m%d%H%M%S}_{secrets.token_hex(4)}")


class IndexRun:
    """``ids`` restricts the index to these documents. On the hub loop; engines are talked to in worker threads."""

    def __init__(
        self,
        context: PipelineContext,
        environments: Environments,
        subject: Subject,
        place: Place,
        *,
        ids: tuple[str, ...] | None,
        batch_size: int,
    ) -> None:
        self.context = context
        self.environments = environments
        self.subject = subject
        self.place = place
        self.ids = ids
        self.batch_size = batch_size

    async def run(self) -> dict[str, Any]:
        """The record of the index. Whatever fails, the new index is removed and what was served stays."""
        job, place = current(), self.place
        body = await self._body()
        await job.run(prepare, self.environments, place, body, where="thread", description=f"create {place.name}")
        try:
            count = await self._load()
            await job.run(serve, self.environments, place, count, where="thread", description=f"serve {place.name}")
        except BaseException as error:
            await asyncio.shield(asyncio.to_thread(drop, self.environments, place))
            if _no_space(error):
                raise IndexingError(
                    f"{place.name}: no space left for the index (disk full, or at its limit): free some and index "
                    "again; what was served stays"
                ) from error
            raise
        return self._record(count)

    async def _body(self) -> dict[str, Any]:
        subject = self.subject
        shapes = await self._look()
        if mixed := shapes.mixed():
            current().log(f"not searchable (objects in some documents, values in others): {', '.join(mixed)}")
        return index_body(subject.mapping, shapes.properties(), subject.meta, subject.recipe)

    async def _look(self) -> Shapes:
        """The shapes of all fields that no source has declared."""
        subject = self.subject
        ranges: list[Range] = [(None, None)]
        if subject.count >= _PARALLEL_FROM:
            ranges = self.context.store.collection(subject.collection).split(_PARTS)
        where: Where = "thread" if len(ranges) == 1 else "process"
        given = (self.context.store_url, subject.collection)
        options: dict[str, Any] = {
            "where": where,
            "description": f"look at {subject.collection}",
            "on_progress": _quiet,
        }
        runs = [current().run(look, *given, each, tuple(subject.mapping), **options) for each in ranges]
        shapes = Shapes()
        for found in await asyncio.gather(*runs):
            shapes.add(found)
        return shapes

    async def _load(self) -> int:
        subject, ids, env = self.subject, self.ids, self.place.env
        total = len(ids) if ids is not None else subject.count
        work = Load(
            self.context.store_url, subject.collection, self.environments.url(env), self.place.temporary,
            ids, self.batch_size, total, self.environments.options(env),
        )  # fmt: skip
        sent: int = await current().run(load, work, where="thread", description=f"index {subject.collection}")
        if ids is not None and sent < total:
            current().log(f"{total - sent} of {total} ids are not in {subject.collection}")
        elif sent != total:
            raise IndexingError(
                f"{subject.collection} had {total} documents but {sent} were read: it changed meanwhile"
            )
        return sent

    def _record(self, count: int) -> dict[str, Any]:
        """``src_build.<build>.index.<name>``; a build whose index was replaced forgets it."""
        place = self.place
        record = {
            "host": self.environments.shown_host(place.env), "environment": place.env, "index": place.temporary,
            "count": count, "created_at": datetime.now(UTC),
        }  # fmt: skip
        builds = self.context.state["src_build"]
        for build in builds.find({}, {"index": 1}):
            indices = dict(build.get("index") or {})
            mine = build["_id"] == self.subject.build
            if not mine and indices.get(place.name, {}).get("environment") != place.env:
                continue
            indices.pop(place.name, None)
            if mine:
                indices[place.name] = record
            builds.update_one({"_id": build["_id"]}, {"$set": {"index": indices}})
        return {**record, "index": place.name}


def _quiet(done: float, total: float | None, message: str) -> None:
    """Progress of looking at the documents is not shown: it would run before that of indexing them."""


# --- steps, in a worker thread


def prepare(worker: Worker, environments: Environments, place: Place, body: dict[str, Any]) -> None:
    """Create the new index. Raises :class:`IndexingError` if its name is taken by an index of somebody else."""
    client = environments.client(place.env)
    if client.indices.exists(index=place.name) and not client.indices.exists_alias(name=place.name):
        raise IndexingError(
            f"{environments.shown_host(place.env)} has an index {place.name!r} that this hub did not make: "
            "choose another index_name, or delete that index"
        )
    for left_over in _left_overs(client, place.name):
        client.indices.delete(index=left_over, ignore_unavailable=True)
    try:
        client.indices.create(index=place.temporary, **body)
    except Exception as error:
        reason = _reason(error)
        if reason is None:
            raise
        raise IndexingError(f"the index {place.name!r} cannot be created: {reason}") from error


def _no_space(error: BaseException) -> bool:
    """Both kinds of engine answer 507 when they cannot write."""
    from elasticsearch import ApiError

    return isinstance(error, ApiError) and error.status_code == HTTPStatus.INSUFFICIENT_STORAGE


def _reason(error: Exception) -> str | None:
    from elasticsearch import BadRequestError

    from hubkernel.pipeline.index.query import reason_of

    return reason_of(error) if isinstance(error, BadRequestError) else None


def _left_overs(client: Any, name: str) -> list[str]:
    """Indices of that name that were begun but never served: their job was killed."""
    return [
        each
        for each, state in client.indices.get_alias(index=f"{name}_*").items()
        if _TEMPORARY.fullmatch(each.removeprefix(name)) and not state["aliases"]
    ]


def serve(worker: Worker, environments: Environments, place: Place, expected: int) -> None:
    """Compare counts, then let the name point to the new index and remove the old one, in one step."""
    client = environments.client(place.env)
    client.indices.refresh(index=place.temporary)
    count = client.count(index=place.temporary)["count"]
    if count != expected:
        raise IndexingError(
            f"{expected} documents were sent but the index has {count}; nothing was changed: index again"
        )
    worker.check()
    served = client.indices.exists_alias(name=place.name)
    old = list(client.indices.get_alias(name=place.name)) if served else []
    removals = [_removal(each, place.name) for each in old]
    client.indices.update_aliases(actions=[*removals, {"add": {"index": place.temporary, "alias": place.name}}])


def _removal(old: str, name: str) -> dict[str, Any]:
    if _TEMPORARY.fullmatch(old.removeprefix(name)):
        return {"remove_index": {"index": old}}
    return {"remove": {"index": old, "alias": name}}  # somebody else made it: it only loses the name


def drop(environments: Environments, place: Place) -> None:
    try:
        environments.client(place.env).indices.delete(index=place.temporary, ignore_unavailable=True)
    except Exception:
        logger.exception("the unfinished index %s stays; the next job for it removes it", place.temporary)
