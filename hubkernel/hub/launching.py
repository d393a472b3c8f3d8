"""The one place where commands begin, whichever door they come from: alone, or several that ``&&`` joins."""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from hubkernel.hub.commands import (
    AlreadyRunningError,
    BadArgumentsError,
    Command,
    CommandError,
    ForbiddenError,
    Role,
    lookup,
)
from hubkernel.hub.syntax import Call, CommandSyntaxError, parse_chain
from hubkernel.jobs.context import current
from hubkernel.jobs.masking import redact

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer
    from hubkernel.jobs.manager import Job


class Origin(NamedTuple):
    """Who calls, and from where."""

    user: str
    door: str
    role: Role


HUB = Origin("", "hub", Role.developer)
"""The hub itself: its schedules, its polls, its hooks."""
NOBODY = Origin("", "", Role.viewer)
"""A door that forgets to say who calls gives no rights away."""

_origin: contextvars.ContextVar[Origin] = contextvars.ContextVar("hubkernel_origin", default=NOBODY)


@contextmanager
def calling(user: str, door: str, role: Role) -> Iterator[None]:
    """Within it, commands that run other commands (``run``) do so for this user, with no more rights than the role."""
    token = _origin.set(Origin(user, door, role))
    try:
        yield
    finally:
        _origin.reset(token)


def origin() -> Origin:
    """Of the command that runs now."""
    return _origin.get()


class Part(NamedTuple):
    """One command of a chain, with its arguments."""

    command: Command
    call: Call
    text: str


class Launcher:
    """Starts commands as jobs. Threading: from any thread."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self._lock = threading.Lock()
        self._running: dict[str, Job] = {}
        """The asynchronous commands that have not ended, by their text."""

    def start(self, command: Command, bound: inspect.BoundArguments, text: str, origin: Origin) -> Job:
        """Start a tracked command as a job.

        Raises :class:`AlreadyRunningError` if it is asynchronous, and one of the same text has not ended.
        """
        given: dict[str, Any] = {
            "args": bound.args, "kwargs": bound.kwargs, "command": text, "source": str(bound.arguments.get("src", "")),
            "door": origin.door, "user": origin.user,
        }  # fmt: skip
        if command.is_async:
            return self._start_alone(command.name, command.function, **given)
        return self.server.jobs.start(command.name, command.function, **given)

    def run(self, text: str, origin: Origin) -> Any:
        """What a line of text asks for: the running :class:`Job` of a command that is tracked and asynchronous or of a
        chain, else the command's value (which may have to be awaited).

        All of it is checked before anything starts. Raises :class:`CommandSyntaxError` and :class:`CommandError`.
        """
        with calling(*origin):
            try:
                value = self._run(parse_chain(text), origin)
            except Exception as error:
                self.server.audit(origin, text, outcome_of(error))
                raise
        self.server.audit(origin, text, "started" if hasattr(value, "future") else "done")
        return value

    def _run(self, calls: Sequence[Call], origin: Origin) -> Any:
        if len(calls) > 1:
            return self._start_chain(self._checked(calls, origin), origin)
        return self._run_one(calls[0], origin)

    def _run_one(self, call: Call, origin: Origin) -> Any:
        command = self._allowed(call, origin)
        bound = command.bind(call.args, call.kwargs)
        if not command.tracked:
            return command.function(*bound.args, **bound.kwargs)
        job = self.start(command, bound, command.text(call.args, call.kwargs), origin)
        return job if command.is_async else job.future.result()

    def check(self, name: str, args: Sequence[Any], kwargs: Mapping[str, Any], origin: Origin) -> None:
        """Whether a command that is to run later may be run by this caller, and would begin. Raises
        :class:`CommandError`, and :class:`CommandSyntaxError` for the text of a ``run``.
        """
        call = Call(name, tuple(args), dict(kwargs))
        bound = self._allowed(call, origin).bind(args, kwargs)
        if name == "run":
            for inner in parse_chain(bound.arguments["text"]):
                self.check(*inner, origin)

    def _allowed(self, call: Call, origin: Origin) -> Command:
        command = lookup(call.name, self.server.commands, self.server.extra_commands)
        if command.role > origin.role:
            raise ForbiddenError(f"{command.name} is for {command.role.name}s; you are {origin.role.name}")
        return command

    def _checked(self, calls: Sequence[Call], origin: Origin) -> list[Part]:
        """Every command of a chain, as far as can be said before it begins."""
        made: set[str] = set()
        parts: list[Part] = []
        for call in calls:
            command = self._allowed(call, origin)
            if not command.tracked and not parts:
                raise BadArgumentsError(f"{command.name} starts nothing that could be waited for: can't chain commands")
            command.bind(call.args, call.kwargs, made=made)
            made |= command.makes
            parts.append(Part(command, call, command.text(call.args, call.kwargs)))
        return parts

    def _start_chain(self, parts: Sequence[Part], origin: Origin) -> Job:
        text = " && ".join(part.text for part in parts)
        return self._start_alone(
            "run", partial(_run_parts, parts), command=text, door=origin.door, user=origin.user, args=(), kwargs={}
        )

    def _start_alone(self, name: str, function: Any, *, command: str, **given: Any) -> Job:
        """Start an asynchronous job unless one of the same text runs."""
        with self._lock:
            self._running = {text: job for text, job in self._running.items() if not job.future.done()}
            if command in self._running:
                raise AlreadyRunningError(
                    f"Command {redact(command)!r} is already running, as job {self._running[command].id}"
                )
            job = self._running[command] = self.server.jobs.start(name, function, command=command, **given)
        return job


async def _run_parts(parts: Sequence[Part]) -> list[Any]:
    """The job of a chain: one part after the other, until one fails. Returns their values."""
    values = []
    for number, part in enumerate(parts, 1):
        current().log(f"{number}/{len(parts)} {part.text}")
        try:
            values.append(await _value(part))
        except BaseException as error:
            for left in parts[number:]:
                current().log(f"not started, since {part.command.name} {_end(error)}: {left.text}")
            raise
    return values


async def _value(part: Part) -> Any:
    """Binds again: what earlier parts were to make has to be there by now."""
    bound = await asyncio.to_thread(part.command.bind, part.call.args, part.call.kwargs)
    function = part.command.function
    if part.command.is_async:
        return await function(*bound.args, **bound.kwargs)
    value = await asyncio.to_thread(function, *bound.args, **bound.kwargs)
    if (future := getattr(value, "future", None)) is not None:  # a job that it started
        return await asyncio.wrap_future(future)
    return await value if inspect.isawaitable(value) else value


def _end(error: BaseException) -> str:
    return "failed" if isinstance(error, Exception) else "was cancelled"


def outcome_of(error: Exception) -> str:
    """An error as the audit log has it."""
    kind = "refused" if isinstance(error, CommandError | CommandSyntaxError) else "failed"
    return f"{kind}: {type(error).__name__}: {str(error).partition(chr(10))[0]}"


def launch(server: HubServer, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """See :meth:`~hubkernel.hub.server.HubServer.launch`."""
    with calling(*HUB):
        return _launch(server, name, args, kwargs)


def _launch(server: HubServer, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    command = lookup(name, server.commands, server.extra_commands)
    bound = command.bind(args, kwargs)
    if command.tracked and command.is_async:
        return server.launcher.start(command, bound, command.text(args, kwargs), HUB)
    if not command.is_async and server.on_loop:
        return asyncio.to_thread(command.function, *bound.args, **bound.kwargs)
    return command.function(*bound.args, **bound.kwargs)
