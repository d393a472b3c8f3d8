"""The classic paths of a hub, ``source/<name>/dump`` and so on: one command a verb, answered in an envelope."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

from tornado import web

from hubkernel.handles import JobHandle
from hubkernel.hub.actions import launched
from hubkernel.hub.commands import BadArgumentsError
from hubkernel.hub.openapi import openapi
from hubkernel.hub.parameters import convert, from_query, names_of, takes_any_name
from hubkernel.hub.routes import Route, Routes, Verb
from hubkernel.server_ext.rest import RestHandler

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

NOT_FOR_COMMANDS = ("token", "_xsrf", "no_track_activity")
"""Names in a query that belong to the server."""


class EndpointHandler(RestHandler):
    """Every path that no other handler has: it is looked up among the hub's routes."""

    @property
    def routes(self) -> Routes:
        return self.rest.routes

    async def get(self, path: str) -> None:
        await self._serve()

    post = put = delete = get

    async def _serve(self) -> None:
        route, in_path = self._find()
        verb = self._verb(route)
        value = await self.run(self.hub.call, verb.command.name, **self._arguments(verb, in_path))
        if isinstance(value, JobHandle):
            self.set_header("Location", f"{self.base_url}hubkernel/api/jobs/{value.id}")
            value = launched(value.record)
        self.reply({"result": value, "status": "ok"})

    def _find(self) -> tuple[Route, str | None]:
        """Looks at the path as it was sent: a slash in an argument is %2F there."""
        path = self.request.path.split("/api/", 1)[1]
        found = self.routes.find(path)
        if found is None:
            raise web.HTTPError(404, f"no path {unquote(path)!r}; openapi.json lists all there are")
        route, in_path = found
        return route, unquote(in_path) if in_path else in_path

    def _verb(self, route: Route) -> Verb:
        verb = route.verbs.get(str(self.request.method).lower())
        if verb is None:
            self._allowed = sorted(name.upper() for name in route.verbs)
            raise web.HTTPError(405, f"Method {self.request.method} not allowed")
        return verb

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by :meth:`send_error`, which has forgotten all headers."""
        if hasattr(self, "_allowed"):
            self.set_header("Allow", ", ".join(self._allowed))
        super().write_error(status_code, **kwargs)

    def _arguments(self, verb: Verb, in_path: str | None) -> dict[str, Any]:
        """From the query for GET, else from the JSON body; what stands in the path cannot be something else there."""
        command, signature = verb.command.name, verb.command.signature
        if verb.definition.method == "get":
            given = from_query(command, signature, self._query(verb))
        else:
            given = self.arguments()
        if verb.argument is None or in_path is None:
            return given
        value = convert(command, signature.parameters[verb.argument], [in_path])
        if given.get(verb.argument, value) != value:
            raise BadArgumentsError(f"{command}: {verb.argument!r} is {value!r} in the path and something else besides")
        return {**given, verb.argument: value}

    def _query(self, verb: Verb) -> dict[str, list[str]]:
        """As it was sent, without what is for the server. A command that takes any name does not with
        ``force_bodyargs``, as it always was.
        """
        own = names_of(verb.command.signature)
        others = not (verb.definition.force_bodyargs and takes_any_name(verb.command.signature))
        sent = self.request.query_arguments
        names = [name for name in sent if name in own or (others and name not in NOT_FOR_COMMANDS)]
        return {name: self.get_query_arguments(name, strip=False) for name in names}


class RootHandler(RestHandler):
    """Name, versions and features of the hub, in the form that a BioThings web application expects."""

    suffix = ""
    hidden = "readonly"

    async def get(self) -> None:
        server = self.rest.server
        about = {
            "name": server.name + self.suffix,
            "biothings_version": None,
            "app_version": application_version(server),
            "icon": server.config.hub_icon,
            "now": datetime.now().astimezone().isoformat(),
            "features": self.rest.features(without=self.hidden),
        }
        self.reply({"result": about, "status": "ok"})


def application_version(server: HubServer) -> dict[str, Any] | None:
    """Branch, commit, date and origin of the hub's own application, with what is new there; None if there is none."""
    found = server.upgrades.versions().get("application") if server.upgrades is not None else None
    return None if found is None or "error" in found else found


class OpenApiHandler(RestHandler):
    """The document that describes all this."""

    async def get(self) -> None:
        rest, address = self.rest, f"{self.base_url}hubkernel/api"
        self.reply(await self.run(openapi, rest.server.name, rest.commands, rest.routes, server=address))
