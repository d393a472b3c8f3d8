"""What the paths beyond commands and jobs share: the hub's server itself, with its paths and folders."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tornado import web
from tornado.httpserver import HTTPServer

from hubkernel.api import Caller, HubAPI, LocalHub
from hubkernel.hub.commands import Role
from hubkernel.hub.routes import Routes
from hubkernel.hub.uploads import Uploads
from hubkernel.server_ext.base import HubHandler
from hubkernel.server_ext.metrics import HubMetrics

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer
    from hubkernel.server_ext.app import HubKernelApp
    from hubkernel.server_ext.watch import Watch

ELSEWHERE = "this server only talks to the hub; ask the hub's own process ('hubkernel url' shows where it is)"


class Rest:
    """One hub as it is served. Made on the server's loop, once the hub runs."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.routes = Routes(server.api_endpoints, self.commands)
        self.readonly = Routes(server.readonly_api_endpoints or {}, self.commands).harmless()
        self.logs = server.log_folder
        self.uploads = self._uploads()
        self.metrics = HubMetrics(server)
        self.ended = asyncio.Event()
        """Set when the server ends: answers that go on until then have to."""
        self.watch: Watch | None = None
        self.readonly_server: HTTPServer | None = None

    @property
    def commands(self) -> dict[str, Any]:
        """All there are now; plugins and hook files may bring more while the hub runs."""
        return {**self.server.extra_commands, **self.server.commands}

    def _uploads(self) -> Uploads | None:
        root = self.server.upload_root
        if "dataupload" not in self.server.features or root is None:
            return None
        return Uploads(root, self.server.config.upload_limit)

    def features(self, *, without: str) -> list[str]:
        """What the hub can do and shows, in the order of its features."""
        return [name for name in self.server.features if name not in self.server.unavailable and name != without]


def rest_of(app: HubKernelApp, hub: HubAPI) -> Rest:
    """The hub as this process serves it. Raises 421 if it belongs to another one."""
    if not isinstance(hub, LocalHub):
        raise web.HTTPError(421, ELSEWHERE)
    if app.rest is None or app.rest.server is not hub.server:
        app.rest = Rest(hub.server)
    return app.rest


class RestHandler(HubHandler):
    """Base of the handlers that need more than the protocol: ``self.rest`` is there from :meth:`prepare` on."""

    rest: Rest

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Called by tornado before each request, and before the first byte of a streamed body."""
        await super().prepare(*args, **kwargs)
        if self.request.method != "OPTIONS":
            self.rest = rest_of(self.app, await self.app.hub())

    @property
    def caller(self) -> Caller:
        """Who asks."""
        found: Caller = self.hub.caller  # type: ignore[attr-defined]
        return found

    def need(self, role: Role, what: str) -> None:
        """Raise :class:`~hubkernel.api.ForbiddenError` unless the caller has ``role``."""
        self.caller.need(role, what)

    def need_feature(self, name: str) -> None:
        """Raise 404 if the hub does not have it."""
        if name not in self.rest.server.features:
            raise web.HTTPError(404, f"this hub does not have the feature {name!r}")
