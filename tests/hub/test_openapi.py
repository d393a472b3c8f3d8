from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from openapi_spec_validator import validate

from hubkernel.hub.home import HubHome
from hubkernel.hub.openapi import openapi
from hubkernel.hub.routes import Routes
from hubkernel.hub.server import HubServer

DOCS = Path(__file__).parents[2] / "docs"


class OwnHub(HubServer):
    def configure_commands(self) -> None:
        super().configure_commands()

        async def greet(who: str, times: int = 1, *, loud: bool = False) -> list[str]:
            """Greet somebody.

            As often as wanted.
            """
            return [who] * times

        self.commands["greet"] = greet
        self.add_api_endpoint("greeting", "greet", "post", suffix="now")


@pytest.fixture(scope="module")
def document(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    server = OwnHub.open(HubHome(tmp_path_factory.mktemp("home")), features=["job", "config"])
    server.configure()
    commands = {**server.commands, **server.extra_commands}
    yield openapi("mine", commands, Routes(server.api_endpoints, commands))
    server.shutdown()


def test_it_is_valid_openapi(document: dict[str, Any]) -> None:
    validate(document)
    assert document["openapi"] == "3.1.0"


def test_the_snapshot_is_valid_openapi() -> None:
    validate(json.loads((DOCS / "developers" / "openapi.json").read_text()))


def test_a_command_has_its_real_parameters(document: dict[str, Any]) -> None:
    call = document["paths"]["/call/greet"]["post"]
    assert (call["operationId"], call["summary"], call["x-hubkernel-role"]) == (
        "call_greet",
        "Greet somebody.",
        "operator",
    )
    kwargs = call["requestBody"]["content"]["application/json"]["schema"]["properties"]["kwargs"]
    assert kwargs["properties"] == {
        "who": {"type": "string"},
        "times": {"type": "integer", "default": 1},
        "loud": {"type": "boolean", "default": False},
    }
    assert kwargs["additionalProperties"] is False
    assert list(call["responses"]) == ["202", "default"]


def test_an_added_endpoint_is_there(document: dict[str, Any]) -> None:
    greeting = document["paths"]["/greeting/{who}/now"]["post"]
    assert greeting["parameters"] == [{"name": "who", "in": "path", "required": True, "schema": {"type": "string"}}]
    body = greeting["requestBody"]["content"]["application/json"]["schema"]
    assert list(body["properties"]) == ["times", "loud"]


def test_operations_have_names_of_their_own(document: dict[str, Any]) -> None:
    names = [operation["operationId"] for verbs in document["paths"].values() for operation in verbs.values()]
    assert len(names) == len(set(names))


def test_every_path_is_documented() -> None:
    page = (DOCS / "users" / "endpoints.md").read_text()
    paths = json.loads((DOCS / "developers" / "openapi.json").read_text())["paths"]
    for path, verbs in paths.items():
        if not path.startswith("/call/"):
            assert all(f"| {verb.upper()} | `{path[1:] or '/'}` |" in page for verb in verbs), path
