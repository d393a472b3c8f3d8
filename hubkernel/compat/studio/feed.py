"""Who listens, and what they hear: changes of the hub, its log, and what a user's own shell says."""

from __future__ import annotations

import asyncio
import itertools
import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from tornado.ioloop import IOLoop

from hubkernel.api import HubAPI
from hubkernel.compat.studio import shapes
from hubkernel.compat.studio.outbox import Outbox
from hubkernel.compat.studio.values import text
from hubkernel.hub.commands import Role
from hubkernel.hub.events import Event
from hubkernel.jobs.masking import redact

log = logging.getLogger(__name__)

WAITING = 500
"""Messages that may wait for one client."""
ACCESS = "hubkernel.studio.access"
"""The logger of requests."""
LONGEST = 4000
"""Characters of a log message that are shown."""
LONGEST_OUTPUT = 100_000
"""Characters of what a command says in the terminal."""


@dataclass(eq=False, slots=True)
class Client:
    """One connection; ``user`` is the name of its token."""

    user: str
    role: Role
    outbox: Outbox


class Feed:
    """All clients of the websocket.

    Threading: the methods belong to Studio's loop. :meth:`from_thread` brings a call there.
    """

    def __init__(self, loop: IOLoop) -> None:
        self._loop = loop
        self._clients: set[Client] = set()
        self._numbers = itertools.count(1)
        self._warned = False
        self._quiet = asyncio.Event()
        self._quiet.set()

    def join(self, user: str, role: Role) -> Client:
        client = Client(user, role, Outbox(WAITING, self._overflow))
        self._clients.add(client)
        self._quiet.clear()
        return client

    def leave(self, client: Client) -> None:
        self._clients.discard(client)
        if not self._clients:
            self._quiet.set()

    async def all_gone(self) -> None:
        """Returns once there is no client."""
        await self._quiet.wait()

    def __len__(self) -> int:
        return len(self._clients)

    def _overflow(self, lost: int) -> list[str]:
        note = f"this client reads too slowly: {lost} messages were left out"
        return [text(self._log_message("hubkernel.studio", "WARNING", note)), *map(text, shapes.reload_all())]

    def from_thread(self, call: Callable[..., None], *args: Any) -> None:
        """Call it on the loop, from any thread; a loop that has ended needs no calls."""
        try:
            self._loop.add_callback(call, *args)
        except RuntimeError:
            log.debug("Studio has ended")

    def tell(self, message: dict[str, Any]) -> None:
        """To everybody."""
        self._send(message, lambda client: True)

    def changed(self, message: dict[str, Any] | None) -> None:
        """A change, or None for a gap: events were lost before they came here."""
        self._warned = self._warned or shapes.is_alert(message)
        for item in shapes.reload_all() if message is None else [message]:
            self.tell(item)

    def logged(self, logger: str, level: str, line: str) -> None:
        """A line of the log, to whoever may read logs."""
        self._send(self._log_message(logger, level, line), lambda client: client.role >= Role.operator)

    def _log_message(self, logger: str, level: str, line: str) -> dict[str, Any]:
        return {"_id": next(self._numbers), "op": "log", "msg": line, "logger": logger, "level": level, "ts": _now()}

    def shell(self, user: str, kind: str, line: str) -> None:
        """``input`` or ``output`` of a user's shell, to that user only."""
        shown = _cut(line, LONGEST_OUTPUT)
        message = {"_id": next(self._numbers), "op": "shell", "cmd": shown, "type": kind, "ts": _now()}
        self._send(message, lambda client: client.user == user)

    def _send(self, message: dict[str, Any], to: Callable[[Client], bool]) -> None:
        chosen = [client for client in self._clients if to(client)]
        if chosen:
            encoded = text(message)
            for client in chosen:
                client.outbox.put(encoded)

    def close(self) -> None:
        """End all connections; whoever has not heard yet that the hub ends hears it now."""
        if not self._warned:
            self.tell(shapes.alert("hub_stop", "Hub is stopping"))
        for client in self._clients:
            client.outbox.close(3000, "Go away!")


def _cut(line: str, limit: int) -> str:
    return line if len(line) <= limit else f"{line[:limit]}... ({len(line) - limit} more characters)"


def _now() -> str:
    """Studio shows it as it is, so it is local time without a zone."""
    return datetime.now().isoformat()  # noqa: DTZ005


class Listener:
    """Reads the hub's events in a thread of its own."""

    def __init__(self, hub: HubAPI, feed: Feed) -> None:
        self._feed = feed
        self._stream = hub.events()
        self._thread = threading.Thread(target=self._run, name="studio-events", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        while (event := self._stream.get()) is not None:
            try:
                self._hear(event)
            except Exception:
                log.exception("event %s cannot be shown to Studio", event.seq)

    def _hear(self, event: Event) -> None:
        if (event.entity, event.op) == ("bus", "gap"):
            self._feed.from_thread(self._feed.changed, None)
        elif (message := shapes.change(event)) is not None:
            self._feed.from_thread(self._feed.changed, message)

    def close(self) -> None:
        self._stream.close()
        self._thread.join()


class LogTap(logging.Handler):
    """Shows log records to the feed, without secrets, and without Studio's own requests."""

    def __init__(self, feed: Feed) -> None:
        super().__init__(logging.INFO)
        self._feed = feed

    def emit(self, record: logging.LogRecord) -> None:
        """Called by logging, in the thread that logs."""
        if not len(self._feed) or record.name == ACCESS:
            return
        try:
            line = redact(self.format(record))
        except Exception:
            self.handleError(record)
            return
        self._feed.from_thread(self._feed.logged, record.name, record.levelname, _cut(line, LONGEST))
