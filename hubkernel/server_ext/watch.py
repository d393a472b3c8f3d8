"""What follows the hub's events for as long as it is served: the metrics, and the events of the Jupyter server."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.hub.events import Event

if TYPE_CHECKING:
    from jupyter_events import EventLogger

    from hubkernel.server_ext.rest import Rest

log = logging.getLogger(__name__)

SCHEMAS = Path(__file__).parent / "event_schemas"
JOB, CHANGE = "urn:hubkernel:events:job", "urn:hubkernel:events:change"
JOB_FIELDS = ("name", "command", "state", "source", "user", "door", "created", "started", "finished", "error")
CHANGES = ("source", "master", "build", "build_config", "data_plugin", "api", "config", "upload")
IDLE = 1.0
"""Seconds between two looks whether there is something to count, while nothing happens."""


class Watch:
    """Reads the bus and tells the metrics and the Jupyter server's event logger.

    Threading: one thread, ``hub-watch``; what is emitted is emitted on the server's loop.
    """

    def __init__(self, rest: Rest, events: EventLogger) -> None:
        self._rest = rest
        self._emitted = JupyterEvents(events)
        self._stream = rest.server.bus.subscribe()
        self._thread = threading.Thread(target=self._listen, name="hub-watch", daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        metrics = self._rest.metrics
        hearers: tuple[Callable[[Event], None], ...] = (metrics.hear, self._emitted.hear)
        while not self._stream.ended:
            metrics.count()
            if (event := self._stream.get(IDLE)) is None:
                continue
            for hear in hearers:
                try:
                    hear(event)
                except Exception:
                    log.exception("event %s of %s", event.op, event.entity)

    def close(self) -> None:
        """Return when the thread has ended."""
        self._stream.close()
        self._thread.join()


class JupyterEvents:
    """Emits jobs and changes through ``jupyter_events``. Made on the server's loop."""

    def __init__(self, events: EventLogger) -> None:
        self._events = events
        self._loop = asyncio.get_running_loop()
        from jupyter_events.schema_registry import SchemaRegistryException

        for file in sorted(SCHEMAS.glob("*/*.yaml")):
            with suppress(SchemaRegistryException):  # known from the hub before this one, in the same server
                events.register_event_schema(file)

    def hear(self, event: Event) -> None:
        """Called for each event of the hub, in order, by another thread."""
        data = event.data or {}
        if event.entity == "job" and event.op in ("insert", "update"):
            fields = {name: data[name] for name in JOB_FIELDS if name in data}
            self._emit(JOB, {"id": event.id, "op": event.op, **fields})
        elif event.entity in CHANGES:
            id = None if event.id is None else str(event.id)
            self._emit(CHANGE, {"entity": event.entity, "id": id, "op": event.op})

    def _emit(self, schema: str, data: dict[str, Any]) -> None:
        try:
            self._loop.call_soon_threadsafe(lambda: self._events.emit(schema_id=schema, data=data))
        except RuntimeError:
            log.debug("the server's loop is closed; nobody is told of %s", schema)
