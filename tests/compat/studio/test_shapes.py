"""Events, settings and features as Studio knows them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hubkernel.compat.studio import shapes
from hubkernel.hub.commands import Role
from hubkernel.hub.events import Event


def event(entity: str, id: Any, op: str, data: dict[str, Any] | None = None) -> Event:
    return Event(7, 1_700_000_000.5, entity, id, op, data)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (event("job", 3, "insert"), {"_id": 3, "obj": "command", "op": "insert_one"}),
        (event("job", 3, "update"), {"_id": 3, "obj": "command", "op": "update_one"}),
        (event("job", 3, "progress"), None),
        (event("source", "x", "replace"), {"_id": "x", "obj": "source", "op": "replace_one"}),
        (event("build", "b", "delete"), {"_id": "b", "obj": "build", "op": "remove"}),
        (event("config", "hub_name", "insert"), {"_id": "HUB_NAME", "obj": "config", "op": "insert_one"}),
        (event("config", None, "delete"), {"obj": "config", "op": "remove"}),
        (event("strange", 1, "insert"), None),
    ],
)
def test_core_c61_a_change_has_id_entity_and_operation(given: Event, told: dict[str, Any] | None) -> None:
    assert shapes.change(given) == told


def test_a_notification_has_all_that_studio_reads() -> None:
    told = shapes.change(event("event", "e1", "insert", {"_id": "e1", "event": "x"}))
    assert told is not None
    assert told["data"] == {"_id": "e1", "name": "hub", "level": "INFO", "event": "x", "msg": ""}


def test_a_schedule_that_failed_is_a_notification() -> None:
    told = shapes.change(event("schedule", "dump('x')", "failed", {"error": "OSError: no"}))
    assert told is not None
    assert (told["obj"], told["data"]["msg"], told["data"]["level"]) == ("event", "OSError: no", "ERROR")
    assert told["data"]["asctime"] == "2023-11-14T22:13:20.500000+00:00"


def test_a_trigger_that_was_refused_is_one_too() -> None:
    told = shapes.change(event("trigger", "mvcgi", "refused", {"stage": "upload", "reason": "it is running"}))
    assert told is not None
    assert (told["data"]["name"], told["data"]["msg"], told["data"]["level"]) == ("mvcgi", "it is running", "WARNING")


def test_an_alert_is_json_in_a_critical_notification() -> None:
    told = shapes.alert("hub_restart", "Hub is restarting")
    assert told["obj"] == "event"
    assert told["data"]["level"] == "CRITICAL"
    assert json.loads(told["data"]["msg"]) == {"type": "alert", "msg": "Hub is restarting", "event": "hub_restart"}


def test_features_are_those_that_work_and_a_viewer_sees_the_read_only_studio() -> None:
    listed = ["config", "job", "diff", "terminal", "dataupload", "ws", "readonly", "studio"]
    missing = ["diff", "ws", "terminal", "readonly"]
    assert shapes.features(listed, missing, Role.operator) == ["config", "job", "terminal", "dataupload", "ws"]
    assert shapes.features(listed, missing, Role.viewer) == ["config", "job", "ws", "readonly"]


def test_results_that_studio_expects_to_be_null() -> None:
    done = {"cmd": "dump(src='x')", "is_done": True, "failed": False, "results": ["2024"]}
    assert shapes.command(done)["results"] == [None]
    assert shapes.command({**done, "cmd": "merge('x')"})["results"] == ["2024"]
    assert shapes.command({**done, "failed": True, "results": ["no"]})["results"] == ["no"]


def test_a_broken_source_has_what_studio_reads_too() -> None:
    found = shapes.source({"_id": "x", "data_plugin": {"error": "no manifest"}})["data_plugin"]
    assert (found["error"], found["plugin"]["loader"], found["download"]) == ("no manifest", "manifest", {})
    assert shapes.source({"_id": "x"}) == {"_id": "x"}
