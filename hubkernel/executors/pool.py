"""What the built-in executors share: a queue of work, and lanes that take from it.

A *lane* is a thread of the hub that runs one piece of work at a time: by itself (:mod:`.thread`) or by following a
worker process (:mod:`.process`). Lanes start when there is work for them and stay until the executor is closed.
"""

from __future__ import annotations

import atexit
import logging
import threading
import weakref
from abc import abstractmethod
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from typing import Any

from hubkernel.executors.base import CancelledWork, Executor, OnLog, OnProgress
from hubkernel.executors.reports import Progress
from hubkernel.executors.wire import presentable

log = logging.getLogger(__name__)


class Work:
    """One submitted piece of work, and the handle that its caller holds (a :class:`.WorkHandle`)."""

    def __init__(
        self,
        pool: PoolExecutor,
        call: tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]],
        on_progress: OnProgress | None,
        on_log: OnLog | None,
    ) -> None:
        self._pool = pool
        self._on_progress, self._on_log = on_progress, on_log
        self._lock = threading.Lock()
        self.function, self.args, self.kwargs = call
        self.payload = b""
        self.cancelled = False
        self.settled = False
        self.worker: int | str | None = None
        self.future: Future[Any] = Future()
        # A waiter that gives up (asyncio.wait_for) must not end the work: only cancel() does.
        self.future.set_running_or_notify_cancel()

    def cancel(self) -> None:
        with self._lock:
            if self.settled or self.cancelled:
                return
            self.cancelled = True
        self._pool._cancel(self)

    def succeed(self, value: Any) -> None:
        if self._settle():
            if self.cancelled:
                self.future.set_exception(CancelledWork("cancelled"))
            else:
                self.future.set_result(value)

    def fail(self, error: BaseException) -> None:
        if self._settle():
            self.future.set_exception(CancelledWork("cancelled") if self.cancelled else presentable(error))

    def _settle(self) -> bool:
        with self._lock:
            first, self.settled = not self.settled, True
        return first

    def report(self, progress: Progress | None, lines: list[str]) -> None:
        """Hand reports to the callbacks; an error in one is the hub's, and does not end the work."""
        try:
            for line in lines:
                if self._on_log is not None:
                    self._on_log(line)
            if progress is not None and self._on_progress is not None:
                self._on_progress(*progress)
        except Exception:
            log.exception("a callback of running work failed")


class Lane:
    """Runs one piece of work at a time, on its own thread."""

    def run(self, work: Work) -> None:
        """Settle ``work``. An exception settles it too."""
        raise NotImplementedError

    def cancel(self, work: Work) -> None:
        """``work``, which may be the one that runs, was cancelled; called by any thread, after the flag is set."""

    def kill(self) -> None:
        """End what runs, by force if there is any; called by any thread."""

    def rest(self) -> None:
        """Give back what an idle lane holds; called by the lane's thread."""


class PoolExecutor(Executor):
    """A queue and up to ``workers`` lanes."""

    def __init__(self, url: str, workers: int, name: str) -> None:
        if workers < 1:
            raise ValueError(f"{url}: workers is {workers}, it must be at least 1")
        self.url, self.workers = url, workers
        self._name = name
        self._changed = threading.Condition()
        self._queue: deque[Work] = deque()
        self._running: dict[Work, Lane] = {}
        self._lanes: dict[Lane, threading.Thread] = {}
        self._trims = 0
        self._closed = False
        self._at_exit = partial(_close_at_exit, weakref.ref(self))
        atexit.register(self._at_exit)

    @abstractmethod
    def _make_lane(self, number: int) -> Lane: ...

    def _prepare(self, work: Work) -> None:
        """Check and pack the work before it is queued; its errors are raised by :meth:`submit`."""

    def submit(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        on_progress: OnProgress | None = None,
        on_log: OnLog | None = None,
        **kwargs: Any,
    ) -> Work:
        work = Work(self, (function, args, kwargs), on_progress, on_log)
        self._prepare(work)
        with self._changed:
            if self._closed:
                raise RuntimeError(f"the executor {self.url} is closed")
            self._queue.append(work)
            busy = len(self._running) + len(self._queue)
            if len(self._lanes) < min(busy, self.workers):
                self._start_lane()
            self._changed.notify()
        return work

    def _start_lane(self) -> None:
        number = len(self._lanes)
        lane = self._make_lane(number)
        thread = threading.Thread(target=self._serve, args=(lane,), name=f"{self._name}-{number}", daemon=True)
        self._lanes[lane] = thread
        thread.start()

    def _serve(self, lane: Lane) -> None:
        while (work := self._next(lane)) is not None:
            try:
                lane.run(work)
            except BaseException as error:
                work.fail(error)
            with self._changed:
                self._running.pop(work, None)
            del work
        lane.rest()

    def _next(self, lane: Lane) -> Work | None:
        """The next work for ``lane``; None once the executor is closed and its queue is empty."""
        with self._changed:
            seen = self._trims
            while not self._queue:
                if self._closed:
                    return None
                self._changed.wait()
                if seen != self._trims and not self._queue:
                    seen = self._trims
                    lane.rest()
            work = self._queue.popleft()
            self._running[work] = lane
            return work

    def _cancel(self, work: Work) -> None:
        with self._changed:
            lane = self._running.get(work)
            if work in self._queue:
                self._queue.remove(work)
        if lane is None:
            work.fail(CancelledWork("cancelled"))
        else:
            lane.cancel(work)

    def trim(self) -> None:
        """Let idle lanes give back their memory."""
        with self._changed:
            self._trims += 1
            self._changed.notify_all()

    def close(self, *, force: bool = False) -> None:
        with self._changed:
            self._closed = True
            queued = list(self._queue) if force else []
            running = dict(self._running) if force else {}
            lanes = dict(self._lanes)
            self._changed.notify_all()
        for work in (*queued, *running):
            work.cancel()
        for lane in running.values():
            lane.kill()
        for thread in lanes.values():
            self._join(thread, force)
        self._release()

    def _join(self, thread: threading.Thread, force: bool) -> None:
        if thread is not threading.current_thread():
            thread.join()

    def _release(self) -> None:
        """Free what the executor itself holds; called last by :meth:`close`, possibly twice."""
        atexit.unregister(self._at_exit)


def _close_at_exit(reference: weakref.ref[PoolExecutor]) -> None:
    executor = reference()
    if executor is not None:
        executor.close(force=True)
