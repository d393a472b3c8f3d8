from __future__ import annotations

from typing import Any

import pytest

from hubkernel.hub.commands import CommandDefinition, HubCommands, Role
from hubkernel.hub.endpoints import EndpointDefinition
from hubkernel.hub.routes import Routes


@pytest.fixture
def routes() -> Routes:
    commands = HubCommands()
    commands["show"] = CommandDefinition(lambda name, debug=False: None, tracked=False, role=Role.viewer)
    commands["peek"] = CommandDefinition(lambda name: None, tracked=False, role=Role.operator)
    commands["dump"] = lambda src, force=False: None
    commands["all"] = CommandDefinition(lambda: [], tracked=False, role=Role.viewer)
    commands["reset"] = lambda old, new: None
    endpoints: dict[str, list[Any]] = {
        "source": [
            EndpointDefinition("show", "get"),
            EndpointDefinition("dump", "PUT", suffix="dump"),
            EndpointDefinition("peek", "get", suffix="peek"),
        ],
        "sources": [EndpointDefinition("all", "get")],
        "manager": [EndpointDefinition("reset", "put", "reset", force_bodyargs=True)],
        "a/b": [EndpointDefinition("all", "get"), EndpointDefinition("dump", "post")],
    }
    return Routes(endpoints, commands)


@pytest.mark.parametrize(
    ("path", "template", "argument"),
    [
        ("source/x.y", "source/{name}", "x.y"),
        ("source/x/dump", "source/{src}/dump", "x"),
        ("source//dump", "source/{src}/dump", None),
        ("source/", "source/{name}", None),
        ("source", "source/{name}", None),
        ("sources", "sources", None),
        ("manager/reset", "manager/reset", None),
        ("a/b", "a/b", None),
        ("a/b/c", "a/b/{src}", "c"),
    ],
)
def test_a_path_leads_to_its_route(routes: Routes, path: str, template: str, argument: str | None) -> None:
    found = routes.find(path)
    assert found is not None
    assert (found[0].template, found[1]) == (template, argument)


@pytest.mark.parametrize(
    "path", ["", "a", "nope", "source/x/nope", "source/x/dump/more", "sources/x", "manager/x/reset"]
)
def test_other_paths_lead_nowhere(routes: Routes, path: str) -> None:
    assert routes.find(path) is None


def test_only_what_leaves_no_trace_and_is_for_everybody_is_harmless(routes: Routes) -> None:
    kept = {route.template: list(route.verbs) for route in routes.harmless()}
    assert kept == {"a/b": ["get"], "source/{name}": ["get"], "sources": ["get"]}


def test_of_two_definitions_the_later_one_holds() -> None:
    commands = HubCommands()
    commands["one"] = commands["two"] = lambda: None
    both = [EndpointDefinition("one", "get"), EndpointDefinition("two", "get")]
    (route,) = Routes({"x": both}, commands)
    assert route.verbs["get"].command.name == "two"
