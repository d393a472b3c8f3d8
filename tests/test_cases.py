"""Every acceptance case of the hub's core is a test, or named here with what it waits for."""

from __future__ import annotations

import re
from pathlib import Path

from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer

CASES = {*range(1, 81)}

OWED_TO_COMMANDS = {32: "inspect", 35: "jsondiff", 39: "create_api"}
"""They can be tested once this command exists."""


def cases_with_a_test() -> set[int]:
    found: set[int] = set()
    for file in Path(__file__).parent.rglob("test_*.py"):
        found |= {int(number) for number in re.findall(r"def test_core_c(\d+)_", file.read_text())}
    return found


def test_every_case_is_tested_or_owed() -> None:
    assert CASES - cases_with_a_test() == OWED_TO_COMMANDS.keys()


def test_what_is_owed_is_really_missing(tmp_path: Path) -> None:
    server = HubServer.open(HubHome(tmp_path / "home"))
    server.configure()
    try:
        assert not {*server.commands, *server.extra_commands} & set(OWED_TO_COMMANDS.values())
    finally:
        server.shutdown()
