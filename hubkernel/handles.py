"""A job as a door holds it: what is known of it here, the ways to wait for it, and the errors it ends with."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from hubkernel.jobs.models import JobRecord

log = logging.getLogger(__name__)

FINAL = frozenset({"done", "failed", "cancelled", "interrupted"})
"""States that a job never leaves."""


class HubClosedError(RuntimeError):
    """The hub was closed while someone still wanted something of it."""


class HubStoppingError(HubClosedError):
    """The hub is about to end; what was asked of it has not begun."""


class JobFailedError(RuntimeError):
    """A job did not end well. ``str()`` is one line; ``record`` is its last, with the hub's ``traceback``."""

    def __init__(self, record: JobRecord) -> None:
        self.record = record
        super().__init__(
            f"job {record.id} {record.command or record.name} {record.state}: {record.error or 'no reason'}"
        )

    def _render_traceback_(self) -> list[str]:
        """IPython shows this instead of the traceback of the waiting, which says nothing about the failure."""
        more = f"hub.job({self.record.id}).record.traceback says where" if self.record.traceback else ""
        return [line for line in (f"{type(self).__name__}: {self}", more) if line]


class JobCancelledError(JobFailedError):
    """The job was cancelled, or interrupted by the end of its hub."""

    def __init__(self, record: JobRecord) -> None:
        super().__init__(record)
        self.args = (f"job {record.id} {record.command or record.name} was {record.state}",)


class JobOwner(Protocol):
    """What a handle needs of its hub."""

    @property
    def home(self) -> str: ...

    def cancel(self, id: int, /) -> bool: ...


OnChange = Callable[["JobHandle"], None]
"""Called with the job after each change of it, by the thread that heard of it. It must not block."""


class JobHandle:
    """One job of a hub: its state as far as it is known here, and the ways to wait for it.

    ``await job`` works on any loop. Not waiting any more (a timeout, an interrupt, a cancelled task) never ends the
    job; only :meth:`cancel` does.

    Threading: the hub calls :meth:`update` from its own thread; everything else may be called from any.
    """

    def __init__(self, hub: JobOwner, record: JobRecord) -> None:
        self._hub = hub
        self._record = record
        self._changed = threading.Condition()
        self._listeners: list[OnChange] = []
        self._closed = False

    @property
    def record(self) -> JobRecord:
        return self._record

    @property
    def id(self) -> int:
        return self._record.id

    @property
    def name(self) -> str:
        return self._record.name

    @property
    def command(self) -> str:
        """The call as it was made: ``dump(src='hpo_terms')``."""
        return self._record.command or self._record.name

    @property
    def state(self) -> str:
        return str(self._record.state)

    @property
    def finished(self) -> bool:
        return self.state in FINAL

    @property
    def progress(self) -> float | None:
        """0 to 1, or None while the total is unknown."""
        if self.state == "done":
            return 1.0
        total = self._record.total
        return min(1.0, self._record.done / total) if total else None

    @property
    def message(self) -> str:
        return self._record.message

    @property
    def log(self) -> list[str]:
        return list(self._record.log)

    @property
    def error(self) -> str | None:
        return self._record.error or None

    def cancel(self) -> bool:
        """Ask the job to end; False if it had ended already."""
        return self._hub.cancel(self.id)

    def wait(self, timeout: float | None = None) -> JobHandle:
        """Return once the job has ended, well or not. Raises ``TimeoutError`` after ``timeout`` seconds."""
        with self._changed:
            if not self._changed.wait_for(lambda: self.finished or self._closed, timeout):
                raise TimeoutError(f"job {self.id} {self.command} is still {self.state}; it goes on")
        if not self.finished:
            raise HubClosedError(f"the hub at {self._hub.home} was closed while job {self.id} was {self.state}")
        return self

    def result(self, timeout: float | None = None) -> Any:
        """Wait, then the command's value. Raises :class:`JobFailedError` or :class:`JobCancelledError`."""
        self.wait(timeout)
        if self.state == "done":
            return self._record.result
        raise (JobFailedError if self.state == "failed" else JobCancelledError)(self._record)

    def on_change(self, listener: OnChange) -> Callable[[], None]:
        """Call ``listener(job)`` after each change; returns what ends that."""
        with self._changed:
            self._listeners.append(listener)

        def stop() -> None:
            with self._changed:
                if listener in self._listeners:
                    self._listeners.remove(listener)

        return stop

    def update(self, record: JobRecord) -> None:
        """Called by the hub that made this handle when it knows more. A final state stays."""
        with self._changed:
            if self.finished or record == self._record:
                return
            self._record = record
            self._changed.notify_all()
            listeners = list(self._listeners)
        self._tell(listeners)

    def close(self) -> None:
        """Called by the hub when nothing more will be heard of an unfinished job; ends all waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            listeners = list(self._listeners)
        self._tell(listeners)

    def reopen(self) -> None:
        """Called by the hub when it was found again, so that waiting makes sense once more."""
        with self._changed:
            self._closed = False

    def _tell(self, listeners: list[OnChange]) -> None:
        for listener in listeners:
            try:
                listener(self)
            except Exception:
                log.exception("a listener of job %s failed", self.id)

    def __await__(self) -> Generator[Any, None, Any]:
        ended: Future[None] = Future()

        def settle(job: JobHandle) -> None:
            if (job.finished or job._closed) and ended.set_running_or_notify_cancel():
                stop()
                ended.set_result(None)

        stop = self.on_change(settle)
        if self.finished or self._closed:
            stop()
            return self.result(0)
        yield from asyncio.wrap_future(ended).__await__()
        return self.result(0)

    def __repr__(self) -> str:
        share = self.progress
        how_far = f" {share:.0%}" if share is not None and not self.finished else ""
        return f"<Job {self.id} {self.command} {self.state}{how_far}>"
