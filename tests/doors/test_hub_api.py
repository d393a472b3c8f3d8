"""What every hub does, here and in another process, against a hub whose jobs the test moves by hand."""

from __future__ import annotations

import asyncio
import gc
import inspect
import os
import threading
from collections.abc import Callable, Iterator
from datetime import datetime

import pytest

from hubkernel import __version__
from hubkernel.api import ForbiddenError, HubAPI, HubClosedError, JobHandle, LocalHub, this_user
from hubkernel.handles import JobCancelledError, JobFailedError
from hubkernel.hub.commands import BadArgumentsError, CommandDefinition, Role, UnknownCommandError
from hubkernel.owner import PROTOCOL
from hubkernel.store.errors import NoSuchCollectionError
from tests.doors.fake import SOURCES, FakeServer


@pytest.fixture(params=["local", "remote"])
def api(request: pytest.FixtureRequest, server: FakeServer) -> Iterator[HubAPI]:
    """The same hub, spoken to directly and through a Jupyter server."""
    local = LocalHub(server)  # type: ignore[arg-type]
    if request.param == "local":
        yield local
    else:
        jupyter_server = request.getfixturevalue("jupyter_server")
        jupyter_server.use(local)
        remote = jupyter_server.remote(server.home)
        yield remote
        remote.close()
    local.close()


def test_a_command_that_is_not_tracked_answers_at_once(api: HubAPI, server: FakeServer) -> None:
    assert api.call("sources") == SOURCES
    assert not server.jobs.records


def test_an_asynchronous_command_that_is_not_tracked_is_waited_for(api: HubAPI, server: FakeServer) -> None:
    assert api.call("later", value=41) == 42
    assert not server.jobs.records


def test_a_tracked_plain_command_is_recorded_and_gives_its_value(api: HubAPI, server: FakeServer) -> None:
    assert api.call("setconf", "x", 3) == {"x": 3}
    assert server.jobs.records[1].command == "setconf(name='x',value=3)"


def test_a_tracked_plain_command_that_fails_says_so_in_one_line(api: HubAPI) -> None:
    with pytest.raises(JobFailedError, match=r"setconf.*failed: ValueError: there is no setting 'nothing'"):
        api.call("setconf", "nothing", 1)


def test_a_tracked_asynchronous_command_gives_a_job(api: HubAPI, server: FakeServer) -> None:
    job = api.call("dump", "hpo_terms", force=True)
    assert (job.id, job.state, job.command) == (1, "running", "dump(src='hpo_terms',force=True)")
    assert server.jobs.records[1].source == "hpo_terms"


def test_the_job_of_a_command_that_runs_others_is_heard_of(api: HubAPI, server: FakeServer) -> None:
    job = api.call("run", "dump('hpo_terms') && quick()")
    assert (job.state, job.command) == ("running", "dump(src='hpo_terms') && quick()")
    server.jobs.move(job.id, state="done", result=[None, "quickly"])
    assert job.result(10) == [None, "quickly"]


def test_a_job_that_ended_before_its_handle_was_made_is_seen_as_ended(api: HubAPI) -> None:
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
    api: HubAPI, server: FakeServer, call: object, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        call(api)  # type: ignore[operator]
    assert not server.jobs.records


def test_progress_and_end_reach_the_handle(api: HubAPI, server: FakeServer) -> None:
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


def test_progress_without_a_total_is_unknown(api: HubAPI, server: FakeServer) -> None:
    job = api.call("dump", "x")
    assert job.progress is None


def test_waiting_with_a_timeout_leaves_the_job_alone(api: HubAPI) -> None:
    job = api.call("dump", "x")
    with pytest.raises(TimeoutError, match="still running; it goes on"):
        job.wait(0.01)
    assert job.state == "running"


def test_a_failed_job_raises_one_line_and_keeps_the_traceback(api: HubAPI, server: FakeServer) -> None:
    job = api.call("dump", "x")
    server.jobs.move(1, state="failed", error="ValueError: line 3 of hp.obo", traceback="File parser.py, line 9")
    with pytest.raises(JobFailedError, match=r"^job 1 dump\(src='x'\) failed: ValueError: line 3 of hp.obo$") as caught:
        job.result(5)
    assert caught.value._render_traceback_()[1] == "hub.job(1).record.traceback says where"
    assert caught.value.record.traceback == "File parser.py, line 9"


def test_a_cancelled_job_raises_another_error(api: HubAPI) -> None:
    job = api.call("dump", "x")
    assert job.cancel()
    with pytest.raises(JobCancelledError, match="was cancelled"):
        job.result(5)
    assert not job.cancel()


def test_a_job_is_awaitable_on_any_loop_while_the_loop_goes_on(api: HubAPI, server: FakeServer) -> None:
    async def main() -> object:
        job = api.call("dump", "x")
        asyncio.get_running_loop().call_later(0.01, lambda: server.jobs.move(1, state="done", result=7))
        return await job

    assert asyncio.run(main()) == 7


def test_cancelling_what_awaits_a_job_does_not_cancel_the_job(api: HubAPI, server: FakeServer) -> None:
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


def test_all_who_ask_for_a_job_hold_the_same_handle(api: HubAPI) -> None:
    job = api.call("dump", "x")
    assert api.job(1) is job
    assert api.jobs()[0] is job


def test_handles_that_nobody_holds_are_forgotten(api: HubAPI) -> None:
    api.call("dump", "x")
    gc.collect()
    assert not list(api._handles)


def test_an_unknown_job_is_named(api: HubAPI) -> None:
    with pytest.raises(LookupError, match="no job 99"):
        api.job(99)


def test_a_listener_that_fails_does_not_stop_the_others(
    api: HubAPI, server: FakeServer, caplog: pytest.LogCaptureFixture
) -> None:
    job = api.call("dump", "x")
    heard = threading.Event()
    job.on_change(lambda job: 1 / 0)  # type: ignore[arg-type, return-value]
    job.on_change(lambda job: heard.set())
    server.jobs.move(1, message="now")
    assert heard.wait(5)
    assert "a listener of job 1 failed" in caplog.text


def test_events_come_in_order_and_can_be_replayed(api: HubAPI, server: FakeServer) -> None:
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


def test_a_handle_whose_hub_is_gone_says_so(api: HubAPI) -> None:
    job = api.call("dump", "x")
    job.close()
    with pytest.raises(HubClosedError, match="was closed while job 1 was running"):
        job.wait()
    with pytest.raises(HubClosedError):
        asyncio.run(_await(job))


async def _await(job: JobHandle) -> object:
    return await job


def test_commands_are_described(api: HubAPI) -> None:
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


def test_the_hub_says_what_it_is(api: HubAPI, server: FakeServer) -> None:
    about = api.about()
    assert (about["name"], about["home"], about["features"]) == ("fake hub", str(server.home), ["job"])
    assert (about["version"], about["protocol"], about["pid"]) == (__version__, PROTOCOL, os.getpid())
    assert about["epoch"]


def test_signatures_read_the_same(api: HubAPI) -> None:
    signatures = {name: str(info.signature) for name, info in api.commands().items()}
    assert signatures["dump"] == "(src: 'str', force: 'bool' = False, **kwargs: 'Any') -> 'None'".replace("'", "")
    assert signatures["search"] == "(index: str, q: str = '*') -> dict[str, Any]"


def test_dates_bytes_and_tuples_go_both_ways(api: HubAPI, server: FakeServer) -> None:
    when = datetime(2026, 11, 24, 1, 2, 3)  # noqa: DTZ001 - as stores give them
    values = {"when": when, "raw": b"\0\xff", "many": [1.5, None, "x"]}
    server.commands["echo"] = CommandDefinition(lambda value: {"got": value}, tracked=False)
    assert api.call("echo", values) == {"got": values}


class TestCallers:
    def test_a_role_is_enough_or_it_is_refused(self, api: HubAPI, server: FakeServer) -> None:
        server.commands["look"] = CommandDefinition(lambda: "seen", tracked=False, role=Role.viewer)
        viewer = api.as_(user="vera", door="ssh", role=Role.viewer)
        assert viewer.call("look") == "seen"
        with pytest.raises(ForbiddenError, match="dump needs the role operator; vera is viewer"):
            viewer.call("dump", "x")
        job = api.call("dump", "x")
        with pytest.raises(ForbiddenError, match="cancel needs the role operator"):
            viewer.cancel(job.id)
        assert list(server.jobs.records) == [1]
        assert job.state == "running"

    def test_nobody_becomes_more_than_they_are(self, api: HubAPI) -> None:
        viewer = api.as_(role=Role.viewer)
        with pytest.raises(ForbiddenError):
            viewer.as_(role=Role.developer).call("dump", "x")

    def test_the_job_names_user_and_door(self, api: HubAPI, server: FakeServer) -> None:
        api.as_(user="olga", door="ssh", role=Role.operator).call("dump", "x")
        assert (server.jobs.records[1].user, server.jobs.records[1].door) == ("olga", "ssh")
        api.call("dump", "y")
        assert (server.jobs.records[2].user, server.jobs.records[2].door) == (this_user(), "python")

    def test_closing_a_view_ends_nothing(self, api: HubAPI) -> None:
        api.as_(role=Role.viewer).close()
        assert api.call("sources") == SOURCES


def test_an_error_of_a_command_keeps_its_class_and_text(api: HubAPI, server: FakeServer) -> None:
    def fail(how: str) -> None:
        raise {"value": ValueError("line 3"), "key": NoSuchCollectionError("no collection 'x'")}[how]

    server.commands["fail"] = CommandDefinition(fail, tracked=False)
    with pytest.raises(ValueError, match=r"^line 3$"):
        api.call("fail", "value")
    with pytest.raises(NoSuchCollectionError) as caught:
        api.call("fail", "key")
    assert str(caught.value) == "no collection 'x'"


def test_events_of_before_can_be_replayed_later(api: HubAPI, server: FakeServer) -> None:
    for number in range(5):
        server.bus.publish("source", f"s{number}", "update")
    now = api.events()
    server.bus.publish("source", "new", "update")
    event = now.get(5)
    assert event is not None and event.id == "new"
    again = api.events(since=2)
    assert [event.id for event in iter(lambda: again.get(0.2), None)] == ["s2", "s3", "s4", "new"]


def test_a_gap_is_told(api: HubAPI) -> None:
    first = api.events(since=1000).get(5)
    assert first is not None and (first.entity, first.op) == ("bus", "gap")


def test_many_events_come_in_order_and_once(api: HubAPI, server: FakeServer) -> None:
    stream = api.events()
    threads = [
        threading.Thread(target=lambda: [server.bus.publish("source", n, "update") for n in range(300)])
        for _ in range(3)
    ]
    for thread in threads:
        thread.start()
    seen = [event.seq for event in (stream.get(5) for _ in range(900)) if event is not None]
    for thread in threads:
        thread.join()
    assert seen == list(range(seen[0], seen[0] + 900))


def test_a_log_is_there_while_the_job_runs(api: HubAPI, server: FakeServer) -> None:
    job = api.call("dump", "x")
    server.jobs.move(1, log=["first line"])
    assert _until(lambda: job.log == ["first line"])
    server.jobs.move(1, state="done", log=["first line", "last line"])
    job.wait(5)
    assert job.record.log == ["first line", "last line"]


def _until(true: Callable[[], bool]) -> bool:
    waiting = threading.Event()
    return any(true() or waiting.wait(0.01) for _ in range(500))


def test_the_end_of_a_job_is_never_missed(api: HubAPI, server: FakeServer) -> None:
    """Jobs that end while the answer that they began is on its way."""
    jobs = 200

    def end_them() -> None:
        for id in range(1, jobs + 1):
            server.jobs.wait_for_job(id)
            server.jobs.move(id, state="done", result=id)

    ending = threading.Thread(target=end_them)
    ending.start()
    assert [api.call("dump", "x").result(10) for _ in range(jobs)] == list(range(1, jobs + 1))
    ending.join()
