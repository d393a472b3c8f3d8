"""What the code of a command sees of the job it runs in.

:func:`current` gives the running job's context wherever that code is, without a parameter in every signature. Called
outside of a job (a test, a script) it gives a context that runs the work in a thread and reports to nobody, so the same
code works both ways.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, Literal

from hubkernel.executors.base import OnProgress

Where = Literal["process", "thread"]


class JobContext(ABC):
    """The hub side of a running job. On the hub loop; ``progress``, ``log``, ``check`` work from any thread."""

    id: int | None
    """The job's id; None outside of a job."""
    name: str

    @abstractmethod
    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Show how far the job is. Published as an event at most a few times a second, the last one always."""

    @abstractmethod
    def log(self, message: str) -> None:
        """Append a line to the job's log."""

    @abstractmethod
    def check(self) -> None:
        """Raises :class:`~hubkernel.executors.CancelledWork` once the job was cancelled."""

    @abstractmethod
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
        """Run ``function(worker, *args, **kwargs)`` on an executor and wait for it.

        ``memory`` (bytes) is what admission must find free first. ``on_progress`` replaces the default, which
        is this job's own :meth:`progress`; it is called on the hub loop. Cancelling the job cancels the work.
        """


_current: ContextVar[JobContext | None] = ContextVar("hubkernel_job", default=None)
_cause: ContextVar[Mapping[str, Any] | None] = ContextVar("hubkernel_cause", default=None)


def current() -> JobContext:
    """The context of the job that this code runs in, or one that stands alone."""
    return _current.get() or _Standalone()


@contextmanager
def because(**cause: Any) -> Iterator[None]:
    """Jobs that are started inside have this ``cause`` (see :class:`~hubkernel.jobs.models.JobRecord`)."""
    token = _cause.set({key: value for key, value in cause.items() if value})
    try:
        yield
    finally:
        _cause.reset(token)


def cause() -> dict[str, Any]:
    """The cause of a job that is started here: what :func:`because` says, else the job that this code runs in."""
    if (given := _cause.get()) is not None:
        return dict(given)
    job = _current.get()
    return {"jobs": [job.id]} if job is not None and job.id is not None else {}


class _Standalone(JobContext):
    """No job: work runs in a thread, progress and log go nowhere, nothing is ever cancelled."""

    id = None
    name = ""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        pass

    def log(self, message: str) -> None:
        pass

    def check(self) -> None:
        pass

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
        return await asyncio.to_thread(function, self, *args, **kwargs)
