"""Plugins are loaded again while the hub runs, and no job notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.hub.commands import CommandError
from hubkernel.hub.home import HubHome
from hubkernel.hub.reloader import Reloader, _wanted
from hubkernel.hub.server import HubServer
from tests.hub.test_server import done, plugin, wait_until

Open = Callable[..., HubServer]
SLOW = """
import time
from pathlib import Path

def load(folder):
    yield {"_id": "1", "color": "red"}
    Path(folder, "begun").touch()
    while not Path(folder, "gate").exists():
        time.sleep(0.005)
    yield {"_id": "2", "color": "green"}
"""


@pytest.fixture
def open_hub(home: HubHome) -> Iterator[Open]:
    made: list[HubServer] = []

    def start(config: Any = None) -> HubServer:
        made.append(HubServer.open(home, reloader_config=config))
        made[-1].run_in_thread()
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


def changed(server: HubServer, *files: Path) -> dict[str, Any]:
    """Tell the reloader; returns its status."""
    assert server.reloader is not None
    asyncio.run_coroutine_threadsafe(server.reloader.changed(set(files)), server.loop).result(30)
    status: dict[str, Any] = done(server, "status")["hub"]["reloader"]
    return status


def test_a_saved_file_is_noticed(open_hub: Open, home: HubHome) -> None:
    """With real files and a real watch."""
    folder = plugin(home, "colors", {"1": "red"})
    server = open_hub()
    assert done(server, "status")["hub"]["reloader"]["folders"] == [str(home.plugins.resolve())]
    events = server.bus.subscribe()
    manifest = folder / "manifest.json"
    text = manifest.read_text()

    def saved_until_noticed() -> bool:
        manifest.write_text(text.replace('"1.0"', '"1.1"'))  # the watch may not have begun at the first time
        event = events.get(timeout=1)
        return event is not None and (event.entity, event.op) == ("data_plugin", "reloaded")

    wait_until(saved_until_noticed)
    assert server.plugins["colors"].manifest.version == "1.1"


def test_new_code_is_used_without_a_restart(open_hub: Open, home: HubHome) -> None:
    folder = plugin(home, "colors", {"1": "red"})
    server = open_hub()
    done(server, "dump", "colors")
    done(server, "upload", "colors")
    parser = folder / "parser.py"
    parser.write_text(parser.read_text().replace('row["label"]', 'row["label"].upper()'))
    status = changed(server, parser)
    assert (status["reloads"], status["error"], status["restart"]) == (1, "", [])
    done(server, "upload", "colors")
    assert done(server, "documents", "colors") == [{"_id": "1", "colors": {"label": "RED"}}]


def test_a_broken_plugin_is_shown_and_mended(open_hub: Open, home: HubHome) -> None:
    folder = plugin(home, "colors", {"1": "red"})
    plugin(home, "sizes", {"1": "small"})
    server = open_hub()
    manifest = folder / "manifest.json"
    text = manifest.read_text()
    manifest.write_text(text.replace("parser:load", "parser:laod"))
    events = server.bus.subscribe()
    changed(server, manifest)
    told = next(event for event in events.pending() if event.op == "reloaded")
    assert told.data is not None
    assert told.data["changed"] == [str(manifest)] and "did you mean 'load'" in told.data["broken"]["colors"]
    assert list(done(server, "status")["hub"]["broken"]) == ["colors"]
    with pytest.raises(CommandError, match="did you mean 'load'"):
        done(server, "dump", "colors")
    done(server, "dump", "sizes")
    manifest.write_text(text)
    changed(server, manifest)
    assert done(server, "status")["hub"]["broken"] == {}
    done(server, "dump", "colors")


def test_a_running_job_is_not_disturbed(open_hub: Open, home: HubHome) -> None:
    folder = plugin(home, "colors", {"1": "red"})
    (folder / "parser.py").write_text(SLOW)
    server = open_hub()
    done(server, "dump", "colors")
    release = Path(server.state.collection("src_dump").find_one({"_id": "colors"})["download"]["data_folder"])  # type: ignore[index]
    job = server.launch("upload", "colors")
    wait_until((release / "begun").exists)
    (folder / "parser.py").write_text("this is no Python\n")
    changed(server, folder / "parser.py")
    assert list(server.plugins.broken) == ["colors"]
    (release / "gate").touch()
    assert job.future.result(60)["colors"]["count"] == 2
    assert job.record.state == "done"


def test_plugins_come_and_go(open_hub: Open, home: HubHome) -> None:
    server = open_hub()
    folder = plugin(home, "colors", {"1": "red"})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["dumper"]["schedule"] = "0 0 1 1 *"
    (folder / "manifest.json").write_text(json.dumps(manifest))
    changed(server, folder / "manifest.json")
    assert sorted(server.plugins.plugins) == ["colors"]
    wait_until(lambda: "dump:colors" in server.schedules.entries)
    (folder / "manifest.json").rename(home.root / "kept.json")
    changed(server, folder / "manifest.json")
    assert "colors" in server.plugins.broken
    wait_until(lambda: "dump:colors" not in server.schedules.entries)


def test_hook_files_wait_for_a_restart(open_hub: Open, home: HubHome) -> None:
    home.hooks.mkdir()
    server = open_hub()
    status = changed(server, home.hooks / "a.py")
    assert (status["restart"], status["reloads"]) == ([str(home.hooks / "a.py")], 0)


class Mirror:
    def __init__(self) -> None:
        self.changed: list[list[Path]] = []

    async def reload(self, changed: list[Path]) -> None:
        self.changed.append(changed)


def test_folders_and_managers_are_chosen(open_hub: Open, home: HubHome, tmp_path: Path) -> None:
    (tmp_path / "mirrors" / "inner").mkdir(parents=True)
    folders = [tmp_path / "mirrors" / "inner", str(tmp_path / "mirrors"), "/no/such/folder"]
    server = open_hub({"folders": folders, "managers": ["mirror_manager"]})
    mirror = server.managers["mirror_manager"] = Mirror()
    plugin(home, "colors", {"1": "red"})
    status = changed(server, tmp_path / "mirrors" / "x.txt")
    assert status["folders"] == [str((tmp_path / "mirrors").resolve())]
    assert mirror.changed == [[tmp_path / "mirrors" / "x.txt"]]
    assert server.plugins.plugins == {}, "plugins were not asked for"


def test_a_manager_that_cannot_reload_is_said(open_hub: Open, home: HubHome) -> None:
    server = open_hub({"managers": ["source_manager", "dumb_manager"]})
    plugin(home, "colors", {"1": "red"})
    status = changed(server, home.plugins / "colors" / "parser.py")
    assert "'dumb_manager' is not there; did you mean 'dump_manager'?" in status["error"]
    assert sorted(server.plugins.plugins) == ["colors"]


@pytest.mark.parametrize("kind", ["plain", "async"])
def test_reload_func_replaces_it_all(open_hub: Open, home: HubHome, kind: str) -> None:
    called: list[str] = []

    def plain() -> None:
        called.append("plain")

    async def slow() -> None:
        called.append("async")

    server = open_hub({"reload_func": plain if kind == "plain" else slow})
    plugin(home, "colors", {"1": "red"})
    assert changed(server, home.plugins / "colors" / "parser.py")["reloads"] == 1
    assert (called, server.plugins.plugins) == ([kind], {})


def test_a_failing_reload_func_ends_nothing(open_hub: Open, home: HubHome) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    server = open_hub({"reload_func": fail})
    assert changed(server, home.plugins / "x")["error"] == "ValueError: no luck"
    assert changed(server, home.plugins / "x")["reloads"] == 2


def test_it_can_be_switched_off(open_hub: Open) -> None:
    server = open_hub(False)
    assert server.reloader is None
    assert done(server, "status")["hub"]["reloader"] is None


def test_a_wrong_key_is_an_error(home: HubHome) -> None:
    with pytest.raises(ValueError, match="no 'folder'; did you mean 'folders'"):
        Reloader(HubServer.open(home), {"folder": []})


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        ("a/parser.py", True),
        ("a/manifest.yaml", True),
        ("a/data.tsv", True),
        ("a/.parser.py.swp", False),
        (".git/index", False),
        ("a/__pycache__/parser.cpython-311.pyc", False),
        ("a/parser.py~", False),
    ],
)
def test_what_editors_leave_is_not_looked_at(path: str, wanted: bool) -> None:
    root = Path("/home/ann/.local/share/hub/plugins")
    assert _wanted([root], None, f"{root}/{path}") is wanted
    assert not _wanted([root], None, "/elsewhere/parser.py")
