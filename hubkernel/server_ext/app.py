"""The extension: in a Jupyter server it brings the hub to the browser; launched alone it is the hub's own process."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from jupyter_server.extension.application import ExtensionApp
from traitlets import Unicode, validate
from traitlets.config import TraitError

from hubkernel import client
from hubkernel.api import HubAPI, LocalHub
from hubkernel.handles import HubClosedError, HubStoppingError
from hubkernel.hub.home import HubHome
from hubkernel.owned import OwnedHub, server_of
from hubkernel.owner import HubBusyError
from hubkernel.server_ext import serving
from hubkernel.server_ext.access import HubTokens
from hubkernel.server_ext.events import Broadcast, EventsSocket
from hubkernel.server_ext.handlers import CallHandler, HubInfoHandler, JobHandler, JobsHandler, RegistryHandler
from hubkernel.server_ext.rest import Rest

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

API = "/hubkernel/api"
THREADS = 32
"""Calls that may wait at the same time: a synchronous command of a minute holds one of these that long."""
PLACEMENTS = ("attach", "host")


@dataclass
class Duty:
    """What a process that is there for a hub only hands to the extension."""

    owned: OwnedHub
    make: Callable[[HubHome], HubServer]
    ready: Callable[[], None]
    """Called once others can reach the hub."""
    failure: Exception | None = None
    """What kept the hub from starting."""
    again: bool = False
    """Whether the process is to begin anew once it has ended: the command ``restart``."""


class HubKernelApp(ExtensionApp):  # type: ignore[misc]
    """``c.HubKernelApp.placement = "host"`` makes this server the owner of the hub. Otherwise it talks to the owner,
    and starts one when somebody first asks for something.

    Threading: everything here is on the server's loop; hubs are called in threads.
    """

    name = "hubkernel"
    app_name = "hubkernel"
    description = "A data hub that lives in Jupyter."
    extension_url = "/hubkernel/api/hub"
    load_other_extensions = False

    home_folder = Unicode("", help="The hub's folder; unset: as for the command hubkernel.").tag(config=True)
    placement = Unicode(
        "", help='"attach": talk to the owner of the hub, "host": be it; unset: $HUBKERNEL_PLACEMENT or the setting.'
    ).tag(config=True)

    @validate("placement")  # type: ignore[untyped-decorator]
    def _check_placement(self, proposal: Any) -> str:
        if proposal["value"] not in ("", *PLACEMENTS):
            raise TraitError(f"placement is {proposal['value']!r}; a Jupyter server knows {' and '.join(PLACEMENTS)}")
        return str(proposal["value"])

    duty: ClassVar[Duty | None] = None
    tokens: HubTokens | None = None
    rest: Rest | None = None
    """What is served beyond the protocol; None before the hub runs, and where another process has it."""
    epoch: str = ""
    """Of the hub that was last asked for; empty before."""

    def initialize_settings(self) -> None:
        """Called by jupyter_server when it starts. Nothing of the hub is opened yet."""
        self.hub_home = HubHome.find(self.home_folder or None)
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="hub-call")
        self._broadcast: Broadcast | None = None
        self._owned: OwnedHub | None = self.duty.owned if self.duty is not None else None
        self._opened: asyncio.Future[HubAPI] | None = None
        self._fixed: HubAPI | None = None
        self._stopping = self._ended = False

    def initialize_handlers(self) -> None:
        """Called by jupyter_server when it starts."""
        self.handlers.extend(
            [
                (f"{API}/hub", HubInfoHandler),
                (f"{API}/registry", RegistryHandler),
                (rf"{API}/call/(\w+)", CallHandler),
                (f"{API}/jobs", JobsHandler),
                (rf"{API}/jobs/(\d+)", JobHandler),
                (f"{API}/events", EventsSocket),
                *serving.HANDLERS,
            ]
        )

    # The hub behind all this.

    async def hub(self) -> HubAPI:
        """The hub; attaching starts its owner if there is none. Raises what :func:`hubkernel.client.connect` does."""
        if self._ended:
            raise HubClosedError(f"the hub at {self.hub_home} was stopped; it starts with this Jupyter server")
        if self._stopping:
            raise HubStoppingError(f"the hub at {self.hub_home} is about to end")
        if self._fixed is not None:
            return self._fixed
        if self._owned is not None:
            if self._opened is None:
                raise HubBusyError(self.hub_home.root)
            try:
                opened: HubAPI = await asyncio.shield(self._opened)
            except Exception as error:
                raise HubClosedError(f"the hub at {self.hub_home} could not be started: {error}") from error
            return opened
        hub: HubAPI = await self.run(client.connect, self.hub_home, placement="attach", door="rest")
        self.epoch = await self.run(lambda: hub.epoch)
        return hub

    async def use(self, hub: HubAPI) -> None:
        """Serve this hub, and no other."""
        self._fixed, self.epoch = hub, hub.epoch
        await self._end_broadcast()

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something that may block, in a thread."""
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    async def broadcast(self) -> Broadcast:
        """What wakes the websockets; begins with the first of them."""
        hub = await self.hub()
        if self._broadcast is None:
            self._broadcast = Broadcast(hub, asyncio.get_running_loop())
        return self._broadcast

    @property
    def heard(self) -> int:
        """Number of an event that has happened; 0 while nobody listens."""
        return self._broadcast.heard if self._broadcast is not None else 0

    async def _end_broadcast(self) -> None:
        if self._broadcast is not None:
            ending, self._broadcast = self._broadcast, None
            await ending.close()

    # Being the owner.

    async def _start_jupyter_server_extension(self, _serverapp: Any) -> None:
        """Called by jupyter_server once its loop runs and it listens."""
        if self._owned is None and self._wants_to_own():
            self._owned = self._taken()
        await self._open()

    async def _open(self) -> None:
        """Start the hub of the home that this process has, if it has one."""
        if self._owned is None:
            return
        self._opened = asyncio.ensure_future(self._start_hub(self._owned))
        try:
            await self._opened
        except Exception as error:
            self._failed(error)

    def _wants_to_own(self) -> bool:
        return (self.placement or client.chosen_placement(self.hub_home)) == "host"

    def _taken(self) -> OwnedHub | None:
        try:
            return OwnedHub(self.hub_home, "host")
        except HubBusyError as error:
            self.log.warning("%s; this server talks to it", error)
            return None

    async def _start_hub(self, owned: OwnedHub) -> HubAPI:
        loop = asyncio.get_running_loop()
        owned.on_end = lambda restart: asyncio.run_coroutine_threadsafe(self._end(restart), loop)
        hub: LocalHub = await self.run(owned.start, self.duty.make if self.duty is not None else server_of)
        self.tokens = HubTokens(owned.home.root)
        self.epoch = hub.epoch
        await serving.start(self, hub)
        owned.publish(self.serverapp.connection_url, self.tokens.own)
        self.log.info("hub %s at %s (%s)", hub.about()["name"], owned.home, owned.placement)
        if self.duty is not None:
            self.duty.ready()
        return hub

    def _failed(self, error: Exception) -> None:
        """A process that is there for the hub only ends with it; another Jupyter server goes on."""
        self.log.error("the hub at %s cannot be started: %s", self.hub_home, error)
        if self.duty is not None:
            self.duty.failure = error
            self.serverapp.stop()

    async def _end(self, restart: bool) -> None:
        """What the commands ``stop`` and ``restart`` do: a process that is there for the hub only ends with it, another
        Jupyter server goes on, with a new hub or with none.
        """
        if self.duty is not None:
            self.duty.again = restart
            self.serverapp.stop()
            return
        self._ended, ending = True, self._owned
        await serving.stop(self)
        if ending is not None:
            await self.run(self._end_hub, ending)
            await self._end_broadcast()
            ending.lock.release()
        if restart:
            self._owned, self._ended = self._taken(), False
            await self._open()

    async def stop_extension(self) -> None:
        """Called by jupyter_server when it ends: the jobs of an own hub are interrupted, and clients are told."""
        self._stopping = True
        if self._opened is not None:
            await asyncio.wait([self._opened])
        await serving.stop(self)
        if self._owned is not None and self._opened is not None:
            await self.run(self._end_hub, self._owned)
        await self._end_broadcast()
        if self._owned is not None:
            self._owned.lock.release()
        else:
            await self.run(client.disconnect, self.hub_home)
        self._threads.shutdown(wait=False, cancel_futures=True)

    @staticmethod
    def _end_hub(owned: OwnedHub) -> None:
        if hasattr(owned, "hub"):
            owned.hub.close()
