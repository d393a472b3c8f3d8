"""Which work may start: a free worker, enough memory, its predicates. Each piece of work is judged by itself.

Judging happens when something changed: work arrives, work ends, someone says so (:meth:`Admission.changed`). Only while
somebody waits for memory or for a predicate there is a slow timer as well, since those change outside of the hub.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from hubkernel.jobs.errors import AdmissionError
from hubkernel.jobs.render import sizeof_fmt

log = logging.getLogger(__name__)

INTERVAL = 2.0
"""Seconds between two looks while somebody waits for memory or a predicate."""
Predicate = Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes: resident in the hub and its children, free and present in the machine."""

    used: int
    available: int
    total: int


class Ticket:
    """One piece of work before and after it is admitted."""

    def __init__(
        self,
        where: str,
        memory: int = 0,
        predicates: tuple[Predicate, ...] = (),
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self.where, self.memory, self.predicates = where, memory, predicates
        self.reason = ""
        self._on_wait = on_wait
        self.admitted: asyncio.Future[None] | None = None

    def wait(self, reason: str) -> None:
        if reason != self.reason:
            self.reason = reason
            if self._on_wait is not None:
                self._on_wait(reason)


class Admission:
    """Runs on the hub's loop. ``slots``: how many pieces of work may run in each place; a place that is not in it has
    no limit. ``measure`` is called in a thread, ``on_pressure`` on the loop when the hub is over its memory.
    """

    def __init__(
        self,
        slots: Mapping[str, int],
        max_memory: int | None,
        measure: Callable[[], Memory],
        on_pressure: Callable[[], None] = lambda: None,
    ) -> None:
        self.slots, self.max_memory = dict(slots), max_memory
        self._measure, self._on_pressure = measure, on_pressure
        self.waiting: list[Ticket] = []
        self.running: list[Ticket] = []
        self._base = 0
        self._looking: asyncio.Task[None] | None = None
        self._again = False
        self._timer: asyncio.TimerHandle | None = None

    async def admit(self, ticket: Ticket) -> None:
        """Return once ``ticket`` may run; then it must be released. Raises :class:`AdmissionError`."""
        if self.max_memory is not None and ticket.memory > self.max_memory:
            raise AdmissionError(
                f"the work needs {sizeof_fmt(ticket.memory)}, but the hub may use {sizeof_fmt(self.max_memory)} "
                "at most (max_memory)"
            )
        ticket.admitted = asyncio.get_running_loop().create_future()
        self.waiting.append(ticket)
        self.changed()
        try:
            await ticket.admitted
        except BaseException:
            self.release(ticket)
            raise

    def release(self, ticket: Ticket) -> None:
        for tickets in (self.waiting, self.running):
            if ticket in tickets:
                tickets.remove(ticket)
        self.changed()

    def changed(self) -> None:
        """Judge again. Call it when something happened that a predicate may depend on."""
        for ticket in list(self.waiting):
            if not self._needs_memory(ticket):
                self._judge(ticket, None)
        if any(self._needs_memory(ticket) for ticket in self.waiting):
            self._look()
        self._keep_time()

    def close(self) -> None:
        for pending in (self._looking, self._timer):
            if pending is not None:
                pending.cancel()
        self._timer = None

    def _needs_memory(self, ticket: Ticket) -> bool:
        return bool(ticket.memory) or (self.max_memory is not None and ticket.where in self.slots)

    def _look(self) -> None:
        self._again = True
        if self._looking is None or self._looking.done():
            self._looking = asyncio.get_running_loop().create_task(self._judge_with_memory())

    async def _judge_with_memory(self) -> None:
        while self._again:
            self._again = False
            memory = await asyncio.to_thread(self._measure)
            if not any(ticket.memory for ticket in self.running):
                self._base = memory.used
            for ticket in [ticket for ticket in self.waiting if self._needs_memory(ticket)]:
                self._judge(ticket, memory)
            if self.waiting and self.max_memory is not None and memory.used >= self.max_memory:
                self._on_pressure()
        self._keep_time()

    def _keep_time(self) -> None:
        outside = any(self._needs_memory(ticket) or ticket.predicates for ticket in self.waiting)
        if outside and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(INTERVAL, self._tick)
        elif not outside and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _tick(self) -> None:
        self._timer = None
        self.changed()

    def _judge(self, ticket: Ticket, memory: Memory | None) -> None:
        assert ticket.admitted is not None
        if ticket.admitted.done():
            return
        try:
            reason = self._obstacle(ticket, memory)
        except Exception as error:
            self.waiting.remove(ticket)
            ticket.admitted.set_exception(error)
            return
        if reason:
            ticket.wait(reason)
        else:
            self.waiting.remove(ticket)
            self.running.append(ticket)
            ticket.admitted.set_result(None)

    def _obstacle(self, ticket: Ticket, memory: Memory | None) -> str:
        """Why ``ticket`` has to wait; empty if it need not."""
        slots = self.slots.get(ticket.where)
        if slots is not None and sum(other.where == ticket.where for other in self.running) >= slots:
            return f"all {slots} workers are busy"
        if memory is not None and (reason := self._lack(ticket, memory)):
            return reason
        for predicate in ticket.predicates:
            if not _holds(predicate):
                return f"waits until {_name(predicate)} is true"
        return ""

    def _lack(self, ticket: Ticket, memory: Memory) -> str:
        if ticket.memory > memory.total:
            raise AdmissionError(
                f"the work needs {sizeof_fmt(ticket.memory)}, this machine has {sizeof_fmt(memory.total)}"
            )
        limit = self.max_memory
        if limit is not None and memory.used >= limit:
            return f"waits for memory: the hub uses {sizeof_fmt(memory.used)} of {sizeof_fmt(limit)} (max_memory)"
        # What running work was promised and has not taken yet is not free.
        promised = sum(other.memory for other in self.running) - max(0, memory.used - self._base)
        free = memory.available if limit is None else min(memory.available, limit - memory.used)
        free -= max(0, promised)
        if ticket.memory > free:
            return f"waits for memory: needs {sizeof_fmt(ticket.memory)}, {sizeof_fmt(max(0, free))} are free"
        return ""


def _holds(predicate: Predicate) -> bool:
    try:
        return bool(predicate())
    except Exception as error:
        raise AdmissionError(f"predicate {_name(predicate)} raised {type(error).__name__}: {error}") from error


def _name(predicate: Any) -> str:
    predicate = getattr(predicate, "func", predicate)
    return str(getattr(predicate, "__qualname__", type(predicate).__qualname__))
