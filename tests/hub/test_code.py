"""Python code that runs in the hub."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from hubkernel.hub.code import run_code
from hubkernel.hub.commands import Role
from hubkernel.hub.loop import LoopThread
from hubkernel.hub.tables import HIDDEN


@pytest.fixture
def server() -> Iterator[Any]:
    loop = LoopThread("hub of a test")
    yield SimpleNamespace(namespace={"jm": "the job manager"}, loop=loop.loop)
    loop.close()


def test_it_sees_the_managers_and_gives_output_and_value(server: Any) -> None:
    assert run_code(server, "print('seen', jm)\n1 + 1") == {
        "output": "seen the job manager\n",
        "value": "2",
        "error": None,
    }


def test_names_stay_for_the_next(server: Any) -> None:
    run_code(server, "x = 20")
    assert run_code(server, "x + 1")["value"] == "21"


def test_await_runs_on_the_hub_s_loop_and_prints_to_its_caller(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    code = "import asyncio, threading\nprint(threading.current_thread().name)\nawait asyncio.sleep(0, 7)"
    code = code.replace("print", "await asyncio.sleep(0); print")
    found = run_code(server, code)
    assert (found["output"], found["value"], found["error"]) == ("hub of a test\n", "7", None)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("code", "last", "line"),
    [
        ("print('before')\nnothing", "NameError: name 'nothing' is not defined", "line 2"),
        ("def f(:", "SyntaxError: invalid syntax", "line 1"),
        ("raise SystemExit(3)", "SystemExit: 3", "line 1"),
    ],
)
def test_an_error_comes_back_as_its_traceback(server: Any, code: str, last: str, line: str) -> None:
    found = run_code(server, code)
    assert found["error"].splitlines()[-1] == last
    assert line in found["error"]
    assert "code.py" not in found["error"]


def test_what_others_print_meanwhile_is_theirs(server: Any, capsys: pytest.CaptureFixture[str]) -> None:
    server.namespace["other"] = threading.Thread(target=lambda: print("of another thread"))
    found = run_code(server, "other.start(); other.join(); print('mine')")
    assert found["output"] == "mine\n"
    assert capsys.readouterr().out == "of another thread\n"


def test_only_developers_may() -> None:
    (row,) = [row for row in HIDDEN if row.name == "run_code"]
    assert (row.role, row.tracked) == (Role.developer, False)
