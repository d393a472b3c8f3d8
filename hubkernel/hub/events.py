"""The event bus: what changed in the hub, in order, after it was committed.

Threading: :meth:`EventBus.publish` may be called from any thread and never blocks on a reader. The last ``capacity``
events stay in a ring. A subscription is a place in that ring, not a queue of its own, so a slow reader costs no memory:
if the ring overtakes it, its next event is a ``gap`` notice that says what it missed.
"""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import asdict, dataclass
from itertools import islice
from typing import Any

from hubkernel.store import StateStore

log = logging.getLogger(__name__)

ENTITIES = {
    "src_dump": "source",
    "src_master": "master",
    "src_build": "build",
    "src_build_config": "build_config",
    "data_plugin": "data_plugin",
    "api": "api",
    "event": "event",
    "hub_config": "config",
    "schedule": "schedule",
    "trigger": "trigger",
}
"""State collection -> entity. Jobs are not in it: the job manager publishes their changes itself."""


@dataclass(frozen=True, slots=True)
class Event:
    """One change. ``seq`` counts from 1 in the life of a hub process; ``time`` is in seconds since the epoch."""

    seq: int
    time: float
    entity: str
    id: Any
    op: str
    data: dict[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        return asdict(self)

    def concerns(self, user: str) -> bool:
        """Whether a user may hear of it: what a terminal shows (``shell``) is for its own user only."""
        return self.entity != "shell" or (self.data or {}).get("user") == user


class EventBus:
    """Publishes events to any number of subscriptions and replays the last ``capacity`` of them."""

    def __init__(self, capacity: int = 10_000) -> None:
        self._ring: deque[Event] = deque(maxlen=capacity)
        self._last = 0
        self._changed = threading.Condition()
        self._wakers: set[Callable[[], None]] = set()
        self._closed = False

    @property
    def last(self) -> int:
        """Number of the newest event, 0 before the first."""
        return self._last

    def publish(self, entity: str, id: Any = None, op: str = "", data: dict[str, Any] | None = None) -> Event:
        """Append an event and wake all subscriptions. Call it after the change is committed."""
        with self._changed:
            self._last += 1
            event = Event(self._last, time.time(), entity, id, op, data)
            self._ring.append(event)
            self._changed.notify_all()
            wakers = tuple(self._wakers)
        for wake in wakers:
            wake()
        return event

    def since(self, seq: int) -> list[Event]:
        """All events after number ``seq``. If some of them are gone, or ``seq`` is of another hub process, the first
        one is a notice: entity ``bus``, op ``gap``, data ``{"after": seq, "first": number of the next event}``.
        """
        with self._changed:
            return self._since(seq)

    def _since(self, seq: int, limit: int | None = None) -> list[Event]:
        oldest = self._last - len(self._ring)
        if oldest <= seq <= self._last:
            start = seq - oldest
            return list(islice(self._ring, start, None if limit is None else start + limit))
        notice = Event(oldest, time.time(), "bus", None, "gap", {"after": seq, "first": oldest + 1})
        return [notice, *islice(self._ring, limit)]

    def subscribe(self, since: int | None = None) -> Subscription:
        """A subscription that begins after event ``since``; None begins with what comes next."""
        return Subscription(self, self._last if since is None else since)

    def close(self) -> None:
        """The hub has ended: each subscription ends when it has read what there is."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            wakers = tuple(self._wakers)
        for wake in wakers:
            wake()

    def watch(self, state: StateStore) -> None:
        """Publish each change of a hub collection of ``state``, once, after its commit (``ENTITIES``)."""
        state.on_change = self._state_changed

    def _state_changed(self, collection: str, op: str, id: Any, document: dict[str, Any] | None) -> None:
        entity = ENTITIES.get(collection)
        if entity is not None:
            self.publish(entity, id, op, document if entity == "event" else None)


class Subscription:
    """Reads the bus in order, from a thread (``get``, ``for``) or from a loop (``async for``). One reader at a time."""

    def __init__(self, bus: EventBus, seq: int) -> None:
        self._bus = bus
        self._seq = seq
        self._ready: deque[Event] = deque()
        self._closed = False
        self._wake: Callable[[], None] | None = None

    @property
    def last(self) -> int:
        """Number of the newest event there is, read or not."""
        return self._bus.last

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self._closed or (self._bus._closed and not self._has_next())

    def get(self, timeout: float | None = None) -> Event | None:
        """The next event; None after ``timeout`` seconds, once closed, or when the hub has ended."""
        with self._bus._changed:
            self._bus._changed.wait_for(lambda: self._closed or self._bus._closed or self._has_next(), timeout)
            return self._take()

    def pending(self) -> list[Event]:
        """All that is there now, without waiting."""
        with self._bus._changed:
            events = []
            while (event := self._take()) is not None:
                events.append(event)
            return events

    def close(self) -> None:
        """End the iteration of the reader, also if it waits just now."""
        self._closed = True
        with self._bus._changed:
            self._bus._changed.notify_all()
        if self._wake is not None:
            self._wake()

    def _has_next(self) -> bool:
        return bool(self._ready) or self._seq != self._bus._last

    def _take(self) -> Event | None:
        """Called under the bus's lock. Copies a few events at a time, never the ring."""
        if self._closed:
            return None
        if not self._ready and self._has_next():
            self._ready.extend(self._bus._since(self._seq, _AT_ONCE))
        if not self._ready:
            return None
        event = self._ready.popleft()
        self._seq = event.seq
        return event

    def __iter__(self) -> Iterator[Event]:
        while (event := self.get()) is not None:
            yield event

    async def __aiter__(self) -> AsyncIterator[Event]:
        loop, ready = asyncio.get_running_loop(), asyncio.Event()
        wake = self._wake = _waker(loop, ready)
        with self._bus._changed:
            self._bus._wakers.add(wake)
        try:
            while not self._closed:
                ready.clear()
                events = self.pending()
                for event in events:
                    yield event
                if not events and self._bus._closed:
                    return
                if not self._bus._closed:
                    await ready.wait()
        finally:
            with self._bus._changed:
                self._bus._wakers.discard(wake)

    def __enter__(self) -> Subscription:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def _waker(loop: asyncio.AbstractEventLoop, ready: asyncio.Event) -> Callable[[], None]:
    """Sets ``ready`` from any thread; a loop that is gone needs no waking."""

    def wake() -> None:
        if not loop.is_closed():
            try:
                loop.call_soon_threadsafe(ready.set)
            except RuntimeError:
                log.debug("the loop of a subscription was closed while an event came")

    return wake


_AT_ONCE = 256
