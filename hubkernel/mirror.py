"""The events of a hub in another process, as far as they were heard here."""

from __future__ import annotations

from collections.abc import Sequence
from weakref import WeakSet

from hubkernel.hub.events import Event, EventBus, Subscription


class Mirror(EventBus):
    """A bus that is told what another one published; the numbers are those of the other."""

    def __init__(self, capacity: int = 10_000) -> None:
        super().__init__(capacity)
        self._readers: WeakSet[Subscription] = WeakSet()

    def subscribe(self, since: int | None = None) -> Subscription:
        reader = super().subscribe(since)
        with self._changed:
            self._readers.add(reader)
        return reader

    def relay(self, event: Event) -> None:
        """An event that follows the last one."""
        with self._changed:
            if event.seq <= self._last:
                return
            self._ring.append(event)
            self._last = event.seq
            self._changed.notify_all()

    def relay_older(self, events: Sequence[Event]) -> None:
        """Events from before the first one that is here."""
        with self._changed:
            oldest = self._last - len(self._ring)
            for event in reversed(events):
                if event.seq == oldest and event.entity != "bus" and len(self._ring) < (self._ring.maxlen or 0):
                    self._ring.appendleft(event)
                    oldest -= 1

    def reach(self, seq: int, timeout: float) -> None:
        """Wait until event ``seq`` was heard."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or self._last >= seq, timeout)

    def first_after(self) -> int:
        """Number of the event before the oldest that is here."""
        return self._last - len(self._ring)

    def restart(self, last: int, *, lost: bool) -> None:
        """Forget everything; what comes next follows ``last``. ``lost``: all readers are told that they missed
        something.
        """
        with self._changed:
            self._ring.clear()
            self._last = last
            for reader in self._readers if lost else ():
                reader._seq = -1
                reader._ready.clear()
            self._changed.notify_all()
