"""Index jobs: a build goes into an index beside the one that is served, which it replaces when it is complete."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.index import query
from hubkernel.pipeline.index.environments import DEFAULT, Environments
from hubkernel.pipeline.index.errors import IndexBusyError, NoSuchIndexError, SearchError
from hubkernel.pipeline.index.run import IndexRun, Place
from hubkernel.pipeline.index.subjects import Subject, find_subject
from hubkernel.pipeline.index.upkeep import Cleanup, meta_of, try_mapping, write_meta

logger = logging.getLogger(__name__)


class IndexManager:
    """The indices of a hub. Threading: commands run on the hub loop, engines are talked to in worker threads."""

    def __init__(self, context: PipelineContext, *, config: Mapping[str, Any] | None = None) -> None:
        """``config``: ``{"env": {name: {"host": "embedded" | url, "indexer": {"args": {...}}}}}``; the environment
        ``localhub`` is the hub's own engine unless it is given. ``ValueError`` names what is wrong in it.
        """
        self.context = context
        self.environments = Environments(config, context.search_url)
        self._running: set[tuple[str, str]] = set()

    # --- making an index

    async def index(
        self,
        indexer_env: str,
        build_name: str,
        index_name: str | None = None,
        ids: Iterable[str] | None = None,
        *,
        batch_size: int = 500,
    ) -> dict[str, Any]:
        """Index a build (or a plain collection, such as a source) and serve it as ``index_name``.

        ``index_name`` is the build's name in small letters unless given. ``ids`` restricts it to these documents. What
        was served under that name is served until the new one is complete, and stays if anything fails. Returns
        ``{"index", "environment", "host", "count", "created_at"}``.
        """
        self.environments.url(indexer_env)
        subject = self.find(build_name)
        place = Place.new(indexer_env, (index_name or build_name).lower())
        chosen = tuple(dict.fromkeys(ids)) if ids is not None else None
        key = (indexer_env, place.name)
        if key in self._running:
            raise IndexBusyError(
                f"the index {place.name!r} in {indexer_env!r} is being made by another job: wait for it"
            )
        self._running.add(key)
        try:
            run = IndexRun(self.context, self.environments, subject, place, ids=chosen, batch_size=batch_size)
            return await run.run()
        finally:
            self._running.discard(key)

    def find(self, build_name: str) -> Subject:
        """What ``build_name`` means: a build, or else a plain collection. Raises :class:`NoSuchBuildError`."""
        return find_subject(self.context, build_name)

    # --- what there is

    def index_info(self, remote: bool = False) -> dict[str, Any]:
        """``{"env": {name: {"host", "index": [...]}}}``: as recorded, or with ``remote`` as the engine has them.

        An engine that does not answer has an ``"error"``.
        """
        info: dict[str, Any] = {}
        for env in self.environments.names:
            info[env] = {"host": self.environments.shown_host(env), "index": self._recorded(env)}
            if remote:
                try:
                    info[env]["index"] = _listed(self.environments.client(env))
                except Exception as error:
                    logger.warning("index environment %s: %s", env, error)
                    info[env]["error"] = str(error)
        return {"env": info}

    def _recorded(self, env: str) -> list[dict[str, Any]]:
        return [
            {**record, "index": name, "build_name": build["_id"]}
            for build in self.context.state["src_build"].find({}, {"index": 1})
            for name, record in (build.get("index") or {}).items()
            if record.get("environment") == env
        ]

    def get_indexes_by_name(
        self, index_name: str | None = None, env_name: str | None = None, limit: int = 10
    ) -> list[dict[str, Any]]:
        """Indices of builds, newest first; ``index_name`` may have ``*``.

        ``[{"index_name", "doc_type", "build_version", "count", "creation_date" (epoch ms), "environment"}]``
        """
        found: list[dict[str, Any]] = []
        for env in [env_name] if env_name else self.environments.names:
            where = {"name": env, "host": self.environments.shown_host(env)}
            try:
                listed = _listed(self.environments.client(env), index_name or "*")
            except Exception as error:
                if env_name:
                    raise SearchError(f"index environment {env!r} does not answer: {error}") from error
                logger.warning("index environment %s: %s", env, error)
                continue
            found += [{**each, "environment": where} for each in listed]
        keys = ("index_name", "doc_type", "build_version", "count", "creation_date", "environment")
        found.sort(key=lambda each: -int(each["creation_date"]))
        return [{key: each[key] for key in keys} for each in found[:limit]]

    # --- upkeep

    async def validate_mapping(self, mapping: Mapping[str, Any], env: str) -> None:
        """Try a mapping on an environment: an empty index of it is made and removed. Raises :class:`SearchError` with
        what is wrong.
        """
        await asyncio.to_thread(try_mapping, self.environments.client(env), mapping)

    async def update_metadata(
        self, indexer_env: str, index_name: str, build_name: str | None = None, _meta: dict[str, Any] | None = None
    ) -> dict[str, Any]:
        """Write the ``_meta`` of an index again: ``_meta``, or else that of the build; returns it.

        ``build_name`` is the index's own name unless given. Documents are not touched.
        """
        meta = _meta if _meta is not None else meta_of(self.find(build_name or index_name))
        return await asyncio.to_thread(write_meta, self.environments.client(indexer_env), index_name, meta)

    async def cleanup(
        self, env: str | None = None, keep: int = 3, dryrun: bool = True, *, build_config: str | None = None
    ) -> list[dict[str, Any]]:
        """Remove old indices: of each build configuration, all but those of its ``keep`` newest builds.

        Returns what was removed, or with ``dryrun`` would be. Indices that the hub did not make are never touched.
        """
        cleanup = Cleanup(self.context, self.environments, keep)
        old = cleanup.old([env] if env else self.environments.names, build_config)
        for found in [] if dryrun else old:
            await asyncio.to_thread(cleanup.remove, found)
        return old

    # --- asking

    def search(  # noqa: PLR0917 - people type it
        self, index: str, q: str = "*", size: int = 10, start: int = 0,
        fields: Sequence[str] | str | None = None, sort: Any = None,
    ) -> dict[str, Any]:  # fmt: skip
        """Documents that match ``q``: ``{"took", "total", "max_score", "hits": [{"_id", "_score", ...}]}``.

        The syntax is in docs/users/search.md. ``fields`` are the paths to show (``*`` may be in them). ``sort``:
        ``"name,-taxid"``. Raises :class:`NoSuchIndexError` or, for a bad query, :class:`SearchError`.
        """
        return query.run(self.environments.client(self._environment_of(index)), index, q, size, start, fields, sort)

    def document(self, index: str, id: str) -> dict[str, Any] | None:
        """One document, ``_id`` included; None if there is none. Raises :class:`NoSuchIndexError`."""
        from elasticsearch import NotFoundError

        client = self.environments.client(self._environment_of(index))
        try:
            found = client.get(index=index, id=id)
        except NotFoundError:
            return None
        return {"_id": found["_id"], **found["_source"]}

    def _environment_of(self, index: str) -> str:
        """The first environment that has the index; the hub's own one is asked first."""
        known: set[str] = set()
        for env in sorted(self.environments.names, key=lambda name: name != DEFAULT):
            client = self.environments.client(env)
            if client.indices.exists(index=index):
                return env
            known.update(each["index_name"] for each in _listed(client))
        raise NoSuchIndexError(index, known)

    def close(self) -> None:
        """Close the clients, and with them the embedded engine."""
        self.environments.close()


def _listed(client: Any, pattern: str = "*") -> list[dict[str, Any]]:
    """The indices of builds, by the name that people use."""
    listed: list[dict[str, Any]] = []
    for concrete, each in client.indices.get(index=pattern, ignore_unavailable=True).items():
        meta = each["mappings"].get("_meta") or {}
        if not meta.get("biothing_type"):
            continue
        aliases = list(each["aliases"])
        listed.append({
            "index": concrete, "index_name": aliases[0] if aliases else concrete, "aliases": aliases,
            "doc_type": meta["biothing_type"], "build_version": meta.get("build_version"),
            "count": client.count(index=concrete)["count"],
            "creation_date": each["settings"]["index"]["creation_date"],
        })  # fmt: skip
    return listed
