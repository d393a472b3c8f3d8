"""Studio's terminal: one command a line, nothing evaluated, and what it says goes to its own user only."""

from __future__ import annotations

import pprint
from typing import Any

from hubkernel.api import JobHandle
from hubkernel.compat.studio.access import Identity
from hubkernel.compat.studio.base import Context
from hubkernel.compat.studio.errors import RequestError, text_of
from hubkernel.hub.commands import CommandError, ForbiddenError, Role, UnknownCommandError
from hubkernel.hub.syntax import CommandSyntaxError, parse
from hubkernel.jobs.render import timesofar


class Shells:
    """The shells of all users: what each has launched, until it has ended.

    Threading: Studio's loop.
    """

    def __init__(self) -> None:
        self._running: dict[str, dict[int, JobHandle]] = {}

    async def run(self, context: Context, identity: Identity, line: str) -> None:
        """Run a line. What it says, also later, goes to the user's websocket. Raises :class:`RequestError`.

        An empty line shows what still runs.
        """
        if not line.strip():
            for job in self._running.get(identity.name, {}).values():
                context.feed.shell(identity.name, "output", report(job))
            return
        call = self._parse(line)
        context.feed.shell(identity.name, "input", line.strip())
        try:
            value = await context.call(identity, call.name, call.args, call.kwargs)
        except UnknownCommandError:
            raise RequestError(404, f"HTTP 404: No such command: {call.name}") from None
        except ForbiddenError as error:
            raise RequestError(403, str(error)) from None
        except Exception as error:
            reason = str(error) if isinstance(error, CommandError) else text_of(error)
            raise RequestError(400, f"HTTP 400: Error: {reason}") from error
        if isinstance(value, JobHandle):
            self._follow(context, identity.name, value)
        elif value is not None:
            context.feed.shell(identity.name, "output", await context.in_thread(shown, value))

    def _parse(self, line: str) -> Any:
        try:
            return parse(line)
        except CommandSyntaxError:
            raise RequestError(403, f"HTTP 403: Command not allowed: {line.strip()}") from None

    def _follow(self, context: Context, user: str, job: JobHandle) -> None:
        self._running.setdefault(user, {})[job.id] = job
        context.feed.shell(user, "output", report(job))

        def ended() -> None:
            if self._running.get(user, {}).pop(job.id, None) is not None:
                context.feed.shell(user, "output", report(job))

        def changed(job: JobHandle) -> None:
            if job.finished:
                context.feed.from_thread(ended)

        job.on_change(changed)
        changed(job)  # it may have ended before anybody listened


def report(job: JobHandle) -> str:
    """``[2] RUN {1.4s} slow(2)``, ``[2] OK {2.4s} slow(2): finished [None]``, ``[3] ERR {1.5s} boom(1): ...``."""
    record = job.record
    started = record.started or record.created
    lasted = timesofar(started, record.finished)
    if not job.finished:
        return f"[{job.id}] RUN {{{lasted}}} {job.command}"
    results = record.result if isinstance(record.result, list) else [record.result]
    if job.state != "done":
        return f"[{job.id}] ERR {{{lasted}}} {job.command}: finished {[record.error or job.state]} "
    if results and all(isinstance(result, str) for result in results):
        return f"[{job.id}] OK {{{lasted}}} {job.command}: finished \n{''.join(results)} "
    return f"[{job.id}] OK {{{lasted}}} {job.command}: finished {results} "


def shown(value: Any) -> str:
    return value if isinstance(value, str) else pprint.pformat(value, sort_dicts=False, width=100)


LEAST = Role.operator
"""Who may type commands; each of them still needs its own role."""
