"""The websocket of events. A client is a place in the hub's ring of events, so one that is slow costs no memory: what
it misses is told to it by a ``gap`` notice.
"""

from __future__ import annotations

import asyncio
import logging
import struct
import threading
import time
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.base.websocket import WebSocketMixin
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web, websocket
from tornado.iostream import StreamClosedError

from hubkernel import wire
from hubkernel.api import EventStream, HubAPI
from hubkernel.hub.events import Event
from hubkernel.server_ext.base import HubAccess

log = logging.getLogger(__name__)

AT_ONCE = 16
"""Frames written before the client has to take them."""
GROUP = 10
"""Clients woken before others have their turn."""
KEPT = 4096
"""Frames kept encoded, since most clients want the same ones."""
LEAVE = 3.0
"""Seconds that clients have at the end to take what is left."""


def framed(event: Event, kind: str) -> bytes:
    """An event as a whole frame of a websocket (RFC 6455). What a server sends is not masked, so that it is the same
    bytes for all clients; making it anew for each of 200 costs more than all else.
    """
    data = wire.dumps(event.to_dict(), kind)
    head = 0x82 if kind == wire.BSON else 0x81
    if len(data) < 126:
        return struct.pack("!BB", head, len(data)) + data
    if len(data) < 1 << 16:
        return struct.pack("!BBH", head, 126, len(data)) + data
    return struct.pack("!BBQ", head, 127, len(data)) + data


class Broadcast:
    """Wakes all websockets when something happened.

    Threading: one thread, ``hub-broadcast``, waits for events; all else is on the server's loop.
    """

    def __init__(self, hub: HubAPI, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._clients: set[EventsSocket] = set()
        self._frames: dict[tuple[int, str], tuple[Event, bytes]] = {}
        self._stream = hub.events()
        self.ended = False
        self._news = False
        self._waking: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._listen, name="hub-broadcast", daemon=True)
        self._thread.start()

    @property
    def heard(self) -> int:
        """Number of an event that has happened; at most a moment old."""
        return self._stream.last

    def join(self, client: EventsSocket) -> None:
        self._clients.add(client)

    def leave(self, client: EventsSocket) -> None:
        self._clients.discard(client)

    def frame(self, event: Event, kind: str) -> bytes:
        """An event as it is sent; encoded once for all."""
        if event.entity == "bus":
            return framed(event, kind)
        known = self._frames.get((event.seq, kind))
        if known is None or known[0] is not event:
            known = self._frames[event.seq, kind] = (event, framed(event, kind))
            while len(self._frames) > KEPT:
                del self._frames[next(iter(self._frames))]
        return known[1]

    def _listen(self) -> None:
        while self._stream.get() is not None:
            while self._stream.get(0) is not None:
                pass
            self._tell(self._wake)
        self._tell(self._end)

    def _tell(self, what: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(what)
        except RuntimeError:
            log.debug("the server's loop is closed; nobody is told")

    def _wake(self) -> None:
        self._news = True
        if self._waking is None:
            self._waking = self._loop.create_task(self._wake_in_groups())

    async def _wake_in_groups(self) -> None:
        """A few at a time: between two groups the loop serves whoever asks for something else."""
        while self._news:
            self._news = False
            clients = list(self._clients)
            for begin in range(0, len(clients), GROUP):
                for client in clients[begin : begin + GROUP]:
                    client.wake()
                await asyncio.sleep(0)
        self._waking = None

    def _end(self) -> None:
        self.ended = True
        for client in self._clients:
            client.wake()

    async def close(self) -> None:
        """Let clients take what there is, then end. Called once the hub has ended, or when nobody wants it any more."""
        self._stream.close()
        await asyncio.to_thread(self._thread.join)
        self._end()
        waiting = [client.written for client in self._clients]
        if waiting:
            await asyncio.wait(waiting, timeout=LEAVE)
        for client in list(self._clients):
            client.close(1001, "the hub has ended")


class EventsSocket(HubAccess, ExtensionHandlerMixin, WebSocketMixin, websocket.WebSocketHandler, JupyterHandler):  # type: ignore[misc]
    """``events?since=N&epoch=E``: what happens from now on, or after event N of that hub process. A plain GET answers
    with what there is and ends.
    """

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Called by tornado for the handshake, or for a plain GET."""
        self.broadcast = await self.app.broadcast()
        self._since = self._wanted()
        if self.request.headers.get("Upgrade", "").lower() != "websocket":
            await self._replay()
            return
        await super().get(*args, **kwargs)

    def _wanted(self) -> int | None:
        """The event after which to begin; None for one of another hub process, whose numbers mean nothing here."""
        text = self.get_query_argument("since", "")
        if text and not (text.isdecimal() and len(text) < 16):
            raise web.HTTPError(400, f"since is {text!r}; it is the number of an event")
        same = self.get_query_argument("epoch", self.app.epoch) == self.app.epoch
        return int(text) if text and same else None

    async def _replay(self) -> None:
        stream = await self.run(self.hub.events, 0 if self._since is None else self._since)
        events = []
        while (event := stream.get(0)) is not None:
            events.append(event.to_dict())
        self.reply({"events": events, "seq": stream.last, "epoch": self.app.epoch})

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Called by tornado after the handshake."""
        super().open(*args, **kwargs)
        self._awake = asyncio.Event()
        self._kind = self.answer_kind
        self.written = asyncio.get_running_loop().create_task(self._write_all())

    def wake(self) -> None:
        """Called by the broadcast when there may be something to send."""
        self._awake.set()

    async def _write_all(self) -> None:
        self.broadcast.join(self)
        events = await self.run(self.hub.events, self._since)
        try:
            await self._write([self._hello(events.last)])
            while not (events.ended or self.broadcast.ended):
                self._awake.clear()
                await self._write_pending(events)
                await self._awake.wait()
            await self._write_pending(events)
            self.close(1001, "the hub has ended")
        except (websocket.WebSocketClosedError, StreamClosedError):
            log.debug("a client of the events went away")
        finally:
            events.close()

    def _hello(self, last: int) -> bytes:
        return framed(Event(last, time.time(), "bus", None, "hello", {"epoch": self.app.epoch}), self._kind)

    async def _write_pending(self, events: EventStream) -> None:
        while True:
            frames: list[bytes] = []
            while len(frames) < AT_ONCE and (event := events.get(0)) is not None:
                frames.append(self.broadcast.frame(event, self._kind))
            if not frames:
                return
            await self._write(frames)

    async def _write(self, frames: list[bytes]) -> None:
        """Returns when the last one is with the operating system, so that no more than these wait here."""
        connection = self.ws_connection
        if connection is None or connection.stream is None or connection.is_closing():
            raise websocket.WebSocketClosedError
        await connection.stream.write(b"".join(frames))

    def on_message(self, message: str | bytes) -> None:
        """Called by tornado: clients have nothing to say here."""

    def on_close(self) -> None:
        """Called by tornado when the client is gone."""
        self.broadcast.leave(self)
        if hasattr(self, "written"):
            self.wake()
            self.written.cancel()
