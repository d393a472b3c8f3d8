"""A job while it lives: its code on the hub's loop, its transitions into the journal, its outcome into a future."""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from hubkernel.executors.base import CancelledWork, OnProgress
from hubkernel.executors.logs import line_of
from hubkernel.executors.wire import describe, one_line, presentable
from hubkernel.jobs.admission import Predicate, Ticket
from hubkernel.jobs.context import JobContext, Where, _cause, _current
from hubkernel.jobs.errors import JobCancelled, JobInterrupted
from hubkernel.jobs.masking import redact
from hubkernel.jobs.models import JobRecord, clean, plain
from hubkernel.jobs.state import (
    Cancel,
    Event,
    Fail,
    Instruction,
    Interrupt,
    Journal,
    Publish,
    Settle,
    Start,
    State,
    Stop,
    Stopped,
    Succeed,
    Wait,
    step,
)
from hubkernel.jobs.steps import Step, follow, settled, work

if TYPE_CHECKING:
    from hubkernel.jobs.manager import JobManager

log = logging.getLogger(__name__)

MAX_LINES = 1000
"""Log lines kept of a job, the newest ones."""
PUBLISH_INTERVAL = 0.25
FLUSH_INTERVAL = 5.0
"""Seconds between two writes of progress and log to the journal while the job runs."""
MAX_ERROR = 500
KEPT = ("done", "total", "message", "log")
"""What changes in memory first, and goes into the journal with the next transition."""


class RunningJob(JobContext):
    """Made by the manager; :meth:`main` is its task. Its life changes under a lock, from any thread."""

    id: int

    def __init__(
        self,
        manager: JobManager,
        record: JobRecord,
        call: Callable[[], Any],
        memory: int = 0,
        predicates: tuple[Predicate, ...] = (),
    ) -> None:
        self.id, self.name = record.id, record.name
        self.record = record
        self.future: Future[Any] = Future()
        self.future.set_running_or_notify_cancel()  # who stops waiting must not end the job
        self.ended = threading.Event()
        """Set once the job's code has ended."""
        self.children: set[asyncio.Future[Any]] = set()
        self._manager, self._call = manager, call
        self._memory, self._predicates = memory, predicates
        self._lock = threading.RLock()
        self._life = record.life
        self._task: asyncio.Task[None] | None = None
        self._outcome: Any = None
        self._publishing = False
        self._published = self._flushed = time.monotonic()

    # The life of the job.

    def launch(self) -> None:
        """On the loop, once."""
        self._task = asyncio.get_running_loop().create_task(self._main(), name=f"job-{self.id}")
        self._task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        """A task that was cancelled before its first step never ran :meth:`_main`."""
        self.feed(Stopped(time.time()))
        self.ended.set()

    async def _main(self) -> None:
        _current.set(self)
        _cause.set(None)  # it is this job's cause, not that of the jobs which it starts
        shown = self._show()
        try:
            self.check()
            await self._admitted(shown)
            self.feed(Start(time.time()))
            self.check()
            shown.started = time.time()
            self._outcome = await self._run_code(shown)
            event: Event = Succeed(time.time(), plain(self._outcome))
        except (asyncio.CancelledError, CancelledWork) as error:
            self._outcome = error
            event = Stopped(time.time())
        except BaseException as error:
            self._outcome = presentable(error)
            event = _failure(error)
        finally:
            self._manager.steps.finish(shown)
            for child in self.children:
                child.cancel()
        self.feed(event)

    async def _admitted(self, shown: Step) -> None:
        def waits(reason: str) -> None:
            shown.reason = reason
            self.feed(Wait(time.time(), reason))

        if self._memory or self._predicates:
            ticket = Ticket("", self._memory, self._predicates, waits)
            await self._manager.admission.admit(ticket)
            self._manager.admission.release(ticket)

    def _show(self) -> Step:
        """The job's own row in ``top()``, shown while it has no step there."""
        record = self.record
        shown = Step("", record.name, self.id, record.category, record.source, record.name, record.command)
        shown.thread = threading.current_thread().name
        self._manager.steps.begin(shown)
        return shown

    async def _run_code(self, shown: Step) -> Any:
        if _is_async(self._call):
            return await settled(await self._call())
        shown.thread = f"hubkernel-job-{self.id}"
        future = _in_thread(self._call, shown.thread)
        return await settled(await follow(future, lambda: None, f"job {self.id} ({self.name})"))

    def feed(self, event: Event) -> bool:
        """Let the event happen, from any thread; False if it changed nothing."""
        with self._lock:
            self._life, instructions = step(self._life, event)
            for instruction, then in _grouped(instructions):
                self._obey(instruction, then)
        return bool(instructions)

    def _obey(self, instruction: Instruction, then: list[Instruction]) -> None:
        if isinstance(instruction, Stop):
            self._manager.on_loop(self._stop)
        elif isinstance(instruction, Journal):
            self.record.message = instruction.changes.get("message", self.record.message)
            if "state" in instruction.changes:
                self._log_state(instruction.changes)
            changes = {**self._kept(), **instruction.changes}
            self._manager.journal.update(self.id, changes, partial(self._committed, changes, then))

    def _kept(self) -> dict[str, Any]:
        """What is in memory between two transitions."""
        self._flushed = time.monotonic()
        record = self.record.copy()
        return {name: getattr(record, name) for name in KEPT}

    def _committed(self, changes: dict[str, Any], then: list[Instruction], error: BaseException | None) -> None:
        """By the journal's thread, after the write."""
        with self._lock:
            for name, value in changes.items():
                if name not in KEPT:
                    setattr(self.record, name, value)
            if error is not None:
                self._append(f"the journal could not be written: {one_line(error)}")
        if any(isinstance(instruction, Settle) for instruction in then):
            self._manager.forget(self)
            self._settle()
        if any(isinstance(instruction, Publish) for instruction in then):
            self._manager.publish(self, "update")

    def _log_state(self, changes: Mapping[str, Any]) -> None:
        error, trace = changes.get("error"), changes.get("traceback")
        text = f"{changes['state']}: {error}" if error else str(changes["state"])
        level = "error" if changes["state"] == State.FAILED else "info"
        self._manager.logs.write(self.id, text, level=level, **({"traceback": trace} if trace else {}))

    def _settle(self) -> None:
        """Only ordinary exceptions go into the future: a waiter must never seem to be cancelled itself."""
        state, subject = self.record.state, f"job {self.id} ({self.record.command or self.name})"
        if state == State.DONE:
            self.future.set_result(self._outcome)
        elif state == State.CANCELLED:
            self.future.set_exception(JobCancelled(f"{subject} was cancelled"))
        elif state == State.INTERRUPTED:
            self.future.set_exception(JobInterrupted(f"{subject} was interrupted: {self.record.error}"))
        else:
            self.future.set_exception(self._outcome)

    def _stop(self) -> None:
        if self._task is not None:
            self._task.cancel()

    def cancel(self) -> bool:
        """Ask for the end, from any thread; False if the job has ended."""
        with self._lock:
            return not self._life.ended and self.feed(Cancel(time.time()))

    def interrupt(self, reason: str) -> None:
        """The hub ends: so does the job, at once."""
        self.feed(Interrupt(time.time(), reason))

    # What the job's code sees.

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self.check()
        self.note_progress(done, total, message)

    def note_progress(self, done: float, total: float | None, message: str) -> None:
        with self._lock:
            record = self.record
            record.done, record.message = done, clean(str(message))
            record.total = total if total is not None else record.total
        self._touch()

    def log(self, message: str) -> None:
        self._log_from("job", message)

    def _log_from(self, origin: str, message: str) -> None:
        with self._lock:
            self._append(message, origin)
        self._touch()

    def _append(self, message: str, origin: str = "job") -> None:
        lines = [clean(redact(line)) for line in str(message).splitlines() or [""]]
        self.record.log.extend(lines)
        del self.record.log[:-MAX_LINES]
        self._manager.logs.lines(self.id, lines, origin)

    def log_record(self, record: logging.LogRecord) -> None:
        """What the job's code on the hub's side said through ``logging``: goes to its file, not to its short log."""
        text = clean(line_of(record), 100_000)
        self._manager.logs.write(self.id, text, level=record.levelname.lower(), origin=record.name)

    def check(self) -> None:
        if self._life.cancelling or self._life.state in (State.CANCELLED, State.INTERRUPTED):
            raise CancelledWork(f"job {self.id} was cancelled")

    async def run(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        where: Where = "process",
        memory: int = 0,
        description: str = "",
        on_progress: OnProgress | None = None,
        **kwargs: Any,
    ) -> Any:
        record, name = self.record, describe(function)
        item = Step(
            where, name, self.id, record.category or record.name, record.source, _last(name), description, memory
        )
        relay = Relay(self._manager.loop, on_progress) if on_progress is not None else None
        call = work(function, args, kwargs, relay or self.note_progress, partial(self._log_from, item.step))
        try:
            return await self._manager.steps.run(item, call, self.note_waiting)
        finally:
            if relay is not None:
                relay.flush()

    def note_waiting(self, reason: str) -> None:
        self.note_progress(self.record.done, None, reason)

    # Progress and log, a few times a second.

    def _touch(self) -> None:
        with self._lock:
            if self._publishing or self._life.ended:
                return
            self._publishing = True
        self._manager.on_loop(self._schedule)

    def _schedule(self) -> None:
        delay = self._published + PUBLISH_INTERVAL - time.monotonic()
        self._manager.loop.call_later(max(0.0, delay), self._show_progress)

    def _show_progress(self) -> None:
        with self._lock:
            self._publishing = False
            if self._life.ended:
                return
            self._published = time.monotonic()
            if self._published - self._flushed >= FLUSH_INTERVAL:
                self._manager.journal.update(self.id, self._kept(), lambda _: None)
        self._manager.publish(self, "progress")


class Relay:
    """Calls ``callback`` on the loop with the newest progress, however often it is reported."""

    def __init__(self, loop: asyncio.AbstractEventLoop, callback: OnProgress) -> None:
        self._loop, self._callback = loop, callback
        self._lock = threading.Lock()
        self._latest: tuple[float, float | None, str] | None = None

    def __call__(self, done: float, total: float | None, message: str) -> None:
        with self._lock:
            waiting = self._latest is not None
            self._latest = (done, total, message)
        if not waiting:
            self._loop.call_soon_threadsafe(self.flush)

    def flush(self) -> None:
        with self._lock:
            latest, self._latest = self._latest, None
        if latest is not None:
            self._callback(*latest)


def _grouped(instructions: tuple[Instruction, ...]) -> list[tuple[Instruction, list[Instruction]]]:
    """Each Stop or Journal, with what has to wait for it."""
    groups: list[tuple[Instruction, list[Instruction]]] = []
    for instruction in instructions:
        if isinstance(instruction, (Stop, Journal)):
            groups.append((instruction, []))
        else:
            groups[-1][1].append(instruction)
    return groups


def _failure(error: BaseException) -> Fail:
    text = redact("".join(traceback.format_exception(error)))
    return Fail(time.time(), clean(redact(one_line(error)), MAX_ERROR), clean(text, 100_000))


def _is_async(call: Callable[..., Any]) -> bool:
    function = call.func if isinstance(call, partial) else call
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _in_thread(call: Callable[[], Any], name: str) -> Future[Any]:
    """Run ``call`` in a thread of its own, in this context: a job that waits in it must not take a worker."""
    future: Future[Any] = Future()
    future.set_running_or_notify_cancel()
    context = copy_context()

    def run() -> None:
        try:
            future.set_result(context.run(call))
        except BaseException as error:
            future.set_exception(presentable(error))

    threading.Thread(target=run, name=name, daemon=True).start()
    return future


def _last(name: str) -> str:
    return name.rpartition(".")[2]
