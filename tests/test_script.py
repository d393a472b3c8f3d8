"""A hub's own script: what it may look like, and what is said of one that has no hub."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.script import ScriptError, load_script

SUBCLASS = """
from biothings.hub import HubServer
class MyHub(HubServer):
    "Mine."
"""


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> object:
    monkeypatch.setattr(sys, "path", list(sys.path))

    def load(text: str) -> HubServer:
        file = tmp_path / "hub.py"
        file.write_text(text)
        return load_script(file, HubHome(tmp_path / "home"))

    return load


@pytest.mark.parametrize(
    "more",
    [
        "",
        "class Last(MyHub): pass",
        "server = MyHub([])",
        "server = MyHub([])\nserver.start()\nraise SystemExit('never reached')",
        "if __name__ == '__main__':\n    MyHub([]).start()",
        "def main():\n    MyHub([]).start()\nmain()",
    ],
)
def test_a_subclass_an_instance_or_a_start_is_a_hub(load: object, tmp_path: Path, more: str) -> None:
    server = load(SUBCLASS + more)  # type: ignore[operator]
    assert isinstance(server, HubServer)
    assert "MyHub" in [kind.__name__ for kind in type(server).__mro__]
    assert server.home == HubHome(tmp_path / "home")
    assert not server.configured


def test_what_the_script_gives_its_hub_is_kept(load: object) -> None:
    server = load(SUBCLASS + "MyHub([], name='Mine', features=['job', 'config']).start()")  # type: ignore[operator]
    assert (server.name, server.features) == ("Mine", ["job", "config"])


def test_modules_beside_the_script_are_found(load: object, tmp_path: Path) -> None:
    (tmp_path / "beside_the_script.py").write_text("NAME = 'from beside'")
    server = load(SUBCLASS + "import beside_the_script\nMyHub([], name=beside_the_script.NAME).start()")  # type: ignore[operator]
    assert server.name == "from beside"
    del sys.modules["beside_the_script"]


def test_starting_hubs_is_as_before_afterwards(load: object) -> None:
    start, main = HubServer.start, sys.modules["__main__"]
    load(SUBCLASS)  # type: ignore[operator]
    assert HubServer.start is start
    assert sys.modules["__main__"] is main
    assert not [name for name in sys.modules if name.partition(".")[0] == "biothings"]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("x = 1", "has 0 subclasses of HubServer; it needs one"),
        (SUBCLASS + "class Other(HubServer): pass", "has 2 subclasses of HubServer"),
        (SUBCLASS + "a, b = MyHub([]), MyHub([])", "has 2 hubs"),
        ("x = 1\n\nx.nothing", r"hub.py, line 3: AttributeError: 'int' object has no attribute 'nothing'"),
        ("def f(:", r"hub.py, line 1: SyntaxError"),
        ("import sys; sys.exit('no config')", "ended with 'no config' before it had a hub"),
        ("from biothings.hub import HubServr", r"no biothings\.hub\.HubServr; did you mean 'HubServer'"),
        ("import biothings.web", r"hubkernel has no module biothings\.web; biothings has config, hub, utils"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(load: object, text: str, says: str) -> None:
    with pytest.raises(ScriptError, match=says):
        load(text)  # type: ignore[operator]


def test_a_missing_script_is_named(tmp_path: Path) -> None:
    with pytest.raises(ScriptError, match=f"no file {tmp_path}/hub.py"):
        load_script(tmp_path / "hub.py", HubHome(tmp_path))
