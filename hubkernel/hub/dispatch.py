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
        self._bus = bus
        self._subscription = bus.subscribe()
        self._told = bus.last
        self._moved = threading.Condition()
        self._thread = threading.Thread(target=self._main, name="hubkernel-dispatch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout: float = 5.0) -> None:
        """Returns when all that has happened was told, or after ``timeout`` seconds. Safe to call twice."""
        last = self._bus.last
        with self._moved:
            if self._thread.is_alive() and threading.current_thread() is not self._thread:
                self._moved.wait_for(lambda: self._told >= last, timeout)
        self._subscription.close()

    def _main(self) -> None:
        for event in self._subscription:
            for listener in tuple(self.listeners):
                try:
                    listener(event)
                except Exception:
                    log.exception("a listener failed on event %s (%s %s)", event.seq, event.entity, event.op)
            with self._moved:
                self._told = event.seq
                self._moved.notify_all()
