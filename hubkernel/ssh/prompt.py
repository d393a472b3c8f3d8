"""The hub's command prompt: lines in, text out, nothing evaluated."""

from __future__ import annotations

import asyncio
import inspect
import pprint
from typing import Any

from hubkernel.api import HubAPI
from hubkernel.hub.commands import CommandError, Role, UnknownCommandError
from hubkernel.hub.names import hint
from hubkernel.hub.syntax import Call, CommandSyntaxError, parse_chain


class PromptError(Exception):
    """A line failed; the message is for the one who typed it."""


class CommandPrompt:
    """Runs lines such as ``dump("x")``, ``dump x force=True`` or ``dump("x") && upload("x")`` on a hub, for one user.

    What a line may hold is commands with literal arguments; commands above ``role`` are refused.
    """

    def __init__(self, hub: HubAPI, role: Role = Role.operator) -> None:
        self.hub = hub
        self.role = role

    async def eval(self, line: str) -> str:
        """The text to show for a line. Waits for the jobs that it starts; a chain ends at the first failure.

        Raises :class:`PromptError`.
        """
        if not line.strip():
            return ""
        try:
            calls = [self._allowed(call) for call in parse_chain(line)]
            return "".join([_shown(await self._run(call)) for call in calls])
        except PromptError:
            raise
        except (CommandSyntaxError, CommandError) as error:
            raise PromptError(str(error)) from None
        except Exception as error:
            raise PromptError(f"{type(error).__name__}: {error}") from error

    def _allowed(self, call: Call) -> Call:
        commands = self.hub.commands()
        if call.name not in commands:
            raise UnknownCommandError(f"no command {call.name!r}{hint(call.name, commands)}")
        needed = Role[commands[call.name].role]
        if needed > self.role:
            raise PromptError(f"{call.name} is for {needed.name}s; you are {self.role.name}")
        return call

    async def _run(self, call: Call) -> Any:
        """Calls from a thread, since the hub may be asked from anywhere but its own loop."""
        value = await asyncio.to_thread(self.hub.call, call.name, *call.args, **call.kwargs)
        return await value if inspect.isawaitable(value) else value


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else pprint.pformat(value, sort_dicts=False, width=100)
    return text if text.endswith("\n") or not text else f"{text}\n"
