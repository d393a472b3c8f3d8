"""Where commands begin: what is refused before it becomes a job, chains, and who may run what. Cases 50 to 53."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.api import JobCancelledError, JobFailedError, JobHandle, LocalHub
from hubkernel.hub.commands import (
    AlreadyRunningError,
    BadArgumentsError,
    CommandDefinition,
    CommandError,
    ForbiddenError,
    Role,
    UnknownCommandError,
    UnknownNameError,
)
from hubkernel.hub.home import HubHome
from hubkernel.hub.launching import Origin
from hubkernel.hub.server import HubServer
from hubkernel.hub.syntax import CommandSyntaxError

SECONDS = 30


class Own(HubServer):
    """A hub whose commands a test holds up and lets go."""

    def configure_commands(self) -> None:
        super().configure_commands()
        self.calls: list[str] = []
        self.gate = threading.Event()
        self.commands["slow"] = self.slow
        self.commands["quick"] = self.quick
        self.commands["boom"] = self.boom
        self.commands["plain"] = self.plain
        self.commands["many"] = self.many
        self.commands["gathered"] = self.gathered
        self.commands["drop"] = CommandDefinition(self.plain, role=Role.developer)

    async def slow(self, n: int = 1) -> str:
        """Until the gate opens."""
        self.calls.append(f"slow {n}")
        while not self.gate.is_set():
            await asyncio.sleep(0.005)
        return f"slow {n}"

    async def quick(self) -> str:
        """At once."""
        self.calls.append("quick")
        return "done"

    async def boom(self) -> None:
        """Fails."""
        self.calls.append("boom")
        raise RuntimeError("kaboom")

    def plain(self) -> str:
        """Not asynchronous."""
        self.calls.append("plain")
        return "plain"

    async def many(self) -> list[Any]:
        """A list of tasks."""

        async def number(n: int) -> int:
            await asyncio.sleep(0.01 * (3 - n))
            return n

        return [asyncio.get_running_loop().create_task(number(n)) for n in range(3)]

    def gathered(self) -> list[Any]:
        """One of two fails."""

        async def run(fails: bool) -> None:
            if fails:
                raise RuntimeError("r1")
            await asyncio.sleep(SECONDS)

        return [run(False), run(True)]


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


def write_plugin(folder: Path, data: Path) -> None:
    folder.mkdir(parents=True)
    (data / "data.txt").write_text("1")
    (folder / "parser.py").write_text("def load(folder):\n    yield {'_id': '1'}\n")
    manifest = {
        "version": "1.0",
        "dumper": {"data_url": f"file://{data}/data.txt"},
        "uploaders": [{"name": "colors", "parser": "parser:load"}, {"name": "shades", "parser": "parser:load"}],
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


# What is refused before it becomes a job.

REFUSED = [
    ("dump", ("nosuch",), {}, UnknownNameError, "nosuch"),
    ("dump", ("color",), {}, UnknownNameError, "did you mean 'colors'"),
    ("dump", ("colors",), {"forse": True}, BadArgumentsError, "did you mean 'force'"),
    ("dump_all", (), {"forse": True}, BadArgumentsError, "did you mean 'force'"),
    ("mark_dump_success", ("color",), {}, UnknownNameError, "did you mean 'colors'"),
    ("upload", ("color",), {}, UnknownNameError, "did you mean 'colors'"),
    ("upload", ("colors.shade",), {}, UnknownNameError, "did you mean 'colors.shades'"),
    ("upload", ("colors",), {"step": "data"}, BadArgumentsError, "did you mean 'steps'"),
    ("upload_all", (), {"raise_on_errors": True}, BadArgumentsError, "did you mean 'raise_on_error'"),
    ("update_source_meta", ("color",), {}, UnknownNameError, "did you mean 'colors'"),
    ("source_info", ("color",), {}, UnknownNameError, "did you mean 'colors'"),
    ("create_build_conf", ("b", "t", ["color"]), {}, UnknownNameError, "did you mean 'colors'"),
    ("create_build_conf", ("b", "t", ["colors"], ["shades"]), {}, UnknownNameError, "no source 'shades'"),
    ("create_build_conf", ("b", "t", ["colors", "(x"]), {}, BadArgumentsError, "neither a name nor a regular"),
    ("update_build_conf", ("thing",), {}, UnknownNameError, "did you mean 'things'"),
    ("update_build_conf", ("things",), {"sources": ["color"]}, UnknownNameError, "did you mean 'colors'"),
    ("merge", ("thing",), {}, UnknownNameError, "did you mean 'things'"),
    ("merge", ("things",), {"sources": ["shades"]}, UnknownNameError, "no source 'shades'"),
    ("merge", ("things",), {"target": "x"}, BadArgumentsError, "no parameter 'target'"),
    ("whatsnew", ("thing",), {}, UnknownNameError, "did you mean 'things'"),
    ("lsmerge", ("thing",), {}, UnknownNameError, "did you mean 'things'"),
    ("rmmerge", ("built",), {}, UnknownNameError, "there is no build 'built'"),
    ("build", ("built",), {}, UnknownNameError, "there is no build 'built'"),
    ("index", ("localhub", "built"), {}, UnknownNameError, "built"),
    ("index", ("localhup", "built"), {}, UnknownNameError, "did you mean 'localhub'"),
    ("quick_index", ("color", "t", "localhub"), {}, UnknownNameError, "did you mean 'colors'"),
    ("quick_index", ("colors", "t", "localhub"), {"num_shard": 1}, BadArgumentsError, "did you mean 'num_shards'"),
    ("schedule", ("0 3 * * *", "dump", "color"), {}, UnknownNameError, "did you mean 'colors'"),
    ("schedule", ("0 3 * * *", "run", "dump colors && upload color"), {}, UnknownNameError, "did you mean 'colors'"),
]


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalHub]:
    home = HubHome(tmp_path_factory.mktemp("refusing") / "home").create()
    write_plugin(home.plugins / "colors", home.root.parent)
    server = HubServer.open(home)
    server.run_in_thread()
    hub = LocalHub(server)
    hub.call("create_build_conf", "things", "thing", ["colors"])
    yield hub
    hub.close()


@pytest.mark.parametrize(("name", "args", "kwargs", "error", "says"), REFUSED)
def test_a_mistake_is_refused_before_a_job_is_made(
    ready: LocalHub, name: str, args: tuple[Any, ...], kwargs: dict[str, Any], error: type[CommandError], says: str
) -> None:
    before = [job.id for job in ready.jobs()]
    with pytest.raises(error, match=says):
        ready.call(name, *args, **kwargs)
    assert [job.id for job in ready.jobs()] == before


def test_no_command_takes_any_keyword(ready: LocalHub) -> None:
    """Else a misspelt one would be noticed by the job only; ``schedule`` and ``dump`` check theirs themselves."""
    kinds = {name: {p.kind for p in info.signature.parameters.values()} for name, info in ready.commands().items()}
    parameter = next(iter(ready.commands()["schedule"].signature.parameters.values()))
    assert {name for name, found in kinds.items() if parameter.VAR_KEYWORD in found} == {"dump", "schedule"}


def test_patterns_and_negated_roots_stay_allowed(ready: LocalHub) -> None:
    ready.call("create_build_conf", "patterns", "thing", ["colors", "shad.*"], roots=["!colors"])
    assert ready.call("build_config_info")["build_configs"]["patterns"]["build_config"]["root"] == ["!colors"]
    ready.call("delete_build_conf", "patterns")


# The same twice.


def test_core_c50_the_same_text_while_it_runs_is_refused(server: Own, hub: LocalHub) -> None:
    first = hub.call("slow", 2)
    with pytest.raises(AlreadyRunningError, match=rf"Command 'slow\(n=2\)' is already running, as job {first.id}"):
        hub.call("slow", n=2)
    with pytest.raises(AlreadyRunningError):
        hub.call("run", "slow(2)")
    with pytest.raises(AlreadyRunningError):
        server.launch("slow", 2)
    other = hub.call("slow", 3)
    server.gate.set()
    assert (first.result(SECONDS), other.result(SECONDS)) == ("slow 2", "slow 3")
    assert hub.call("slow", 2).result(SECONDS) == "slow 2"


def test_core_c50_of_many_at_once_one_is_started(server: Own, hub: LocalHub) -> None:
    started: list[JobHandle] = []
    refused: list[Exception] = []

    def start() -> None:
        try:
            started.append(hub.call("run", "slow() && quick()"))
        except AlreadyRunningError as error:
            refused.append(error)

    threads = [threading.Thread(target=start) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(started), len(refused)) == (1, 7)


# Chains.


def test_core_c51_a_chain_is_one_command(server: Own, hub: LocalHub) -> None:
    job = hub.call("run", "quick() && slow 2 && quick")
    assert isinstance(job, JobHandle)
    assert (job.command, len(hub.jobs())) == ("quick() && slow(n=2) && quick()", 1)
    server.gate.set()
    assert job.result(SECONDS) == ["done", "slow 2", "done"]
    assert server.calls == ["quick", "slow 2", "quick"]
    assert job.log == ["1/3 quick()", "2/3 slow(n=2)", "3/3 quick()"]
    info = hub.call("command", job.id)
    assert (info["cmd"], info["failed"], info["results"]) == (job.command, False, ["done", "slow 2", "done"])


def test_core_c51_what_follows_a_failure_is_not_started(server: Own, hub: LocalHub) -> None:
    job = hub.call("run", "quick && boom && slow")
    with pytest.raises(JobFailedError, match="kaboom"):
        job.result(SECONDS)
    assert server.calls == ["quick", "boom"]
    assert job.log[-1] == "not started, since boom failed: slow()"
    assert hub.call("command", job.id)["results"] == ["kaboom"]


@pytest.mark.parametrize(
    ("text", "error", "says"),
    [
        ("quick() &&", CommandSyntaxError, "'&&' needs a command on both sides"),
        ("status() && quick()", BadArgumentsError, "can't chain commands"),
        ("quick() && nope()", UnknownCommandError, "no command 'nope'"),
        ("quick() && slow('x')", BadArgumentsError, "'n' takes a whole number"),
        ("quick() && dump('color')", UnknownNameError, "did you mean 'colors'"),
        ("quick() && 1+1", CommandSyntaxError, "begins with its name"),
    ],
)
def test_core_c51_a_bad_chain_starts_nothing(
    server: Own, hub: LocalHub, text: str, error: type[Exception], says: str
) -> None:
    with pytest.raises(error, match=says):
        hub.call("run", text)
    assert (server.calls, hub.jobs()) == ([], [])


def test_a_chain_may_use_what_it_makes(server: Own, hub: LocalHub) -> None:
    chain = (
        "dump colors && upload colors && create_build_conf things thing ['colors'] && merge things target_name=built"
        " && index localhub built && lsmerge"
    )
    values = hub.call("run", chain).result(SECONDS)
    assert (values[3], values[4]["index"], values[5]) == ("built", "built", ["built"])
    with pytest.raises(JobFailedError, match="there is no build configuration 'thing'"):
        hub.call("run", "create_build_conf more thing ['colors'] && merge thing").result(SECONDS)


def test_a_chain_in_a_chain_is_waited_for(server: Own, hub: LocalHub) -> None:
    job = hub.call("run", "quick && run 'slow && plain'")
    server.gate.set()
    assert job.result(SECONDS) == ["done", ["slow 1", "plain"]]


def test_one_command_is_what_it_is_alone(server: Own, hub: LocalHub) -> None:
    assert hub.call("run", "plain") == "plain"
    assert hub.call("run", "status()")["hub"]["name"] == "BioThings Hub"
    assert hub.call("run", "quick()").result(SECONDS) == "done"
    assert hub.call("run", "quick?") == "quick() -> str\n\nAt once."
    assert [job.command for job in hub.jobs()] == ["quick()", "plain()"]


def test_core_c52_tasks_are_waited_for_in_their_order(hub: LocalHub) -> None:
    assert hub.call("many").result(SECONDS) == [0, 1, 2]
    assert hub.call("command", 1)["results"] == [0, 1, 2]


def test_core_c52_one_failing_task_fails_the_command(hub: LocalHub) -> None:
    with pytest.raises(JobFailedError, match="r1"):
        hub.call("gathered")
    info = hub.call("command", 1)
    assert (info["failed"], info["results"]) == (True, ["r1"])


def test_core_c53_a_cancelled_command_ends_and_others_go_on(server: Own, hub: LocalHub) -> None:
    first, chain, other = hub.call("slow", 1), hub.call("run", "slow 2 && quick"), hub.call("slow", 3)
    assert hub.call("cancel", first.id) is True
    with pytest.raises(JobCancelledError):
        first.result(SECONDS)
    assert chain.cancel()
    with pytest.raises(JobCancelledError):
        chain.result(SECONDS)
    server.gate.set()
    assert other.result(SECONDS) == "slow 3"
    infos = hub.call("commands")
    assert [infos[str(job.id)]["is_done"] for job in (first, chain, other)] == [True, True, True]
    assert infos[str(first.id)]["failed"] is True
    assert infos[str(first.id)]["results"] == ["cancelled"]
    assert list(hub.call("commands", failed=True)) == [str(chain.id), str(first.id)]
    assert "quick" not in server.calls


# Who may run what.


def test_run_gives_nobody_more_rights(server: Own) -> None:
    viewer, operator = Origin("eve", "ssh", Role.viewer), Origin("olga", "ssh", Role.operator)
    for text in ("quick()", "quick() && plain()", "drop()"):
        with pytest.raises(ForbiddenError, match="you are viewer"):
            server.launcher.run(text, viewer)
    for text in ("drop()", "quick() && drop()", "run 'drop()'", "schedule '0 3 * * *' drop"):
        with pytest.raises(ForbiddenError, match="drop is for developers; you are operator"):
            server.launcher.run(text, operator)
    with pytest.raises(ForbiddenError, match="drop is for developers"):
        server.launcher.run("schedule '0 3 * * *' run 'quick && drop'", operator)
    job = server.launcher.run("quick() && run('drop()')", operator)
    with pytest.raises(ForbiddenError):
        job.future.result(SECONDS)
    assert server.calls == ["quick"]
    assert (job.record.user, job.record.door) == ("olga", "ssh")
    assert server.launcher.run("status", viewer)["hub"]["name"] == "BioThings Hub"
