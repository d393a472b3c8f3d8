"""The import space of plugins: isolated, traceable, fresh after an edit, the same in worker processes."""

from __future__ import annotations

import multiprocessing
import os
import sys
import traceback
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from hubkernel.pipeline.plugins import PluginCodeError, load_function
from hubkernel.pipeline.plugins.loader import check_function

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(folder: str = "plug", **files: str) -> Path:
        (tmp_path / folder).mkdir(exist_ok=True)
        for name, code in files.items():
            (tmp_path / folder / f"{name}.py").write_text(code)
        return tmp_path / folder

    return write


def run(folder: Path, target: str) -> Any:
    return load_function(folder, target)()


def test_nothing_leaks(write: Write) -> None:
    before, path = set(sys.modules), list(sys.path)
    folder = write(parser="import helper\ndef f():\n    return helper.X\n", helper="X = 1\n")
    assert run(folder, "parser:f") == 1
    new = {name for name in set(sys.modules) - before if not name.startswith("hubkernel_plugins")}
    assert "helper" not in sys.modules and "parser" not in new and sys.path == path
    with pytest.raises(ModuleNotFoundError):
        __import__("helper")
    assert not (folder / "__pycache__").exists()


def test_other_plugins_and_libraries_are_not_redirected(write: Write) -> None:
    write("one", helper="X = 1\n", json="BROKEN = True\n", parser="import helper\ndef f():\n    return helper.X\n")
    write("two", parser="import json\ndef f():\n    import helper\n")
    assert run(write("one"), "parser:f") == 1
    assert load_function(write("two"), "parser:f").__globals__["json"].dumps({}) == "{}"
    with pytest.raises(ModuleNotFoundError, match="No module named 'helper'"):
        run(write("two"), "parser:f")


def test_import_forms(write: Write) -> None:
    folder = write(
        parser="""
import pkg.mod
import pkg.mod as short
from pkg import mod, VALUE
from pkg.mod import X
import plug.helper as by_folder
from . import helper
from .helper import *
import os.path
def f():
    return pkg.mod is short is mod, VALUE, X, by_folder is helper, STAR, os.path.sep
""",
        helper="STAR = 3\n",
    )
    (folder / "pkg").mkdir()
    (folder / "pkg" / "__init__.py").write_text("from .mod import X\nVALUE = X + 1\n")
    (folder / "pkg" / "mod.py").write_text("import helper\nX = helper.STAR - 2\ndef g():\n    return X\n")
    assert run(folder, "parser:f") == (True, 2, 1, True, 3, os.path.sep)
    assert run(folder, "pkg.mod:g") == 1


def test_file_named_like_a_library_may_import_that_library(write: Write) -> None:
    folder = write(json="import json\ndef f():\n    return json.dumps([1])\n")
    assert run(folder, "json:f") == "[1]"


def test_edit_is_seen_at_once(write: Write) -> None:
    folder = write(parser="import helper\ndef f():\n    return helper.X\n", helper="X = 1\n")
    first = load_function(folder, "parser:f")
    assert first() == 1
    stat = (folder / "helper.py").stat()
    write(helper="X = 2\n")
    os.utime(folder / "helper.py", ns=(stat.st_atime_ns, stat.st_mtime_ns + 1_000_000))
    assert run(folder, "parser:f") == 2
    assert first() == 1


def test_unchanged_plugin_is_imported_once(write: Write) -> None:
    folder = write(parser="def f():\n    return 1\n")
    assert load_function(folder, "parser:f") is load_function(folder, "parser:f")


def test_trace_has_the_users_line(write: Write) -> None:
    folder = write(parser="def f():\n    return helper()\ndef helper():\n    return 1 / 0\n")
    with pytest.raises(ZeroDivisionError) as caught:
        run(folder, "parser:f")
    last = traceback.extract_tb(caught.value.__traceback__)[-1]
    assert (last.filename, last.lineno, last.line) == (str(folder / "parser.py"), 4, "return 1 / 0")


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("import no_such_lib\ndef f(): ...\n", "parser.py:1: ModuleNotFoundError: No module named 'no_such_lib'"),
        ("def f(): ...\n1 / 0\n", "parser.py:2: ZeroDivisionError: division by zero"),
        ("import helper\ndef f(): ...\n", "helper.py:1: KeyError: 'x'"),
        ("raise SystemExit(3)\n", "parser.py:1: SystemExit: 3"),
        ("def f(:\n", "parser.py:1: SyntaxError"),
    ],
)
def test_file_that_fails_when_imported(write: Write, code: str, message: str) -> None:
    folder = write(parser=code, helper="{}['x']\n")
    with pytest.raises(PluginCodeError, match="parser:f of plugin plug cannot be imported") as caught:
        load_function(folder, "parser:f")
    assert message in str(caught.value)


def test_no_such_function(write: Write) -> None:
    with pytest.raises(PluginCodeError, match=r"no function 'load_dat' in .*parser.py: did you mean 'load_data'"):
        load_function(write(parser="def load_data(): ...\n"), "parser:load_dat")


@pytest.mark.parametrize(
    "code",
    [
        "def f(): ...",
        "async def f(): ...",
        "f = lambda: 1",
        "from helper import g as f",
        "try:\n    from x import f\nexcept ImportError:\n    f = None",
        "if True:\n    def f(): ...",
        "from helper import *",
        "def __getattr__(name):\n    return print",
        "f: object = print",
    ],
)
def test_check_finds_what_is_there(write: Write, code: str) -> None:
    assert check_function(write(parser=code, helper="def f(): ...\ng = f\n"), "parser:f") is None


@pytest.mark.parametrize("code", ["def g(f): ...", "class A:\n    def g(self):\n        f = 1", "g = lambda f: f", ""])
def test_check_finds_what_is_not(write: Write, code: str) -> None:
    fault = check_function(write(parser=code), "parser:f")
    assert fault is not None and "no function 'f'" in fault


def test_check_runs_no_code(write: Write, tmp_path: Path) -> None:
    folder = write(parser=f"open({str(tmp_path / 'ran')!r}, 'w')\ndef f(): ...\n")
    assert check_function(folder, "parser:f") is None
    assert not (tmp_path / "ran").exists()


def test_worker_processes_load_it_too(write: Write) -> None:
    folders = [
        write(name, parser="import helper\ndef f():\n    return helper.X\n", helper=f"X = '{name}'\n")
        for name in ("one", "two")
    ]
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=context) as pool:
        assert list(pool.map(run, folders, ["parser:f"] * 2)) == ["one", "two"]
