"""Which handler stands at which path beyond the protocol's own, and what begins and ends with the server."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import prometheus_client

from hubkernel.api import LocalHub
from hubkernel.server_ext import readonly
from hubkernel.server_ext.dataupload import FileUploadHandler, FormUploadHandler
from hubkernel.server_ext.endpoints import EndpointHandler, OpenApiHandler, RootHandler
from hubkernel.server_ext.logs import LogHandler, LogsHandler
from hubkernel.server_ext.rest import RestHandler, rest_of
from hubkernel.server_ext.terminal import STATIC, ShellHandler, TerminalFiles, TerminalHandler
from hubkernel.server_ext.watch import Watch

if TYPE_CHECKING:
    from hubkernel.server_ext.app import HubKernelApp

log = logging.getLogger(__name__)

API = "/hubkernel/api"


class MetricsHandler(RestHandler):
    """The hub's numbers without those of the Jupyter server around it."""

    async def get(self) -> None:
        text = await self.run(prometheus_client.generate_latest, self.rest.metrics.registry)
        self.finish(text, set_content_type=prometheus_client.CONTENT_TYPE_LATEST)


HANDLERS: list[tuple[Any, ...]] = [
    (rf"{API}/?", RootHandler),
    (rf"{API}/openapi\.json", OpenApiHandler),
    (rf"{API}/metrics", MetricsHandler),
    (rf"{API}/shell", ShellHandler),
    ("/hubkernel/terminal", TerminalHandler),
    (r"/hubkernel/terminal/(.+)", TerminalFiles, {"path": str(STATIC)}),
    (rf"{API}/logs/?(.*)", LogsHandler),
    (rf"{API}/log/(.+)", LogHandler),
    (rf"{API}/dataupload/(?P<name>[^/]+)", FormUploadHandler),
    (rf"{API}/dataupload/(?P<name>[^/]+)/(?P<filename>[^/]+)", FileUploadHandler),
    *readonly.HANDLERS,
    (rf"{API}/(.*)", EndpointHandler),
]
"""The last one takes what is left, so these come after all others."""


async def start(app: HubKernelApp, hub: LocalHub) -> None:
    """Called once the hub of this process runs."""
    rest = rest_of(app, hub)
    rest.metrics.publish()
    rest.watch = Watch(rest, app.serverapp.event_logger)
    config = rest.server.config
    if config.readonly_port is None or "readonly" not in rest.server.features:
        return
    try:
        rest.readonly_server = await readonly.listen(app, config.readonly_host, config.readonly_port)
    except OSError as error:
        if config.source("readonly_port") != "default":
            raise
        log.warning("%s; set another one, or do without", error)  # nobody chose it: it follows the port of Studio


async def stop(app: HubKernelApp) -> None:
    """Called when the server ends, before the hub does."""
    rest, app.rest = app.rest, None
    if rest is None:
        return
    rest.ended.set()
    rest.metrics.close()
    if rest.watch is not None:
        await app.run(rest.watch.close)
    if rest.readonly_server is not None:
        rest.readonly_server.stop()
        await rest.readonly_server.close_all_connections()
