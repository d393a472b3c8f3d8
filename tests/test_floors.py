"""An import goes down a floor, never up; and a floor that must not know Jupyter does not."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "hubkernel"
BELOW_THE_DOORS = ("api.py", "client.py", "owner.py", "hub", "pipeline", "jobs", "executors", "store", "search")
DOOR_LIBRARIES = {"IPython", "ipykernel", "ipywidgets", "jupyter_server", "tornado", "asyncssh", "traitlets"}


def modules(part: str) -> list[Path]:
    path = PACKAGE / part
    return [path] if path.suffix else sorted(path.rglob("*.py"))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module.partition(".")[0])
    return names


def test_imports_go_down_the_floors() -> None:
    done = subprocess.run(
        [Path(sys.executable).with_name("lint-imports"), "--no-cache"],
        cwd=PACKAGE.parent,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("part", BELOW_THE_DOORS)
def test_jupyter_and_ssh_live_in_the_doors_only(part: str) -> None:
    found = modules(part)
    assert found, f"{part} is gone: mend this test's list"
    guilty = {str(path.relative_to(PACKAGE)): bad for path in found if (bad := imported(path) & DOOR_LIBRARIES)}
    assert not guilty
