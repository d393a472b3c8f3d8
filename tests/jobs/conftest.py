from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import settings

from hubkernel.jobs import JobManager
from hubkernel.jobs.manager import Job
from hubkernel.store import StateStore, open_state

SECONDS = 30
EXECUTORS = {"process": "process://?workers=2&grace=0.1", "thread": "thread://?workers=2&grace=0.1"}
Make = Callable[..., JobManager]
settings.register_profile("jobs", deadline=None)  # a busy machine is not a failure
settings.load_profile("jobs")


class Events(list[tuple[str, int, str, dict[str, Any]]]):
    """What a manager emitted, in order."""

    def __call__(self, entity: str, id: int, op: str, data: dict[str, Any]) -> None:
        self.append((entity, id, op, dict(data)))

    def of(self, id: int) -> list[tuple[str, str]]:
        """``(op, state)`` of one job."""
        return [(op, data["state"]) for _, number, op, data in list(self) if number == id]


def until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.002)


def ended(jobs: JobManager, job: Job) -> str:
    """The state in which it ended, once its journal says so."""
    concurrent.futures.wait([job.future], SECONDS)
    record = jobs.journal.get(job.id)
    assert record is not None
    return record.state


async def nothing() -> None:
    pass


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop in its own thread, as the hub has it; what it had to report as unhandled fails the test."""
    made = asyncio.new_event_loop()
    unhandled: list[dict[str, Any]] = []
    made.set_exception_handler(lambda _, context: unhandled.append(context))
    thread = threading.Thread(target=made.run_forever, name="hub-loop")
    thread.start()
    yield made
    made.call_soon_threadsafe(made.stop)
    thread.join(SECONDS)
    made.close()
    assert not unhandled


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.close()


@pytest.fixture
def events() -> Events:
    return Events()


@pytest.fixture
def make(state: StateStore, events: Events, loop: asyncio.AbstractEventLoop) -> Iterator[Make]:
    made: list[JobManager] = []

    def open_(**options: Any) -> JobManager:
        made.append(JobManager(state, **{"executors": EXECUTORS, "emit": events, "loop": loop, **options}))
        return made[-1]

    yield open_
    for manager in made:
        manager.close(force=True)


@pytest.fixture
def jobs(make: Make) -> JobManager:
    return make()
