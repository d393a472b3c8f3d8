"""Admission by itself: workers, memory, predicates, each piece of work judged alone."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest

from hubkernel.jobs import admission as module
from hubkernel.jobs.admission import Admission, Memory, Ticket
from hubkernel.jobs.errors import AdmissionError

GIB = 1 << 30


class Machine:
    """Its memory is what the test says."""

    def __init__(self, used: float = 1, available: float = 8, total: float = 16) -> None:
        self.memory = Memory(int(used * GIB), int(available * GIB), int(total * GIB))
        self.measured = 0

    def __call__(self) -> Memory:
        self.measured += 1
        return self.memory

    def uses(self, gib: float) -> None:
        self.memory = replace(self.memory, used=int(gib * GIB))

    def has(self, gib: float) -> None:
        self.memory = replace(self.memory, available=int(gib * GIB))


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    asyncio.run(asyncio.wait_for(coroutine, 20))


async def waits(admission: Admission, ticket: Ticket) -> asyncio.Task[None]:
    """A task that asks for admission; returns when it was judged at least once."""
    task = asyncio.get_running_loop().create_task(admission.admit(ticket))
    while not (task.done() or ticket.reason):
        await asyncio.sleep(0)
    return task


def test_work_waits_for_a_worker_and_gets_the_next_free_one() -> None:
    async def main() -> None:
        admission = Admission({"process": 2}, None, Machine())
        tickets = [Ticket("process") for _ in range(3)]
        for ticket in tickets[:2]:
            await admission.admit(ticket)
        task = await waits(admission, tickets[2])
        assert tickets[2].reason == "all 2 workers are busy"
        admission.release(tickets[0])
        await task
        assert admission.running == tickets[1:]

    run(main())


def test_without_a_limit_memory_is_never_measured_and_no_timer_runs() -> None:
    async def main() -> None:
        machine = Machine()
        admission = Admission({"process": 1}, None, machine)
        first, second = Ticket("process"), Ticket("process")
        await admission.admit(first)
        task = await waits(admission, second)
        assert admission._timer is None
        admission.release(first)
        await task
        assert machine.measured == 0

    run(main())


def test_one_that_waits_blocks_no_other() -> None:
    async def main() -> None:
        admission = Admission({"process": 2, "thread": 1}, None, Machine(available=1))
        hungry = Ticket("process", memory=2 * GIB)
        never = Ticket("process", predicates=(lambda: False,))
        tasks = [await waits(admission, ticket) for ticket in (hungry, never)]
        for ticket in (Ticket("process"), Ticket("thread"), Ticket("process", memory=GIB // 2)):
            await admission.admit(ticket)
        assert [task.done() for task in tasks] == [False, False]
        assert "needs 2.0GiB, 1.0GiB are free" in hungry.reason
        assert "<lambda> is true" in never.reason
        for task in tasks:
            task.cancel()

    run(main())


def test_memory_promised_to_running_work_is_not_given_twice() -> None:
    async def main() -> None:
        machine = Machine(used=1, available=5)
        admission = Admission({"process": 8}, None, machine)
        first, second = Ticket("process", memory=4 * GIB), Ticket("process", memory=4 * GIB)
        await admission.admit(first)
        task = await waits(admission, second)
        assert "1.0GiB are free" in second.reason
        machine.uses(5)  # the first has taken what it was promised ...
        machine.has(1)
        admission.changed()
        machine.uses(1)  # ... and gives it back
        machine.has(5)
        admission.release(first)
        await task

    run(main())


def test_work_waits_while_the_hub_is_over_its_memory_and_idle_workers_are_let_go(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "INTERVAL", 0.01)

    async def main() -> None:
        machine = Machine(used=3)
        trims: list[int] = []

        def trim() -> None:
            trims.append(1)
            machine.uses(1)

        admission = Admission({"process": 2}, 2 * GIB, machine, trim)
        ticket = Ticket("process")
        task = await waits(admission, ticket)
        assert "the hub uses 3.0GiB of 2.0GiB" in ticket.reason
        await task  # by the timer: nothing else happens
        assert trims

    run(main())


def test_a_predicate_is_asked_again_by_the_timer_and_after_every_change(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        ready = [False, False]
        admission = Admission({"process": 2}, None, Machine())
        tickets = [Ticket("process", predicates=(lambda number=number: ready[number],)) for number in range(2)]  # type: ignore[misc]
        tasks = [await waits(admission, ticket) for ticket in tickets]
        ready[0] = True
        admission.changed()
        await tasks[0]
        assert not tasks[1].done()
        monkeypatch.setattr(module, "INTERVAL", 0.01)
        admission._timer.cancel()  # type: ignore[union-attr]
        admission._tick()
        ready[1] = True
        await tasks[1]
        assert admission._timer is None

    run(main())


def test_a_predicate_that_raises_fails_its_own_work_only() -> None:
    async def main() -> None:
        def broken() -> bool:
            raise KeyError("config")

        admission = Admission({"process": 1}, None, Machine())
        first = Ticket("process")
        await admission.admit(first)
        waiting = Ticket("process")
        task = await waits(admission, waiting)
        admission.release(first)
        await task
        admission.release(waiting)
        with pytest.raises(AdmissionError, match="broken raised KeyError: 'config'") as caught:
            await admission.admit(Ticket("process", predicates=(broken,)))
        assert isinstance(caught.value.__cause__, KeyError)
        await admission.admit(Ticket("process"))

    run(main())


def test_what_can_never_fit_fails_at_once() -> None:
    async def main() -> None:
        with pytest.raises(AdmissionError, match=r"needs 3\.0GiB, but the hub may use 2\.0GiB at most"):
            await Admission({}, 2 * GIB, Machine()).admit(Ticket("process", memory=3 * GIB))
        with pytest.raises(AdmissionError, match=r"needs 17\.0GiB, this machine has 16\.0GiB"):
            await Admission({}, None, Machine()).admit(Ticket("process", memory=17 * GIB))

    run(main())


def test_who_stops_waiting_leaves_no_trace() -> None:
    async def main() -> None:
        admission = Admission({"process": 1}, None, Machine(available=1))
        first = Ticket("process")
        await admission.admit(first)
        task = await waits(admission, Ticket("process"))
        hungry = await waits(admission, Ticket("process", memory=2 * GIB))
        for cancelled in (task, hungry):
            cancelled.cancel()
            await asyncio.wait([cancelled])
        assert admission.waiting == []
        admission.release(first)
        assert admission.running == []
        assert admission._timer is None

    run(main())
