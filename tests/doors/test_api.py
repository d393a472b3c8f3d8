"""LocalHub and JobHandle against a hub whose jobs the test moves by hand."""

from __future__ import annotations

import asyncio
import gc
import inspect
import threading

import pytest

from hubkernel.api import HubClosedError, JobCancelledError, JobFailedError, JobHandle, LocalHub
from hubkernel.hub.commands import BadArgumentsError, UnknownCommandError
from tests.doors.fake import SOURCES, FakeServer


def test_a_command_that_is_not_tracked_answers_at_once(api: LocalHub, server: FakeServer) -> None:
    assert api.call("sources") == SOURCES
    assert not server.jobs.records


def test_an_asynchronous_command_that_is_not_tracked_is_waited_for(api: LocalHub, server: FakeServer) -> None:
    assert api.call("later", value=41) == 42
    assert not server.jobs.records


def test_a_tracked_plain_command_is_recorded_and_gives_its_value(api: LocalHub, server: FakeServer) -> None:
    assert api.call("setconf", "x", 3) == {"x": 3}
    assert server.jobs.records[1].command == "setconf(name='x',value=3)"


def test_a_tracked_plain_command_that_fails_says_so_in_one_line(api: LocalHub) -> None:
    with pytest.raises(JobFailedError, match=r"setconf.*failed: ValueError: there is no setting 'nothing'"):
        api.call("setconf", "nothing", 1)


def test_a_tracked_asynchronous_command_gives_a_job(api: LocalHub, server: FakeServer) -> None:
    job = api.call("dump", "hpo_terms", force=True)
    assert (job.id, job.state, job.command) == (1, "running", "dump(src='hpo_terms',force=True)")
    assert server.jobs.records[1].source == "hpo_terms"


def test_a_job_that_ended_before_its_handle_was_made_is_seen_as_ended(api: LocalHub) -> None:
    assert api.call("quick").result(5) == "quickly"


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda api: api.call("dmp", "x"), UnknownCommandError, "did you mean 'dump'"),
        (lambda api: api.call("dump"), BadArgumentsError, "'src' is missing"),
        (lambda api: api.call("merge", "x", targt_name=1), BadArgumentsError, "did you mean 'target_name'"),
        (lambda api: api.call("dump", "x", force="yes"), BadArgumentsError, "True or False"),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_starts(
    api: LocalHub, server: FakeServer, call: object, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call(api)  # type: ignore[operator]
    assert not server.jobs.records


def test_progress_and_end_reach_the_handle(api: LocalHub, server: FakeServer) -> None:
    job = api.call("dump", "x")
    seen: list[float | None] = []
    half = threading.Event()
    job.on_change(lambda job: (seen.append(job.progress), half.set()))
    server.jobs.move(1, done=5, total=10, message="five")
    assert half.wait(5)
    assert (seen[-1], job.message) == (0.5, "five")
    server.jobs.move(1, state="done", result={"release": "2"})
    assert job.wait(5) is job
    assert (job.progress, job.result()) == (1.0, {"release": "2"})


def test_progress_without_a_total_is_unknown(api: LocalHub, server: FakeServer) -> None:
    job = api.call("dump", "x")
    assert job.progress is None


def test_waiting_with_a_timeout_leaves_the_job_alone(api: LocalHub) -> None:
    job = api.call("dump", "x")
    with pytest.raises(TimeoutError, match="still running; it goes on"):
        job.wait(0.01)
    assert job.state == "running"


def test_a_failed_job_raises_one_line_and_keeps_the_traceback(api: LocalHub, server: FakeServer) -> None:
    job = api.call("dump", "x")
    server.jobs.move(1, state="failed", error="ValueError: line 3 of hp.obo", traceback="File parser.py, line 9")
    with pytest.raises(JobFailedError, match=r"^job 1 dump\(src='x'\) failed: ValueError: line 3 of hp.obo$") as caught:
        job.result(5)
    assert caught.value._render_traceback_()[1] == "hub.job(1).record.traceback says where"
    assert caught.value.record.traceback == "File parser.py, line 9"


def test_a_cancelled_job_raises_another_error(api: LocalHub) -> None:
    job = api.call("dump", "x")
    assert job.cancel()
    with pytest.raises(JobCancelledError, match="was cancelled"):
        job.result(5)
    assert not job.cancel()


def test_a_job_is_awaitable_on_any_loop_while_the_loop_goes_on(api: LocalHub, server: FakeServer) -> None:
    async def main() -> object:
        job = api.call("dump", "x")
        asyncio.get_running_loop().call_later(0.01, lambda: server.jobs.move(1, state="done", result=7))
        return await job

    assert asyncio.run(main()) == 7


def test_cancelling_what_awaits_a_job_does_not_cancel_the_job(api: LocalHub, server: FakeServer) -> None:
    async def main() -> JobHandle:
        job: JobHandle = api.call("dump", "x")

        async def waiter() -> None:
            await job

        task = asyncio.create_task(waiter())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        return job

    job = asyncio.run(main())
    assert job.state == "running"
    server.jobs.move(1, state="done", result=1)
    assert job.result(5) == 1


def test_all_who_ask_for_a_job_hold_the_same_handle(api: LocalHub) -> None:
    job = api.call("dump", "x")
    assert api.job(1) is job
    assert api.jobs()[0] is job


def test_handles_that_nobody_holds_are_forgotten(api: LocalHub) -> None:
    api.call("dump", "x")
    gc.collect()
    assert not list(api._handles)


def test_an_unknown_job_is_named(api: LocalHub) -> None:
    with pytest.raises(LookupError, match="no job 99"):
        api.job(99)


def test_a_listener_that_fails_does_not_stop_the_others(
    api: LocalHub, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    job = api.call("dump", "x")
    heard = threading.Event()
    job.on_change(lambda job: 1 / 0)  # type: ignore[arg-type, return-value]
    job.on_change(lambda job: heard.set())
    server.jobs.move(1, message="now")
    assert heard.wait(5)
    assert "a listener of job 1 failed" in caplog.text


def test_events_come_in_order_and_can_be_replayed(api: LocalHub, server: FakeServer) -> None:
    api.call("dump", "x")
    server.jobs.move(1, state="done")
    stream = api.events(since=0)
    first, second = stream.get(5), stream.get(5)
    assert first is not None and second is not None
    assert (first.seq, first.entity, first.id, second.seq) == (1, "job", 1, 2)


def test_closing_ends_all_waiting(server: FakeServer) -> None:
    hub = LocalHub(server)  # type: ignore[arg-type]
    job = hub.call("dump", "x")
    ended: list[str] = []
    waiting = threading.Thread(target=lambda: ended.append(job.wait().state))
    waiting.start()
    hub.close()
    waiting.join(5)
    assert ended == ["interrupted"]
    hub.close()


def test_a_handle_whose_hub_is_gone_says_so(api: LocalHub) -> None:
    job = api.call("dump", "x")
    job.close()
    with pytest.raises(HubClosedError, match="was closed while job 1 was running"):
        job.wait()
    with pytest.raises(HubClosedError):
        asyncio.run(_await(job))


async def _await(job: JobHandle) -> object:
    return await job


def test_commands_are_described(api: LocalHub) -> None:
    dump = api.commands()["dump"]
    assert (dump.summary, dump.tracked, dump.is_async, dump.public) == (
        "Download a release of a source.",
        True,
        True,
        True,
    )
    assert dump.parameters == ["src", "force"]
    assert isinstance(dump.signature, inspect.Signature)
    assert not api.commands()["sources"].public
