"""The terminal in the browser: its page, which speaks the protocol of the hub, and ``PUT shell`` for others. There a
line of commands comes in, and what is shown goes to its own user, as events.

Nothing is evaluated, for nobody: a line is commands with literal arguments, and each runs with its user's role.
"""

from __future__ import annotations

import asyncio
import logging
import pprint
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import FileFindHandler, JupyterHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web

from hubkernel.handles import JobHandle
from hubkernel.hub.actions import command_info
from hubkernel.hub.commands import CommandError
from hubkernel.hub.syntax import CommandSyntaxError
from hubkernel.server_ext.base import HubAccess
from hubkernel.server_ext.rest import RestHandler

log = logging.getLogger(__name__)

STATIC = Path(__file__).with_name("static")
PAGE = Path(__file__).with_name("terminal.html")
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
)


class TerminalHandler(HubAccess, ExtensionHandlerMixin, JupyterHandler):  # type: ignore[misc]
    """The page. It is the same for everybody and everywhere: all that it shows it asks the hub for."""

    @property
    def content_security_policy(self) -> str:
        return POLICY

    def refuse_nobody(self) -> None:
        """A Jupyter server has a page to log in; that of an owner process takes no token that anybody has."""
        if self.app.duty is not None:
            super().refuse_nobody()
        web.authenticated(lambda _handler: None)(self)

    async def get(self) -> None:
        about = await self.run(self.hub.about)
        if "terminal" not in about["features"]:
            raise web.HTTPError(404, "this hub does not have the feature 'terminal'")
        self.xsrf_token  # noqa: B018 - sets the cookie that the page needs where cookies say who asks
        self.set_header("Cache-Control", "no-store")
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.finish(PAGE.read_bytes())

    def reply(self, value: Any, status: int = 200) -> None:
        """Called for errors only: people read this."""
        self.set_status(status)
        self.set_header("Content-Type", "text/plain; charset=utf-8")
        self.finish(f"{value['error']}\n")


class TerminalFiles(FileFindHandler):  # type: ignore[misc]
    """Code and style of the page: for everybody, since a browser that has a token does not send it along here."""

    _static_paths: dict[str, str] = {}  # not shared: other extensions may have files of the same names


class ShellHandler(RestHandler):
    """``PUT shell {"cmd": "status()"}``. Answers once the line was run or became a job; what it shows comes as events
    (entity ``shell``, op ``input`` or ``output``), the end of a job too.
    """

    async def put(self) -> None:
        self.need_feature("terminal")
        line = self.arguments().get("cmd")
        if not isinstance(line, str):
            raise web.HTTPError(400, 'the body is {"cmd": "a line of commands"}')
        if line.strip():
            await self._run_line(line)
        self.finish(b"{}")

    async def _run_line(self, line: str) -> None:
        self._show("input", line)
        try:
            value = await self.run(self.hub.call, "run", line)
        except CommandSyntaxError as error:
            self._show("output", f"{error}\n")
            raise web.HTTPError(403, f"Command not allowed: {line}: {error.message}") from None
        except Exception as error:
            self._show("output", f"{type(error).__name__}: {error}\n")
            if isinstance(error, CommandError):
                raise
            raise web.HTTPError(400, f"Error: {error}") from error
        if isinstance(value, JobHandle):
            self._show("output", f"[{value.id}] RUN {value.command}\n")
            _keep(asyncio.get_running_loop().create_task(self._show_end(value)))
        else:
            self._show("output", _shown(value))

    async def _show_end(self, job: JobHandle) -> None:
        try:
            await job
        except Exception as error:
            log.debug("job %s of a terminal: %s", job.id, error)
        info = command_info(job.record)
        word = "OK" if job.state == "done" else "ERR"
        duration, results = info.get("duration", ""), info.get("results", [])
        self._show("output", f"[{job.id}] {word} {{{duration}}} {job.command}: finished {results}\n")

    def _show(self, kind: str, text: str) -> None:
        """For this user's eyes: the events of other users leave it out."""
        if text:
            self.rest.server.bus.publish("shell", None, kind, {"user": self.caller.user, "text": text})


_running: set[asyncio.Task[None]] = set()


def _keep(task: asyncio.Task[None]) -> None:
    """A loop only knows its tasks weakly."""
    _running.add(task)
    task.add_done_callback(_running.discard)


def _shown(value: Any) -> str:
    if value is None:
        return ""
    text = value if isinstance(value, str) else pprint.pformat(value, sort_dicts=False, width=100)
    return text if text.endswith("\n") or not text else f"{text}\n"
