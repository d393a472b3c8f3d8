"""The job manager: starts jobs on the hub's loop, keeps their journal, lists and ends them."""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, Literal

from hubkernel.executors import Executor, open_executor
from hubkernel.executors.wire import without_worker
from hubkernel.jobs.admission import Admission, Predicate
from hubkernel.jobs.context import _current, cause
from hubkernel.jobs.journal import Journal as JobJournal
from hubkernel.jobs.logs import JobLogs, NoLogs
from hubkernel.jobs.masking import masked, redact
from hubkernel.jobs.models import JobRecord, plain
from hubkernel.jobs.monitor import Monitor, measure
from hubkernel.jobs.running import RunningJob
from hubkernel.jobs.state import Instruction, Interrupt, Journal, Requeue, step
from hubkernel.jobs.steps import Step, Steps, settled, step_of, work

log = logging.getLogger(__name__)

DEFAULT_EXECUTORS = {"process": "process://", "thread": "thread://?workers=8"}
AUTO_SHARE = 0.6
"""Share of the memory that is available at start which ``max_memory="auto"`` allows."""
STOP_TIMEOUT = 10.0
Emit = Callable[[str, int, str, dict[str, Any]], object]
"""``(entity, id, op, data)``: entity is ``job``; op is ``insert``, ``update`` (a transition) or ``progress``; data is
the record without its log. Called by the thread that made the change, after it is durable."""


class Job:
    """A started job, seen by who started it. Any thread may use it."""

    def __init__(self, running: RunningJob) -> None:
        self._running = running
        self.id = running.id
        self.future = running.future
        """The job's result or error; cancelling the future does nothing. Await it with ``asyncio.wrap_future``."""

    @property
    def record(self) -> JobRecord:
        return self._running.record.copy()

    def cancel(self) -> bool:
        """Ask for the end; False if the job has ended."""
        return self._running.cancel()

    def __repr__(self) -> str:
        record = self._running.record
        return f"<Job {self.id} {record.command or record.name}: {record.state}>"


class JobManager:
    """Jobs of one hub. Its code runs on ``loop``; its methods may be called from any thread unless they are async.

    ``executors``: url by name; ``process`` and ``thread`` are what jobs ask for. ``max_memory``: bytes that the hub and
    its workers may use before new work has to wait; ``"auto"`` is 60% of what is available now; None is no limit.
    ``logs``: where each job's whole log is kept; None keeps only its newest lines, in its record.
    """

    def __init__(
        self,
        state: Any,
        *,
        executors: Mapping[str, str] | None = None,
        emit: Emit | None = None,
        max_memory: int | Literal["auto"] | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        logs: JobLogs | None = None,
    ) -> None:
        self.logs: JobLogs | NoLogs = logs or NoLogs()
        self.journal = JobJournal(state)
        self.owner = f"{os.getpid()}-{uuid.uuid4().hex[:8]}"
        self._emit = emit
        self._loop = loop
        self._lock = threading.Lock()
        self._active: dict[int, RunningJob] = {}
        self._closed = False
        urls = {**DEFAULT_EXECUTORS, **(executors or {})}
        self.executors: dict[str, Executor] = {name: open_executor(url) for name, url in urls.items()}
        if max_memory == "auto":
            max_memory = int(measure().available * AUTO_SHARE)
        slots = {name: executor.workers for name, executor in self.executors.items()}
        self.admission = Admission(slots, max_memory, measure, self._trim)
        self.steps = Steps(self.executors, self.admission)
        self._monitor = Monitor(self.steps, self.admission, self.executors)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            try:
                self._loop = asyncio.get_running_loop()
            except RuntimeError:
                raise RuntimeError("the job manager has no event loop: give it one, or start a job on a loop") from None
        return self._loop

    # Starting and ending.

    def start(
        self,
        name: str,
        function: Callable[..., Any],
        *,
        args: Iterable[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
        command: str = "",
        category: str = "",
        source: str = "",
        door: str = "",
        user: str = "",
        idempotent: bool = False,
        memory: int = 0,
        predicates: Iterable[Predicate] = (),
    ) -> Job:
        """Run ``function(*args, **kwargs)`` as a job; its record is durable when this returns.

        An async function runs on the loop, any other in a thread of its own; both find their job by ``current()``.
        ``idempotent``: it may run again if its hub dies. ``memory`` (bytes) and ``predicates`` are waited for first.
        """
        args, kwargs = tuple(args), dict(kwargs or {})
        at = time.time()
        record = JobRecord(
            id=self.journal.next_id(),
            name=name,
            args=masked([plain(arg) for arg in args]),
            kwargs=masked({key: plain(value) for key, value in kwargs.items()}),
            command=redact(command),
            created=at,
            category=category,
            source=source,
            door=door,
            user=user,
            cause=cause(),
            idempotent=idempotent,
            owner=self.owner,
            story=[["created", at]],
        )
        job = RunningJob(self, record, partial(function, *args, **kwargs), memory, tuple(predicates))
        self._enlist(job)
        try:
            self.journal.insert(record)
        except BaseException:
            self.forget(job)
            raise
        self.publish(job, "insert")
        who: dict[str, Any] = {
            key: value for key, value in (("cause", record.cause), ("door", door), ("user", user)) if value
        }
        self.logs.write(record.id, f"created: {command or name}", **who)
        self.loop.call_soon_threadsafe(job.launch)
        return Job(job)

    def _enlist(self, job: RunningJob) -> None:
        with self._lock:
            if self._closed:
                raise RuntimeError("the job manager is closed: its hub has been stopped")
            _ = self.loop
            self._active[job.id] = job

    def requeue(self, id: int, function: Callable[..., Any], *, args: Any = (), kwargs: Any = None) -> Job:
        """Run an interrupted job again, under its id. Raises :class:`IllegalEventError` unless it is idempotent, and
        ``LookupError`` if there is none.
        """
        record = self.journal.get(id)
        if record is None:
            raise LookupError(f"no job {id!r}")
        step(record.life, Requeue(time.time()))
        record.owner = self.owner
        job = RunningJob(self, record, partial(function, *args, **(kwargs or {})))
        self._enlist(job)
        self.journal.write(id, {"owner": self.owner})
        job.feed(Requeue(time.time()))
        self.loop.call_soon_threadsafe(job.launch)
        return Job(job)

    def cancel(self, id: int) -> bool:
        """Ask a job to end; False if there is none of that id, or it has ended."""
        with self._lock:
            job = self._active.get(id)
        return job is not None and job.cancel()

    def recover(self) -> builtins.list[int]:
        """Mark the jobs that a dead hub left unfinished as ``interrupted``; returns their ids. Those whose record is
        ``idempotent`` may be given to :meth:`requeue`. Call it at start, while the hub's home is locked.
        """
        reason = "its hub ended (stopped, killed or crashed) before the job did"
        stale = self.journal.stale(self.owner)
        for record in stale:
            _, instructions = step(record.life, Interrupt(time.time(), reason))
            changes = _changes(instructions)
            self.journal.write(record.id, changes)
            self.logs.write(record.id, f"interrupted: {reason}", level="error")
            self._send(JobRecord.from_document({**record.to_document(), **changes}), "update")
        return [record.id for record in stale]

    def close(self, force: bool = False) -> None:
        """Take no more jobs; wait for those that run, or with ``force`` interrupt them; end all workers.

        Raises ``RuntimeError`` on the loop's own thread if it would have to wait for jobs there.
        """
        with self._lock:
            self._closed = True
            active = builtins.list(self._active.values())
        reachable = self._loop is not None and self._loop.is_running() and not self._on_loop_thread()
        if active and not force and not reachable:
            raise RuntimeError("close() would wait for jobs on the loop that runs them: use another thread, or force")
        for job in active:
            if force:
                job.interrupt("the hub was stopped")
            else:
                job.ended.wait()
        for executor in self.executors.values():
            executor.close(force=force)
        if reachable:
            deadline = time.monotonic() + STOP_TIMEOUT
            for job in active:
                job.ended.wait(max(0.0, deadline - time.monotonic()))
            self.on_loop(self.admission.close)
        self.journal.close()
        self.logs.close()

    def _on_loop_thread(self) -> bool:
        try:
            return asyncio.get_running_loop() is self._loop
        except RuntimeError:
            return False

    # Looking.

    def get(self, id: int) -> JobRecord | None:
        """The job's record as it is now; it does not change any more."""
        with self._lock:
            job = self._active.get(id)
        return job.record.copy() if job is not None else self.journal.get(id)

    def list(
        self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100
    ) -> builtins.list[JobRecord]:
        """Records, newest first. ``running``: only those that have not ended (or have); ``failed``: that did not end
        well, cancelled and interrupted ones among them (or the others).
        """
        with self._lock:
            active = dict(self._active)
        found = self.journal.newest(running=running, failed=failed, limit=limit)
        return [active[record.id].record.copy() if record.id in active else record for record in found]

    def active(self) -> builtins.list[JobRecord]:
        """Records of the jobs that have not ended, without a look into the journal."""
        with self._lock:
            return [job.record for job in self._active.values()]

    def top(self, action: str = "summary") -> str:
        """A table of the work that runs (``summary``), waits (``pending``) or has ended (``done``)."""
        return self._monitor.top(action)

    def job_info(self) -> dict[str, Any]:
        """Workers, threads, and what they do and use."""
        return self._monitor.job_info()

    def log_of(self, id: int, tail: int = 100) -> builtins.list[dict[str, Any]]:
        """The newest ``tail`` entries of a job's log, oldest first (see :mod:`hubkernel.jobs.logs`). If its file is
        gone, the lines of its record, which have no time. Raises ``LookupError`` if there is no such job.
        """
        found = self.logs.tail(id, tail)
        if found is not None:
            return found
        record = self.get(id)
        if record is None:
            raise LookupError(f"no job {id!r}")
        lines = record.log[-tail:] if tail > 0 else []
        return [{"time": None, "level": "info", "from": "job", "message": line} for line in lines]

    # Work outside of JobContext.run, in BioThings' way.

    async def defer_to_process(
        self, pinfo: Mapping[str, Any] | None, func: Callable[..., Any], *args: Any, **kwargs: Any
    ) -> asyncio.Future[Any]:
        """Run ``func(*args, **kwargs)`` in a worker process; await the future that this returns."""
        return self._defer("process", pinfo, func, args, kwargs)

    async def defer_to_thread(
        self, pinfo: Mapping[str, Any] | None, func: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Run ``func(*args)`` in a worker thread; await the future that this returns."""
        return self._defer("thread", pinfo, func, args, {})

    def _defer(
        self, where: str, pinfo: Mapping[str, Any] | None, func: Callable[..., Any], args: Any, kwargs: Any
    ) -> asyncio.Future[Any]:
        item = step_of(pinfo, func, where)
        item.predicates = tuple(partial(predicate, self) for predicate in (pinfo or {}).get("__predicates__") or ())
        owner = _current.get()
        job = owner if isinstance(owner, RunningJob) else None
        task = self.loop.create_task(self._deferred(item, job, func, args, kwargs))
        if job is not None:
            item.job = job.id
            job.children.add(task)
            task.add_done_callback(job.children.discard)
        return task

    async def _deferred(self, item: Step, job: RunningJob | None, func: Callable[..., Any], args: Any, kw: Any) -> Any:
        report = (job.note_progress, job.log) if job is not None else (None, None)
        call = work(without_worker, (func, *args), kw, *report)
        return await settled(await self.steps.run(item, call, job.note_waiting if job is not None else None))

    # What running jobs need.

    def on_loop(self, function: Callable[[], object]) -> None:
        """Call it soon on the loop; a loop that has ended has nothing to do any more."""
        try:
            self.loop.call_soon_threadsafe(function)
        except RuntimeError:
            log.debug("the loop is closed; %r is not called", function)

    def publish(self, job: RunningJob, op: str) -> None:
        self._send(job.record, op)

    def _send(self, record: JobRecord, op: str) -> None:
        if self._emit is None:
            return
        data = record.to_dict()
        del data["log"]
        try:
            self._emit("job", record.id, op, data)
        except Exception:
            log.exception("job %s: a listener failed", record.id)

    def forget(self, job: RunningJob) -> None:
        """The job has ended and its journal is written."""
        with self._lock:
            self._active.pop(job.id, None)

    def _trim(self) -> None:
        for executor in self.executors.values():
            executor.trim()


def _changes(instructions: Iterable[Instruction]) -> dict[str, Any]:
    return {name: value for item in instructions if isinstance(item, Journal) for name, value in item.changes.items()}
