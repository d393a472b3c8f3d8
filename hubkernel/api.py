"""The one protocol that every door speaks: :class:`HubAPI`, its commands and its jobs.

:class:`LocalHub` speaks it inside the process that owns the hub, :class:`~hubkernel.remote.RemoteHub` to one in another
process. :class:`~hubkernel.handles.JobHandle` serves both, since all it uses is the protocol.
"""

from __future__ import annotations

import asyncio
import getpass
import inspect
import os
import secrets
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol
from weakref import WeakValueDictionary

from hubkernel import __version__
from hubkernel.handles import (
    FINAL,
    HubClosedError,
    JobCancelledError,
    JobFailedError,
    JobHandle,
    OnChange,
)
from hubkernel.hub.commands import Command, ForbiddenError, Role, lookup
from hubkernel.hub.launching import Origin, calling, outcome_of
from hubkernel.owner import PROTOCOL

if TYPE_CHECKING:
    from hubkernel.hub.events import Event
    from hubkernel.hub.server import HubServer
    from hubkernel.jobs.manager import Job
    from hubkernel.jobs.models import JobRecord

__all__ = [
    "FINAL",
    "BoundHub",
    "Caller",
    "CommandInfo",
    "EventStream",
    "ForbiddenError",
    "HubAPI",
    "HubClosedError",
    "JobCancelledError",
    "JobFailedError",
    "JobHandle",
    "LocalHub",
    "OnChange",
]


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls, and through which door (``python notebook cli rest ssh studio``)."""

    user: str
    door: str = "python"
    role: Role = Role.developer

    @classmethod
    def here(cls, door: str = "python") -> Caller:
        """The user of this process, who may do everything."""
        return cls(this_user(), door)

    def need(self, role: Role, what: str) -> None:
        """Raise :class:`ForbiddenError` unless this caller has ``role``."""
        if self.role < role:
            raise ForbiddenError(f"{what} needs the role {role.name}; {self.user} is {self.role.name}")

    def other(self, user: str | None, door: str | None, role: Role | None) -> Caller:
        """Another caller, never with more rights than this one."""
        return Caller(user or self.user, door or self.door, self.role if role is None else min(role, self.role))


def this_user() -> str:
    """The login name of whoever runs this process; a number where there is no name."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return str(os.getuid())


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

    @property
    def last(self) -> int:
        """Number of the newest event there is, read or not."""

    @property
    def ended(self) -> bool:
        """Nothing more will come."""

    def get(self, timeout: float | None = None) -> Event | None:
        """The next one; None after ``timeout`` seconds or once closed."""

    def close(self) -> None: ...


class OwnEvents:
    """A stream without what concerns other users only."""

    def __init__(self, stream: EventStream, user: str) -> None:
        self._stream, self._user = stream, user

    @property
    def last(self) -> int:
        return self._stream.last

    @property
    def ended(self) -> bool:
        return self._stream.ended

    def get(self, timeout: float | None = None) -> Event | None:
        until = None if timeout is None else time.monotonic() + timeout
        while (event := self._stream.get(timeout)) is not None:
            if event.concerns(self._user):
                return event
            timeout = None if until is None else max(0.0, until - time.monotonic())
        return None

    def close(self) -> None:
        self._stream.close()


class HubAPI(Protocol):
    """A hub, wherever it runs. Every method may be called from any thread but the hub's own loop."""

    @property
    def placement(self) -> str:
        """``attach``: in a process of its own; ``host``: in a Jupyter server; ``embedded``: lives and dies with this
        process.
        """

    @property
    def home(self) -> str:
        """The hub's folder, named in every banner."""

    @property
    def epoch(self) -> str:
        """Random text, another one at each start of the hub: numbers of events hold within one."""

    def about(self) -> dict[str, Any]:
        """``name home version protocol placement pid started epoch features``."""

    def commands(self) -> dict[str, CommandInfo]: ...

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """The value of a command, or the :class:`JobHandle` of one that is tracked and asynchronous.

        Raises :class:`~hubkernel.hub.commands.CommandError` for a name or arguments that do not fit, and for a command
        that the caller may not use (:class:`ForbiddenError`).
        """

    def jobs(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobHandle]:
        """Newest first."""

    def job(self, id: int, /) -> JobHandle:
        """Raises ``LookupError`` if there is no such job."""

    def cancel(self, id: int, /) -> bool:
        """Ask a job to end; False if there was nothing to cancel."""

    def events(self, since: int | None = None) -> EventStream:
        """What happens from now on, or what happened after event number ``since``."""

    def as_(self, *, user: str | None = None, door: str | None = None, role: Role | None = None) -> HubAPI:
        """The same hub for another caller, who may do no more than this one."""

    def close(self) -> None: ...


class CallableHub(HubAPI, Protocol):
    """What a hub offers to :class:`BoundHub` besides: calls in someone's name."""

    @property
    def caller(self) -> Caller: ...

    def call_as(self, caller: Caller, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any: ...

    def cancel_as(self, caller: Caller, id: int) -> bool: ...


class BoundHub:
    """A hub as one caller sees it; what their role does not allow is refused. Closing it does nothing: it is a view."""

    def __init__(self, hub: CallableHub, caller: Caller) -> None:
        self._hub = hub
        self.caller = caller

    @property
    def placement(self) -> str:
        return self._hub.placement

    @property
    def home(self) -> str:
        return self._hub.home

    @property
    def epoch(self) -> str:
        return self._hub.epoch

    def about(self) -> dict[str, Any]:
        return self._hub.about()

    def commands(self) -> dict[str, CommandInfo]:
        return self._hub.commands()

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self._hub.call_as(self.caller, name, args, kwargs)

    def jobs(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobHandle]:
        return self._hub.jobs(running=running, failed=failed, limit=limit)

    def job(self, id: int, /) -> JobHandle:
        return self._hub.job(id)

    def cancel(self, id: int, /) -> bool:
        return self._hub.cancel_as(self.caller, id)

    def events(self, since: int | None = None) -> EventStream:
        return OwnEvents(self._hub.events(since), self.caller.user)

    def as_(self, *, user: str | None = None, door: str | None = None, role: Role | None = None) -> BoundHub:
        return BoundHub(self._hub, self.caller.other(user, door, role))

    def close(self) -> None:
        pass

    def __repr__(self) -> str:
        return f"<{self._hub!r} for {self.caller.user}, {self.caller.role.name}>"


class LocalHub:
    """The hub of this process.

    Threading: the hub's loop has its own thread (``server.run_in_thread()``); one more thread, ``hub-events``, reads
    the event bus and updates the handles. A synchronous command that is not tracked runs in the thread that calls it.
    """

    def __init__(self, server: HubServer, *, door: str = "python", placement: str = "embedded") -> None:
        self._server = server
        self.caller = Caller.here(door)
        self.placement = placement
        self.epoch = secrets.token_hex(8)
        self._started = time.time()
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

    def about(self) -> dict[str, Any]:
        return {
            "name": self._server.name,
            "home": self.home,
            "version": __version__,
            "protocol": PROTOCOL,
            "placement": self.placement,
            "pid": os.getpid(),
            "started": self._started,
            "epoch": self.epoch,
            "features": list(self._server.features),
        }

    def commands(self) -> dict[str, CommandInfo]:
        found = {**self._server.extra_commands, **self._server.commands}
        return {name: CommandInfo.of(command) for name, command in found.items() if isinstance(command, Command)}

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self.call_as(self.caller, name, args, kwargs)

    def call_as(self, caller: Caller, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """:meth:`call` in someone's name; the job and the audit log name them."""
        command = lookup(name, self._server.commands, self._server.extra_commands)
        if caller.role < command.role:
            self._audit(caller, command, name, "refused")
        caller.need(command.role, name)
        bound = command.bind(args, kwargs)
        text = command.text(args, kwargs)
        with self._audited(caller, command, text):
            if not command.tracked:
                with calling(*_origin(caller)):
                    return self._value(command.function(*bound.args, **bound.kwargs))
            job, handle = self._start(caller, command, bound, text)
            if command.is_async:
                return handle
            handle.result()
            return job.future.result()

    @contextmanager
    def _audited(self, caller: Caller, command: Command, text: str) -> Iterator[None]:
        try:
            yield
        except Exception as error:
            self._audit(caller, command, text, outcome_of(error))
            raise
        self._audit(caller, command, text, "started" if command.tracked and command.is_async else "done")

    def _audit(self, caller: Caller, command: Command, text: str, outcome: str) -> None:
        """What only reads is not worth a line, unless it was refused."""
        audit = getattr(self._server, "audit", None)
        if audit is not None and (command.role > Role.viewer or outcome == "refused"):
            audit(caller, text, outcome)

    def jobs(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobHandle]:
        records = self._server.jobs.list(running=running, failed=failed, limit=limit)
        return [self._handle(record) for record in records]

    def job(self, id: int, /) -> JobHandle:
        record = self._server.jobs.get(id)
        if record is None:
            raise LookupError(f"no job {id!r}; jobs() lists them")
        return self._handle(record)

    def cancel(self, id: int, /) -> bool:
        return self.cancel_as(self.caller, id)

    def cancel_as(self, caller: Caller, id: int) -> bool:
        """:meth:`cancel` in someone's name, who has to be an operator."""
        audit = getattr(self._server, "audit", None)
        allowed = caller.role >= Role.operator
        if audit is not None:
            audit(caller, f"cancel(id={id})", "done" if allowed else "refused")
        caller.need(Role.operator, "cancel")
        return self._server.jobs.cancel(id)

    def events(self, since: int | None = None) -> EventStream:
        return self._server.bus.subscribe(since)

    def as_(self, *, user: str | None = None, door: str | None = None, role: Role | None = None) -> BoundHub:
        return BoundHub(self, self.caller.other(user, door, role))

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

    def _start(
        self, caller: Caller, command: Command, bound: inspect.BoundArguments, text: str
    ) -> tuple[Job, JobHandle]:
        job = self._server.launcher.start(command, bound, text, _origin(caller))
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


def _origin(caller: Caller) -> Origin:
    return Origin(caller.user, caller.door, caller.role)


async def _wait_for(value: Any) -> Any:
    return await value
