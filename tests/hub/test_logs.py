"""The hub's own log, the logs of jobs at the doors, and alerts."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest

from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from tests.hub.test_server import done, plugin


@pytest.fixture
def server(home: HubHome) -> Iterator[HubServer]:
    plugin(home, "colors", {"1": "red"})
    server = HubServer.open(home)
    server.run_in_thread()
    yield server
    server.shutdown()


def hub_log(home: HubHome) -> str:
    return (home.logs / "hub.log").read_text()


def test_a_job_says_where_and_when(server: HubServer, home: HubHome) -> None:
    done(server, "dump", "colors")
    entries = done(server, "job_log", 1)
    assert entries[0]["message"] == "created: dump(src='colors')"
    assert datetime.fromisoformat(entries[0]["time"]).tzinfo is not None
    assert any("release" in entry["message"] for entry in entries)
    assert (home.logs / "jobs" / "1.jsonl").is_file()
    with pytest.raises(LookupError, match="no job 7"):
        done(server, "job_log", 7)


def test_the_hubs_log(server: HubServer, home: HubHome) -> None:
    logging.getLogger("hubkernel.x").info("said at sqlite://host and mongodb://user:hunter2@host/db")
    logging.getLogger("somebody.else").info("not ours")
    logging.getLogger("somebody.else").warning("a warning of others")
    server.shutdown()
    text = hub_log(home)
    assert "is up" in text and "has ended" in text
    assert "mongodb://user:********@host/db" in text and "hunter2" not in text
    assert "a warning of others" in text and "not ours" not in text


def test_a_warning_is_still_seen_where_nobody_else_listens(server: HubServer, monkeypatch: pytest.MonkeyPatch) -> None:
    import io

    shown = io.StringIO()
    with monkeypatch.context() as patch:
        patch.setattr(sys, "stderr", shown)
        patch.setattr(logging.getLogger(), "handlers", [server.services.log])
        logging.getLogger("hubkernel.x").warning("look here")
    assert shown.getvalue() == "look here\n"


def test_levels_and_handlers_are_as_before(server: HubServer) -> None:
    assert logging.getLogger("hubkernel").level == logging.INFO
    server.shutdown()
    assert logging.getLogger("hubkernel").level == logging.NOTSET
    assert not [handler for handler in logging.getLogger().handlers if type(handler).__name__ == "HubLog"]


def test_it_is_rotated(home: HubHome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBKERNEL_LOG_SIZE", "10000")
    monkeypatch.setenv("HUBKERNEL_LOGS_KEPT", "2")
    server = HubServer.open(home)
    server.run_in_thread()
    for number in range(500):
        logging.getLogger("hubkernel.x").info("line %s", number)
    server.shutdown()
    files = sorted(file.name for file in home.logs.glob("hub.log*"))
    assert files == ["hub.log", "hub.log.1", "hub.log.2"]
    assert all((home.logs / name).stat().st_size <= 10_000 for name in files)


def test_what_the_hubs_part_of_a_job_logs(server: HubServer) -> None:
    async def work() -> None:
        logging.getLogger("mine").warning("something is odd")

    job = server.jobs.start("work", work)
    job.future.result(30)
    odd = [entry for entry in done(server, "job_log", job.id) if entry["from"] == "mine"]
    assert [(entry["level"], entry["message"]) for entry in odd] == [("warning", "WARNING mine: something is odd")]


def alerts(server: HubServer, since: int) -> list[dict[str, str]]:
    events = [event for event in server.bus.since(since) if event.entity == "event"]
    return [json.loads(event.data["msg"]) for event in events if event.data is not None]


def test_core_c63_stop_is_told_before_anything_ends(server: HubServer) -> None:
    events = server.bus.subscribe()
    server.shutdown()
    told = next(event for event in events if event.entity == "event")
    assert told.op == "insert"
    assert told.data is not None and told.data["level"] == "CRITICAL"
    assert json.loads(told.data["msg"]) == {"type": "alert", "msg": "Hub is stopping", "event": "hub_stop"}


def test_core_c63_restart_is_told_as_such(server: HubServer) -> None:
    before = server.bus.last
    server.alerts.alert("hub_restart", "Hub is restarting")
    server.alerts.alert("hub_restart", "Hub is restarting")
    server.shutdown()
    assert [alert["event"] for alert in alerts(server, before)] == ["hub_restart"]


def test_a_record_may_become_an_event(server: HubServer) -> None:
    before = server.bus.last
    logging.getLogger("mine").warning("look", extra={"event": True})
    logging.getLogger("mine").warning("and look", extra={"notify": True})
    found = [event.data for event in server.bus.since(before) if event.entity == "event"]
    assert [(data["msg"], data["notify"]) for data in found if data] == [("look", False), ("and look", True)]
