"""The websocket, with SockJS frames or raw."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

from tornado import websocket

from hubkernel.compat.studio import sockjs
from hubkernel.compat.studio.base import Guarded, StudioHandler
from hubkernel.compat.studio.feed import Client
from hubkernel.compat.studio.values import text

log = logging.getLogger(__name__)

HEARTBEAT = 25.0
STUCK = 60.0
"""Seconds after which a client that takes nothing is given up."""
GO_AWAY = (3000, "Go away!")
LONGEST = 200


class GreetingHandler(StudioHandler):
    """The foot of all SockJS paths."""

    def get(self) -> None:
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.finish(sockjs.GREETING)


class InfoHandler(StudioHandler):
    """What SockJS asks before it connects."""

    def set_default_headers(self) -> None:
        super().set_default_headers()
        if "Access-Control-Allow-Origin" in self._headers:
            self.set_header("Access-Control-Allow-Credentials", "true")  # SockJS sends cookies if it can; we read none

    def get(self) -> None:
        self.send_json(sockjs.info())


class RawSocket(Guarded, websocket.WebSocketHandler):
    """A websocket whose messages are bare JSON.

    One task sends, so that a slow client slows nobody but itself; see :class:`~hubkernel.compat.studio.outbox.Outbox`.
    """

    _client: Client | None = None
    _sender: asyncio.Task[None] | None = None

    def check_origin(self, origin: str) -> bool:
        """Called by tornado; :meth:`prepare` has refused foreign ones already."""
        return not self.context.origins.foreign(self.request)

    def open(self, *_: str) -> None:
        self._client = self.context.feed.join(self.identity.name, self.identity.role)
        self._sender = asyncio.get_running_loop().create_task(self._send_all(self._client))

    def on_message(self, message: str | bytes) -> None:
        """Called by tornado for each frame of the client."""
        if self._client is None:
            return
        try:
            found = self.unpack(message if isinstance(message, str) else message.decode())
        except ValueError:  # no frame, or no text
            self.close(1002)
            return
        for item in found:
            self._answer(self._client, item)

    def on_close(self) -> None:
        """Called by tornado when the connection has ended."""
        if self._client is not None and self._sender is not None:
            self.context.feed.leave(self._client)
            self._sender.cancel()

    def unpack(self, frame: str) -> list[str]:
        return [frame]

    def opening(self) -> list[str]:
        """Frames that come first."""
        return []

    def frames(self, messages: Sequence[str]) -> list[str]:
        return list(messages)

    def heartbeat(self) -> list[str]:
        return []

    def closing(self, code: int, reason: str) -> list[str]:
        return []

    def _answer(self, client: Client, message: str) -> None:
        try:
            found = json.loads(message)
        except (ValueError, RecursionError):
            return self._refuse(client, "malformed json message", message)
        if not isinstance(found, dict) or "op" not in found:
            return self._refuse(client, "malformed socket message", json.dumps(found))
        if found["op"] == "ping":
            client.outbox.put(text({"op": "pong"}))

    def _refuse(self, client: Client, what: str, message: str) -> None:
        client.outbox.put(text({"error": f"{what}: {message[:LONGEST]}"}))
        client.outbox.close(*GO_AWAY)

    async def _send_all(self, client: Client) -> None:
        """Until the outbox or the connection is closed, or the token no longer holds."""
        clock = asyncio.get_running_loop().time
        try:
            await self._write(self.opening())
            due = clock() + HEARTBEAT
            while len(client.outbox) or not client.outbox.closed:
                messages = await client.outbox.take(max(0.0, due - clock()))
                if messages:
                    await self._write(self.frames(messages))
                if clock() >= due:  # also of a connection that is never silent
                    await self._beat(client)
                    due = clock() + HEARTBEAT
            await self._write(self.closing(*client.outbox.closed))
        except (websocket.WebSocketClosedError, TimeoutError):
            log.debug("a client of Studio has gone, or takes nothing")
        finally:
            self.context.feed.leave(client)
        self.close(*(client.outbox.closed or GO_AWAY))

    async def _beat(self, client: Client) -> None:
        if await self.context.identify(self._token) is None:
            client.outbox.close(*GO_AWAY)
        else:
            await self._write(self.heartbeat())

    async def _write(self, frames: Sequence[str]) -> None:
        for frame in frames:
            async with asyncio.timeout(STUCK):
                await self.write_message(frame)


class SockJSSocket(RawSocket):
    """The websocket transport of SockJS: ``/ws/<server>/<session>/websocket``."""

    def unpack(self, frame: str) -> list[str]:
        return sockjs.unpack(frame)

    def opening(self) -> list[str]:
        return [sockjs.OPEN]

    def frames(self, messages: Sequence[str]) -> list[str]:
        return [sockjs.messages_frame(messages)]

    def heartbeat(self) -> list[str]:
        return [sockjs.HEARTBEAT]

    def closing(self, code: int, reason: str) -> list[str]:
        return [sockjs.close_frame(code, reason)]
