"""The read-only server: GET only, and only what has no side effects, below its own prefix and on its own port."""

from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING, Any

from tornado.httpserver import HTTPServer
from tornado.web import Application

from hubkernel.hub.commands import Role
from hubkernel.hub.routes import Routes
from hubkernel.server_ext.access import HubIdentity, HubUser
from hubkernel.server_ext.endpoints import EndpointHandler, RootHandler
from hubkernel.server_ext.rest import RestHandler

if TYPE_CHECKING:
    from hubkernel.server_ext.app import HubKernelApp

log = logging.getLogger(__name__)

PREFIX = "/hubkernel/readonly/api"


class Anybody(HubIdentity):
    """Whoever has no token is a nameless viewer."""

    async def get_user(self, handler: Any) -> Any:
        """Called by jupyter_server for each request."""
        return await super().get_user(handler) or HubUser("anonymous", role=Role.viewer)

    def is_token_authenticated(self, handler: Any) -> bool:
        """Nor is there anything that another site could make the browser of a nameless one do."""
        return isinstance(handler.current_user, HubUser) or super().is_token_authenticated(handler)


class ReadOnly(RestHandler):
    """Mix it in before a handler's class: viewers are all that anybody is here."""

    @property
    def identity_provider(self) -> Any:
        identity = super().identity_provider
        open_to_all = self.app.rest is not None and self.app.rest.server.config.readonly_open
        return Anybody(identity._tokens, identity._site) if open_to_all else identity

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Called by tornado before each request."""
        await super().prepare(*args, **kwargs)
        if self.request.method != "OPTIONS":
            self.need_feature("readonly")
            self.hub = self.hub.as_(role=Role.viewer)


class ReadOnlyRootHandler(ReadOnly, RootHandler):
    """The hub under another name, so that nobody takes it for the one that can be changed."""

    suffix = " (read-only)"
    hidden = "terminal"


class ReadOnlyHandler(ReadOnly, EndpointHandler):
    """The harmless ones of the classic paths."""

    @property
    def routes(self) -> Routes:
        return self.rest.readonly


HANDLERS: list[tuple[str, type]] = [(rf"{PREFIX}/?", ReadOnlyRootHandler), (rf"{PREFIX}/(.*)", ReadOnlyHandler)]


async def listen(app: HubKernelApp, host: str, port: int) -> HTTPServer:
    """Serve it on a port of its own (0: any), where nothing else is. Raises ``OSError`` naming the port."""
    kwargs = {"name": app.name}
    handlers = [(f"{app.serverapp.base_url.rstrip('/')}{pattern}", handler, kwargs) for pattern, handler in HANDLERS]
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family)
    except OSError as error:
        raise OSError(error.errno, f"readonly_port {port} of {host} cannot be had: {error.strerror}") from None
    listening.setblocking(False)
    server = HTTPServer(Application(handlers, **app.serverapp.web_app.settings))
    server.add_sockets([listening])
    return server
