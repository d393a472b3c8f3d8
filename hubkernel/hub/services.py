"""The doors that a hub opens itself. They stand above the hub, so they are imported by name when they are wanted."""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubkernel.hub.loop import LoopThread
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)


STOP_TIMEOUT = 5.0


def stop_ssh(ssh: Any, thread: LoopThread) -> None:
    """End the console and its connections; waits for that unless it is the hub's own loop that asks."""
    if thread.inside:
        ssh.close()
        return

    async def stop() -> None:
        ssh.close()
        await ssh.wait_closed()

    try:
        thread.run(stop(), STOP_TIMEOUT)
    except TimeoutError:
        log.warning("connections of the ssh console do not end; they are left")


async def start_ssh(server: HubServer) -> Any:
    """The ssh console, by the settings ``ssh_port``, ``ssh_host`` and ``ssh_passwords``; None if there is no port."""
    if server.config.ssh_port is None:
        return None
    return await import_module("hubkernel.ssh.hub").start(server)


async def start_studio(server: HubServer) -> Any:
    """The server for the Studio web application, by the settings ``studio_*``; None if there is no port."""
    if server.config.studio_port is None:
        return None
    start = import_module("hubkernel.compat.studio.server").start_studio
    return await asyncio.to_thread(start, server, server.access.tokens.check)
