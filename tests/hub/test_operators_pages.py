"""What the operators' pages tell people to write is true."""

from __future__ import annotations

import configparser
import hashlib
import hmac
import re
import shlex
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.cli import parser
from hubkernel.hub.config import known_names
from hubkernel.hub.home import HubHome
from hubkernel.hub.notify import _signer
from hubkernel.hub.server import HubServer

PAGES = Path(__file__).resolve().parents[2] / "docs" / "operators"
NAMES = ("schedules", "notifications", "upgrade", "systemd", "jupyterhub", "why-did-my-job-die")


def page(name: str) -> str:
    return (PAGES / f"{name}.md").read_text()


def blocks(name: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page(name), re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def commands() -> Iterator[dict[str, Any]]:
    with tempfile.TemporaryDirectory() as folder:
        server = HubServer.open(HubHome(Path(folder)))
        server.configure()
        try:
            yield {**server.commands, **server.extra_commands}
        finally:
            server.shutdown()


@pytest.mark.parametrize("name", NAMES)
def test_commands_that_are_named_exist(name: str, commands: dict[str, Any]) -> None:
    others = {"log", "job", "index", "merge", "dump", "upload", "genuine"}
    called = set(re.findall(r"`(\w+)\(", page(name))) - others
    assert called <= commands.keys()


@pytest.mark.parametrize("name", NAMES)
def test_settings_in_files_exist(name: str) -> None:
    for block in blocks(name, "toml"):
        assert set(tomllib.loads(block)) <= set(known_names())


def test_the_unit_starts_the_hub() -> None:
    (block,) = blocks("systemd", "ini")
    unit = configparser.ConfigParser(interpolation=None, strict=True)
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string(block)
    assert list(unit) == ["DEFAULT", "Unit", "Service", "Install"]
    program, *arguments = shlex.split(unit["Service"]["ExecStart"])
    assert Path(program).name == "hubkernel"
    options = parser().parse_args(arguments)
    assert (options.command, options.foreground) == ("start", True)


def test_the_signature_is_checked_as_told() -> None:
    (block,) = blocks("notifications", "python")
    scope: dict[str, Any] = {"hmac": hmac, "hashlib": hashlib}
    exec(block, scope)
    headers = _signer("key")(b"{}")
    assert scope["genuine"](headers, b"{}", b"key")
    assert not scope["genuine"](headers, b"{ }", b"key")
    assert not scope["genuine"](headers, b"{}", b"other")
