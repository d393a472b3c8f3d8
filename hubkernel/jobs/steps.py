"""The pieces of work that jobs run on executors: admitted, followed, cancelled with their job."""

from __future__ import annotations

import asyncio
import inspect
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from hubkernel.executors.base import Executor, OnLog, OnProgress, WorkHandle
from hubkernel.executors.wire import describe
from hubkernel.jobs.admission import Admission, Predicate, Ticket

log = logging.getLogger(__name__)

PATIENCE = 10.0
"""Seconds that a cancelled job waits for its work to end. Executors kill processes before that; a thread that never
looks at its worker is left behind."""


@dataclass(eq=False)
class Step:
    """One piece of work, from its request to its end; what ``top()`` shows."""

    where: str
    function: str
    job: int | None = None
    category: str = ""
    source: str = ""
    step: str = ""
    description: str = ""
    memory: int = 0
    predicates: tuple[Predicate, ...] = ()
    id: int = 0
    asked: float = field(default_factory=time.time)
    started: float | None = None
    finished: float | None = None
    reason: str = ""
    """Why it waits."""
    handle: WorkHandle | None = None
    thread: str = ""
    """Name of its thread if no executor runs it."""

    @property
    def worker(self) -> int | str | None:
        """Pid of its process, or name of its thread."""
        return self.handle.worker if self.handle is not None else self.thread or None

    def end(self) -> None:
        """Remember the worker, and let go of the work's result."""
        self.thread, self.handle = str(self.worker or ""), None
        self.finished = time.time()


class Steps:
    """Runs steps, on the hub's loop."""

    def __init__(self, executors: Mapping[str, Executor], admission: Admission) -> None:
        self._executors, self.admission = executors, admission
        self._ids = count(1)
        self.active: dict[int, Step] = {}
        self._with_steps: set[int] = set()
        self.done: deque[Step] = deque(maxlen=1000)
        """The newest steps that ended."""
        self.ended = 0

    def begin(self, step: Step) -> None:
        step.id = next(self._ids)
        self.active[step.id] = step
        if step.where and step.job is not None:
            self._with_steps.add(step.job)

    def finish(self, step: Step) -> None:
        del self.active[step.id]
        step.end()
        if not step.where and step.job in self._with_steps:
            self._with_steps.discard(step.job)  # its steps tell more than the job's own row
            return
        self.ended += 1
        self.done.append(step)

    async def run(
        self,
        step: Step,
        call: Callable[..., WorkHandle],
        on_wait: Callable[[str], None] | None = None,
    ) -> Any:
        """Wait for admission, start ``call(executor)`` and give its result. Being cancelled cancels the work."""

        def waits(reason: str) -> None:
            step.reason = reason
            if on_wait is not None:
                on_wait(reason)

        executor = self.executor(step.where)
        ticket = Ticket(step.where, step.memory, step.predicates, waits)
        self.begin(step)
        try:
            await self.admission.admit(ticket)
            try:
                if step.reason and on_wait is not None:
                    on_wait("")
                step.started = time.time()
                step.handle = call(executor)
                return await follow(step.handle.future, step.handle.cancel, step.function)
            finally:
                self.admission.release(ticket)
        finally:
            self.finish(step)

    def executor(self, where: str) -> Executor:
        try:
            return self._executors[where]
        except KeyError:
            known = ", ".join(map(repr, self._executors))
            raise ValueError(f"no executor is called {where!r}; this hub has {known}") from None


async def follow(future: Future[Any], cancel: Callable[[], None], what: str) -> Any:
    """The result of work that runs elsewhere. If this is cancelled, so is the work, and its end is waited for: what
    cleans up after it must not race with it.
    """
    waiter = asyncio.wrap_future(future)
    waiter.add_done_callback(_retrieve)
    try:
        await asyncio.wait([waiter])
    except asyncio.CancelledError:
        cancel()
        _, pending = await asyncio.wait([waiter], timeout=PATIENCE)
        if pending:
            log.warning("%s does not notice that it was cancelled; its thread is left behind", what)
        raise
    return waiter.result()


def _retrieve(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


def work(
    function: Callable[..., Any],
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    on_progress: OnProgress | None,
    on_log: OnLog | None,
) -> Callable[[Executor], WorkHandle]:
    """What :meth:`Steps.run` calls to start ``function`` on the executor that admitted it."""
    return lambda executor: executor.submit(function, *args, on_progress=on_progress, on_log=on_log, **kwargs)


def step_of(pinfo: Mapping[str, Any] | None, function: Callable[..., Any], where: str) -> Step:
    """A step described in BioThings' way: keys category, source, step, description, ``__reqs__`` (``{"mem": bytes}``)
    and ``__predicates__`` (functions that take the job manager). Predicates are bound by the caller.
    """
    info = dict(pinfo or {})
    item = Step(where, describe(function), memory=int((info.get("__reqs__") or {}).get("mem") or 0))
    for key in ("category", "source", "step", "description"):
        setattr(item, key, str(info.get(key) or ""))
    return item


async def settled(value: Any) -> Any:
    """``value``, or what it gives if it can be awaited; of a list of tasks, their results in its order.

    If one of them fails the others are cancelled, and its error is raised.
    """
    if isinstance(value, list) and value and all(inspect.isawaitable(item) for item in value):
        tasks = [asyncio.ensure_future(item) for item in value]
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
    return await value if inspect.isawaitable(value) else value
