"""The web server that Studio talks to, on a port of its own."""

from __future__ import annotations

import contextlib
import logging
import socket
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from tornado import web
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop

from hubkernel.api import LocalHub
from hubkernel.compat.studio import shapes
from hubkernel.compat.studio.access import Check, Origins, take_token
from hubkernel.compat.studio.base import DRAINED, Context, Guarded, NotFoundHandler
from hubkernel.compat.studio.feed import ACCESS, Feed, Listener, LogTap
from hubkernel.compat.studio.handlers import EndpointHandler, RootHandler, ShellHandler
from hubkernel.compat.studio.logs import LogFileHandler, LogListHandler
from hubkernel.compat.studio.shell import Shells
from hubkernel.compat.studio.sockets import GreetingHandler, InfoHandler, RawSocket, SockJSSocket
from hubkernel.compat.studio.uploads import UploadHandler
from hubkernel.hub.commands import Role
from hubkernel.hub.loop import LoopThread
from hubkernel.hub.routes import Routes
from hubkernel.hub.uploads import Uploads

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)
access = logging.getLogger(ACCESS)

START_TIMEOUT = 30.0
STOP_TIMEOUT = 5.0
IDLE = 300.0
"""Seconds after which a connection without a request is closed."""
SHOWN_LOGS = ("hub", "hubkernel")
"""Loggers whose INFO Studio shows, whatever the level of the others."""


class StudioApplication(web.Application):
    """All paths, below ``/<token>``."""

    def __init__(self, context: Context, features: list[str]) -> None:
        self._context = context
        super().__init__(
            _paths(features),
            default_handler_class=NotFoundHandler,
            context=context,
            websocket_ping_interval=25,
            websocket_max_message_size=64 * 1024,
        )

    def find_handler(self, request: Any, **kwargs: Any) -> Any:
        """Called by tornado for each request, before anything else is done with it."""
        token = take_token(request)
        found: Any = super().find_handler(request, **kwargs)
        found.handler_kwargs = {**found.handler_kwargs, "token": token, "context": self._context}
        return found

    def log_request(self, handler: web.RequestHandler) -> None:
        """Called by tornado after each request: ``200 GET /status <name of the token> 1.5 ms``."""
        assert isinstance(handler, Guarded)
        who = handler.identity.name if hasattr(handler, "identity") else "-"
        duration = 1000 * handler.request.request_time()
        method, path = handler.request.method, handler.shown_path
        access.info("%s %s %s %s %.1f ms", handler.get_status(), method, path, who, duration)


def _paths(features: list[str]) -> list[Any]:
    """Those of the features there are; the table of endpoints is what remains."""
    found: list[Any] = [(r"/", RootHandler), (r"/logs(?:/.*)?", LogListHandler), (r"/log/.+", LogFileHandler)]
    if "ws" in features:
        found += [
            (r"/ws/?", GreetingHandler),
            (r"/ws/info", InfoHandler),
            (r"/ws/websocket", RawSocket),
            (r"/ws/[^/.]+/[^/.]+/websocket", SockJSSocket),
            (r"/ws/.*", NotFoundHandler),
        ]
    if "terminal" in features:
        found.append((r"/shell", ShellHandler))
    if "dataupload" in features:
        found.append((r"/dataupload/[^/]+", UploadHandler))
    return [*found, (r"/.*", EndpointHandler)]


class Studio:
    """A running server. :meth:`close` ends it.

    Threading: it has a loop in a thread of its own; commands run in other threads. Neither ever waits on the hub's
    loop.
    """

    def __init__(self, context: Callable[[Feed], Context], features: list[str], host: str, port: int) -> None:
        """Listens when this returns. Raises ``OSError`` if the address is taken."""
        self._closed = False
        self._socket = _bind(host, port)
        self.host, self.port = self._socket.getsockname()[:2]
        self._thread = LoopThread("studio")
        try:
            self._thread.run(self._start(context, features), START_TIMEOUT)
        except BaseException:
            self._thread.close()
            self._socket.close()
            raise
        log.info("Studio: %s", self.url)

    @property
    def url(self) -> str:
        """Where Studio finds the hub, but for the token."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}/<token>"

    async def _start(self, make: Callable[[Feed], Context], features: list[str]) -> None:
        self.feed = Feed(IOLoop.current())
        self.context = make(self.feed)
        application = StudioApplication(self.context, features)
        self._http = HTTPServer(application, max_body_size=DRAINED, idle_connection_timeout=IDLE)
        self._http.add_socket(self._socket)
        self._listener = Listener(self.context.hub, self.feed)
        self._tap = LogTap(self.feed)
        logging.getLogger().addHandler(self._tap)
        self._levels = dict(_raise_levels())

    def close(self) -> None:
        """Tell all clients that the hub stops, and end. Safe to call twice, from any thread but its own loop's."""
        if self._thread.inside:
            raise RuntimeError("Studio cannot wait for itself")
        if self._closed:
            return
        self._closed = True
        logging.getLogger().removeHandler(self._tap)
        for name, level in self._levels.items():
            logging.getLogger(name).setLevel(level)
        self._listener.close()
        with contextlib.suppress(TimeoutError):
            self._thread.run(self._stop(), STOP_TIMEOUT)
        self.context.close()
        self._thread.close()

    async def _stop(self) -> None:
        self._http.stop()
        self.feed.close()
        await self.feed.all_gone()
        await self._http.close_all_connections()


def _bind(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listening = socket.create_server((host, port), family=family, backlog=128)
    except OSError as error:
        raise OSError(error.errno, f"studio_port {port} on {host}: {error.strerror or error}; choose another") from None
    listening.setblocking(False)
    return listening


def _raise_levels() -> Iterator[tuple[str, int]]:
    """Make the hub's own loggers show INFO; gives their levels as they were."""
    for name in SHOWN_LOGS:
        logger = logging.getLogger(name)
        if logger.getEffectiveLevel() > logging.INFO:
            yield name, logger.level
            logger.setLevel(logging.INFO)


def start_studio(server: HubServer, check: Check) -> Studio:
    """Studio for a configured hub, by the settings ``studio_port``, ``studio_host`` and ``studio_origins``."""
    config = server.config

    def make(feed: Feed) -> Context:
        commands: Mapping[str, Any] = {**server.extra_commands, **server.commands}
        return Context(
            hub=LocalHub(server, door="studio"),
            feed=feed,
            shells=Shells(),
            check=check,
            origins=Origins(config.studio_origins),
            routes=Routes(server.api_endpoints, commands),
            about=lambda role: _about(server, role),
            logs=server.context.logs,
            uploads=Uploads(server.upload_root, config.upload_limit) if server.upload_root else None,
        )

    return Studio(make, server.features, config.studio_host, config.studio_port or 0)


def _about(server: HubServer, role: Role) -> dict[str, Any]:
    suffix = " (read-only)" if role < Role.operator else ""
    return {
        "name": f"{server.name}{suffix}",
        "biothings_version": None,
        "app_version": _application(server),
        "icon": server.config.hub_icon,
        "features": shapes.features(server.features, server.unavailable, role),
    }


def _application(server: HubServer) -> dict[str, Any] | None:
    """Branch, commit, date and news of the application around the hub, where there is one."""
    found: dict[str, Any] = server.upgrades.versions().get("application", {}) if server.upgrades is not None else {}
    return found if "commit" in found else None
