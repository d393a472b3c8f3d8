"""Acceptance cases of the classic paths. (42 and 43 are in tests/hub and tests/jobs.)"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubkernel.hub.home import HubHome
from tests.server_ext.rest.served import Served, serve


def write_source(home: HubHome, name: str) -> None:
    """A plugin with a file to download and a parser."""
    data = home.root / f"{name}.txt"
    data.write_text("one\ntwo\n")
    folder = home.plugins / name
    folder.mkdir(parents=True)
    code = "def load(folder):\n    yield {'_id': '1', 'v': 1}\n    yield {'_id': '2', 'v': 2}\n"
    (folder / "parser.py").write_text(code)
    manifest = {"version": "1.0", "dumper": {"data_url": data.as_uri()}, "uploader": {"parser": "parser:load"}}
    (folder / "manifest.json").write_text(json.dumps(manifest))


@pytest.fixture(scope="module")
def sourced(shared: Served) -> Served:
    """The module's hub with the source ``mvcgi``."""
    write_source(shared.home, "mvcgi")
    assert shared.post("call/reload", {}).status_code == 200
    return shared


def error(answer: Any, status: int) -> dict[str, Any]:
    """The one form of all errors."""
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"].startswith("application/json")
    found: dict[str, Any] = answer.json()
    assert (found["status"], found["code"]) == ("error", status)
    assert found["error"]
    return found


def launch(served: Served, path: str, body: Any = None) -> dict[str, Any]:
    """Launch by PUT, and wait for the end."""
    answer = served.put(path, body)
    assert answer.status_code == 200, answer.text
    return served.finished(answer.json()["result"]["id"])


def test_core_c15_paths_follow_the_features(tmp_path: Path) -> None:
    with serve(tmp_path / "home", features=["job", "config"]) as served:
        for path in ("config", "job_manager", "commands", "status", "logs/"):
            assert served.get(path).status_code == 200, path
        for path in ("command/1", "log/none.log"):
            error(served.get(path), 404)
        for path in ("sources", "source/x", "builds"):
            error(served.get(path), 404)
        error(served.put("shell", {"cmd": "status()"}), 404)
        error(served.put("dataupload/a/b", {}), 404)
        assert served.get("").json()["result"]["features"] == ["job", "config"]


def test_core_c16_the_root_tells_name_and_features(served: Served) -> None:
    root = served.result("")
    assert list(root) == ["name", "biothings_version", "app_version", "icon", "now", "features"]
    assert root["name"] == "BioThings Hub"
    assert "readonly" not in root["features"]
    assert {"terminal", "dataupload", "ws", "source"} <= set(root["features"])
    assert "diff" not in root["features"], "what cannot be had yet is no menu entry"
    assert served.get("/".rstrip("/")).status_code == 200


def test_the_root_tells_icon_and_version(served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    assert (served.result("")["icon"], served.result("")["app_version"]) == (None, None)
    version = {"branch": "main", "commit": "0a1b2c", "date": "2026-01-01", "giturl": "https://git.example/app"}
    monkeypatch.setattr(served.server, "upgrades", SimpleNamespace(versions=lambda: {"application": version}))
    monkeypatch.setattr(served.server.config, "hub_icon", "https://hub.example/icon.svg")
    assert served.result("")["app_version"] == version
    assert served.result("")["icon"] == "https://hub.example/icon.svg"


def test_core_c18_preflight(served: Served) -> None:
    headers = {"Origin": "http://elsewhere.example", "Access-Control-Request-Headers": "authorization"}
    answer = served.request("OPTIONS", "source/x/dump", headers=headers)
    assert answer.status_code == 200
    for name in ("Origin", "Methods", "Headers"):
        assert answer.headers[f"Access-Control-Allow-{name}"]
    assert {"GET", "PUT", "POST", "DELETE"} <= set(answer.headers["Access-Control-Allow-Methods"].split(", "))


def test_core_c19_a_new_hub_has_no_commands(tmp_path: Path) -> None:
    with serve(tmp_path / "home") as served:
        assert served.get("commands").json() == {"result": {}, "status": "ok"}


def test_core_c20_a_job_is_launched_and_polled(served: Served) -> None:
    answer = served.put("slow", {"n": 3})
    assert answer.status_code == 200
    found = answer.json()
    assert list(found) == ["result", "status"]
    launched = found["result"]
    assert {name: type(value) for name, value in launched.items()} == {
        "cmd": str,
        "started_at": float,
        "id": int,
        "is_done": bool,
    }
    assert (launched["cmd"], launched["is_done"]) == ("slow(n=3)", False)
    assert answer.headers["Location"] == f"{served.serverapp.base_url}hubkernel/api/jobs/{launched['id']}"
    assert served.result(f"command/{launched['id']}")["is_done"] is False
    served.server.go.set()
    done = served.finished(launched["id"])
    assert (done["is_done"], done["failed"], done["results"]) == (True, False, ["done"])
    assert isinstance(done["duration"], str)
    assert done["finished_at"] >= done["started_at"]
    assert served.get(f"jobs/{launched['id']}").json()["job"]["state"] == "done"


def test_the_same_command_does_not_run_twice_at_once(served: Served) -> None:
    id = served.put("slow", {"n": 50}).json()["result"]["id"]
    assert f"as job {id}" in error(served.put("slow", {"n": 50}), 409)["error"]
    assert served.put("slow", {"n": 51}).status_code == 200


def test_core_c21_a_failure_is_told(served: Served) -> None:
    done = launch(served, "boom")
    assert (done["failed"], done["results"]) == (True, ["kaboom"])
    assert str(done["id"]) in served.result("commands", failed=1)
    assert str(done["id"]) not in served.result("commands", failed=0, running=0)


def test_core_c22_running_ones_are_those_that_have_not_ended(served: Served) -> None:
    id = served.put("slow", {"n": 22}).json()["result"]["id"]
    ended = launch(served, "boom")["id"]
    running = served.result("commands", running=1)
    assert str(id) in running
    assert str(ended) not in running
    assert not any(info["is_done"] for info in running.values())
    error(served.get("commands", running="maybe"), 400)


def test_core_c23_an_unknown_id_is_not_found(served: Served) -> None:
    assert error(served.get("command/999"), 404)["error"] == "No such command with ID 999"
    assert error(served.get("command/abc"), 400)["error"] == "command: 'id' takes int, not 'abc'"
    assert error(served.get("command/"), 400)["error"].startswith("command: 'id' is missing")


def test_core_c24_a_refusal_has_its_reason(served: Served) -> None:
    refused = error(served.put("refuse"), 422)
    assert refused["error"].endswith("x")
    assert error(served.put("bug"), 500)["error"].endswith("oops")


def test_core_c25_a_missing_argument_is_named(served: Served) -> None:
    assert "'new' is missing" in error(served.put("pair/a/both", {}), 400)["error"]
    assert "'name' is missing" in error(served.post("buildconf", {}), 400)["error"]


def test_core_c26_a_malformed_body_is_the_callers_fault(served: Served) -> None:
    assert "no JSON" in error(served.put("slow", content=b"{nope"), 400)["error"]
    assert "object" in error(served.put("slow", content=b"[1]"), 400)["error"]


def test_core_c27_wrong_verbs_and_paths(served: Served) -> None:
    wrong = served.put("status")
    assert error(wrong, 405)["error"] == "Method PUT not allowed"
    assert wrong.headers["Allow"] == "GET"
    assert (
        served.put("status", headers={"Origin": "http://elsewhere.example"}).headers["Access-Control-Allow-Origin"]
        == "http://elsewhere.example"
    ), "a page that has a token can read why it was refused"
    assert "nowhere/at/all" in error(served.get("nowhere/at/all"), 404)["error"]
    error(served.request("PATCH", "status"), 405)


def test_core_c28_a_query_is_keyword_arguments(served: Served) -> None:
    assert served.result("kwg/5", b="7", zz="8") == {"a": "5", "b": "7", "kwargs": {"zz": "8"}}
    assert served.result("kwf", a="5", b="7", zz="8") == {"a": "5", "b": "7", "kwargs": {}}
    assert served.result("typed", count="5", dry_run="true") == [5, True, None]
    assert served.get("typed?names=a&names=b").json()["result"] == [1, False, ["a", "b"]]
    assert served.result("typed", names="a") == [1, False, ["a"]]


def test_core_c28_a_name_that_is_not_there_is_refused(served: Served) -> None:
    assert "did you mean 'count'" in error(served.get("typed", coutn=5), 400)["error"]
    assert "'count' takes int" in error(served.get("typed", count="many"), 400)["error"]


def test_core_c29_a_body_is_keyword_arguments(served: Served) -> None:
    answer = served.post("kwp/5", {"b": 3, "q": 4})
    assert answer.json()["result"] == {"a": "5", "b": 3, "kwargs": {"q": 4}}
    assert served.post("kwp/5", {"a": "5"}).json()["result"]["a"] == "5"
    assert "in the path and something else" in error(served.post("kwp/5", {"a": "6"}), 400)["error"]


def test_an_argument_in_the_path_may_have_a_slash(served: Served) -> None:
    assert served.result("kwg/a%2Fb%20c")["a"] == "a/b c"


def test_core_c30_values_are_json(served: Served) -> None:
    values = served.result("values")
    assert values == {"nan": None, "naive": "2024-01-02T03:04:05+00:00", "set": [1], "5": "five"}


def test_core_c31_the_command_is_recorded_as_it_was_called(sourced: Served) -> None:
    done = launch(sourced, "source/mvcgi/dump", {"force": True})
    assert done["cmd"] == "dump(src='mvcgi',force=True)"
    assert (done["failed"], len(done["results"])) == (False, 1)


def test_core_c33_a_mapping_is_saved(sourced: Served) -> None:
    launch(sourced, "source/mvcgi/dump")
    launch(sourced, "source/mvcgi/upload")
    body = {"mapping": {"v": {"type": "integer"}}, "dest": "master"}
    assert sourced.put("source/mvcgi/mapping", body).json() == {"result": None, "status": "ok"}
    (found,) = sourced.result("source/mvcgi")["mapping"].values()
    assert found == {"mapping": body["mapping"], "origin": "master"}
    inspected = sourced.put("source/mvcgi/mapping", {**body, "dest": "inspect"})
    assert "documents cannot be inspected yet" in error(inspected, inspected.status_code)["error"]


def test_core_c34_a_wrong_mapping_is_told(served: Served) -> None:
    wrong = {"mapping": {"properties": {"v": {"type": "no_such_type"}}}, "env": "localhub"}
    answer = served.post("mapping/validate", wrong)
    assert "no_such_type" in error(answer, 422)["error"]
    right = {"mapping": {"properties": {"v": {"type": "integer"}}}, "env": "localhub"}
    assert served.post("mapping/validate", right).json() == {"result": None, "status": "ok"}


def test_core_c36_recipes(sourced: Served) -> None:
    recipe = {"name": "bc1", "doc_type": "thing", "sources": ["mvcgi"]}
    assert sourced.post("buildconf", recipe).json()["status"] == "ok"
    again = sourced.post("buildconf", recipe)
    assert "'bc1' already" in error(again, again.status_code)["error"]
    assert again.status_code in (409, 422)
    assert sourced.put("buildconf", {"name": "bc1", "doc_type": "other"}).status_code == 200
    assert sourced.result("build_manager")["build_configs"]["bc1"]["build_config"]["doc_type"] == "other"
    assert sourced.delete("buildconf", {"name": "bc1"}).json() == {"result": None, "status": "ok"}
    assert sourced.delete("buildconf", {"name": "unknown"}).json() == {"result": None, "status": "ok"}


def test_core_c37_an_unknown_source_is_not_found(sourced: Served) -> None:
    found = error(sourced.get("source/mvcgj"), 404)
    assert "mvcgj" in found["error"]
    assert "mvcgi" in found["error"]


def test_core_c38_marking_is_a_dry_run_by_default(sourced: Served) -> None:
    launch(sourced, "source/mvcgi/dump", {"force": True})
    before = sourced.result("source/mvcgi")
    for body in ({"dry_run": True}, {}):
        (marked,) = sourced.put("source/mvcgi/mark_dump_success", body).json()["result"]
        assert marked["_id"] == "mvcgi"
        assert marked["download"]["status"] == "success"
    assert sourced.result("source/mvcgi") == before


def test_core_c40_several_mandatory_arguments_come_from_the_body(served: Served) -> None:
    answer = served.put("release_manager/reset_synced", {"old": "a", "new": "b"})
    assert answer.json()["result"] == ["a", "b"]
    assert served.put("pair/a/both", {"new": "b"}).json()["result"] == ["a", "b"]
    assert served.put("pair//both", {"old": "a", "new": "b"}).json()["result"] == ["a", "b"]


def test_core_c41_what_is_untracked_answers_with_its_value(served: Served) -> None:
    assert served.result("indexes_by_name", limit="5") == []
    assert served.result("later") == 7


def test_openapi_is_served(served: Served) -> None:
    document = served.get("openapi.json").json()
    assert document["servers"] == [{"url": f"{served.serverapp.base_url}hubkernel/api"}]
    assert "/kwg/{a}" in document["paths"]
    assert "/call/typed" in document["paths"]
