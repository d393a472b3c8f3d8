"""Studio's REST API: the hub itself, the table of endpoints, the terminal."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from urllib.parse import unquote

from hubkernel.api import JobHandle
from hubkernel.compat.studio import shapes
from hubkernel.compat.studio.base import StudioHandler
from hubkernel.compat.studio.errors import RequestError
from hubkernel.compat.studio.shell import LEAST
from hubkernel.hub.actions import launched
from hubkernel.hub.commands import BadArgumentsError
from hubkernel.hub.parameters import convert, from_query, names_of
from hubkernel.hub.routes import Verb


class RootHandler(StudioHandler):
    """What the hub is. Asks no command, so that it answers also while all of them wait for something."""

    def get(self) -> None:
        about = self.context.about(self.identity.role)
        self.send({**about, "now": datetime.now().astimezone().isoformat()})


class EndpointHandler(StudioHandler):
    """Every path of the table of endpoints."""

    async def get(self, *_: str) -> None:
        await self._serve("get")

    async def put(self, *_: str) -> None:
        await self._serve("put")

    async def post(self, *_: str) -> None:
        await self._serve("post")

    async def delete(self, *_: str) -> None:
        await self._serve("delete")

    async def _serve(self, method: str) -> None:
        verb, in_path = self._find(method)
        name = verb.command.name
        given = self._from_query(verb) if method == "get" else self.body()
        value = await self.context.call(self.identity, name, (), {**given, **in_path})
        if isinstance(value, JobHandle):
            value = launched(value.record)
        elif name in shapes.RESULTS:
            value = shapes.RESULTS[name](value, self.identity.role)
        self.send(value)

    def _find(self, method: str) -> tuple[Verb, dict[str, Any]]:
        """The command of this path and verb, and its argument in the path."""
        found = self.context.routes.find(self.request.path.strip("/"))
        if found is None:
            raise RequestError(404, "Not Found")
        route, part = found
        if (verb := route.verbs.get(method)) is None:
            raise RequestError(405, "")
        if verb.argument is None:
            return verb, {}
        if not part:
            raise RequestError(400, f"Missing argument {verb.argument}")
        return verb, {verb.argument: self._argument(verb, unquote(part))}

    def _argument(self, verb: Verb, text: str) -> Any:
        try:
            return convert(verb.command.name, verb.command.signature.parameters[verb.argument or ""], [text])
        except BadArgumentsError as error:
            raise RequestError(404, str(error)) from None

    def _from_query(self, verb: Verb) -> dict[str, Any]:
        query = {name: self.get_query_arguments(name, strip=False) for name in self.request.query_arguments}
        if verb.definition.force_bodyargs:
            declared = names_of(verb.command.signature)
            query = {name: values for name, values in query.items() if name in declared}
        return from_query(verb.command.name, verb.command.signature, query)


class ShellHandler(StudioHandler):
    """The terminal. An answer has no body: what the line says comes over the websocket."""

    async def put(self) -> None:
        self.need(LEAST, "the terminal")
        line = self.body().get("cmd")
        if not isinstance(line, str):
            raise RequestError(400, "Missing argument cmd")
        await self.context.shells.run(self.context, self.identity, line)
        self.set_header("Content-Type", "application/json")
        self.finish()
