"""How jobs are cancelled, and what stays as it is."""

from __future__ import annotations

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

from hubkernel.executors import CancelledWork
from hubkernel.jobs import JobCancelled, JobManager, current
from hubkernel.jobs import steps as steps_module
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Make, ended, nothing, until


@pytest.mark.parametrize("where", ["process", "thread"])
def test_cancel_ends_the_coroutine_and_its_work_in_that_order_of_cleanup(
    jobs: JobManager, tmp_path: Path, where: Any
) -> None:
    order: list[bool] = []

    async def command() -> None:
        try:
            await current().run(works.hold, tmp_path, where=where)
        finally:
            order.append((tmp_path / "work.ended").exists())

    job = jobs.start("x", command)
    until((tmp_path / "work.begun").exists)
    assert job.cancel()
    assert isinstance(job.future.exception(SECONDS), JobCancelled)
    assert ended(jobs, job) == "cancelled"
    assert order == [True], "the job cleaned up while its work still ran"
    assert not jobs.cancel(job.id)
    assert [entry[0] for entry in job.record.story] == ["created", "running", "cancelled"]


def test_cancel_ends_a_process_that_does_not_listen_and_no_other(jobs: JobManager, tmp_path: Path) -> None:
    async def deaf() -> None:
        await current().run(works.endless, tmp_path, "deaf")

    async def other() -> Any:
        return await current().run(works.hold, tmp_path, "other")

    neighbour, job = jobs.start("other", other), jobs.start("deaf", deaf)
    until((tmp_path / "deaf.begun").exists)
    until((tmp_path / "other.begun").exists)
    pids = set(jobs.executors["process"].processes())
    assert jobs.cancel(job.id)
    assert ended(jobs, job) == "cancelled"
    (tmp_path / "other.gate").touch()
    pid = neighbour.future.result(SECONDS)
    assert pid in pids
    assert not any(psutil.pid_exists(dead) for dead in pids - {pid})


def test_a_cancelled_job_leaves_a_thread_that_does_not_listen_behind(
    jobs: JobManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(steps_module, "PATIENCE", 0.05)

    async def command() -> None:
        await current().run(works.deaf, tmp_path, where="thread")

    job = jobs.start("x", command)
    until((tmp_path / "work.begun").exists)
    job.cancel()
    assert ended(jobs, job) == "cancelled"
    assert "its thread is left behind" in caplog.text
    (tmp_path / "work.gate").touch()


def test_cancel_stops_a_plain_function_at_its_next_check(jobs: JobManager) -> None:
    begun = threading.Event()

    def command() -> None:
        begun.set()
        while True:
            current().check()
            time.sleep(0.002)

    job = jobs.start("x", command)
    assert begun.wait(SECONDS)
    job.cancel()
    assert ended(jobs, job) == "cancelled"


def test_cancel_at_any_moment_ends_in_a_terminal_state(jobs: JobManager) -> None:
    async def command() -> Any:
        await asyncio.sleep(0)
        return await current().run(works.add, 1, where="thread")

    for number in range(60):
        job = jobs.start("x", command)
        time.sleep(number * 5e-5)  # not to wait for anything: to meet different moments
        asked = job.cancel()
        state = ended(jobs, job)
        assert state == "cancelled" if asked else state == "done"


def test_cancel_before_the_job_began_never_runs_its_code(
    make: Make, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    jobs, ran, hold = make(), [], threading.Event()
    loop.call_soon_threadsafe(hold.wait, SECONDS)
    job = jobs.start("x", lambda: ran.append(1))
    assert job.cancel()
    hold.set()
    assert ended(jobs, job) == "cancelled"
    assert not ran


def test_a_coroutine_that_swallows_its_cancel_still_ends_as_cancelled(jobs: JobManager) -> None:
    begun = threading.Event()

    async def command() -> str:
        try:
            begun.set()
            await asyncio.sleep(SECONDS)
        except asyncio.CancelledError:
            pass
        return "went on"

    job = jobs.start("x", command)
    assert begun.wait(SECONDS)
    job.cancel()
    assert ended(jobs, job) == "cancelled"
    assert isinstance(job.future.exception(), JobCancelled)


def test_who_stops_waiting_for_a_job_does_not_end_it(jobs: JobManager, tmp_path: Path) -> None:
    async def command() -> Any:
        return await current().run(works.hold, tmp_path, where="thread")

    job = jobs.start("x", command)

    async def impatient() -> None:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.wrap_future(job.future), 0.01)

    asyncio.run(impatient())
    assert not job.future.cancel()
    (tmp_path / "work.gate").touch()
    assert isinstance(job.future.result(SECONDS), int)


def test_awaiting_a_cancelled_job_does_not_look_like_being_cancelled(jobs: JobManager) -> None:
    job = jobs.start("x", asyncio.sleep, args=(SECONDS,))
    job.cancel()

    async def wait() -> None:
        with pytest.raises(CancelledWork):
            await asyncio.wrap_future(job.future)

    asyncio.run(wait())


def test_a_timeout_inside_a_job_ends_its_work_and_the_job_goes_on(jobs: JobManager, tmp_path: Path) -> None:
    async def command() -> str:
        try:
            await asyncio.wait_for(current().run(works.hold, tmp_path, where="thread"), 0.05)
        except TimeoutError:
            return f"ended: {(tmp_path / 'work.ended').exists()}"
        return "no timeout"

    assert jobs.start("x", command).future.result(SECONDS) == "ended: True"


def test_cancel_of_what_is_not_there_is_false(jobs: JobManager) -> None:
    job = jobs.start("x", nothing)
    job.future.result(SECONDS)
    assert not jobs.cancel(job.id)
    assert not job.cancel()
    assert not jobs.cancel(10_000)
