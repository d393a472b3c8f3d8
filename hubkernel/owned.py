"""A hub that this process owns: its lock, its server, and the way to it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from hubkernel.api import LocalHub
from hubkernel.owner import Owner, OwnerLock

if TYPE_CHECKING:
    from hubkernel.hub.home import HubHome
    from hubkernel.hub.server import HubServer

NO_POLL: dict[str, dict[str, object]] = {"upload": {"poll_schedule": None}}
"""Here commands are given one after the other. A hub that uploads by itself what was dumped would be faster than its
user now and then, whose own ``upload`` is refused then."""


def server_of(home: HubHome, app: Path | None = None) -> HubServer:
    """The hub of a home, not configured yet: of the script ``app``, or that of the setting of this name, else of the
    plugins in the home. Raises :class:`~hubkernel.script.ScriptError`.
    """
    from hubkernel.hub.config import HubConfig
    from hubkernel.hub.server import HubServer

    app = app or HubConfig.load(home).app
    if app is not None:
        from hubkernel.script import load_script

        return load_script(app, home)
    return HubServer.open(home, managers_custom_args=NO_POLL)


class OwnedHub:
    """Holds the home from construction to :meth:`close`.

    Construction raises :class:`~hubkernel.owner.HubBusyError` if another process has it.
    """

    def __init__(self, home: HubHome, placement: str) -> None:
        self.home = home
        self.placement = placement
        self.pid = os.getpid()
        self.app: str | None = None
        self.on_end: Callable[[bool], object] | None = None
        """Called by the command ``stop`` (False) or ``restart`` (True), in a thread of its own, to end this hub."""
        self.lock = OwnerLock(home.create().run)
        self.lock.acquire(placement)

    def start(self, make: Callable[[HubHome], HubServer] = server_of, *, door: str = "python") -> LocalHub:
        """Make the hub's server and run it; the home is given back if that fails."""
        try:
            server = make(self.home)
            server.on_end = self.on_end
            server.run_in_thread()
            self.hub = LocalHub(server, door=door, placement=self.placement)
        except BaseException:
            self.lock.release()
            raise
        return self.hub

    def publish(self, url: str, token: str) -> Owner:
        """Tell other processes of this user how to reach the hub."""
        ssh = self.hub.server.services.ssh
        return self.lock.publish(url=url, token=token, ssh_port=getattr(ssh, "port", None), app=self.app)

    def close(self) -> None:
        """End the hub, then give the home back. Safe to call twice."""
        self.hub.close()
        self.lock.release()
