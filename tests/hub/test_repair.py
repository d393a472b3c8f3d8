"""A hub that is killed around the moment at which a collection is put in place: its successor tells the truth."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.store import StateStore, open_store
from tests.hub.test_server import done, plugin

DIES = """
import os, signal, sys
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.store.sqlite import writer

home, moment, prefix = sys.argv[1:]
commit = writer.SQLiteWriter.commit

def dies(self, name, *, archive=None):
    if name.startswith(prefix):
        if moment == "after":
            commit(self, name, archive=archive)
        os.kill(os.getpid(), signal.SIGKILL)
    commit(self, name, archive=archive)

server = HubServer.open(HubHome.find(home))
server.run_in_thread()
run = lambda name, *args, **kw: server.launch(name, *args, **kw).future.result(60)
run("dump", "colors")
if prefix != "colors" or moment == "before":
    run("upload", "colors")
writer.SQLiteWriter.commit = dies
if prefix == "colors":
    parser = HubHome.find(home).plugins / "colors" / "parser.py"
    parser.write_text(parser.read_text().replace('"label"', '"name"', 1))
    server.launch("reload")
    run("upload", "colors")
server.launch("create_build_conf", "things", "thing", ["colors"], roots=["colors"])
run("merge", "things")
"""


@pytest.fixture
def successor(home: HubHome, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Iterator[HubServer]:
    """The hub of a home whose last hub was killed before or after the commit of a collection."""
    monkeypatch.setenv("HUBKERNEL_EXECUTOR_URL", "thread://?workers=1")
    plugin(home, "colors", {"1": "red", "2": "green"})
    command = [sys.executable, "-c", DIES, str(home.root), *request.param]
    assert subprocess.run(command, timeout=100, check=False).returncode == -9
    server = HubServer.open(home)
    server.run_in_thread()
    yield server
    server.shutdown()


def upload(state: StateStore) -> dict[str, Any]:
    document = state["src_dump"].find_one({"_id": "colors"})
    assert document is not None
    job: dict[str, Any] = document["upload"]["jobs"]["colors"]
    return job


@pytest.mark.parametrize("successor", [("after", "colors")], indirect=True)
def test_an_upload_that_was_in_place_is_a_success(successor: HubServer, state: StateStore) -> None:
    job = upload(state)
    assert (job["status"], job["count"], job["prepared"], job["pid"]) == ("success", 2, None, None)
    assert job["current"]["release"] == job["release"] is not None
    assert state["src_master"].find_one({"_id": "colors"}, ["main_source"])["main_source"] == "colors"  # type: ignore[index]
    assert next(record for record in successor.jobs.list() if record.name == "upload").state == "interrupted"
    done(successor, "create_build_conf", "things", "thing", ["colors"], roots=["colors"])
    assert done(successor, "merge", "things").startswith("things_")


@pytest.mark.parametrize("successor", [("before", "colors")], indirect=True)
def test_an_upload_that_was_not_in_place_is_canceled_and_the_old_data_stays(
    successor: HubServer, home: HubHome, state: StateStore
) -> None:
    job = upload(state)
    assert (job["status"], job["prepared"], job["pid"]) == ("canceled", None, None)
    assert job["current"]["count"] == 2
    assert "ended during the upload" in job["err"]
    store = open_store(home.store_url)
    assert (store.names(), store["colors"].count()) == (["colors"], 2)
    store.close()


@pytest.mark.parametrize("successor", [("after", "things")], indirect=True)
def test_a_build_that_was_in_place_has_its_metadata(successor: HubServer, home: HubHome, state: StateStore) -> None:
    (build,) = state["src_build"].find()
    assert [job["status"] for job in build["jobs"]] == ["success"] * 3
    assert (build["_meta"]["stats"]["total"], list(build["_meta"]["src"])) == (2, ["colors"])
    assert "merge_stats" in build
    assert "prepared" not in build
    done(successor, "index", "localhub", build["_id"], index_name="things")
    assert done(successor, "document", "things", "1") == {"_id": "1", "colors": {"label": "red"}}


@pytest.mark.parametrize("successor", [("before", "things")], indirect=True)
def test_a_build_that_was_not_in_place_is_canceled(successor: HubServer, home: HubHome, state: StateStore) -> None:
    (build,) = state["src_build"].find()
    assert [job["status"] for job in build["jobs"]] == ["success", "success", "canceled"]
    assert {"_meta", "prepared"}.isdisjoint(build)
    store = open_store(home.store_url)
    assert store.names() == ["colors"]
    store.close()
