"""What commands mean, on a real hub of one source; acceptance cases 19 to 24, 36 to 38, 54, 57, 79 and 80."""

from __future__ import annotations

import asyncio
import inspect
import json
import pydoc
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest

from hubkernel.api import JobFailedError, LocalHub
from hubkernel.hub.commands import ConflictError, UnknownCommandError, UnknownNameError
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubError, HubServer
from hubkernel.jobs.models import JobRecord
from hubkernel.store import StateStore
from tests.hub.test_launching import SECONDS, Own, write_plugin


@pytest.fixture
def server(home: HubHome) -> Iterator[Own]:
    write_plugin(home.plugins / "colors", home.root.parent)
    server = Own.open(home)
    assert isinstance(server, Own)
    server.run_in_thread()
    yield server
    server.gate.set()
    server.shutdown()


@pytest.fixture
def hub(server: Own) -> Iterator[LocalHub]:
    hub = LocalHub(server)
    yield hub
    server.gate.set()
    hub.close()


@pytest.fixture
def built(hub: LocalHub) -> LocalHub:
    """With a build ``built`` of the configuration ``things``."""
    chain = (
        "dump colors && upload colors && create_build_conf things thing ['colors'] && merge things target_name=built"
    )
    hub.call("run", chain).result(SECONDS)
    return hub


def wait(hub: LocalHub, name: str, *args: Any, **kwargs: Any) -> Any:
    return hub.call(name, *args, **kwargs).result(SECONDS)


# Launched commands.


def test_core_c19_a_fresh_hub_has_launched_nothing(hub: LocalHub) -> None:
    assert hub.call("commands") == {}


def test_core_c20_a_launched_command_can_be_followed(server: Own, hub: LocalHub) -> None:
    job = hub.call("slow", n=3)
    info = hub.call("command", job.id)
    assert {key: info[key] for key in ("cmd", "id", "is_done")} == {"cmd": "slow(n=3)", "id": 1, "is_done": False}
    assert isinstance(info["started_at"], float)
    assert "results" not in info
    server.gate.set()
    job.result(SECONDS)
    info = hub.call("command", job.id)
    assert (info["is_done"], info["failed"], info["results"]) == (True, False, ["slow 3"])
    assert info["finished_at"] >= info["started_at"]
    assert info["duration"].endswith("s")
    json.dumps(info)


def test_core_c21_a_failed_command_has_its_reason(hub: LocalHub) -> None:
    with pytest.raises(JobFailedError):
        wait(hub, "boom")
    wait(hub, "quick")
    info = hub.call("command", 1)
    assert (info["failed"], info["results"]) == (True, ["kaboom"])
    assert list(hub.call("commands", failed=True)) == ["1"]
    assert list(hub.call("commands", failed=False, running=False)) == ["2"]


def test_core_c22_running_commands_only(server: Own, hub: LocalHub) -> None:
    wait(hub, "quick")
    job = hub.call("slow")
    assert list(hub.call("commands", running=True)) == [str(job.id)]
    assert list(hub.call("commands", running=False)) == ["1"]
    assert list(hub.call("commands")) == ["2", "1"]


def test_core_c23_an_unknown_command_number(hub: LocalHub) -> None:
    for name in ("command", "cancel"):
        with pytest.raises(LookupError, match="No such command with ID 999"):
            hub.call(name, 999)


def test_core_c24_an_error_of_a_plain_command_is_its_own(hub: LocalHub) -> None:
    with pytest.raises(ValueError, match="limit is 0"):
        hub.call("documents", "colors", limit=0)


# Build configurations and sources.


def test_core_c36_build_configurations(hub: LocalHub) -> None:
    hub.call("create_build_conf", "bc1", "thing", ["colors"])
    with pytest.raises(JobFailedError, match="Configuration named 'bc1' already exists"):
        hub.call("create_build_conf", "bc1", "thing", ["colors"])
    hub.call("update_build_conf", "bc1", doc_type="other")
    assert hub.call("build_config_info")["build_configs"]["bc1"]["build_config"]["doc_type"] == "other"
    assert hub.call("delete_build_conf", "bc1") is None
    assert hub.call("delete_build_conf", "bc1") is None
    assert hub.call("build_config_info")["build_configs"] == {}


def test_core_c37_an_unknown_source(hub: LocalHub) -> None:
    with pytest.raises(UnknownNameError, match="no source 'color': did you mean 'colors'"):
        hub.call("source_info", "color")


def test_core_c38_mark_dump_success_is_a_dry_run_by_default(server: Own, hub: LocalHub) -> None:
    wait(hub, "dump", "colors")
    sources = server.state["src_dump"]
    sources.update_one({"_id": "colors"}, {"$set": {"download.status": "failed", "download.err": "x"}})
    before = sources.find_one({"_id": "colors"})
    for dry_run in ({}, {"dry_run": True}):
        (found,) = hub.call("mark_dump_success", "colors", **dry_run)
        assert (found["_id"], found["download"]["status"]) == ("colors", "success")
        assert sources.find_one({"_id": "colors"}) == before
    hub.call("mark_dump_success", "colors", dry_run=False)
    assert sources.find_one({"_id": "colors"})["download"]["status"] == "success"  # type: ignore[index]


def test_source_reset_forgets_one_stage(server: Own, hub: LocalHub) -> None:
    hub.call("run", "dump colors && upload colors").result(SECONDS)
    sources = server.state["src_dump"]

    def uploads() -> set[str]:
        return set((sources.find_one({"_id": "colors"}) or {}).get("upload", {}).get("jobs", {}))

    assert uploads() == {"colors", "shades"}
    with pytest.raises(JobFailedError, match="has no upload of 'shade'; there is colors, shades"):
        hub.call("source_reset", "colors", subkey="shade")
    hub.call("source_reset", "colors", subkey="shades")
    assert uploads() == {"colors"}
    hub.call("source_reset", "colors")
    assert uploads() == set()
    assert hub.call("count", "colors") == 1
    hub.call("source_reset", "colors", "download")
    with pytest.raises(JobFailedError, match="colors has not been dumped yet"):
        wait(hub, "upload", "colors")
    with pytest.raises(JobFailedError, match="key is 'uploads'; it is one of download, upload, inspect"):
        hub.call("source_reset", "colors", "uploads")


# Builds and indices.


def test_an_archived_build_keeps_its_record(built: LocalHub) -> None:
    built.call("archive", "built")
    assert built.call("lsmerge") == []
    assert built.call("lsmerge", only_archived=True) == ["built"]
    archived = built.call("build", "built")
    assert (archived["count"], archived["build_config"]["name"]) == (None, "things")
    with pytest.raises(LookupError, match="built"):
        built.call("documents", "built")


def test_mappings_are_saved_where_builds_and_indices_find_them(built: LocalHub) -> None:
    mapping = {"name": {"type": "keyword"}}
    built.call("source_save_mapping", "colors.colors", mapping)
    assert built.call("source_info", "colors")["mapping"]["colors"] == {"mapping": mapping, "origin": "master"}
    built.call("build_save_mapping", "built", mapping)
    assert built.call("build", "built")["mapping"] == mapping
    for call in (("source_save_mapping", "colors", mapping), ("build_save_mapping", "built", None)):
        with pytest.raises(JobFailedError, match=r"several collections|only a given mapping"):
            built.call(*call)


def test_a_mapping_is_tried_on_an_environment(hub: LocalHub) -> None:
    good = {"properties": {"name": {"type": "keyword"}}}
    for mapping in (good, good["properties"], {"thing": good}):
        assert hub.call("validate_mapping", mapping, "localhub") is None
    with pytest.raises(Exception, match=r"the mapping is not valid: .*nonsense"):
        hub.call("validate_mapping", {"name": {"type": "nonsense"}}, "localhub")
    assert hub.call("indexes_by_name") == []
    assert hub.jobs() == []


def test_metadata_of_an_index_is_written_again(server: Own, built: LocalHub) -> None:
    wait(built, "index", "localhub", "built", "served")
    server.state["src_build"].update_one({"_id": "built"}, {"$set": {"_meta.src_version": "later"}})
    meta = wait(built, "update_metadata", "localhub", "served", "built")
    assert meta["src_version"] == "later"
    own = {"biothing_type": "thing", "build_version": "mine"}
    assert wait(built, "update_metadata", "localhub", "served", _meta=own) == own
    assert [index["build_version"] for index in built.call("indexes_by_name")] == ["mine"]
    with pytest.raises(JobFailedError, match="there is no index 'serve'; did you mean 'served'"):
        wait(built, "update_metadata", "localhub", "serve", _meta=own)


def test_old_indices_are_cleaned_up(built: LocalHub) -> None:
    for name in ("one", "two", "three"):
        wait(built, "merge", "things", target_name=name)
        wait(built, "index", "localhub", name)
    names = [found["index"] for found in wait(built, "index_cleanup", keep=1)]
    assert names == ["two", "one"]
    assert len(built.call("indexes_by_name")) == 3
    assert wait(built, "index_cleanup", keep=1, dryrun=False, build_config="things")
    assert [index["index_name"] for index in built.call("indexes_by_name")] == ["three"]
    assert [index["index"] for index in built.call("index_info")["env"]["localhub"]["index"]] == ["three"]
    assert wait(built, "index_cleanup", keep=1) == []


def test_the_index_configuration_hides_its_secrets(home: HubHome) -> None:
    home.config_file.write_text(
        '[index_config.env.prod]\nhost = "https://me:planted@es"\nindexer.args.api_key = "planted"\n'
    )
    server = HubServer.open(home, features=["job", "index"])
    server.configure()
    try:
        shown = server.actions.index_config()
        assert shown["env"]["prod"]["indexer"] == {"args": {"api_key": "********"}}
        assert "planted" not in str(shown)
    finally:
        server.shutdown()


# Help.


def test_core_c54_help_lists_the_public_commands(server: Own, hub: LocalHub) -> None:
    lines = hub.call("help").splitlines()
    assert (lines[0], lines[-1]) == ("Available commands:", "Type: 'help(command)' for more")
    assert [line.strip() for line in lines[2:-2]] == sorted(server.commands)
    assert not set(server.extra_commands) & {line.strip() for line in lines}
    assert hub.jobs() == []


def test_core_c54_help_of_one_command_has_its_signature(server: Own, hub: LocalHub) -> None:
    usage = "dump(src: str, force: bool = False, skip_manual: bool = False"
    assert hub.call("help", "dump").startswith(usage)
    assert server.actions.help(server.commands["dump"]) == hub.call("help", "dump") == hub.call("run", "dump?")
    command = server.commands["dump"]
    assert str(inspect.signature(command)).startswith("(src: str, force: bool = False")
    assert "Dump one source" in (inspect.getdoc(command) or "")
    assert "Dump one source" in pydoc.render_doc(command)
    with pytest.raises(UnknownCommandError, match="did you mean 'dump'"):
        hub.call("run", "dmp?")


# Over restarts.


def test_core_c57_numbers_grow_over_restarts(home: HubHome) -> None:
    seen: list[int] = []
    for _ in range(3):
        server = Own.open(home)
        server.run_in_thread()
        hub = LocalHub(server)
        for _ in range(5):
            hub.call("plain")
        seen += [job.id for job in reversed(hub.jobs(limit=5))]
        assert all(info["is_done"] for info in hub.call("commands").values())
        hub.close()
    assert seen == list(range(1, 16))


def test_core_c57_plain_commands_are_stored_as_done(hub: LocalHub, server: Own) -> None:
    assert hub.call("plain") == "plain"
    stored = server.state["job"].find_one({"_id": 1})
    assert stored is not None
    assert (stored["state"], stored["result"], stored["command"]) == ("done", "plain", "plain()")


def test_core_c57_what_ran_at_a_crash_is_interrupted(home: HubHome, state: StateStore) -> None:
    id = state["job"].next_id()
    story = [["created", 1.0]]
    record = JobRecord(id, "slow", state="running", command="slow(n=1)", created=1.0, owner="0-dead", story=story)
    state["job"].insert_one(record.to_document())
    server = Own.open(home)
    server.run_in_thread()
    hub = LocalHub(server)
    try:
        info = hub.call("command", id)
        assert (info["state"], info["is_done"], info["failed"]) == ("interrupted", True, True)
        assert "its hub ended" in info["results"][0]
        assert hub.call("quick").id == id + 1
    finally:
        hub.close()


def test_core_c79_stale_states_become_canceled(home: HubHome, state: StateStore) -> None:
    gone = 2**22 + 1
    state["src_dump"].insert_one({
        "_id": "colors",
        "download": {"status": "downloading", "started_at": datetime.now(UTC), "pid": gone},
        "upload": {"jobs": {"colors": {"status": "uploading", "pid": gone}}},
    })  # fmt: skip
    state["src_build"].insert_one({"_id": "b", "jobs": [{"status": "building", "pid": gone}]})
    server = HubServer.open(home)
    server.run_in_thread()
    server.shutdown()
    source, build = state["src_dump"].find_one({"_id": "colors"}), state["src_build"].find_one({"_id": "b"})
    assert source is not None and build is not None
    statuses = [source["download"]["status"], source["upload"]["jobs"]["colors"]["status"], build["jobs"][0]["status"]]
    assert statuses == ["canceled"] * 3


# A hub that stays responsive.


def test_core_c80_a_blocked_database_does_not_stop_the_hub(
    server: Own, hub: LocalHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    collection = type(server.state["src_build_config"])
    find, entered, release = collection.find, threading.Event(), threading.Event()

    def hanging(self: Any, *args: Any, **kwargs: Any) -> Any:
        if threading.current_thread() is blocked:
            entered.set()
            assert release.wait(SECONDS)
        return find(self, *args, **kwargs)

    monkeypatch.setattr(collection, "find", hanging)
    blocked = threading.Thread(target=hub.call, args=("build_config_info",))
    blocked.start()
    try:
        assert entered.wait(SECONDS)
        alive = asyncio.run_coroutine_threadsafe(asyncio.sleep(0, "alive"), server.loop)
        assert alive.result(SECONDS) == "alive"
        assert hub.call("status")["build_conf"] == {"total": 0}
        assert wait(hub, "quick") == "done"
        assert blocked.is_alive()
    finally:
        release.set()
        blocked.join(SECONDS)


def test_core_c80_plain_commands_never_run_on_the_loop(server: Own, hub: LocalHub) -> None:
    places: list[bool] = []
    server.commands["where"] = lambda: places.append(server.on_loop)
    hub.call("where")
    hub.call("run", "quick && where").result(SECONDS)
    server.launch("where")

    async def on_the_loop() -> None:
        await server.launch("where")

    asyncio.run_coroutine_threadsafe(on_the_loop(), server.loop).result(SECONDS)
    assert places == [False] * 4


# The end.


def test_stop_waits_for_no_job_but_says_so(server: Own, hub: LocalHub) -> None:
    job = hub.call("slow")
    with pytest.raises(ConflictError, match=rf"1 job\(s\) run: {job.id} slow\(\)\. Wait for them, or use force=True"):
        hub.call("stop")
    events = server.bus.subscribe()
    assert hub.call("stop", force=True) == "Hub is stopping"
    event = next(event for event in events if event.entity == "event")
    assert json.loads((event.data or {})["msg"]) == {"type": "alert", "msg": "Hub is stopping", "event": "hub_stop"}
    assert server._ended.wait(SECONDS)
    hub.close()
    assert job.state == "interrupted"


def test_a_restart_is_what_the_owner_makes_of_it(server: Own, hub: LocalHub) -> None:
    with pytest.raises(HubError, match="cannot start it again"):
        hub.call("restart")
    asked: list[bool] = []
    done = threading.Event()

    def on_end(restart: bool) -> None:
        asked.append(restart)
        done.set()

    server.on_end = on_end
    assert hub.call("restart") == "Hub is restarting"
    assert done.wait(SECONDS)
    assert hub.call("restart", stop=True) == "Hub is stopping"
    deadline = time.monotonic() + SECONDS
    while len(asked) < 2 and time.monotonic() < deadline:
        done.wait(0.01)
    assert asked == [True, False]
