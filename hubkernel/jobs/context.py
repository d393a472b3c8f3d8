"""What the code of a command sees of the job it runs in.

:func:`current` gives the running job's context wherever that code is, without a parameter in every signature. Called
outside of a job (a test, a script) it gives a context that runs the work in a thread and reports to nobody, so the same
code works both ways.
"""

from __future__ import annotations

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
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


def current() -> JobContext:
    """The context of the job that this code runs in, or one that stands alone."""
    return _current.get() or _Standalone()


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
