"""The manager of jobs: who waits, who is listed, and how it closes."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from pathlib import Path
from typing import Any

import psutil
import pytest

from hubkernel.jobs import AdmissionError, JobInterrupted, JobManager, current
from hubkernel.store import StateStore
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Events, Make, ended, nothing, until

# Waiting for admission.


def test_a_job_is_queued_while_its_predicate_is_false_and_blocks_no_other(jobs: JobManager, events: Events) -> None:
    ready: list[int] = []

    def enough() -> bool:
        return bool(ready)

    job = jobs.start("x", nothing, predicates=[enough])
    until(lambda: ("update", "queued") in events.of(job.id))
    assert "enough is true" in jobs.list(running=True)[0].message
    assert "1 pending job(s)" in jobs.top()
    jobs.start("other", nothing).future.result(SECONDS)
    ready.append(1)
    jobs.loop.call_soon_threadsafe(jobs.admission.changed)
    job.future.result(SECONDS)
    assert [entry[0] for entry in job.record.story] == ["created", "queued", "running", "done"]


def test_a_queued_job_can_be_cancelled(jobs: JobManager, events: Events) -> None:
    job = jobs.start("x", nothing, predicates=[lambda: False])
    until(lambda: ("update", "queued") in events.of(job.id))
    assert job.cancel()
    assert ended(jobs, job) == "cancelled"
    assert jobs.admission.waiting == []


def test_a_predicate_that_raises_fails_its_job_only(jobs: JobManager) -> None:
    job = jobs.start("x", nothing, predicates=[lambda: 1 / 0 > 1])
    assert isinstance(job.future.exception(SECONDS), AdmissionError)
    assert ended(jobs, job) == "failed"
    assert "ZeroDivisionError" in str(job.record.traceback)
    jobs.start("y", nothing, predicates=[lambda: True]).future.result(SECONDS)


def test_work_that_can_never_fit_fails_at_once(make: Make) -> None:
    jobs = make(max_memory=10 << 30)

    async def command() -> None:
        await current().run(works.add, 1, memory=11 << 30)

    error = jobs.start("x", command).future.exception(SECONDS)
    assert "needs 11.0GiB, but the hub may use 10.0GiB at most" in str(error)


def test_auto_memory_is_a_share_of_what_is_available(make: Make) -> None:
    limit = make(max_memory="auto").admission.max_memory
    assert limit is not None
    assert 0 < limit < psutil.virtual_memory().total * 0.61


# Work in BioThings' way.


def test_defer_gives_a_future_and_runs_with_its_predicates(jobs: JobManager) -> None:
    asked: list[bool] = []

    def predicate(manager: JobManager) -> bool:
        asked.append(manager is jobs)
        return True

    async def command() -> list[int]:
        info = {"category": "uploader", "source": "s", "step": "t", "description": "", "__predicates__": [predicate]}
        first = await jobs.defer_to_process({**info, "__reqs__": {"mem": 1}}, works.plain_add, 1, right=2)
        second = await jobs.defer_to_thread(info, works.plain_add, 3, 4)
        return [await first, await second]

    assert jobs.start("x", command).future.result(SECONDS) == [3, 7]
    assert asked == [True, True]
    done = {step.where: step for step in jobs.steps.done if step.step == "t"}
    assert (done["process"].category, done["process"].source, done["process"].memory) == ("uploader", "s", 1)


def test_deferred_work_outside_of_a_job(jobs: JobManager, loop: asyncio.AbstractEventLoop) -> None:
    async def main() -> int:
        return await (await jobs.defer_to_thread(None, works.plain_add, 1))

    assert asyncio.run_coroutine_threadsafe(main(), loop).result(SECONDS) == 1


def test_deferred_work_ends_with_its_job(jobs: JobManager, tmp_path: Path) -> None:
    async def command() -> None:
        await jobs.defer_to_process({}, works.plain_hold, tmp_path, "never")
        while not (tmp_path / "never.begun").exists():
            await asyncio.sleep(0.002)

    jobs.start("x", command).future.result(SECONDS)
    until(lambda: not jobs.steps.active)
    assert jobs.start("y", nothing).future.result(SECONDS) is None


# Listing and closing.


def test_lists_are_newest_first_and_filtered(jobs: JobManager, tmp_path: Path) -> None:
    async def bad() -> None:
        raise ValueError("x")

    async def slow() -> None:
        await current().run(works.hold, tmp_path, where="thread")

    done, failed, running = jobs.start("done", nothing), jobs.start("bad", bad), jobs.start("slow", slow)
    for job in (done, failed):
        concurrent.futures.wait([job.future])
    ids = [job.id for job in (running, failed, done)]
    assert [record.id for record in jobs.list()] == ids
    assert [record.id for record in jobs.list(running=True)] == ids[:1]
    assert [record.id for record in jobs.list(running=False)] == ids[1:]
    assert [record.id for record in jobs.list(failed=True)] == [failed.id]
    assert [record.id for record in jobs.list(failed=False, running=False)] == [done.id]
    assert [record.id for record in jobs.list(limit=2)] == ids[:2]
    assert jobs.get(999) is None


def test_close_waits_for_jobs_and_takes_no_more(jobs: JobManager, tmp_path: Path) -> None:
    async def command() -> Any:
        return await current().run(works.hold, tmp_path, where="process")

    job = jobs.start("x", command)
    until((tmp_path / "work.begun").exists)
    closing = threading.Thread(target=jobs.close)
    closing.start()
    until(lambda: jobs._closed)
    with pytest.raises(RuntimeError, match="its hub has been stopped"):
        jobs.start("y", nothing)
    assert not job.future.done()
    (tmp_path / "work.gate").touch()
    closing.join(SECONDS)
    assert isinstance(job.future.result(0), int)
    assert ended(jobs, job) == "done"
    jobs.close()


@pytest.mark.parametrize("on_loop", [False, True])
def test_close_by_force_interrupts_jobs_and_leaves_no_process(
    jobs: JobManager, loop: asyncio.AbstractEventLoop, tmp_path: Path, on_loop: bool
) -> None:
    async def command() -> None:
        await current().run(works.endless, tmp_path)

    job = jobs.start("x", command)
    until((tmp_path / "work.begun").exists)
    pids = jobs.executors["process"].processes()

    async def close() -> None:
        jobs.close(force=True)

    if on_loop:
        asyncio.run_coroutine_threadsafe(close(), loop).result(SECONDS)
    else:
        jobs.close(force=True)
    assert isinstance(job.future.exception(0), JobInterrupted)
    assert ended(jobs, job) == "interrupted"
    assert not any(psutil.pid_exists(pid) for pid in pids)


def test_close_on_the_loop_does_not_wait_there(
    jobs: JobManager, loop: asyncio.AbstractEventLoop, tmp_path: Path
) -> None:
    async def command() -> None:
        await current().run(works.hold, tmp_path, where="thread")

    async def close() -> None:
        jobs.close()

    job = jobs.start("x", command)
    with pytest.raises(RuntimeError, match="use another thread, or force"):
        asyncio.run_coroutine_threadsafe(close(), loop).result(SECONDS)
    job.cancel()


def test_without_a_loop_the_manager_says_what_it_needs(state: StateStore) -> None:
    jobs = JobManager(state)
    with pytest.raises(RuntimeError, match="no event loop"):
        jobs.start("x", nothing)
    assert jobs.list() == []
    jobs.close()


def test_a_manager_on_the_running_loop_of_a_script(state: StateStore) -> None:
    async def main() -> Any:
        jobs = JobManager(state)
        try:
            return await asyncio.wrap_future(jobs.start("x", nothing).future)
        finally:
            jobs.close(force=True)

    assert asyncio.run(main()) is None
