"""From dump to index by itself, and what becomes of that when the hub is killed in between."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from tests.hub.test_server import done, plugin, wait_until

Open = Callable[[], HubServer]
BY_HAND: dict[str, dict[str, Any]] = {"upload": {"poll_schedule": None}, "index": {"poll_schedule": None}}
"""Stages look for work when the test says so."""


@pytest.fixture
def open_hub(home: HubHome) -> Iterator[Open]:
    plugin(home, "colors", {"1": "red", "2": "green"})
    made: list[HubServer] = []

    def start() -> HubServer:
        made.append(HubServer.open(home, managers_custom_args=BY_HAND))
        made[-1].run_in_thread()
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


@pytest.fixture
def server(open_hub: Open) -> HubServer:
    return open_hub()


def rows(server: HubServer) -> list[tuple[str, str, str]]:
    return [(row["stage"], row["subject"], row["state"]) for row in reversed(done(server, "triggers"))]


def marks(server: HubServer, collection: str, id: str) -> list[str]:
    found: list[str] = (server.state.collection(collection).find_one({"_id": id}) or {}).get("pending", [])
    return found


def idle(server: HubServer) -> None:
    wait_until(lambda: not server.jobs.list(running=True) and not server.schedules.triggers.list("taken"))


def test_from_dump_to_index_by_itself(server: HubServer) -> None:
    autobuild = {"schedule": "0 0 1 1 *", "env": ["localhub", "later"]}
    done(server, "create_build_conf", "things", "thing", ["colors"], params={"autobuild": autobuild})
    wait_until(lambda: "autobuild:things" in server.schedules.entries)
    done(server, "dump", "colors")
    assert server.schedules.upload_pending() == ["colors"]
    idle(server)
    done(server, "run_schedule", "autobuild:things")
    wait_until(lambda: bool(done(server, "lsmerge")))
    idle(server)
    (build,) = done(server, "lsmerge")
    assert server.schedules.index_pending() == [build]
    idle(server)
    assert rows(server) == [("upload", "colors", "done"), ("index", build, "done")]
    assert (marks(server, "src_dump", "colors"), marks(server, "src_build", build)) == ([], [])
    assert done(server, "search", build, "red")["total"] == 1
    assert done(server, "graph").splitlines() == [
        "1 dump(src='colors') done",
        "└─ 2 upload(src='colors') done  (trigger 1)",
        "   └─ 3 merge(build_name='things') done  (schedule autobuild:things)",
        f"      └─ 4 index(indexer_env='localhub',build_name='{build}') done  (trigger 2)",
    ]
    data = done(server, "graph", 2, text=False)
    assert [(edge["from"], edge["to"]) for edge in data["edges"]] == [(1, 2), (2, 3), (3, 4)]
    assert data["jobs"][3]["cause"] == {"schedule": "autobuild:things", "jobs": [2]}
    done(server, "run_schedule", "autobuild:things")
    wait_until(lambda: {entry["id"]: entry["runs"] for entry in done(server, "schedules")}["autobuild:things"] == 2)
    idle(server)
    assert done(server, "lsmerge") == [build], "nothing is new, so nothing is built"


def test_graph_of_a_job_that_is_not_there(server: HubServer) -> None:
    assert done(server, "graph") == "no jobs"
    with pytest.raises(LookupError, match="no job 7"):
        done(server, "graph", 7)


def killed_after_taking(server: HubServer, monkeypatch: pytest.MonkeyPatch, before: bool) -> None:
    """The hub dies between taking a row and starting its job, or right after that."""

    class Killed(BaseException):
        pass

    launch = server.launch

    def die(*args: Any, **kwargs: Any) -> Any:
        if not before:
            launch(*args, **kwargs)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(server, "launch", die)
        server.schedules.upload_pending()


def test_a_hub_killed_between_taking_and_starting_starts_it_again(
    open_hub: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = open_hub()
    done(server, "dump", "colors")
    killed_after_taking(server, monkeypatch, before=True)
    assert rows(server) == [("upload", "colors", "taken")]
    server.shutdown()
    again = open_hub()
    assert rows(again) == [("upload", "colors", "pending")]
    assert again.schedules.upload_pending() == ["colors"]
    idle(again)
    assert rows(again) == [("upload", "colors", "done")]
    assert again.schedules.upload_pending() == []
    assert [job.name for job in again.jobs.list()] == ["upload", "dump"]


def test_a_hub_killed_after_the_work_was_done_does_it_once(open_hub: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    server = open_hub()
    done(server, "dump", "colors")
    killed_after_taking(server, monkeypatch, before=False)
    wait_until(lambda: not server.jobs.list(running=True))
    assert rows(server) == [("upload", "colors", "taken")], "nobody could tell it that its job has ended"
    server.shutdown()
    again = open_hub()
    assert rows(again) == [("upload", "colors", "done")]
    assert again.schedules.upload_pending() == []
    assert [job.name for job in again.jobs.list()] == ["upload", "dump"]


def test_dataload_c65_a_mark_stays_until_the_upload_is_accepted(
    server: HubServer, caplog: pytest.LogCaptureFixture
) -> None:
    sources = server.state.collection("src_dump")
    sources.insert_one({"_id": "nosuch", "pending": ["upload", "other"]})
    events = server.bus.subscribe()
    assert (server.schedules.upload_pending(), server.schedules.upload_pending()) == ([], [])
    assert marks(server, "src_dump", "nosuch") == ["upload", "other"]
    refused = [event for event in events.pending() if (event.entity, event.op) == ("trigger", "refused")]
    assert [event.id for event in refused] == ["nosuch"]
    assert caplog.text.count("there is no source 'nosuch'") == 1


def test_a_mark_of_biothings_is_honoured(server: HubServer) -> None:
    done(server, "dump", "colors")
    sources = server.state.collection("src_dump")
    sources.update_one({"_id": "colors"}, {"$unset": {"download.job": 1}, "$set": {"pending": ["upload", "other"]}})
    assert server.schedules.upload_pending() == ["colors"]
    assert marks(server, "src_dump", "colors") == ["other"]
    idle(server)
    assert server.jobs.list(limit=1)[0].cause == {"trigger": 1}


def test_an_upload_by_hand_takes_the_mark_away(server: HubServer) -> None:
    done(server, "dump", "colors")
    from hubkernel.hub.chains import STAGES

    server.schedules.chains.collect(STAGES["upload"])
    done(server, "upload", "colors")
    assert server.schedules.upload_pending() == []
    assert rows(server) == [("upload", "colors", "done")]
    assert [job.name for job in server.jobs.list()] == ["upload", "dump"]


def test_a_failed_upload_is_a_failed_trigger(server: HubServer, home: HubHome) -> None:
    done(server, "dump", "colors")
    (home.plugins / "colors" / "parser.py").write_text(
        "def load(folder):\n    raise ValueError('no luck')\n    yield\n"
    )
    assert server.schedules.upload_pending() == ["colors"]
    idle(server)
    (row,) = done(server, "triggers", "failed")
    assert "no luck" in row["error"]
    assert row["job"] == 2
    assert marks(server, "src_dump", "colors") == [], "it is not tried again for ever"


def test_a_build_that_failed_is_not_indexed(server: HubServer) -> None:
    builds = server.state.collection("src_build")
    config = {"name": "things", "autobuild": {"env": "localhub"}}
    for status in ("failed", "building"):
        builds.insert_one({"_id": status, "build_config": config, "pending": ["index"], "jobs": [{"status": status}]})
    assert server.schedules.index_pending() == []
    assert (marks(server, "src_build", "failed"), marks(server, "src_build", "building")) == ([], ["index"])
    assert rows(server) == []


KILLED = """
import sys
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer

by_hand = {"upload": {"poll_schedule": None}, "index": {"poll_schedule": None}}
server = HubServer.open(HubHome.find(), managers_custom_args=by_hand)
server.run_in_thread()
server.launch("dump", "colors").future.result(60)
server.schedules.upload_pending()
print("uploading", flush=True)
sys.stdin.read()
"""


@pytest.mark.service
def test_an_upload_whose_hub_was_killed_is_begun_again(open_hub: Open, home: HubHome) -> None:
    gate = home.root / "gate"
    parser = home.plugins / "colors" / "parser.py"
    text = parser.read_text()
    wait = f"    import time\n    while not Path({str(gate)!r}).exists():\n        time.sleep(0.005)\n"
    parser.write_text(text.replace("def load(folder):\n", f"def load(folder):\n{wait}"))
    hub = subprocess.Popen([sys.executable, "-c", KILLED], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    with hub:
        assert hub.stdout is not None
        assert hub.stdout.readline() == "uploading\n"
        hub.kill()
    gate.touch()
    server = open_hub()
    assert [(job.name, str(job.state)) for job in server.jobs.list()] == [("upload", "interrupted"), ("dump", "done")]
    assert rows(server) == [("upload", "colors", "pending")]
    assert server.schedules.upload_pending() == ["colors"]
    idle(server)
    assert rows(server) == [("upload", "colors", "done")]
    assert done(server, "count", "colors") == 2
    assert server.schedules.upload_pending() == []
