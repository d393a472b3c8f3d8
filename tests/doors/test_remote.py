"""What only a hub in another process can do: get lost, come back, and be another one."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from hubkernel.api import HubClosedError, JobHandle, LocalHub
from hubkernel.hub.commands import BadArgumentsError
from hubkernel.owner import Owner
from hubkernel.remote import RemoteHub
from tests.doors.fake import FakeServer
from tests.doors.serving import Serving


class Found:
    """What discovery finds; a test changes it."""

    def __init__(self, owner: Owner) -> None:
        self.owner: Owner | None = owner
        self.searches = 0

    def __call__(self) -> Owner | None:
        self.searches += 1
        return self.owner


@pytest.fixture
def local(jupyter_server: Serving, server: FakeServer) -> Iterator[LocalHub]:
    hub = LocalHub(server)  # type: ignore[arg-type]
    jupyter_server.use(hub)
    yield hub
    hub.close()


@pytest.fixture
def found(jupyter_server: Serving, local: LocalHub) -> Found:
    return Found(jupyter_server.owner)


@pytest.fixture
def remote(found: Found, server: FakeServer) -> Iterator[RemoteHub]:
    hub = RemoteHub(str(server.home), found, found)
    yield hub
    hub.close()


def until(true: Callable[[], object]) -> None:
    waiting = threading.Event()
    assert any(true() or waiting.wait(0.01) for _ in range(1000))


def cut(jupyter_server: Serving) -> None:
    """Every websocket ends; the hub goes on."""
    jupyter_server.run(jupyter_server.app._end_broadcast())


def test_nothing_is_opened_before_it_is_used(found: Found, remote: RemoteHub) -> None:
    assert found.searches == 0
    assert threading.active_count() >= 1 and not [t for t in threading.enumerate() if t.name == "hub-remote"]
    remote.call("sources")
    assert found.searches == 1
    assert not [t for t in threading.enumerate() if t.name == "hub-remote"]


def test_a_lost_connection_is_made_again_and_nothing_is_missed(
    jupyter_server: Serving, server: FakeServer, remote: RemoteHub
) -> None:
    job = remote.call("dump", "x")
    stream = remote.events()
    for number in range(3):
        cut(jupyter_server)
        server.bus.publish("source", number, "update")
        event = stream.get(10)
        assert event is not None and (event.entity, event.id) == ("source", number)
    server.jobs.move(1, state="done", result=7)
    assert job.result(10) == 7


def test_another_hub_process_tells_how_a_job_ended(
    jupyter_server: Serving, server: FakeServer, remote: RemoteHub, tmp_path: Path
) -> None:
    job: JobHandle = remote.call("dump", "x")
    stream = remote.events()
    after = FakeServer(tmp_path / "home")
    after.jobs.records[1] = replace(server.jobs.records[1], state="interrupted", error="its hub ended")
    hub = LocalHub(after)  # type: ignore[arg-type]
    jupyter_server.use(hub)
    assert job.wait(10).state == "interrupted"
    gap = stream.get(10)
    assert gap is not None and (gap.entity, gap.op) == ("bus", "gap")
    after.bus.publish("source", "new", "update")
    event = stream.get(10)
    assert event is not None and event.id == "new"
    hub.close()


def test_without_an_owner_waiting_ends_and_a_later_owner_mends_it(
    jupyter_server: Serving, server: FakeServer, found: Found, remote: RemoteHub
) -> None:
    job: JobHandle = remote.call("dump", "x")
    found.owner = None
    cut(jupyter_server)
    with pytest.raises(HubClosedError, match="was closed while job 1 was running"):
        job.wait(10)
    with pytest.raises(HubClosedError, match="no hub runs at"):
        remote.call("sources")
    found.owner = jupyter_server.owner
    assert remote.call("sources")
    assert job.state == "running"
    server.jobs.move(1, state="done", result=1)
    assert job.result(10) == 1


def test_an_owner_that_cannot_be_reached_is_looked_for_once_more(found: Found, remote: RemoteHub) -> None:
    remote.call("sources")
    alive = found.owner
    assert alive is not None
    remote.close()
    dead = replace(alive, url="http://127.0.0.1:9/")
    answers = [dead, alive]
    again = RemoteHub(remote.home, lambda: answers.pop(0), found)
    assert again.call("sources")
    again.close()
    answers = [dead, dead]
    with pytest.raises(HubClosedError, match="ended while it was asked"):
        RemoteHub(remote.home, lambda: answers.pop(0), found).call("sources")


def test_a_token_that_is_no_longer_good_is_looked_up_again(found: Found, remote: RemoteHub) -> None:
    good = found.owner
    assert good is not None
    found.owner = replace(good, token="old")
    find = iter([found.owner, good])
    hub = RemoteHub(remote.home, lambda: next(find), lambda: good)
    assert hub.call("sources")
    hub.close()


def test_no_proxy_stands_between(found: Found, remote: RemoteHub, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    monkeypatch.delenv("no_proxy", raising=False)
    job = remote.call("quick")
    assert job.result(10) == "quickly"


def test_what_cannot_be_sent_is_refused_with_its_name(remote: RemoteHub, server: FakeServer) -> None:
    with pytest.raises(BadArgumentsError, match=r"setconf: <object .* cannot be sent to a hub in another process"):
        remote.call("setconf", "x", object())
    assert not server.jobs.records


def test_a_hub_that_ends_gives_its_jobs_last_state_and_log(server: FakeServer, remote: RemoteHub) -> None:
    job: JobHandle = remote.call("dump", "x")
    server.shutdown()
    assert job.wait(10).state == "interrupted"


def test_a_closed_connection_says_so(remote: RemoteHub) -> None:
    job = remote.call("dump", "x")
    remote.close()
    remote.close()
    with pytest.raises(HubClosedError):
        job.wait(5)
    with pytest.raises(HubClosedError, match="was closed"):
        remote.call("sources")
