"""Work in worker processes: ``process://?workers=4``, the default executor.

Workers are long-lived processes under our own control, each with its pipe and a lane (a thread of the hub) that follows
it, so that one can be ended without touching the others. A worker that dies takes down its own work only.
"""

from __future__ import annotations

import os
import signal
import threading
from itertools import count
from multiprocessing.connection import wait
from typing import Any

from hubkernel.executors.base import CancelledWork, WorkerDied
from hubkernel.executors.launch import Launcher, WorkerProcess, import_path, launcher
from hubkernel.executors.pool import Lane, PoolExecutor, Work
from hubkernel.executors.url import names, options
from hubkernel.executors.wire import describe, dump_call, load_error, load_result
from hubkernel.executors.worker import Surroundings

PRELOAD = ("hubkernel.store.sqlite", "orjson", "pydantic")
"""What most work imports, by name: a forked worker finds it there already. A module that is missing is left out."""
_STATUS_TIMEOUT = 2.0
TRIES = 3
"""Workers that may die before they take a piece of work, until it fails."""


class ProcessExecutor(PoolExecutor):
    """``workers`` processes at most (default: processors), started as they are needed.

    ``grace``: seconds that cancelled work has to stop by itself before its process is killed. ``preload``: modules
    that workers find imported. ``max_tasks``: a worker is replaced after so many pieces of work (0: never).
    """

    def __init__(
        self,
        *,
        workers: int = 0,
        grace: float = 5.0,
        start: str = "auto",
        preload: tuple[str, ...] = PRELOAD,
        max_tasks: int = 0,
        url: str = "process://",
    ) -> None:
        self.grace, self.max_tasks = grace, max_tasks
        self._launcher = launcher(start, preload)
        super().__init__(url, workers or os.cpu_count() or 1, "hubkernel-process")

    @classmethod
    def from_url(cls, url: str) -> ProcessExecutor:
        """Options: ``workers``, ``grace``, ``start``, ``preload`` (``a,b``), ``max_tasks``."""
        known: dict[str, Any] = {"workers": int, "grace": float, "start": str, "preload": names, "max_tasks": int}
        return cls(url=url, **options(url, **known))

    def _make_lane(self, number: int) -> Lane:
        return _ProcessLane(self, self._launcher)

    def _prepare(self, work: Work) -> None:
        work.payload = dump_call(work.function, work.args, work.kwargs)

    def processes(self) -> list[int]:
        with self._changed:
            return [lane.pid for lane in self._lanes if isinstance(lane, _ProcessLane) and lane.pid is not None]

    def _release(self) -> None:
        self._launcher.close()
        super()._release()


class _ProcessLane(Lane):
    def __init__(self, executor: ProcessExecutor, launcher: Launcher) -> None:
        self._executor, self._launcher = executor, launcher
        self._lock = threading.Lock()
        self._numbers = count(1)
        self._process: WorkerProcess | None = None
        self._tasks = 0
        self._surroundings: Surroundings | None = None
        self._current: tuple[Work, int] | None = None

    @property
    def pid(self) -> int | None:
        process = self._process
        return process.pid if process is not None else None

    def run(self, work: Work) -> None:
        for _ in range(TRIES):
            if work.cancelled:
                raise CancelledWork("cancelled")
            number, process = next(self._numbers), self._living()
            if self._hand_over(process, work, number):
                self._finish(process, work, number)
                return
            self.rest()
        raise WorkerDied(f"{TRIES} worker processes in a row died before they took {describe(work.function)}")

    def _hand_over(self, process: WorkerProcess, work: Work, number: int) -> bool:
        """Send the work; False if the worker died before it took it, so that another can."""
        try:
            self._send(process, work, number)
            return self._next_message(process) is not None
        except OSError:
            return False

    def _finish(self, process: WorkerProcess, work: Work, number: int) -> None:
        try:
            self._follow(process, work)
        finally:
            with self._lock:
                self._current = None
            self._tasks += 1
            if self._tasks == self._executor.max_tasks:
                self.rest()

    def _living(self) -> WorkerProcess:
        if self._process is not None and wait([self._process.connection, *self._process.sentinels()], 0):
            self.rest()
        if self._process is None:
            process = self._launcher.start()
            with self._lock:
                self._process, self._tasks, self._surroundings = process, 0, None
        assert self._process is not None
        return self._process

    def _send(self, process: WorkerProcess, work: Work, number: int) -> None:
        surroundings = (import_path(), dict(os.environ))
        changed = surroundings if surroundings != self._surroundings else None
        with self._lock:
            process.connection.send(("run", number, work.payload, changed))
            self._surroundings = surroundings
            self._current = (work, number)
            work.worker = process.pid
            if work.cancelled:
                self._stop(work, number)

    def _follow(self, process: WorkerProcess, work: Work) -> None:
        """Pass on what the worker says until it has settled the work, or died."""
        while (message := self._next_message(process)) is not None:
            if message[0] == "report":
                work.report(*message[2:])
            elif message[0] == "done":
                work.succeed(load_result(message[2]))
                return
            else:
                work.fail(load_error(*message[2:]))
                return
        self._died(process, work)

    def _next_message(self, process: WorkerProcess) -> tuple[Any, ...] | None:
        """What the worker says next; None once it is dead and has said all."""
        pipe = process.connection
        sources = [pipe, *process.sentinels()]
        try:
            while pipe not in wait(sources):
                if process.wait(0) is None:
                    sources = [pipe]  # who would tell of its end is gone: only the pipe does
                elif not pipe.poll(0):
                    return None  # dead, although a process that it forked holds the pipe
            message: tuple[Any, ...] = pipe.recv()
        except (EOFError, OSError):
            return None
        return message

    def _died(self, process: WorkerProcess, work: Work) -> None:
        pid, status = process.pid, process.wait(_STATUS_TIMEOUT)
        self.rest()
        work.fail(WorkerDied(f"worker process {pid} {_ending(status)} while it ran {describe(work.function)}"))

    def cancel(self, work: Work) -> None:
        with self._lock:
            if self._current is not None and self._current[0] is work:
                self._stop(*self._current)

    def _stop(self, work: Work, number: int) -> None:
        """Tell the worker, and kill it if the work does not end within the grace period. Holds the lock."""
        if self._process is None:
            return
        try:
            self._process.connection.send(("cancel", number))
        except OSError:
            return
        timer = threading.Timer(self._executor.grace, self._kill_if_current, (work,))
        timer.daemon = True
        work.future.add_done_callback(lambda _: timer.cancel())
        timer.start()

    def _kill_if_current(self, work: Work) -> None:
        with self._lock:
            if self._current is not None and self._current[0] is work and self._process is not None:
                self._process.kill()

    def kill(self) -> None:
        with self._lock:
            if self._current is not None and self._process is not None:
                self._process.kill()

    def rest(self) -> None:
        with self._lock:
            process, self._process = self._process, None
            self._current = None
        if process is not None:
            process.close()


def _ending(status: int | None) -> str:
    if status is None:
        return "vanished"
    if status == -signal.SIGKILL:
        return "was killed (SIGKILL: by hand, or by the system because memory ran out)"
    if status < 0:
        return f"was ended by {signal.Signals(-status).name}"
    return f"exited with status {status}"
