"""Hook files and hooks: what they define, when they are called, and that none stops another."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from hubkernel.api import LocalHub
from hubkernel.hub.commands import Role
from hubkernel.hub.home import HubHome
from hubkernel.hub.hookspecs import POINTS
from hubkernel.hub.server import HubServer
from tests.hub.test_server import done, plugin, wait_until

Open = Callable[..., HubServer]
DOCS = Path(__file__).resolve().parents[2] / "docs"


@pytest.fixture
def open_hub(home: HubHome) -> Iterator[Open]:
    """Write these hook files, and start a hub with them."""
    made: list[HubServer] = []

    def start(features: list[str] | None = None, **files: str) -> HubServer:
        home.hooks.mkdir(exist_ok=True)
        for name, text in files.items():
            (home.hooks / f"{name}.py").write_text(text)
        made.append(HubServer.open(home, features=features))
        made[-1].run_in_thread()
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


ALL = "\n".join(
    f"def {name}({', '.join(arguments)}):\n    seen.append(({name!r}, {arguments[-1]}))\n"
    for name, arguments in {
        "hub_configured": ["hub"], "hub_started": ["hub"], "hub_stopping": ["hub"], "job_started": ["job"],
        "job_ended": ["hub", "job"], "schedule_failed": ["schedule", "error"], "plugins_reloaded": ["broken"],
        "event_published": ["event"], "notification": ["message"],
    }.items()
)  # fmt: skip
SEEN = "seen = []\n" + ALL + "def hub_commands(hub):\n    return {'more': lambda: 'more'}\n"


def points(server: HubServer) -> list[str]:
    return [name for name, _ in server.namespace["seen"]]


def test_every_extension_point_is_called(open_hub: Open, home: HubHome) -> None:
    plugin(home, "colors", {"1": "red"})
    server = open_hub(a=SEEN)
    done(server, "dump", "colors")
    server.bus.publish("schedule", "x", "failed", {"error": "no luck"})
    server.bus.publish("data_plugin", None, "reloaded", {"changed": ["f"], "broken": {"a": "b"}})
    server.hooks.call("notification", message={"text": "x"})
    server.shutdown()
    assert server.hook_errors == []
    assert set(points(server)) | {"hub_commands"} == set(POINTS)
    order = [name for name in points(server) if name in ("hub_configured", "hub_started", "job_ended", "hub_stopping")]
    assert order[:2] == ["hub_configured", "hub_started"]
    seen: dict[str, Any] = dict(server.namespace["seen"])
    assert (seen["schedule_failed"], seen["plugins_reloaded"]) == ("no luck", {"a": "b"})
    assert (seen["job_ended"]["command"], seen["job_ended"]["state"]) == ("dump(src='colors')", "done")
    assert server.commands["more"]() == "more"


def test_jobs_that_the_end_interrupts_are_told(open_hub: Open) -> None:
    server = open_hub(a=SEEN)
    begun = threading.Event()

    async def endless() -> None:
        import asyncio

        begun.set()
        await asyncio.Event().wait()

    server.jobs.start("endless", endless)
    assert begun.wait(30)
    server.shutdown()
    ended = [job["state"] for name, job in server.namespace["seen"] if name == "job_ended"]
    assert ended == ["interrupted"]


def test_one_that_fails_stops_no_other(open_hub: Open, caplog: pytest.LogCaptureFixture) -> None:
    server = open_hub(
        a="def hub_started():\n    1 / 0\n",
        b="seen = []\ndef hub_started(hub):\n    seen.append(hub.name)\n",
        c="async def hub_started():\n    raise ValueError('later')\n",
    )
    assert server.namespace["seen"] == ["BioThings Hub"]
    wait_until(lambda: len(server.hook_errors) == 2)
    errors = sorted(Path(error).name for error in server.hook_errors)
    assert errors == ["a.py: hub_started: ZeroDivisionError: division by zero", "c.py: hub_started: ValueError: later"]
    assert done(server, "status")["hub"]["hook_errors"] == server.hook_errors


def test_a_hook_with_a_wrong_argument_is_explained(open_hub: Open) -> None:
    server = open_hub(a="def job_ended(jop):\n    pass\ndef helper():\n    return 1\n")
    assert [Path(error).name for error in server.hook_errors] == [
        "a.py: hook job_ended has no argument 'jop'; it has hub, job"
    ]
    assert server.launch("helper") == 1


def test_core_c54_names_of_hook_files_are_developers_commands_and_not_in_help(open_hub: Open) -> None:
    server = open_hub(
        a="def hello(name: str, times: int = 1):\n    '''Greets.'''\n    return ' '.join([f'hello {name}'] * times)\n"
        "def _private():\n    pass\nfrom os.path import join\n",
        b="async def later(name):\n    return hello(name)\n",
    )
    hello = server.extra_commands["hello"]
    assert (hello.role, hello.tracked, hello.public, hello.hook) == (Role.developer, False, False, True)
    assert not {"_private", "join"} & server.extra_commands.keys()
    hub = LocalHub(server)
    try:
        assert hub.call("hello", "ann", times=2) == "hello ann hello ann"
        assert hub.call("later", "bob") == "hello bob"
        assert hub.commands()["hello"].doc == "Greets."
        assert "hello" not in done(server, "help")
    finally:
        hub.close()


def test_a_decorated_function_is_a_command_like_others(open_hub: Open) -> None:
    server = open_hub(a="@hub_command('viewer', tracked=False)\ndef hello():\n    '''Greets.'''\n    return 'hi'\n"
                        "@hub_command()\nasync def work():\n    return 7\n")  # fmt: skip
    hello, work = server.commands["hello"], server.commands["work"]
    assert (hello.role, hello.tracked, hello.public, hello()) == (Role.viewer, False, True, "hi")
    assert (work.role, work.tracked, work.is_async) == (Role.operator, True, True)
    assert done(server, "work") == 7
    assert server.jobs.list(limit=1)[0].command == "work()"


def test_through_expose_it_is_in_the_api(open_hub: Open) -> None:
    server = open_hub(a="def hello(name):\n    return name\nexpose('hello', 'hello', 'get')\n")
    assert [(d.name, d.method) for d in server.api_endpoints["hello"]] == [("hello", "get")]
    assert server.hook_errors == []


def test_a_name_of_the_hub_is_not_taken(open_hub: Open) -> None:
    server = open_hub(
        a="def dump(src):\n    return 'mine'\n", b="def hello():\n    pass\n", c="def hello():\n    pass\n"
    )
    assert [Path(error).name for error in server.hook_errors] == [
        "a.py, line 1: there is a command 'dump' already: give the function another name",
        "c.py, line 1: there is a command 'hello' already: give the function another name",
    ]
    assert server.namespace["dump"] is server.commands["dump"]


def test_hooks_of_packages(open_hub: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("package_with_hooks")
    exec("seen = []\ndef hub_started(hub):\n    seen.append(hub.name)\ndef other():\n    pass\n", vars(module))
    good = metadata.EntryPoint("good", "package_with_hooks", "hubkernel.hooks")
    bad = metadata.EntryPoint("bad", "no_such_package", "hubkernel.hooks")
    monkeypatch.setitem(__import__("sys").modules, "package_with_hooks", module)
    monkeypatch.setattr(metadata, "entry_points", lambda group: [bad, good])
    server = open_hub()
    assert vars(module)["seen"] == ["BioThings Hub"]
    assert server.hook_errors == ["hooks of package bad: ModuleNotFoundError: No module named 'no_such_package'"]
    assert "other" not in server.extra_commands


def test_without_the_feature_nothing_runs(open_hub: Open) -> None:
    server = open_hub(["job"], a="1 / 0\n")
    assert (server.hook_files, server.hook_errors) == (None, [])


def test_every_extension_point_is_documented() -> None:
    page = (DOCS / "plugin-authors" / "hooks.md").read_text()
    rows = dict(re.findall(r"^\| `(\w+)\(([^)]*)\)` \|", page, re.MULTILINE))
    assert list(rows) == list(POINTS)
    import inspect

    for name, arguments in rows.items():
        assert arguments == ", ".join(inspect.signature(POINTS[name]).parameters)
        assert POINTS[name].__doc__
