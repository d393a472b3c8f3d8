"""What a job sees while it runs: its arguments, its context, its progress and its log."""

from __future__ import annotations

import asyncio
import functools
import threading
from typing import Any

import pytest

from hubkernel.jobs import JobManager, current
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Events, until


def test_a_job_runs_on_the_loop_with_its_arguments_and_its_context(jobs: JobManager) -> None:
    async def command(left: int, right: int) -> dict[str, Any]:
        context = current()
        return {"sum": left + right, "id": context.id, "name": context.name, "in": threading.current_thread().name}

    job = jobs.start("add", command, args=(1,), kwargs={"right": 2}, command="add(1,right=2)")
    assert job.future.result(SECONDS) == {"sum": 3, "id": job.id, "name": "add", "in": "hub-loop"}
    record = jobs.get(job.id)
    assert record is not None
    assert (record.state, record.args, record.kwargs, record.command) == ("done", [1], {"right": 2}, "add(1,right=2)")
    assert record.result == {"sum": 3, "id": job.id, "name": "add", "in": "hub-loop"}
    assert record.started is not None and record.finished is not None
    assert record.created <= record.started <= record.finished
    assert current().id is None, "the context leaked out of the job"


def test_a_plain_function_runs_in_a_thread_of_its_own_with_its_context(jobs: JobManager) -> None:
    def command() -> tuple[int | None, str]:
        return current().id, threading.current_thread().name

    job = jobs.start("plain", command)
    assert job.future.result(SECONDS) == (job.id, f"hubkernel-job-{job.id}")


def test_a_plain_function_may_give_something_to_await(jobs: JobManager) -> None:
    async def later() -> int:
        return 7

    def ask() -> Any:
        return later()

    assert jobs.start("lazy", ask).future.result(SECONDS) == 7
    assert jobs.start("partial", functools.partial(later)).future.result(SECONDS) == 7


def test_many_plain_functions_at_once_need_no_workers(jobs: JobManager) -> None:
    barrier = threading.Barrier(20)
    started = [jobs.start("plain", barrier.wait, args=(SECONDS,)) for _ in range(20)]
    assert sorted(job.future.result(SECONDS) for job in started) == list(range(20))


@pytest.mark.parametrize("where", ["process", "thread"])
def test_work_reports_to_its_job(jobs: JobManager, events: Events, where: Any) -> None:
    async def command() -> Any:
        return await current().run(works.report, 5000, where=where)

    job = jobs.start("read", command)
    assert job.future.result(SECONDS) == "read"
    record = jobs.get(job.id)
    assert record is not None
    assert (record.done, record.total, record.message) == (5000, 5000, "row 5000")
    assert record.log == ["all rows read"]
    assert sum(op == "progress" for op, _ in events.of(job.id)) < 20


def test_progress_can_be_taken_over_and_arrives_on_the_loop_before_the_result(jobs: JobManager) -> None:
    seen: list[tuple[float, float | None, str, str]] = []

    async def command() -> int:
        def take(*report: Any) -> None:
            seen.append((*report, threading.current_thread().name))

        await current().run(works.report, 5000, where="thread", on_progress=take)
        return len(seen)

    job = jobs.start("read", command)
    assert job.future.result(SECONDS) == len(seen)
    assert seen[-1] == (5000, 5000, "row 5000", "hub-loop")
    assert job.record.done == 0


def test_progress_from_the_loop_is_published_thinned_out_and_the_end_has_the_last(
    jobs: JobManager, events: Events
) -> None:
    async def command() -> None:
        for number in range(20_000):
            current().progress(number, 20_000)
            if number % 1000 == 0:
                await asyncio.sleep(0)

    job = jobs.start("count", command)
    job.future.result(SECONDS)
    until(lambda: events.of(job.id)[-1] == ("update", "done"))
    assert events[-1][3]["done"] == 19_999
    assert len(events.of(job.id)) < 50


def test_only_the_newest_log_lines_are_kept(jobs: JobManager) -> None:
    async def command() -> None:
        for number in range(3000):
            current().log(f"line {number}\nmore")

    job = jobs.start("talk", command)
    job.future.result(SECONDS)
    record = jobs.get(job.id)
    assert record is not None
    assert len(record.log) == 1000
    assert record.log[-2:] == ["line 2999", "more"]


def test_an_unknown_place_is_a_clear_error(jobs: JobManager) -> None:
    async def command() -> None:
        await current().run(works.add, 1, where="cloud")  # type: ignore[arg-type]

    error = jobs.start("x", command).future.exception(SECONDS)
    assert str(error) == "no executor is called 'cloud'; this hub has 'process', 'thread'"
