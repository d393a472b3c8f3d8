"""One thread that reads the event bus for the hub itself: what follows from an event is done there, so that neither
the loop nor the journal ever waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from hubkernel.hub.events import Event, EventBus

log = logging.getLogger(__name__)

Listener = Callable[[Event], object]
"""Called with each event, in order, by the thread ``hubkernel-dispatch``. An error is logged and ends nothing."""


class Dispatcher:
    """Runs from :meth:`start` until :meth:`close`, which lets it read what has happened until then."""

    def __init__(self, bus: EventBus) -> None:
        self.listeners: list[Listener] = []
        self._subscription = bus.subscribe()
        self._bus = bus
        self._until: int | None = None
        self._thread = threading.Thread(target=self._main, name="hubkernel-dispatch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Returns when all that has happened was told, or after ``timeout`` seconds. Safe to call twice."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._until = self._bus.publish("bus", None, "dispatched").seq
            self._thread.join(timeout)
        self._subscription.close()

    def _main(self) -> None:
        for event in self._subscription:
            if self._until is not None and event.seq >= self._until:
                return
            for listener in tuple(self.listeners):
                try:
                    listener(event)
                except Exception:
                    log.exception("a listener failed on event %s (%s %s)", event.seq, event.entity, event.op)
