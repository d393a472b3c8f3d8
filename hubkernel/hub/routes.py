"""The endpoints of a hub as paths: which path leads to which commands, by verb.

``/<endpoint>[/<first mandatory argument>][/<suffix>]``; at most one argument stands in the path, all others come from
the body or the query.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubkernel.hub.commands import Command, Role
from hubkernel.hub.endpoints import EndpointDefinition
from hubkernel.hub.parameters import mandatory_of


@dataclass(frozen=True, slots=True)
class Verb:
    """One verb of a path: the command, and what of it stands in the path."""

    definition: EndpointDefinition
    command: Command
    argument: str | None = None


@dataclass(slots=True)
class Route:
    """One path with its verbs. ``template`` is ``source/{src}/dump``."""

    endpoint: str
    suffix: str
    argument: str | None
    """How the template names the argument in the path; the verbs may name it differently."""
    verbs: dict[str, Verb] = field(default_factory=dict)

    @property
    def template(self) -> str:
        parts = [self.endpoint, f"{{{self.argument}}}" if self.argument else "", self.suffix]
        return "/".join(part for part in parts if part)


class Routes:
    """All paths of a table of endpoints. Of two definitions at the same verb of a path, the later one holds."""

    def __init__(self, endpoints: Mapping[str, list[EndpointDefinition]], commands: Mapping[str, Any]) -> None:
        self._routes: dict[tuple[str, bool, str], Route] = {}
        for endpoint, definitions in endpoints.items():
            for definition in definitions:
                self._add(endpoint.strip("/"), definition, commands[definition.name])

    def _add(self, endpoint: str, definition: EndpointDefinition, command: Command) -> None:
        mandatory = mandatory_of(command.signature)
        argument = mandatory[0] if mandatory and not definition.force_bodyargs else None
        suffix = definition.suffix.strip("/")
        key = endpoint, argument is not None, suffix
        route = self._routes.setdefault(key, Route(endpoint, suffix, argument))
        route.verbs[definition.method] = Verb(definition, command, argument)

    def harmless(self) -> Routes:
        """What a read-only server may offer: GET of commands that leave no trace and are for everybody."""
        kept = Routes({}, {})
        for key, route in self._routes.items():
            verb = route.verbs.get("get")
            if verb is not None and _only_reads(verb.command):
                kept._routes[key] = Route(route.endpoint, route.suffix, route.argument, {"get": verb})
        return kept

    def __iter__(self) -> Iterator[Route]:
        return iter(sorted(self._routes.values(), key=lambda route: route.template))

    def find(self, path: str) -> tuple[Route, str | None] | None:
        """The route of a path (its parts not decoded yet) and the argument in it; a path that lacks only its argument
        is found too, with None.
        """
        parts = path.split("/")
        for length in range(len(parts), 0, -1):
            endpoint, rest = "/".join(parts[:length]), parts[length:]
            for key, argument in _readings(endpoint, rest):
                if (route := self._routes.get(key)) is not None:
                    return route, argument
        return None


def _readings(endpoint: str, rest: list[str]) -> list[tuple[tuple[str, bool, str], str | None]]:
    """What the parts behind an endpoint can be, most likely first."""
    whole = "/".join(rest)
    readings: list[tuple[tuple[str, bool, str], str | None]] = [((endpoint, False, whole), None)]
    if rest:
        readings.append(((endpoint, True, "/".join(rest[1:])), rest[0] or None))
    return [*readings, ((endpoint, True, whole), None)]


def _only_reads(command: Command) -> bool:
    return not command.tracked and command.role is Role.viewer
