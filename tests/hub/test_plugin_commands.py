"""Plugins of every form in a real hub: added, dumped, uploaded, changed while jobs run, taken away."""

from __future__ import annotations

import json
import textwrap
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.hub.commands import Role
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.hub.tables import PUBLIC
from tests.hub.test_server import done, plugin, wait_until

CLASSES = """
from biothings import config
from biothings.hub.dataload.dumper import DummyDumper
from biothings.hub.dataload.uploader import BaseSourceUploader
from {here}.values import VALUE, wait

class Mine(DummyDumper):
    SRC_NAME = "mine"
    SRC_ROOT_FOLDER = config.DATA_ARCHIVE_ROOT + "/mine"
    SCHEDULE = "0 0 1 1 *"

class Up(BaseSourceUploader):
    name = "mine_documents"
    main_source = "mine"
    __metadata__ = {{"src_meta": {{"url": "http://x.org"}}}}

    def load_data(self, folder):
        yield {{"_id": "1", "value": VALUE}}
        wait()
        yield {{"_id": "2", "value": VALUE}}
"""
WAIT = """
import time
from pathlib import Path

VALUE = {value}

def wait():
    Path({gate!r}, "begun").touch()
    while not Path({gate!r}, "gate").exists():
        time.sleep(0.005)
"""


@pytest.fixture
def servers(home: HubHome) -> Iterator[Any]:
    made: list[HubServer] = []

    def start(**arguments: Any) -> HubServer:
        made.append(HubServer.open(home, **arguments))
        made[-1].run_in_thread()
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


def test_a_plugin_from_a_zip_file(servers: Any, home: HubHome, tmp_path: Path) -> None:
    folder = plugin(home, "colors", {"1": "red"})
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["dumper"]["schedule"] = "0 0 1 1 *"
    with zipfile.ZipFile(tmp_path / "colors.zip", "w") as archive:
        archive.writestr("manifest.json", json.dumps(manifest))
        archive.writestr("parser.py", (folder / "parser.py").read_text())
    for file in folder.iterdir():
        file.unlink()
    folder.rmdir()
    server = servers()
    registered = done(server, "register_url", str(tmp_path / "colors.zip"))
    assert registered["name"] == "colors" and str(home.root) in registered["folder"]
    wait_until(lambda: "dump:colors" in server.schedules.entries)
    done(server, "dump", "colors")
    assert done(server, "upload", "colors")["colors"]["count"] == 1
    about = done(server, "source_info", "colors")["data_plugin"]
    assert (about["plugin"]["type"], about["plugin"]["active"]) == ("zip", True)
    assert about["download"]["status"] == "success"
    report = done(server, "export_plugin", "colors", str(tmp_path / "out"), ["uploader"])
    assert report["uploader"]["status"] == "ok" and Path(report["uploader"]["file"]).is_file()
    done(server, "unregister_url", "colors")
    wait_until(lambda: "dump:colors" not in server.schedules.entries)
    assert not Path(registered["folder"]).exists() and (tmp_path / "colors.zip").is_file()
    assert done(server, "count", "colors") == 1, "what it loaded stays"


def test_who_may_add_code_to_a_hub() -> None:
    rows = {row.name: row.role for row in PUBLIC}
    for name in ("register_url", "unregister_url", "dump_plugin", "export_plugin", "plugin_cell"):
        assert rows[name] is Role.developer


@pytest.mark.service
@pytest.mark.parametrize("form", ["advanced", "package"])
def test_classes_in_a_hub_and_a_reload_while_they_run(
    servers: Any, home: HubHome, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    gate = tmp_path / "gate"
    gate.mkdir()
    if form == "advanced":
        folder, here, sources = home.plugins / "mine", "mine", []
    else:
        folder, here = tmp_path / f"hub_{form}" / "sources" / "mine", f"hub_{form}.sources.mine"
        sources = [here]
        folder.mkdir(parents=True)
        for parent in (folder.parent, folder.parent.parent):
            (parent / "__init__.py").write_text("")
        monkeypatch.syspath_prepend(tmp_path)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "__init__.py").write_text(textwrap.dedent(CLASSES).format(here=here))
    (folder / "values.py").write_text(WAIT.format(value=1, gate=str(gate)))
    server = servers(source_list=sources)
    assert server.plugins.broken == {}
    assert server.plugins["mine"].loader == form
    wait_until(lambda: "dump:mine" in server.schedules.entries)
    done(server, "dump", "mine")
    job = server.launch("upload", "mine")
    wait_until((gate / "begun").exists)
    (folder / "values.py").write_text(WAIT.format(value=10 + 10, gate=str(gate)))
    done(server, "reload")
    (gate / "gate").touch()
    assert job.future.result(60)["mine_documents"]["count"] == 2
    assert [document["value"] for document in done(server, "documents", "mine_documents")] == [1, 1]
    done(server, "upload", "mine")
    assert [document["value"] for document in done(server, "documents", "mine_documents")] == [20, 20]
    assert done(server, "source_info", "mine")["__metadata__"] == {"url": "http://x.org"}
    (folder / "values.py").write_text("1 / 0\n")
    done(server, "reload")
    (broken,) = [source for source in done(server, "sources") if source["_id"] == "mine"]
    assert f"{folder}/values.py:1: ZeroDivisionError" in broken["data_plugin"]["error"]
    assert list(done(server, "status")["hub"]["broken"]) == ["mine"]
