"""What all of Studio's handlers share: the token, the origin, the envelope, errors as JSON."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any

import orjson
from tornado import web

from hubkernel.compat.studio.access import Check, Identity, Origins
from hubkernel.compat.studio.errors import RequestError, status_of, text_of
from hubkernel.compat.studio.values import encode
from hubkernel.hub.commands import Role
from hubkernel.jobs.masking import redact

if TYPE_CHECKING:
    from hubkernel.api import HubAPI
    from hubkernel.compat.studio.feed import Feed
    from hubkernel.compat.studio.shell import Shells
    from hubkernel.hub.routes import Routes
    from hubkernel.hub.uploads import Uploads

log = logging.getLogger(__name__)

MAX_BODY = 10 * 1024 * 1024
"""Bytes of a request that is not a file."""
DRAINED = 64 * 1024 * 1024
"""Bytes that are read and thrown away so that whoever sent too much hears about it; of more, the connection ends."""


@dataclass
class Context:
    """What the handlers work with. ``workers`` run commands, ``guards`` look at tokens only, so that nobody waits at
    the door while all workers are busy.
    """

    hub: HubAPI
    feed: Feed
    shells: Shells
    check: Check
    origins: Origins
    routes: Routes
    about: Callable[[Role], dict[str, Any]]
    logs: Path | None = None
    uploads: Uploads | None = None
    workers: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(16, "studio-command"))
    guards: ThreadPoolExecutor = field(default_factory=lambda: ThreadPoolExecutor(2, "studio-guard"))

    async def identify(self, token: str) -> Identity | None:
        if not token:
            return None
        return await asyncio.get_running_loop().run_in_executor(self.guards, self.check, token)

    async def in_thread(self, function: Callable[..., Any], *args: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self.workers, function, *args)

    async def call(self, identity: Identity, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """A command in somebody's name, with no more than their role. Raises what :meth:`HubAPI.call` raises."""
        hub = self.hub.as_(user=identity.name, door="studio", role=identity.role)
        return await self.in_thread(lambda: hub.call(name, *args, **kwargs))

    def close(self) -> None:
        """Waits for nobody: a command that still runs ends with the hub."""
        for pool in (self.workers, self.guards):
            pool.shutdown(wait=False, cancel_futures=True)


class Guarded(web.RequestHandler):
    """Lets in who has a token and comes from an allowed origin. Anybody else learns nothing: 404 and 403."""

    context: Context
    identity: Identity

    @property
    def shown_path(self) -> str:
        """The path for logs. That of somebody who was not let in may have a mistyped token anywhere."""
        path = self.request.path if hasattr(self, "identity") else "-"
        return redact(path.encode("ascii", "backslashreplace").decode())

    def initialize(self, token: str = "", context: Context | None = None) -> None:
        """Called by tornado for each request."""
        assert context is not None
        self.context, self._token = context, token

    def set_default_headers(self) -> None:
        context: Context = self.application.settings["context"]
        for name, value in context.origins.headers(self.request).items():
            self.set_header(name, value)
        self.set_header("Cache-Control", "no-store")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("X-Content-Type-Options", "nosniff")
        self.clear_header("Server")

    async def prepare(self) -> None:
        if self.context.origins.foreign(self.request):
            raise RequestError(403, "Forbidden")
        identity = await self.context.identify(self._token)
        if identity is None:
            raise RequestError(404, "Not Found")
        self.identity = identity

    def options(self, *_: str) -> None:
        """A browser asks before it sends anything else."""
        self.set_status(200)
        self.finish()

    def need(self, role: Role, what: str) -> None:
        if self.identity.role < role:
            raise RequestError(
                403, f"{what} needs the role {role.name}; {self.identity.name} is {self.identity.role.name}"
            )

    def send(self, result: Any) -> None:
        """The envelope of a result."""
        self.send_json({"result": result, "status": "ok"})

    def send_json(self, value: Any) -> None:
        try:
            body = encode(value)
        except TypeError as error:
            raise RequestError(500, str(error)) from error
        self.set_header("Content-Type", "application/json")
        self.finish(body)

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by tornado for whatever was raised."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if status_code == 405:
            text = f"Method {self.request.method} not allowed"
        elif error is None or isinstance(error, web.HTTPError):
            text = getattr(error, "reason", None) or _phrase(status_code)
        else:
            text = redact(text_of(error))
        # The body may not have been read: then tornado ends the connection, and the client must not use it again.
        self.set_header("Connection", "close")
        self.send_json({"error": text, "status": "error", "code": status_code})

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Called by tornado; gives exceptions of the hub their status."""
        error = kwargs["exc_info"][1] if "exc_info" in kwargs else None
        if error is not None and not isinstance(error, web.HTTPError):
            status_code, kwargs["reason"] = status_of(error), None
        super().send_error(status_code, **kwargs)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Called by tornado. Only bugs are logged; the request is in the access log, and its query nowhere."""
        if value is not None and status_of(value) >= 500:
            log.error("%s %s failed", self.request.method, self.shown_path, exc_info=(typ, value, tb))


@web.stream_request_body
class StudioHandler(Guarded):
    """A handler of ordinary requests: a small body, JSON if there is any."""

    def initialize(self, token: str = "", context: Context | None = None) -> None:
        super().initialize(token, context)
        self._body = bytearray()
        self._too_large = False

    async def prepare(self) -> None:
        await super().prepare()
        announced(self, DRAINED)

    def data_received(self, chunk: bytes) -> None:
        """Called by tornado for each part of the body."""
        self._too_large = self._too_large or len(self._body) + len(chunk) > MAX_BODY
        if not self._too_large:
            self._body += chunk

    def body(self) -> dict[str, Any]:
        """The JSON object of the body, empty without one."""
        if self._too_large:
            raise RequestError(413, f"the body has more than {MAX_BODY} bytes")
        try:
            found = orjson.loads(self._body) if self._body.strip() else {}
        except orjson.JSONDecodeError as error:
            raise RequestError(400, f"Invalid JSON payload: {error}") from None
        if not isinstance(found, dict):
            raise RequestError(400, "Invalid JSON payload: an object is expected")
        return found


def announced(handler: web.RequestHandler, limit: int) -> int | None:
    """The length of the body, if it is announced. Reads no more than ``limit`` bytes of it; raises
    :class:`RequestError` (413) if there are more.
    """
    text = handler.request.headers.get("Content-Length", "")
    length = int(text) if text.isdecimal() else None
    if length is not None and length > limit:
        raise RequestError(413, f"the body has more than {limit} bytes")
    handler.request.connection.set_max_body_size(limit)  # type: ignore[union-attr]
    return length


class NotFoundHandler(StudioHandler):
    """A path that leads nowhere, with whatever verb."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.method != "OPTIONS":
            raise RequestError(404, "Not Found")


def _phrase(status: int) -> str:
    return HTTPStatus(status).phrase if status in HTTPStatus._value2member_map_ else "Unknown"
