"""A real SockJS client, as Studio has it, drives the hub."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.compat.studio.conftest import Rig
from tests.services import ServiceMissingError, missing, npm


@pytest.fixture(scope="module")
def modules() -> Path:
    try:
        return npm.installed(npm.SOCKJS)
    except ServiceMissingError as error:
        missing(error)


def run_studio(url: str, modules: Path) -> dict[str, Any]:
    command = [npm.node(), str(npm.SOCKJS / "studio.cjs"), url, str(modules)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@pytest.mark.service
def test_core_c60_c61_sockjs_from_npm_follows_a_dump(rig: Rig, modules: Path) -> None:
    found = run_studio(rig.session("operator-token").url, modules)
    assert found["transport"] == "websocket"
    assert found["root"]["name"] == "BioThings Hub"
    assert found["launched"]["cmd"] == "dump(src='mvcgi',force=True)"
    assert (found["command"]["failed"], found["command"]["results"]) == (False, [None])
    assert found["source"]["download"]["status"] == "success"
    id = found["launched"]["id"]
    commands = [change for change in found["changes"] if change["obj"] == "command"]
    assert commands[0] == {"_id": id, "obj": "command", "op": "insert_one"}
    assert commands[-1] == {"_id": id, "obj": "command", "op": "update_one"}
    assert "source" in {change["obj"] for change in found["changes"]}
    assert found["last"] == {"error": "malformed json message: this is no JSON"}
    assert found["end"] == {"code": 3000, "reason": "Go away!"}


@pytest.mark.service
def test_sockjs_from_npm_is_not_let_in_with_a_wrong_token(rig: Rig, modules: Path) -> None:
    command = [npm.node(), str(npm.SOCKJS / "studio.cjs"), rig.session("nope").url, str(modules)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "Not Found" in done.stderr
