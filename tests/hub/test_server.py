"""A real hub of small sources: its life, its commands, its schedules, its hooks."""

from __future__ import annotations

import asyncio
import json
import os
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from hubkernel.api import LocalHub
from hubkernel.hub.commands import BadArgumentsError, UnknownCommandError
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubError, HubServer

PARSER = """
import csv
from pathlib import Path

def load(folder):
    with Path(folder, "data.csv").open() as file:
        for row in csv.DictReader(file):
            yield {"_id": row["id"], "NAME": {"label": row["label"]}}
"""


def plugin(home: HubHome, name: str, rows: dict[str, str]) -> Path:
    """A manifest plugin whose documents are ``{"_id", name: {"label"}}``."""
    data = home.root.parent / "data" / name
    data.mkdir(parents=True)
    (data / "data.csv").write_text("id,label\n" + "".join(f"{id},{label}\n" for id, label in rows.items()))
    folder = home.plugins / name
    folder.mkdir(parents=True)
    (folder / "parser.py").write_text(PARSER.replace("NAME", name))
    manifest = {
        "version": "1.0",
        "dumper": {"data_url": [f"file://{data}/data.csv"]},
        "uploader": {"parser": "parser:load", "on_duplicates": "error"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


@pytest.fixture
def server(home: HubHome) -> Iterator[HubServer]:
    plugin(home, "colors", {"1": "red", "2": "green", "3": "blue"})
    plugin(home, "sizes", {"2": "small", "3": "large"})
    server = HubServer.open(home)
    server.run_in_thread()
    yield server
    server.shutdown()


def done(server: HubServer, name: str, *args: Any, **kwargs: Any) -> Any:
    result = server.launch(name, *args, **kwargs)
    return result.future.result(60) if hasattr(result, "future") else result


def test_from_dump_to_search_through_the_registry(server: HubServer) -> None:
    for source in ("colors", "sizes"):
        done(server, "dump", source)
        done(server, "upload", source)
    done(server, "create_build_conf", "things", "thing", ["colors", "sizes"], roots=["colors"])
    build = done(server, "merge", "things")
    done(server, "index", "localhub", build, index_name="things")
    found = done(server, "search", "things", "small")
    assert [hit["_id"] for hit in found["hits"]] == ["2"]
    assert done(server, "document", "things", "3") == {
        "_id": "3",
        "colors": {"label": "blue"},
        "sizes": {"label": "large"},
    }
    numbers = done(server, "status")
    assert numbers["source"] == {"total": 2, "documents": 5}
    assert (numbers["build"], numbers["build_conf"]) == ({"total": 1}, {"total": 1})
    assert numbers["api"] == {"total": None, "running": None}
    assert done(server, "build", build)["count"] == 3
    assert done(server, "lsmerge") == [build]
    commands = done(server, "commands", failed=False)
    assert [info["cmd"] for info in commands.values()][-1] == "dump(src='colors')"


def test_quick_index_leaves_the_index_only(server: HubServer) -> None:
    done(server, "dump", "colors")
    done(server, "upload", "colors")
    result = done(server, "quick_index", "colors", "color", "localhub", index_name="Look")
    assert (result["index"], result["count"]) == ("look", 3)
    assert done(server, "search", "look", "green")["total"] == 1
    assert done(server, "lsmerge") == []
    assert done(server, "build_config_info")["build_configs"] == {}


def test_a_failed_quick_index_leaves_nothing(server: HubServer) -> None:
    with pytest.raises(Exception, match="colors"):
        done(server, "quick_index", "colors", "color", "localhub")
    assert done(server, "build_config_info")["build_configs"] == {}


def test_documents_come_in_pages(server: HubServer) -> None:
    done(server, "dump", "colors")
    done(server, "upload", "colors")
    page = done(server, "documents", "colors", limit=2)
    assert [document["_id"] for document in page] == ["1", "2"]
    assert [document["_id"] for document in done(server, "documents", "colors", after="2")] == ["3"]
    query = {"colors.label": {"$ne": "red"}}
    assert done(server, "documents", "colors", query, fields=["colors.label"], after="2") == [
        {"_id": "3", "colors": {"label": "blue"}}
    ]
    with pytest.raises(ValueError, match="limit is 0"):
        done(server, "documents", "colors", limit=0)


def test_what_a_command_did_can_be_read(server: HubServer) -> None:
    job = server.launch("dump", "colors")
    job.future.result(60)
    info = done(server, "command", job.id)
    assert (info["cmd"], info["is_done"], info["failed"]) == ("dump(src='colors')", True, False)
    assert info["finished_at"] >= info["started_at"]
    failing = server.launch("upload", "sizes")
    with pytest.raises(Exception, match="sizes"):
        failing.future.result(60)
    info = done(server, "command", failing.id)
    assert info["failed"] is True
    assert "sizes" in info["results"][0]
    assert list(done(server, "commands", failed=True)) == [str(failing.id)]
    assert done(server, "cancel", failing.id) is False
    with pytest.raises(LookupError, match="No such command with ID 999"):
        done(server, "command", 999)


def test_each_change_is_one_event(server: HubServer) -> None:
    before = server.bus.last
    server.launch("dump", "colors").future.result(60)
    server.state.collection("src_dump").update_one({"_id": "colors"}, {"$set": {"locked": True}})
    events = [event for event in server.bus.since(before) if event.entity == "source"]
    assert all(event.id == "colors" for event in events)
    assert [event.entity for event in server.bus.since(before)][-1] == "source"
    jobs = [event for event in server.bus.since(before) if event.entity == "job"]
    assert jobs[0].op == "insert"


def test_bad_calls_are_refused_before_they_run(server: HubServer) -> None:
    with pytest.raises(UnknownCommandError, match="did you mean 'dump'"):
        server.launch("dmp", "colors")
    with pytest.raises(BadArgumentsError, match="'force' takes True or False"):
        server.launch("dump", "colors", force="yes")
    assert done(server, "commands") == {}


def test_help_lists_and_explains(server: HubServer) -> None:
    text = done(server, "help")
    assert "    dump\n" in text
    assert "job_info" not in text
    assert text.startswith("Available commands:")
    assert done(server, "help", "dump").startswith("dump(src: str, force: bool = False")
    with pytest.raises(UnknownCommandError, match="did you mean 'upload'"):
        done(server, "help", "uplaod")


def test_settings_change_while_it_runs(server: HubServer, home: HubHome) -> None:
    assert done(server, "setconf", "hub_name", "Mine")["needs_restart"] is False
    assert server.name == "Mine"
    assert [event.entity for event in server.bus.since(0)][-1] == "config"
    assert done(server, "config")["scope"]["config"]["hub_name"]["source"] == "setconf"
    server.shutdown()
    again = HubServer.open(home)
    again.run_in_thread()
    try:
        assert again.name == again.config.hub_name == "Mine"
        assert done(again, "resetconf") == ["hub_name"]
    finally:
        again.shutdown()


def test_a_refused_secret_is_kept_nowhere(server: HubServer, home: HubHome) -> None:
    with pytest.raises(ValueError, match="ssh_passwords is secret"):
        LocalHub(server).call("setconf", "ssh_passwords", {"me": "planted-secret"})
    server.shutdown()
    found = [path for path in home.root.rglob("*") if path.is_file() and b"planted-secret" in path.read_bytes()]
    assert found == []


def test_backup_and_restore_are_commands(server: HubServer, tmp_path: Path) -> None:
    done(server, "create_build_conf", "things", "thing", ["colors"])
    file = done(server, "backup", str(tmp_path))
    done(server, "delete_build_conf", "things")
    assert done(server, "restore", file)["src_build_config"] == 1
    assert list(done(server, "build_config_info")["build_configs"]) == ["things"]


def test_plugins_are_loaded_again_and_broken_ones_are_shown(server: HubServer, home: HubHome) -> None:
    folder = plugin(home, "shapes", {"1": "round"})
    assert done(server, "load_plugin", str(folder))["name"] == "shapes"
    (home.plugins / "sizes" / "manifest.json").write_text("{")
    result = done(server, "reload")
    assert result["sources"] == ["colors", "shapes"]
    assert list(result["broken"]) == ["sizes"]
    assert list(done(server, "status")["hub"]["broken"]) == ["sizes"]


def test_export_command_documents(server: HubServer, tmp_path: Path) -> None:
    server.export_command_documents(str(tmp_path / "commands.rst"))
    text = (tmp_path / "commands.rst").read_text()
    assert text.startswith("biothings.hub.commands\n======================\n")
    assert ".. py:method:: dump(src: str, force: bool = False" in text
    assert text.index("py:method:: config") < text.index("py:method:: dump")
    assert "\n    Dump one source;" in text


def test_what_a_dump_marked_is_uploaded_by_itself(server: HubServer) -> None:
    done(server, "dump", "colors")
    assert server.state.collection("src_dump").find_one({"_id": "colors"})["pending"] == ["upload"]  # type: ignore[index]
    assert server.schedules.upload_pending() == ["colors"]
    assert server.schedules.upload_pending() == []
    job = server.jobs.list(limit=1)[0]
    assert job.command == "upload(src='colors')"
    wait_until(lambda: server.jobs.get(job.id).state == "done")  # type: ignore[union-attr]
    assert done(server, "count", "colors") == 3


def wait_until(condition: Callable[[], bool], seconds: float = 30) -> None:
    ticks = threading.Event()
    for _ in range(int(seconds * 50)):
        if condition():
            return
        ticks.wait(0.02)
    raise AssertionError("it never came true")


def test_a_command_on_a_schedule(server: HubServer) -> None:
    entry = done(server, "schedule", "0 3 * * *", "dump", "colors")
    assert (entry["cron"], entry["command"]) == ("0 3 * * *", "dump(src='colors')")
    wait_until(lambda: "dump(src='colors') [0 3 * * *] {run in" in done(server, "sch"))
    done(server, "run_schedule", entry["id"])
    wait_until(lambda: [job.state for job in server.jobs.list()] == ["done"])
    with pytest.raises(UnknownCommandError, match="did you mean 'dump'"):
        done(server, "schedule", "0 3 * * *", "dmp", "colors")
    with pytest.raises(ValueError, match="is no cron"):
        done(server, "schedule", "0 99 * * *", "dump", "colors")


def test_a_failing_schedule_is_an_event(server: HubServer) -> None:
    entry = done(server, "schedule", "0 3 * * *", "upload", "sizes")
    events = server.bus.subscribe()
    done(server, "run_schedule", entry["id"])
    seen = iter(lambda: events.get(timeout=30), None)
    failed = next(event for event in seen if event is not None and event.op == "failed")
    assert failed.entity == "schedule"
    assert failed.data is not None
    assert "sizes has not been dumped yet" in failed.data["error"]


def test_stale_states_are_canceled_at_start(home: HubHome, state: Any) -> None:
    plugin(home, "colors", {"1": "red"})
    child = psutil.Process(os.getppid()).pid  # a process that lives: it is another hub's
    state.collection("src_dump").insert_one(
        {
            "_id": "colors",
            "upload": {
                "jobs": {
                    "colors": {"status": "uploading", "pid": 2**22 + 1},
                    "other": {"status": "uploading", "pid": child},
                    "fine": {"status": "success"},
                }
            },
        }
    )
    state.collection("src_build").insert_one(
        {"_id": "b", "jobs": [{"status": "success"}, {"status": "building", "pid": 2**22 + 1}]}
    )
    server = HubServer.open(home)
    server.run_in_thread()
    server.shutdown()
    jobs = state.collection("src_dump").find_one({"_id": "colors"})["upload"]["jobs"]
    assert {name: job["status"] for name, job in jobs.items()} == {
        "colors": "canceled",
        "other": "uploading",
        "fine": "success",
    }
    assert [job["status"] for job in state.collection("src_build").find_one({"_id": "b"})["jobs"]] == [
        "success",
        "canceled",
    ]


def test_hook_files_run_in_order_and_fail_alone(home: HubHome) -> None:
    home.hooks.mkdir()
    (home.hooks / "b.py").write_text("seen.append(status()['hub']['name'])\nexpose('hello', 'status', 'get')\n")
    (home.hooks / "a.py").write_text("seen = []\ndef hello():\n    return 'hi'\n")
    (home.hooks / "c.py").write_text("seen.append(1)\n1 / 0\n")
    (home.hooks / "d.py").write_text("seen.append((hello(), jm is not None))\n")
    (home.hooks / "e.py").write_text("def broken(:\n")
    (home.hooks / "ignored.txt").write_text("1 / 0")
    server = HubServer.open(home, features=["job", "config", "hooks"])
    server.configure()
    try:
        assert server.namespace["seen"] == ["BioThings Hub", 1, ("hi", True)]
        assert [error.removeprefix(str(home.hooks)) for error in server.hook_errors] == [
            "/c.py, line 2: ZeroDivisionError: division by zero",
            "/e.py, line 1: SyntaxError: invalid syntax (e.py, line 1)",
        ]
        assert "hello" in server.api_endpoints
        assert server.actions.status()["hub"]["hook_errors"] == server.hook_errors
        assert server.launch("hello") == "hi"
    finally:
        server.shutdown()


def test_sources_that_cannot_be_imported_are_shown_as_broken(home: HubHome, monkeypatch: pytest.MonkeyPatch) -> None:
    package = home.root.parent / "code" / "hubsources"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("")
    plugin(home, "colors", {"1": "red"}).rename(package / "colors")
    (package / "colors" / "__init__.py").write_text("")
    monkeypatch.syspath_prepend(package.parent)
    features = ["job", "dump", "upload", "source"]
    for source_list in (["hubsources.colors", "hubsources.missing"], sys.modules.get("hubsources") or "hubsources"):
        server = HubServer(source_list, features=features)
        server.configure()
        try:
            assert list(server.plugins.plugins) == ["colors"]
            names = {source["_id"]: source["data_plugin"].get("error") for source in server.launch("sources")}
            if isinstance(source_list, list):
                assert "hubsources.missing" in names["hubsources.missing"]
            else:
                assert names == {"colors": None}
        finally:
            server.shutdown()


def test_owed_features_are_said_once(home: HubHome, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("INFO", "hubkernel.hub")
    server = HubServer.open(home, features=["job", "diff", "build"])
    server.configure()
    try:
        assert server.unavailable == {"diff": "builds cannot be compared yet"}
        assert [r.getMessage() for r in caplog.records if "feature diff" in r.getMessage()] == [
            "feature diff: builds cannot be compared yet"
        ]
        assert server.actions.status()["hub"]["unavailable"] == server.unavailable
        assert "diff" not in server.commands
    finally:
        server.shutdown()


# Life.


def start_in_thread(server: HubServer) -> threading.Thread:
    started = threading.Event()
    original = server.before_start

    def before_start() -> None:
        original()
        started.set()

    server.before_start = before_start  # type: ignore[method-assign]
    thread = threading.Thread(target=server.start, daemon=True)
    thread.start()
    assert started.wait(30)
    return thread


def test_start_blocks_until_shutdown(home: HubHome) -> None:
    server = HubServer.open(home, features=["job"])
    thread = start_in_thread(server)
    thread.join(0.05)
    assert thread.is_alive()
    server.shutdown()
    thread.join(30)
    assert not thread.is_alive()


def test_start_inside_a_running_loop_returns(home: HubHome) -> None:
    async def main() -> str:
        server = HubServer.open(home, features=["job"])
        server.start()
        assert server.loop is not asyncio.get_running_loop()
        status = server.launch("status")["hub"]["name"]
        server.shutdown()
        return str(status)

    assert asyncio.run(main()) == "BioThings Hub"


def test_ctrl_c_shuts_a_script_down(home: HubHome, monkeypatch: pytest.MonkeyPatch) -> None:
    server = HubServer.open(home, features=["job"])

    def interrupted(timeout: float | None = None) -> bool:
        raise KeyboardInterrupt

    monkeypatch.setattr(server._ended, "wait", interrupted)
    server.start()
    assert server._loop_thread is None


def test_nothing_is_left_after_shutdown(home: HubHome) -> None:
    before = set(threading.enumerate())
    children = set(psutil.Process().children(recursive=True))
    server = HubServer.open(home)
    server.run_in_thread()
    server.run_in_thread()
    server.shutdown()
    server.shutdown()
    wait_until(lambda: not {t for t in set(threading.enumerate()) - before if not t.name.startswith("Thread-auto")})
    wait_until(lambda: not set(psutil.Process().children(recursive=True)) - children)
    with pytest.raises(HubError, match="no loop"):
        _ = server.loop


def test_an_error_while_configuring_leaves_nothing_either(home: HubHome) -> None:
    class Bad(HubServer):
        def configure_commands(self) -> None:
            raise RuntimeError("no commands today")

    before = set(threading.enumerate())
    server = Bad.open(home)
    with pytest.raises(RuntimeError, match="no commands today"):
        server.run_in_thread()
    wait_until(lambda: not set(threading.enumerate()) - before)
    assert not server.configured


def test_two_hubs_in_one_process_share_nothing(tmp_path: Path) -> None:
    one, two = (HubServer.open(HubHome(tmp_path / name), features=["job", "config"]) for name in ("one", "two"))
    for server in (one, two):
        server.run_in_thread()
    try:
        done(one, "setconf", "hub_name", "One")
        assert (two.name, two.bus.last) == ("BioThings Hub", 0)
        assert one.loop is not two.loop
    finally:
        one.shutdown()
        two.shutdown()


def test_the_upload_root_is_below_the_home(home: HubHome) -> None:
    assert HubServer([]).upload_root == home.dataupload
    assert HubServer([], dataupload_config={"upload_root": "/data/up"}).upload_root == Path("/data/up")
    assert HubServer([], dataupload_config=False).upload_root is None
