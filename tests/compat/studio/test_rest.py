"""The classic REST API as Studio sees it: paths, envelopes, errors."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path

import pytest

from hubkernel.compat.studio.server import Studio
from tests.compat.studio.conftest import ORIGIN, TIMEOUT, Rig, Session, end_rig, make_rig


def test_core_c16_the_root_says_what_the_hub_is(rig: Rig, hub: Session) -> None:
    for path in ("", "/"):
        found = hub.result("GET", path)
        assert found["name"] == "BioThings Hub"
        assert (found["biothings_version"], found["app_version"], found["icon"]) == (None, None, None)
        assert datetime.fromisoformat(found["now"]).tzinfo is not None
    assert {"config", "job", "dump", "upload", "source", "build", "ws", "terminal"} <= set(found["features"])
    assert not {"readonly", "studio", "diff"} & set(found["features"])
    shown = rig.session("viewer-token").result("GET", "/")
    assert shown["name"] == "BioThings Hub (read-only)"
    assert "readonly" in shown["features"]
    assert "terminal" not in shown["features"]


def test_core_c18_a_preflight_is_answered(hub: Session) -> None:
    asked = {
        "Origin": ORIGIN,
        "Access-Control-Request-Method": "PUT",
        "Access-Control-Request-Headers": "content-type,x-biothings-access-token",
    }
    answer = hub.request("OPTIONS", "/source/x/dump", headers=asked)
    assert (answer.status_code, answer.content) == (200, b"")
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert answer.headers["Access-Control-Allow-Methods"] == "PUT, DELETE, POST, GET, OPTIONS"
    assert answer.headers["Access-Control-Allow-Headers"] == "Content-Type,X-BioThings-API,X-Biothings-Access-Token"


def test_core_c19_a_fresh_hub_has_launched_nothing(fresh_rig: Rig) -> None:
    answer = fresh_rig.session().get("/commands")
    assert answer.text == '{"result":{},"status":"ok"}'


def test_core_c20_an_asynchronous_command_is_polled(rig: Rig, hub: Session) -> None:
    launched = hub.result("PUT", "/slow", json={"n": 3})
    assert launched.keys() == {"cmd", "started_at", "id", "is_done"}
    assert (launched["cmd"], launched["is_done"]) == ("slow(n=3)", False)
    assert isinstance(launched["started_at"], float)
    assert isinstance(launched["id"], int)
    running = hub.result("GET", f"/command/{launched['id']}")
    assert running["is_done"] is False
    assert "results" not in running
    rig.server.blocked.set()
    done = hub.finished(launched)
    assert (done["results"], done["failed"], done["cmd"]) == (["done"], False, "slow(n=3)")
    assert isinstance(done["duration"], str)
    assert done["finished_at"] >= done["started_at"]


def test_core_c21_a_failed_command_says_why(rig: Rig, hub: Session) -> None:
    failed = hub.run("PUT", "/boom", {"n": 1})
    assert failed["failed"] is True
    assert len(failed["results"]) == 1
    assert "kaboom" in failed["results"][0]
    assert str(failed["id"]) in hub.result("GET", "/commands", params={"failed": "1"})
    assert str(failed["id"]) not in hub.result("GET", "/commands", params={"failed": "0", "running": "0"})


def test_core_c22_running_lists_the_unfinished(rig: Rig, hub: Session) -> None:
    done = hub.run("PUT", "/boom", {"n": 2})
    slow = hub.result("PUT", "/slow", json={"n": 22})
    found = hub.result("GET", "/commands?running=1")
    assert str(slow["id"]) in found
    assert str(done["id"]) not in found
    assert not any(info["is_done"] for info in found.values())
    rig.server.blocked.set()
    hub.finished(slow)


def test_core_c23_an_unknown_command_number_is_not_found(hub: Session) -> None:
    assert hub.error("GET", "/command/999999") == (404, "No such command with ID 999999")
    assert hub.error("GET", "/command/abc")[0] == 404
    assert hub.error("GET", "/command/") == (400, "Missing argument id")


def test_core_c24_what_a_command_refuses_is_told(rig: Rig, hub: Session) -> None:
    assert hub.error("GET", "/refuses") == (422, "x")
    status, text = hub.error("GET", "/bug")
    assert status == 500
    assert "planted-password" not in text


def test_core_c25_a_missing_argument_is_named(hub: Session) -> None:
    status, text = hub.error("PUT", "/slow", json={})
    assert status == 400
    assert "'n'" in text


@pytest.mark.parametrize("body", ["{", "[1]", "\xff", '{"n":'])
def test_core_c26_a_body_that_is_no_json_object_is_refused(hub: Session, body: str) -> None:
    status, text = hub.error("PUT", "/slow", content=body.encode("latin-1"))
    assert (status, text.partition(":")[0]) == (400, "Invalid JSON payload")


def test_core_c27_wrong_verbs_and_paths_are_errors_in_the_envelope(hub: Session) -> None:
    assert hub.error("PUT", "/status") == (405, "Method PUT not allowed")
    assert hub.error("PATCH", "/status") == (405, "Method PATCH not allowed")
    answer = hub.get("/no/such/path", headers={"Origin": ORIGIN})
    assert answer.json() == {"error": "Not Found", "status": "error", "code": 404}
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN


def test_core_c28_arguments_of_get_come_from_path_and_query(hub: Session) -> None:
    assert hub.result("GET", "/kwg/5?b=7&zz=8") == {"a": "5", "b": "7", "kwargs": {"zz": "8"}}
    assert hub.result("GET", "/kwb?a=5&b=7&zz=8") == {"a": "5", "b": "7", "kwargs": {}}


def test_core_c29_arguments_of_other_verbs_come_from_path_and_body(hub: Session) -> None:
    found = hub.result("POST", "/kwp/5", json={"b": 3, "q": 4})
    assert found == {"a": "5", "b": 3, "kwargs": {"q": 4}}
    assert hub.result("POST", "/kwp/a%2Fb")["a"] == "a/b"


def test_the_argument_in_the_path_cannot_be_overridden(hub: Session) -> None:
    assert hub.result("POST", "/kwp/5", json={"a": 6})["a"] == "5"


def test_core_c30_values_that_json_lacks(hub: Session) -> None:
    answer = hub.get("/values")
    expected = '{"result":{"nan":null,"naive":"2024-01-02T03:04:05+00:00","set":[1,2],"3":"three"},"status":"ok"}'
    assert answer.text == expected


def test_core_c30_what_json_cannot_hold_is_a_clean_error(
    rig: Rig, hub: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rig.studio.context, "about", lambda role: {"x": object()})
    assert hub.error("GET", "/") == (500, "Type is not JSON serializable: object")


def test_core_c31_a_dump_is_recorded_as_it_was_asked_for(hub: Session) -> None:
    done = hub.run("PUT", "/source/mvcgi/dump", {"force": True})
    assert (done["cmd"], done["results"]) == ("dump(src='mvcgi',force=True)", [None])


def test_core_c36_a_configuration_is_made_once(hub: Session) -> None:
    hub.run("PUT", "/source/mvcgi/dump")
    hub.run("PUT", "/source/mvcgi/upload")
    new = {"name": "bc1", "doc_type": "thing", "sources": ["mvcgi"]}
    hub.result("POST", "/buildconf", json=new)
    status, text = hub.error("POST", "/buildconf", json=new)
    assert status == 409
    assert "'bc1' already" in text
    hub.result("PUT", "/buildconf", json={**new, "doc_type": "other"})
    configs = hub.result("GET", "/build_manager")["build_configs"]
    assert configs["bc1"]["build_config"]["doc_type"] == "other"
    hub.result("DELETE", "/buildconf", json={"name": "bc1"})
    assert "bc1" not in hub.result("GET", "/build_manager")["build_configs"]


def test_core_c37_an_unknown_source_is_not_found(hub: Session) -> None:
    status, text = hub.error("GET", "/source/nosuch")
    assert status == 404
    assert "'nosuch'" in text


def test_core_c38_marking_a_dump_is_a_dry_run_unless_told_otherwise(hub: Session) -> None:
    hub.run("PUT", "/source/mvcgi/dump")
    before = hub.result("GET", "/source/mvcgi")["download"]
    for body in ({}, {"dry_run": True}):
        (found,) = hub.result("PUT", "/source/mvcgi/mark_dump_success", json=body)
        assert (found["_id"], found["download"]["status"]) == ("mvcgi", "success")
    assert hub.result("GET", "/source/mvcgi")["download"] == before


def test_core_c41_indices_come_as_a_list_and_the_limit_as_text(hub: Session) -> None:
    assert hub.result("GET", "/indexes_by_name?limit=5") == []
    status, text = hub.error("GET", "/indexes_by_name?limit=five")
    assert status == 400
    assert "limit" in text


def test_core_c42_a_broken_manager_leaves_a_gap_in_the_status(
    rig: Rig, hub: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> None:
        raise OSError("gone")

    monkeypatch.setattr(rig.server.managers["source_manager"], "get_sources", broken)
    found = hub.result("GET", "/status")
    assert found["source"] == {"total": None, "documents": None}
    assert found["build_conf"]["total"] == len(hub.result("GET", "/build_manager")["build_configs"])


def test_core_c66_settings_have_their_old_names(rig: Rig, hub: Session) -> None:
    shown = hub.result("GET", "/config")
    assert shown.keys() == {"scope", "_dirty", "allow_edits"}
    assert shown["scope"].keys() == {"config", "class"}
    name = shown["scope"]["config"]["HUB_NAME"]
    assert {"section", "desc", "value", "default", "diff", "readonly", "hidden"} <= name.keys()
    assert shown["scope"]["config"]["HUB_PASSWD"]["readonly"] is True
    assert shown["allow_edits"] is True
    assert rig.session("operator-token").result("GET", "/config")["allow_edits"] is False


def test_settings_are_changed_by_json_text_and_reset(fresh_rig: Rig) -> None:
    hub = fresh_rig.session()
    hub.result("PUT", "/config", json={"name": "HUB_NAME", "value": '"Mine"'})
    assert hub.result("GET", "/")["name"] == "Mine"
    shown = hub.result("GET", "/config")["scope"]["config"]["HUB_NAME"]
    assert shown["value"] == "Mine"
    assert shown["diff"]
    assert hub.error("PUT", "/config", json={"name": "HUB_NAM", "value": "1"})[0] == 422
    hub.result("DELETE", "/config", json={"name": "HUB_NAME"})
    assert hub.result("GET", "/config")["scope"]["config"]["HUB_NAME"]["value"] == "BioThings Hub"


@pytest.mark.service
def test_core_c80_the_root_answers_while_every_worker_waits(rig: Rig, hub: Session) -> None:
    with ThreadPoolExecutor(40) as pool:
        waiting = [pool.submit(rig.session().result, "GET", "/waits") for _ in range(40)]
        for _ in range(16):
            assert rig.server.entered.acquire(timeout=TIMEOUT)
        assert hub.result("GET", "/")["name"] == "BioThings Hub"
        rig.server.blocked.set()
        assert [future.result(TIMEOUT) for future in waiting] == ["done"] * 40


@pytest.fixture
def small_rig(tmp_path: Path) -> Iterator[Rig]:
    rig = make_rig(tmp_path, features=["config", "job"])
    yield rig
    end_rig(rig)


def test_core_c15_a_small_hub_has_few_paths(small_rig: Rig) -> None:
    hub = small_rig.session()
    assert hub.result("GET", "/")["features"] == ["config", "job"]
    for path in ("/config", "/job_manager", "/commands", "/status", "/logs/?json"):
        assert hub.get(path).status_code == 200, path
    for path in ("/sources", "/ws/info", "/shell", "/dump_manager", "/dataupload/x"):
        assert hub.error("GET", path)[0] == 404, path
    assert hub.error("PUT", "/shell", json={"cmd": "status()"})[0] == 404


def test_a_port_that_is_taken_is_named(rig: Rig) -> None:
    with pytest.raises(OSError, match=f"studio_port {rig.studio.port} on 127.0.0.1: .*choose another"):
        Studio(lambda feed: rig.studio.context, [], "127.0.0.1", rig.studio.port)
