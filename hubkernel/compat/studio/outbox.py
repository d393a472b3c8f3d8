"""The messages that wait for one client, never more than a fixed number of them."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

Overflow = Callable[[int], Sequence[str]]
"""Called with the number of messages that were thrown away; returns what the client gets in their place."""


class Outbox:
    """Takes messages at any rate and hands them to the one task that sends them.

    A client that reads too slowly loses what waits for it and is told so (``overflow``): it then asks for everything
    anew, which is what it would have done after each of the lost messages.

    Threading: one loop.
    """

    def __init__(self, limit: int, overflow: Overflow) -> None:
        self._limit, self._overflow = limit, overflow
        self._waiting: deque[str] = deque()
        self._ready = asyncio.Event()
        self.closed: tuple[int, str] | None = None
        """Code and reason, once nothing more is to come."""

    def put(self, message: str) -> None:
        if self.closed:
            return
        if len(self._waiting) >= self._limit:
            lost = len(self._waiting)
            self._waiting.clear()
            self._waiting.extend(self._overflow(lost))
        self._waiting.append(message)
        self._ready.set()

    def close(self, code: int, reason: str) -> None:
        """What waits is still sent. Safe to call twice."""
        self.closed = self.closed or (code, reason)
        self._ready.set()

    async def take(self, timeout: float) -> list[str]:
        """All that waits, as soon as there is something; nothing after ``timeout`` seconds, or when it is closed."""
        try:
            async with asyncio.timeout(timeout):
                await self._ready.wait()
        except TimeoutError:
            return []
        if not self.closed:
            self._ready.clear()
        found = list(self._waiting)
        self._waiting.clear()
        return found

    def __len__(self) -> int:
        return len(self._waiting)
