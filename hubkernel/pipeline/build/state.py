"""Builds in the hub's state: ``src_build``."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from hubkernel.executors import CancelledWork
from hubkernel.jobs.render import timesofar
from hubkernel.pipeline.build.errors import NoSuchBuildError, unknown
from hubkernel.pipeline.build.models import Step
from hubkernel.store import DocumentStore, StateStore
from hubkernel.store.base import Document

ENDED_BADLY = ("failed", "canceled")


class BuildState:
    """The document of one build. Each method is one durable write."""

    def __init__(self, state: StateStore, name: str) -> None:
        self.name = name
        self._collection = state["src_build"]

    def load(self) -> Document | None:
        return self._collection.find_one({"_id": self.name})

    def set(self, values: Mapping[str, Any]) -> None:
        self._collection.update_one({"_id": self.name}, {"$set": dict(values)}, upsert=True)

    def prepare(self, token: str, values: Mapping[str, Any]) -> None:
        """What is to be set once the collection of the writer ``token`` is in place: to be called before its commit, so
        that a hub that dies in between can be told what is true.
        """
        self.set({"prepared": {"token": token, "values": dict(values)}})

    def settle(self, store: DocumentStore) -> bool:
        """Set what was prepared if the collection is in place, else forget it; returns whether it is."""
        prepared = (self.load() or {}).get("prepared")
        if prepared is None:
            return False
        done = bool(store.token(self.name) == prepared["token"])
        values = {"$set": prepared["values"]} if done else {}
        self._collection.update_one({"_id": self.name}, {**values, "$unset": {"prepared": ""}})
        return done

    @contextmanager
    def step(
        self,
        name: str,
        sources: list[str] | None = None,
        job: int | None = None,
        in_place: Callable[[], bool] = lambda: False,
    ) -> Iterator[Step]:
        """Record a step: ``building`` inside, then ``success``, ``failed`` or ``canceled``.

        ``in_place()`` is asked after an error: one that comes when all is done does not undo it.
        """
        started = datetime.now(UTC)
        step = Step(step=name, status="building", step_started_at=started, sources=sources, job=job, pid=os.getpid())
        self._collection.update_one({"_id": self.name}, {"$push": {"jobs": step.model_dump(exclude_none=True)}})
        try:
            yield step
        except BaseException as error:
            failed = isinstance(error, Exception) and not isinstance(error, CancelledWork)
            step.err = str(error) or type(error).__name__
            self._end(step, "success" if in_place() else "failed" if failed else "canceled")
            raise
        self._end(step, "success")

    def _end(self, step: Step, status: Any) -> None:
        step.status, step.pid = status, None
        seconds = (datetime.now(UTC) - step.step_started_at).total_seconds()
        step.time, step.time_in_s = timesofar(0, seconds), round(seconds, 3)
        document = self.load() or {}
        # Other stages append jobs of their own; this one's is the last that has its name and is still going on.
        jobs = document.get("jobs", [])
        place = max(index for index, job in enumerate(jobs) if (job["step"], job["status"]) == (step.step, "building"))
        jobs[place] = step.model_dump(exclude_none=True)
        self.set({"jobs": jobs})


class Builds:
    """All builds of a hub."""

    def __init__(self, state: StateStore) -> None:
        self._collection = state["src_build"]

    def get(self, name: str) -> Document:
        """Raises :class:`NoSuchBuildError` with the nearest name."""
        found = self._collection.find_one({"_id": name})
        if found is None:
            names = [document["_id"] for document in self._collection.find(projection=["_id"])]
            raise NoSuchBuildError(unknown("build", name, names))
        return found

    def find(
        self, recipe: str | None = None, *, archived: bool | None = False, status: str | None = None
    ) -> list[Document]:
        """Newest first. ``archived=None`` is all; ``status`` is that of the last step."""
        condition: dict[str, Any] = {}
        if recipe is not None:
            condition["build_config.name"] = recipe
        if archived is not None:
            condition["archived"] = {"$exists": archived}
        found = self._collection.find(condition, sort=[("started_at", -1), ("_id", -1)])
        return [build for build in found if status is None or status_of(build) == status]

    def latest_success(self, recipe: str) -> Document | None:
        """The newest build of a recipe that has data to compare with."""
        builds = (build for build in self.find(recipe) if (build.get("_meta") or {}).get("src"))
        return next(builds, None)

    def versions(self, recipe: str) -> set[str]:
        """All versions that builds of a recipe have had, archived, failed and running ones too."""
        return {build["build_version"] for build in self.find(recipe, archived=None) if "build_version" in build}

    def archive(self, name: str) -> None:
        """Mark it as archived, now."""
        self._collection.update_one({"_id": name}, {"$set": {"archived": datetime.now(UTC)}})

    def delete(self, name: str) -> None:
        self._collection.delete_one({"_id": name})


def recover(state: StateStore, store: DocumentStore, lives: Callable[[int | None], bool]) -> list[str]:
    """Call at start: what a dead hub left as ``building`` becomes ``success`` if its collection is in place, else
    ``canceled``. Returns what was done, in words. ``lives(pid)`` tells of another hub at work.
    """
    done = []
    for document in state["src_build"].find({"$or": [{"jobs.status": "building"}, {"prepared": {"$exists": True}}]}):
        jobs = document.get("jobs", [])
        stale = [job for job in jobs if job.get("status") == "building"]
        if any(lives(job.get("pid")) for job in stale):
            continue
        build = BuildState(state, document["_id"])
        status = "success" if build.settle(store) else "canceled"
        for job in stale:
            job.update(status=status, pid=None)
        build.set({"jobs": jobs})
        done.append(f"build {build.name}: {status}")
    return done


def status_of(build: Document) -> str:
    """Status of the last step, or ``unknown``."""
    jobs = build.get("jobs") or []
    return str(jobs[-1].get("status", "unknown")) if jobs else "unknown"


def without(document: Document, keys: Iterable[str]) -> Document:
    left_out = set(keys)
    return {key: value for key, value in document.items() if key not in left_out}
