"""A hub without a pipeline: real registry, real bus, jobs that a test moves by hand."""

from __future__ import annotations

import asyncio
import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from hubkernel.hub.commands import CommandDefinition, HiddenCommands, HubCommands, Role
from hubkernel.hub.events import EventBus
from hubkernel.hub.launching import Launcher, origin
from hubkernel.hub.loop import LoopThread
from hubkernel.hub.schedule import get_schedule
from hubkernel.jobs.models import JobRecord, plain

SOURCES = [
    {
        "_id": "hpo_terms",
        "name": "hpo_terms",
        "count": 19484,
        "download": {"release": "2025-01-16", "status": "success"},
        "upload": {"sources": {"hpo_terms": {"status": "success"}}},
    },
    {"_id": "hpo_genes", "name": "hpo_genes", "count": 0, "upload": {"sources": {"hpo_genes": {}}}},
]


class FakeJobs:
    """The part of the job manager that doors use. ``move`` is what a test does to a job."""

    def __init__(self, bus: EventBus) -> None:
        self.loop: Any = None
        self._bus = bus
        self._ids = itertools.count(1)
        self.records: dict[int, JobRecord] = {}
        self._futures: dict[int, Future[Any]] = {}
        self.moved = threading.Condition()
        self.on_cancel: Callable[[int], None] = lambda id: self.move(id, state="cancelled", error="cancelled")

    def start(self, name: str, function: Any, **given: Any) -> Any:
        now = time.time()
        fields = {key: given[key] for key in ("command", "source", "door", "user", "kwargs") if key in given}
        record = JobRecord(id=next(self._ids), name=name, state="running", created=now, started=now, **fields)
        self.records[record.id] = record
        self._emit(record, "insert")
        future: Future[Any] = Future()
        self._futures[record.id] = future
        if not asyncio.iscoroutinefunction(function):
            self._run(record.id, future, lambda: function(*given["args"], **given["kwargs"]))
        elif name == "quick":
            self.move(record.id, state="done", result="quickly")
        elif name == "run" and not given["command"].startswith("dump("):
            self._run(record.id, future, lambda: asyncio.run_coroutine_threadsafe(function(), self.loop).result())
        with self.moved:
            self.moved.notify_all()
        return SimpleNamespace(id=record.id, record=record, future=future)

    def _run(self, id: int, future: Future[Any], function: Callable[[], Any]) -> None:
        try:
            value = function()
        except Exception as error:
            future.set_exception(error)
            self.move(id, state="failed", error=f"{type(error).__name__}: {error}")
        else:
            future.set_result(value)
            self.move(id, state="done", result=plain(value))

    def move(self, id: int, **changes: Any) -> None:
        if changes.get("state") in ("done", "failed", "cancelled", "interrupted"):
            changes.setdefault("finished", time.time())
            if not self._futures[id].done():
                self._futures[id].set_result(changes.get("result"))
        record = self.records[id] = replace(self.records[id], **changes)
        self._emit(record, "update")

    def _emit(self, record: JobRecord, op: str) -> None:
        data = record.to_dict()
        del data["log"]
        self._bus.publish("job", record.id, op, data)

    def wait_for_job(self, id: int) -> None:
        with self.moved:
            assert self.moved.wait_for(lambda: id in self.records, 10)

    def get(self, id: int) -> JobRecord | None:
        return self.records.get(id)

    def list(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobRecord]:
        found = [r for r in self.records.values() if failed is None or (r.state == "failed") == failed]
        return sorted(found, key=lambda record: -record.id)[:limit]

    def cancel(self, id: int) -> bool:
        if self.records[id].state != "running":
            return False
        self.on_cancel(id)
        return True


class FakeServer:
    def __init__(self, home: Path) -> None:
        self.home = home
        self.name = "fake hub"
        self.features = ["job"]
        self.bus = EventBus()
        self.jobs = FakeJobs(self.bus)
        self._loop = LoopThread("fake hub")
        self.loop = self.jobs.loop = self._loop.loop
        self.documents = [{"_id": f"HP:{n:07}", "name": f"term {n}", "n": n} for n in range(2500)]
        self.pages: list[tuple[str | None, int]] = []
        self.commands = HubCommands()
        self.extra_commands = HiddenCommands()
        self.launcher = Launcher(self)  # type: ignore[arg-type]
        self.audited: list[tuple[Any, str, str]] = []
        self._fill()

    def _fill(self) -> None:
        def untracked(function: Any) -> CommandDefinition:
            return CommandDefinition(function, tracked=False)

        async def dump(src: str, force: bool = False, **kwargs: Any) -> None:
            """Download a release of a source."""

        async def quick() -> str:
            """A job that is done at once."""
            return "quickly"

        async def later(value: int = 1) -> int:
            """Asynchronous, and leaves no trace."""
            await asyncio.sleep(0)
            return value + 1

        def status() -> dict[str, Any]:
            """What the hub has."""
            return {"source": {"total": 2}}

        def sch() -> str:
            """The timers of the hub."""
            return get_schedule(self.loop)

        def setconf(name: str, value: Any) -> dict[str, Any]:
            """Change a setting."""
            if name == "nothing":
                raise ValueError("there is no setting 'nothing'")
            return {name: value}

        def sources() -> list[dict[str, Any]]:
            """All sources."""
            return SOURCES

        def run(text: str) -> Any:
            """Run commands."""
            return self.launcher.run(text, origin())

        def builds() -> list[dict[str, Any]]:
            """All builds."""
            return [{"_id": "hpo_20250116", "status": "success", "index": {"hpo_current": {}}}]

        def search(index: str, q: str = "*") -> dict[str, Any]:
            """Documents that match."""
            return {"total": 0, "hits": []}

        def build_config_info() -> dict[str, Any]:
            """Configurations."""
            return {"build_configs": {"hpo": {}}, "builder_classes": {}}

        async def merge(build_name: str, target_name: str | None = None) -> None:
            """Merge the sources of a configuration."""

        self.commands.update(
            dump=dump,
            quick=quick,
            later=untracked(later),
            status=untracked(status),
            setconf=setconf,
            merge=merge,
            run=CommandDefinition(run, tracked=False, role=Role.viewer),
        )
        self.extra_commands.update(
            sources=untracked(sources),
            sch=untracked(sch),
            builds=untracked(builds),
            search=untracked(search),
            build_config_info=untracked(build_config_info),
            documents=untracked(self._documents),
            count=untracked(self._count),
        )

    def audit(self, caller: Any, text: str, outcome: str) -> None:
        self.audited.append((caller, text, outcome))

    def _documents(
        self,
        name: str,
        query: dict[str, Any] | None = None,
        fields: list[str] | None = None,
        after: str | None = None,
        limit: int = 1000,
    ) -> list[dict[str, Any]]:
        """One page."""
        self.pages.append((after, limit))
        found = [doc for doc in self._matching(query) if doc["_id"] > (after or "")]
        return [{k: v for k, v in doc.items() if not fields or k in {"_id", *fields}} for doc in found[:limit]]

    def _count(self, name: str, query: dict[str, Any] | None = None) -> int:
        """How many."""
        return len(self._matching(query))

    def _matching(self, query: dict[str, Any] | None) -> list[dict[str, Any]]:
        return [doc for doc in self.documents if all(doc.get(key) == value for key, value in (query or {}).items())]

    def shutdown(self) -> None:
        for id, record in self.jobs.records.items():
            if record.state == "running":
                self.jobs.move(id, state="interrupted", error="the hub was closed")
        self._loop.close()
        self.bus.close()
