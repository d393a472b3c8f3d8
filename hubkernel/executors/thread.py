"""Work in threads of this process: ``thread://?workers=8``. For waiting (downloads, servers), not for computing."""

from __future__ import annotations

import os
import threading

from hubkernel.executors.base import CancelledWork
from hubkernel.executors.logs import current_worker
from hubkernel.executors.pool import Lane, PoolExecutor, Work
from hubkernel.executors.reports import Outbox, Ticker
from hubkernel.executors.url import options


class ThreadExecutor(PoolExecutor):
    """Threads cannot be ended from outside: cancelled work goes on until it calls ``check`` or ``progress``.

    ``close(force=True)`` waits ``grace`` seconds for such work and then leaves it behind, as a daemon thread.
    """

    def __init__(self, *, workers: int = 0, grace: float = 5.0, url: str = "thread://") -> None:
        self._grace = grace
        self._ticker = Ticker("hubkernel-thread-reports")
        super().__init__(url, workers or os.cpu_count() or 1, "hubkernel-thread")

    @classmethod
    def from_url(cls, url: str) -> ThreadExecutor:
        """``workers`` (default: processors) and ``grace`` (seconds, default 5)."""
        return cls(url=url, **options(url, workers=int, grace=float))

    def _make_lane(self, number: int) -> Lane:
        return _ThreadLane(self._ticker)

    def processes(self) -> list[int]:
        return []

    def _join(self, thread: threading.Thread, force: bool) -> None:
        if thread is not threading.current_thread():
            thread.join(self._grace if force else None)

    def _release(self) -> None:
        self._ticker.close()
        super()._release()


class _ThreadLane(Lane):
    def __init__(self, ticker: Ticker) -> None:
        self._ticker = ticker

    def run(self, work: Work) -> None:
        box = Outbox(self._ticker, work.report)
        work.worker = threading.current_thread().name
        worker = _ThreadWorker(work, box)
        token = current_worker.set(worker)
        try:
            value = work.function(worker, *work.args, **work.kwargs)
        finally:
            current_worker.reset(token)
            box.flush()
        work.succeed(value)


class _ThreadWorker:
    def __init__(self, work: Work, box: Outbox) -> None:
        self._work, self._box = work, box

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self.check()
        self._box.progress(done, total, message)

    def log(self, message: str) -> None:
        self._box.line(message)

    def check(self) -> None:
        if self._work.cancelled:
            raise CancelledWork("cancelled")
