"""Metrics, and the events of the Jupyter server."""

from __future__ import annotations

import asyncio
import queue
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from hubkernel.server_ext import metrics
from hubkernel.server_ext.watch import CHANGE, JOB, SCHEMAS
from tests.server_ext.rest.served import SITE_TOKEN, Served
from tests.server_ext.rest.test_dataupload import wait_until
from tests.server_ext.rest.test_endpoints import launch, write_source


def samples(text: str) -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name, tuple(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def own(served: Served) -> dict[tuple[str, tuple[str, ...]], float]:
    answer = served.get("metrics")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"].startswith("text/plain")
    return samples(answer.text)


def test_jobs_are_counted(served: Served) -> None:
    before = own(served)

    def more(name: str, *labels: str) -> float:
        return own(served).get((name, labels), 0) - before.get((name, labels), 0)

    served.put("slow", {"n": 9})
    wait_until(lambda: more("hubkernel_jobs", "running") == 1)
    served.server.go.set()
    launch(served, "boom")
    wait_until(lambda: more("hubkernel_jobs_ended_total", "slow", "done") == 1)
    wait_until(lambda: more("hubkernel_jobs_ended_total", "boom", "failed") == 1)
    assert more("hubkernel_job_seconds_count", "slow") == 1
    assert more("hubkernel_job_wait_seconds_count") == 2
    assert more("hubkernel_events_total", "job") >= 6
    found = own(served)
    assert found["hubkernel_slots", ("process",)] >= 1
    assert found["hubkernel_steps_waiting", ("process",)] == 0


def test_documents_are_counted(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics, "PAUSE", 0.0)
    write_source(served.home, "mine")
    served.post("call/reload", {})
    launch(served, "source/mine/dump")
    launch(served, "source/mine/upload")
    wait_until(lambda: own(served).get(("hubkernel_documents", ("mine",))) == 2)


def test_the_jupyter_servers_metrics_have_them_too(served: Served) -> None:
    answer = httpx.get(f"{served.url}metrics", headers={"Authorization": f"token {SITE_TOKEN}"})
    assert answer.status_code == 200
    found = samples(answer.text)
    assert ("hubkernel_jobs", ("running",)) in found
    assert any(name.startswith("http_request_duration_seconds") for name, _ in found)


def listen(served: Served, schema: str) -> queue.Queue[dict[str, Any]]:
    heard: queue.Queue[dict[str, Any]] = queue.Queue()

    async def listener(logger: Any, schema_id: str, data: dict[str, Any]) -> None:
        heard.put(data)

    async def add() -> None:
        served.serverapp.event_logger.add_listener(schema_id=schema, listener=listener)

    asyncio.run_coroutine_threadsafe(add(), served.loop).result(10)
    return heard


def told_of(heard: queue.Queue[dict[str, Any]], entity: str) -> dict[str, Any]:
    """The next change of that kind; others happen by themselves, such as the reloading of what a test wrote."""
    while (told := heard.get(timeout=30))["entity"] != entity:
        pass
    return told


def test_jobs_are_events_of_the_jupyter_server(served: Served) -> None:
    heard = listen(served, JOB)
    id = launch(served, "boom")["id"]
    states = []
    while not states or states[-1] != "failed":
        data = heard.get(timeout=30)
        assert (data["id"], data["name"], data["command"]) == (id, "boom", "boom()")
        states.append(data["state"])
    assert states == ["created", "running", "failed"]
    assert data["error"] == "RuntimeError: kaboom"
    assert data["finished"] >= data["started"] >= data["created"]


def test_changes_are_events_of_the_jupyter_server(served: Served) -> None:
    heard = listen(served, CHANGE)
    served.put("config", {"name": "hub_name", "value": "Told"})
    assert told_of(heard, "config")["id"] == "hub_name"
    served.put("dataupload/src/file", content=b"x")
    told = told_of(heard, "upload")
    assert (told["id"], told["op"]) == ("src/file", "insert")


def test_what_a_terminal_shows_is_no_event_of_the_jupyter_server(served: Served) -> None:
    heard = listen(served, CHANGE)
    served.server.bus.publish("shell", None, "output", {"user": "a", "text": "secret"})
    served.server.bus.publish("source", "after", "update")
    seen = [heard.get(timeout=30)]
    while seen[-1]["id"] != "after":
        seen.append(heard.get(timeout=30))
    assert "shell" not in {told["entity"] for told in seen}


def test_every_schema_has_its_version_and_says_who_it_is_about() -> None:
    import yaml

    files = sorted(SCHEMAS.glob("*/*.yaml"))
    assert [file.parent.name for file in files] == ["change", "job"]
    for file in files:
        schema = yaml.safe_load(file.read_text())
        assert schema["$id"] == f"urn:hubkernel:events:{file.parent.name}"
        assert file.stem == f"v{schema['version']}"
        assert isinstance(schema["personal-data"], bool)
