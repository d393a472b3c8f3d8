"""The one protocol that every door speaks: :class:`HubAPI`, its commands and its jobs.

:class:`LocalHub` speaks it inside the process that owns the hub. A hub in another process is spoken to by another class
with the same methods; :class:`JobHandle` serves both, since all it uses is the protocol.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from hubkernel.hub.commands import Command, Role, lookup
from hubkernel.hub.launching import Origin, calling

if TYPE_CHECKING:
    from hubkernel.hub.events import Event
    from hubkernel.hub.server import HubServer
    from hubkernel.jobs.manager import Job
    from hubkernel.jobs.models import JobRecord

log = logging.getLogger(__name__)

FINAL = frozenset({"done", "failed", "cancelled", "interrupted"})
"""States that a job never leaves."""


class HubClosedError(RuntimeError):
    """The hub was closed while someone still wanted something of it."""


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


@dataclass(frozen=True, slots=True)
class CommandInfo:
    """What a door needs to know of a command."""

    name: str
    signature: inspect.Signature
    doc: str
    tracked: bool
    role: str
    public: bool
    is_async: bool

    @classmethod
    def of(cls, command: Command) -> CommandInfo:
        return cls(
            command.name,
            command.signature,
            command.doc,
            command.tracked,
            command.role.name,
            command.public,
            command.is_async,
        )

    @property
    def summary(self) -> str:
        return self.doc.partition("\n")[0]

    @property
    def parameters(self) -> list[str]:
        """The names that may be given as ``name=``."""
        kinds = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
        return [parameter.name for parameter in self.signature.parameters.values() if parameter.kind in kinds]


class EventStream(Protocol):
    """Events in order, for one reader."""

    def get(self, timeout: float | None = None) -> Event | None:
        """The next one; None after ``timeout`` seconds or once closed."""

    def close(self) -> None: ...


class HubAPI(Protocol):
    """A hub, wherever it runs. Every method may be called from any thread but the hub's own loop."""

    placement: str
    """``embedded``: the hub lives and dies with this process."""

    @property
    def home(self) -> str:
        """The hub's folder, named in every banner."""

    def commands(self) -> dict[str, CommandInfo]: ...

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """The value of a command, or the :class:`JobHandle` of one that is tracked and asynchronous.

        Raises :class:`~hubkernel.hub.commands.CommandError` for a name or arguments that do not fit.
        """

    def jobs(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobHandle]:
        """Newest first."""

    def job(self, id: int, /) -> JobHandle:
        """Raises ``LookupError`` if there is no such job."""

    def cancel(self, id: int, /) -> bool:
        """Ask a job to end; False if there was nothing to cancel."""

    def events(self, since: int | None = None) -> EventStream:
        """What happens from now on, or what happened after event number ``since``."""

    def close(self) -> None: ...


OnChange = Callable[["JobHandle"], None]
"""Called with the job after each change of it, by the thread that heard of it. It must not block."""


class JobHandle:
    """One job of a hub: its state as far as it is known here, and the ways to wait for it.

    ``await job`` works on any loop. Not waiting any more (a timeout, an interrupt, a cancelled task) never ends the
    job; only :meth:`cancel` does.

    Threading: the hub calls :meth:`update` from its own thread; everything else may be called from any.
    """

    def __init__(self, hub: HubAPI, record: JobRecord) -> None:
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
            if self.finished:
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


class LocalHub:
    """The hub of this process.

    Threading: the hub's loop has its own thread (``server.run_in_thread()``); one more thread, ``hub-events``, reads
    the event bus and updates the handles. A synchronous command that is not tracked runs in the thread that calls it.
    """

    placement = "embedded"

    def __init__(self, server: HubServer, *, door: str = "python") -> None:
        self._server = server
        self._door = door
        self._handles: WeakValueDictionary[int, JobHandle] = WeakValueDictionary()
        self._lock = threading.Lock()
        self._closing = False
        self._hearing = threading.Lock()
        self._subscription = server.bus.subscribe()
        self._heard = server.bus.last
        self._listener = threading.Thread(target=self._listen, name="hub-events", daemon=True)
        self._listener.start()

    @property
    def home(self) -> str:
        return str(self._server.home)

    @property
    def server(self) -> HubServer:
        """The hub itself, for code in its own process; doors do without."""
        return self._server

    def commands(self) -> dict[str, CommandInfo]:
        found = {**self._server.extra_commands, **self._server.commands}
        return {name: CommandInfo.of(command) for name, command in found.items() if isinstance(command, Command)}

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        command = lookup(name, self._server.commands, self._server.extra_commands)
        bound = command.bind(args, kwargs)
        if not command.tracked:
            with calling("", self._door, Role.developer):
                return self._value(command.function(*bound.args, **bound.kwargs))
        job, handle = self._start(command, bound, command.text(args, kwargs))
        if command.is_async:
            return handle
        handle.result()
        return job.future.result()

    def jobs(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobHandle]:
        records = self._server.jobs.list(running=running, failed=failed, limit=limit)
        return [self._handle(record) for record in records]

    def job(self, id: int, /) -> JobHandle:
        record = self._server.jobs.get(id)
        if record is None:
            raise LookupError(f"no job {id!r}; jobs() lists them")
        return self._handle(record)

    def cancel(self, id: int, /) -> bool:
        return self._server.jobs.cancel(id)

    def events(self, since: int | None = None) -> EventStream:
        return self._server.bus.subscribe(since)

    def close(self) -> None:
        """End the hub; its unfinished jobs are interrupted. Safe to call twice."""
        with self._hearing:  # from here on nobody asks the jobs, whose state is about to be closed
            self._closing = True
        self._server.shutdown()
        self._subscription.close()
        self._listener.join()
        for event in self._server.bus.since(self._heard):
            self._hear(event)
        for handle in list(self._handles.values()):
            handle.close()

    def _value(self, value: Any) -> Any:
        if hasattr(value, "future"):  # the job of a command that runs others
            return self._handle(value.record)
        if inspect.isawaitable(value):
            return asyncio.run_coroutine_threadsafe(_wait_for(value), self._server.loop).result()
        return value

    def _start(self, command: Command, bound: inspect.BoundArguments, text: str) -> tuple[Job, JobHandle]:
        job = self._server.launcher.start(command, bound, text, Origin("", self._door, Role.developer))
        handle = self._handle(job.record)
        self._refresh(handle)
        return job, handle

    def _handle(self, record: JobRecord) -> JobHandle:
        """One handle a job, so that all who hold it see the same."""
        with self._lock:
            handle = self._handles.get(record.id)
            if handle is None:
                handle = self._handles[record.id] = JobHandle(self, record)
        handle.update(record)
        return handle

    def _listen(self) -> None:
        while (event := self._subscription.get()) is not None:
            self._hear(event)

    def _hear(self, event: Event) -> None:
        with self._hearing:
            self._heard = event.seq
            if event.entity == "bus":
                for handle in list(self._handles.values()):
                    self._refresh(handle)
                return
            known = self._handles.get(event.id) if event.entity == "job" else None
            if known is not None and self._closing:
                known.update(_record(event, known.log))
            elif known is not None:
                self._refresh(known)

    def _refresh(self, handle: JobHandle) -> None:
        record = None if handle.finished or self._closing else self._server.jobs.get(handle.id)
        if record is not None:
            handle.update(record)

    def __repr__(self) -> str:
        return f"<LocalHub {self.home} ({self.placement})>"


def _record(event: Event, log: list[str]) -> JobRecord:
    from hubkernel.jobs.models import JobRecord

    return JobRecord(**{**(event.data or {}), "log": log})


async def _wait_for(value: Any) -> Any:
    return await value
