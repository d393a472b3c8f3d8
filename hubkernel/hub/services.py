"""What a hub runs besides its commands: its log, schedules, watchers, and the doors that it opens itself.

The doors stand above the hub, so they are imported by name when they are wanted.
"""

from __future__ import annotations

import asyncio
import logging
from importlib import import_module
from typing import TYPE_CHECKING, Any

from hubkernel.hub.logs import HubLog
from hubkernel.hub.managers import repair
from hubkernel.pipeline.upload.state import unfinished_tokens

if TYPE_CHECKING:
    from hubkernel.hub.loop import LoopThread
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)

STOP_TIMEOUT = 5.0


class Services:
    """Those of one hub, from :meth:`prepare` to :meth:`close`."""

    def __init__(self, server: HubServer) -> None:
        self._server = server
        self.log: HubLog | None = None
        self.ssh: Any = None
        self.studio: Any = None

    def prepare(self) -> None:
        """Open the hub's log, say what is missing, and repair what a dead hub left behind."""
        server = self._server
        self.log = HubLog(server, server.log_folder / "hub.log")
        self.log.open()
        for name, what in server.config.missing.items():
            server.logger.error("the setting %s has to be given: %s", name, what)
        server.jobs.recover()
        repair(server)
        server.context.store.sweep(keep=unfinished_tokens(server.context.state))

    async def start(self) -> None:
        """Called on the hub's loop."""
        server = self._server
        server.dispatcher.listeners += [server.schedules.hear, server.hooks.hear, server.notifier.hear]
        server.schedules.start()
        server.dispatcher.start()
        if server.reloader is not None:
            server.reloader.start()
        self.ssh = await _start_ssh(server)
        self.studio = await _start_studio(server)

    def say_goodbye(self) -> None:
        """Called while everybody is still connected."""
        server = self._server
        server.hooks.call("hub_stopping")
        try:
            if not server.alerts.restarting:
                server.alerts.alert("hub_stop", "Hub is stopping")
        except Exception:
            server.logger.exception("the end of the hub cannot be told")

    def close_doors(self, loop: LoopThread | None) -> None:
        """End the doors, the schedules and the watchers; nothing new begins from here on."""
        server = self._server
        if self.studio is not None:
            self.studio.close()
            self.studio = None
        if self.ssh is not None and loop is not None:
            _stop_ssh(self.ssh, loop)
            self.ssh = None
        server.schedules.close()
        if server.reloader is not None and loop is not None:
            server.reloader.close()

    def close_log(self) -> None:
        """The last thing to end."""
        if self.log is not None:
            self._server.logger.info("hub %s has ended", self._server.name)
            self.log.close()
            self.log = None


def _stop_ssh(ssh: Any, thread: LoopThread) -> None:
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


async def _start_ssh(server: HubServer) -> Any:
    """The ssh console, by the settings ``ssh_port``, ``ssh_host`` and ``ssh_passwords``; None if there is no port."""
    if server.config.ssh_port is None:
        return None
    return await import_module("hubkernel.ssh.hub").start(server)


async def _start_studio(server: HubServer) -> Any:
    """The server for the Studio web application, by the settings ``studio_*``; None if there is no port."""
    if server.config.studio_port is None:
        return None
    start = import_module("hubkernel.compat.studio.server").start_studio
    return await asyncio.to_thread(start, server, server.access.tokens.check)
