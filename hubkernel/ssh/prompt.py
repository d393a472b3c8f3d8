"""The hub's command prompt: lines in, text out, nothing evaluated."""

from __future__ import annotations

import asyncio
import functools
import inspect
import pprint
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from hubkernel.api import HubAPI, JobFailedError, JobHandle
from hubkernel.hub.commands import BadArgumentsError, CommandError, Role, UnknownCommandError, UnknownNameError
from hubkernel.hub.syntax import Call, CommandSyntaxError, parse_chain
from hubkernel.ssh.screen import Progress, job_line

T = TypeVar("T")

USAGE = (CommandSyntaxError, UnknownCommandError, UnknownNameError, BadArgumentsError)
"""What is wrong with the line itself."""
REDRAW = 0.25
"""Seconds between two looks at a job that is waited for."""
THREADS = 4
"""Commands of one session that may keep a thread busy: the one that is waited for, and some that no longer are."""
_HELP = re.compile(r"\s*help\(\s*([A-Za-z_]\w*)\s*\)\s*")


class PromptError(Exception):
    """A line failed; the message is for the one who typed it. ``usage``: it was not even tried."""

    def __init__(self, message: str, *, usage: bool = False) -> None:
        super().__init__(message)
        self.usage = usage


class CommandPrompt:
    """Runs lines such as ``dump("x")``, ``dump x force=True`` or ``dump("x") && upload("x")`` on a hub, for one user.

    What a line may hold is commands with literal arguments; commands above ``role`` are refused. ``dump?`` explains.
    """

    def __init__(self, hub: HubAPI, role: Role = Role.operator, user: str = "") -> None:
        self.hub = hub.as_(user=user or None, door="ssh", role=role)
        self.role = role
        self._threads = ThreadPoolExecutor(THREADS, "ssh-prompt")

    def close(self) -> None:
        """The session is over. What it started goes on."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def eval(self, line: str) -> str:
        """The text to show for a line. Waits for the job that it starts; a chain ends at the first failure.

        Raises :class:`PromptError`.
        """
        return await self.run(line)

    async def run(self, line: str, progress: Progress | None = None) -> str:
        """:meth:`eval` that shows the ``progress`` of the job it waits for."""
        if not line.strip():
            return ""
        try:
            calls = await self.in_thread(parse_chain, _asked(line))
            value = await self._value(calls, line, progress)
            return "".join(map(shown, value)) if len(calls) > 1 else shown(value)
        except JobFailedError as error:
            raise PromptError(job_line(JobHandle(self.hub, error.record))) from None
        except USAGE as error:
            raise PromptError(str(error), usage=True) from None
        except CommandError as error:
            raise PromptError(str(error)) from None
        except Exception as error:
            raise PromptError(f"{type(error).__name__}: {error}") from error

    async def in_thread(self, function: Callable[..., T], *args: Any, **kwargs: Any) -> T:
        """Call from a thread of this session, since the hub may be asked from anywhere but its own loop, and no session
        can keep the threads of others busy.
        """
        call = functools.partial(function, *args, **kwargs)
        return await asyncio.get_running_loop().run_in_executor(self._threads, call)

    def may(self, name: str) -> bool:
        """Whether the user's role is enough for a command."""
        return Role[self.hub.commands()[name].role] <= self.role

    async def _value(self, calls: list[Call], line: str, progress: Progress | None) -> Any:
        name, args, kwargs = calls[0] if len(calls) == 1 else Call("run", (line,))
        value = await self.in_thread(self.hub.call, name, *args, **kwargs)
        if isinstance(value, JobHandle):
            return await _follow(value, progress)
        return await value if inspect.isawaitable(value) else value


async def _follow(job: JobHandle, progress: Progress | None) -> Any:
    """The job's value, once it is there. Not to wait any more leaves the job alone."""
    if progress is None:
        return await job
    waiting = asyncio.ensure_future(_result(job))
    try:
        while not waiting.done():
            progress.draw(job)
            await asyncio.wait([waiting], timeout=REDRAW)
        return waiting.result()
    finally:
        waiting.cancel()
        if job.finished:
            progress.end()


async def _result(job: JobHandle) -> Any:
    return await job


def _asked(line: str) -> str:
    """``help(dump)`` is ``help("dump")``, and ``?`` is ``help()``."""
    if line.strip() == "?":
        return "help()"
    named = _HELP.fullmatch(line)
    return f'help("{named[1]}")' if named else line


def shown(value: Any) -> str:
    """A command's value as text that ends its line; nothing for None."""
    if value is None:
        return ""
    text = value if isinstance(value, str) else pprint.pformat(value, sort_dicts=False, width=100)
    return text if text.endswith("\n") or not text else f"{text}\n"
