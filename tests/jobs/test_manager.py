"""Jobs from start to end: what they see, what they leave, and how they are ended."""

from __future__ import annotations

import asyncio
import concurrent.futures
import functools
import json
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest

from hubkernel.executors import CancelledWork, WorkerDied
from hubkernel.jobs import AdmissionError, JobCancelled, JobInterrupted, JobManager, current
from hubkernel.jobs import steps as steps_module
from hubkernel.jobs.manager import Job
from hubkernel.store import StateStore, StoreFullError
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Events, Make


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


# Running.


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


# The journal and events.


def test_every_transition_is_durable_before_it_is_an_event(make: Make, state: StateStore) -> None:
    stale: list[tuple[str, str]] = []
    seen: list[str] = []

    def emit(entity: str, id: int, op: str, data: dict[str, Any]) -> None:
        row = state.collection("job").find_one({"_id": id})
        if op in ("insert", "update"):
            seen.append(data["state"])
            if row is None or data["state"] not in [entry[0] for entry in row["story"]]:
                stale.append((op, data["state"]))

    jobs = make(emit=emit)
    jobs.start("x", nothing).future.result(SECONDS)
    until(lambda: len(seen) == 3)
    assert seen == ["created", "running", "done"]
    assert not stale


def test_the_terminal_event_comes_once_last_and_with_the_outcome(jobs: JobManager, events: Events) -> None:
    async def command() -> int:
        current().progress(1, 2)
        return 5

    job = jobs.start("x", command)
    job.future.result(SECONDS)
    jobs.close()
    assert events.of(job.id)[0] == ("insert", "created")
    assert [entry for entry in events.of(job.id) if entry[1] == "done"] == [("update", "done")]
    assert events.of(job.id)[-1] == ("update", "done")
    assert events[-1][3]["result"] == 5
    assert "log" not in events[-1][3]
    json.dumps(events)


def test_the_record_is_final_when_the_future_is(jobs: JobManager) -> None:
    for _ in range(50):
        job = jobs.start("x", nothing)
        job.future.result(SECONDS)
        record = jobs.get(job.id)
        assert record is not None
        assert job.record.state == record.state == "done"
        assert not jobs.list(running=True)


def test_a_listener_that_fails_does_not_fail_the_job(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    def emit(*event: Any) -> None:
        raise RuntimeError("in a listener")

    jobs = make(emit=emit)
    job = jobs.start("x", nothing)
    job.future.result(SECONDS)
    assert ended(jobs, job) == "done"
    assert "in a listener" in caplog.text


def test_ids_go_on_after_a_restart(make: Make) -> None:
    first = make()
    ids = [first.start("x", nothing).id for _ in range(12)]
    first.close()
    assert make().start("x", nothing).id == max(ids) + 1


def test_a_job_that_cannot_be_journaled_is_not_started(jobs: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setattr(jobs.journal, "insert", _full)
    with pytest.raises(StoreFullError):
        jobs.start("x", lambda: ran.append(1))
    assert jobs.list() == []
    assert not jobs.cancel(1)
    monkeypatch.undo()
    jobs.start("y", nothing).future.result(SECONDS)
    assert not ran


def test_a_journal_that_fails_later_does_not_lose_the_outcome(
    jobs: JobManager, events: Events, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def command() -> int:
        return 5

    monkeypatch.setattr(jobs.journal, "write", _full)
    job = jobs.start("x", command)
    assert job.future.result(SECONDS) == 5
    assert job.record.state == "done"
    assert "the journal could not be written: StoreFullError: disk full" in job.record.log
    assert "the journal cannot be written" in caplog.text


def _full(*args: Any) -> None:
    raise StoreFullError("disk full")


def test_progress_and_log_of_a_long_job_reach_the_journal_while_it_runs(
    jobs: JobManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("hubkernel.jobs.running.FLUSH_INTERVAL", 0.0)

    async def command() -> None:
        current().progress(3, 9, "third")
        current().log("a line")
        await current().run(works.hold, tmp_path, where="thread")

    job = jobs.start("x", command)
    row = jobs.journal._collection
    until(lambda: (row.find_one({"_id": job.id}) or {}).get("log") == ["a line"])
    document = row.find_one({"_id": job.id})
    assert document is not None
    assert (document["done"], document["total"], document["state"]) == (3, 9, "running")
    job.cancel()


# Failing.


@pytest.mark.parametrize("where", ["process", "thread"])
def test_an_error_of_user_code_fails_the_job_with_one_line_and_a_traceback_to_it(jobs: JobManager, where: Any) -> None:
    async def command() -> None:
        await current().run(works.bad_row, 12, where=where)

    job = jobs.start("read", command)
    assert isinstance(job.future.exception(SECONDS), ValueError)
    assert ended(jobs, job) == "failed"
    record = jobs.get(job.id)
    assert record is not None
    assert record.error == "ValueError: no id in line 12"
    assert record.traceback is not None
    assert 'raise ValueError(f"no id\\nin line {line}")' in record.traceback
    assert "works.py" in record.traceback
    assert "await current().run(works.bad_row" in record.traceback


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit])
def test_no_exception_of_a_job_ends_the_hub(jobs: JobManager, kind: type[BaseException], plain: bool) -> None:
    async def command() -> None:
        raise kind("from a plugin")

    def function() -> None:
        raise kind("from a plugin")

    job = jobs.start("x", function if plain else command)
    assert isinstance(job.future.exception(SECONDS), Exception)
    assert ended(jobs, job) == "failed"
    record = jobs.get(job.id)
    assert record is not None
    assert "from a plugin" in str(record.traceback)
    assert kind.__name__ in str(record.error)
    assert jobs.start("y", nothing).future.result(SECONDS) is None


def test_a_dead_worker_fails_its_job_and_says_why(jobs: JobManager) -> None:
    async def command() -> None:
        await current().run(works.die)

    job = jobs.start("x", command)
    assert isinstance(job.future.exception(SECONDS), WorkerDied)
    assert ended(jobs, job) == "failed"
    assert "exited with status 9 while it ran tests.jobs.works.die" in str(job.record.error)


def test_a_result_that_no_json_can_hold_is_kept_as_its_repr(jobs: JobManager) -> None:
    async def command() -> set[int]:
        return {1}

    job = jobs.start("x", command)
    assert job.future.result(SECONDS) == {1}
    record = jobs.get(job.id)
    assert record is not None and record.result == "{1}"


# Cancelling.


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
