"""Where work runs: one interface, chosen by url (``process://?workers=4``, ``thread://``, an entry point for more).

The function is importable by name and its arguments are small (ids, ranges, store urls), never documents. It gets a
:class:`Worker` as its first argument, through which it reports progress and notices that it was cancelled.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any, Protocol


class CancelledWork(Exception):  # noqa: N818 - it is not an error of the work
    """Raised inside a work function by :meth:`Worker.check` (and ``progress``) once its job was cancelled."""


class Worker(Protocol):
    """What a running work function sees of the hub."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Report; cheap enough to call for every batch (the executor thins it out). Raises :class:`CancelledWork`."""

    def log(self, message: str) -> None: ...

    def check(self) -> None:
        """Raises :class:`CancelledWork` if the job was cancelled. Call it at least about once a second."""


OnProgress = Callable[[float, float | None, str], None]
OnLog = Callable[[str], None]


class WorkHandle(Protocol):
    """One piece of running work."""

    future: Future[Any]
    """Result or error; :class:`CancelledWork` if it was cancelled, :class:`WorkerDied` if its worker died."""
    worker: int | str | None
    """Pid of the worker process, or name of the worker thread; None until it runs."""

    def cancel(self) -> None:
        """Ask for the end: raises inside the function at its next ``check``; a process that does not stop within the
        executor's grace period (seconds) is killed. Never disturbs other work.
        """


class WorkerDied(RuntimeError):  # noqa: N818 - named for what happened
    """The worker process ended (killed, out of memory, ``os._exit``) while it ran this work."""


class Executor(ABC):
    """Runs work functions. ``workers`` is how many run at once.

    An executor of another package is an entry point of the group ``hubkernel.executors``: its name is the url's scheme,
    its object a subclass of this.
    """

    url: str
    workers: int

    @classmethod
    @abstractmethod
    def from_url(cls, url: str) -> Executor:
        """Raises ``ValueError`` for an option that is unknown or out of range."""

    @abstractmethod
    def submit(
        self,
        function: Callable[..., Any],
        /,
        *args: Any,
        on_progress: OnProgress | None = None,
        on_log: OnLog | None = None,
        **kwargs: Any,
    ) -> WorkHandle:
        """Start (or queue) ``function(worker, *args, **kwargs)``. Callbacks come from an executor thread."""

    @abstractmethod
    def processes(self) -> list[int]:
        """Pids of the worker processes (empty for threads)."""

    def trim(self) -> None:  # noqa: B027 - most hold nothing
        """Give back the memory that idle workers hold. Called when the hub has too little."""

    @abstractmethod
    def close(self, *, force: bool = False) -> None:
        """Stop taking work; wait for what runs, or end it if ``force``. No process outlives this call."""
