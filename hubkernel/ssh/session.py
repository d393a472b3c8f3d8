"""One session of a client: a prompt that works line by line, one command, or what takes its place in a terminal."""

from __future__ import annotations

import asyncio
import codecs
import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any

import asyncssh

from hubkernel.ssh.prompt import CommandPrompt, PromptError
from hubkernel.ssh.screen import Progress, printable

log = logging.getLogger(__name__)

PROMPT = "hub> "
GOODBYE = "Have a good one...\n"
LEAVING = frozenset({"exit", "quit", "exit()", "quit()"})
DUMB = frozenset({"dumb", "unknown"})
"""Terminals that can only show one character after the other."""
MAX_LINE = 1 << 16
"""Characters of a line; what is longer is refused."""
MAX_WAITING = 1000
"""Lines that may wait; while there are more, nothing more is read."""
INTERRUPTED = 130
"""Exit status of a command whose client stopped waiting."""

SCP = "scp "
"""How the command begins that an old scp, or ``scp -O``, asks for."""

Inner = Callable[[], "asyncssh.SSHServerSession[Any] | None"]


def _none() -> None:
    return None


class HubSSHServerSession(asyncssh.SSHServerSession[str]):
    """A prompt, or one command, of a client. asyncssh calls the methods below on the loop of the server.

    Lines are evaluated one after the other, in the order in which they came, by ``shell.eval(line)``. ``terminal`` and
    ``files`` may give a session that takes over: for a shell in a terminal, and for scp and sftp.
    """

    def __init__(self, name: str, shell: Any) -> None:
        self.name = name
        self.shell = shell
        self.terminal: Inner = _none
        self.files: Inner = _none
        self.ended = False
        self._inner: asyncssh.SSHServerSession[Any] | None = None
        self._channel: asyncssh.SSHServerChannel[str] | asyncssh.SSHLineEditorChannel | None = None
        self._command: str | None = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._input = ""
        self._waiting = 0
        self._ending = False
        self._work: asyncio.Task[int] | None = None
        self._progress: Progress | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        """Called by asyncssh when the channel is open; ``chan`` is where output goes."""
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh when the channel is gone. What runs on the hub goes on."""
        self.ended = True
        if self._inner is not None:
            self._inner.connection_lost(exc)
        if self._work is not None:
            self._work.cancel()
        if isinstance(self.shell, CommandPrompt):
            self.shell.close()

    def shell_requested(self) -> bool:
        """Called by asyncssh for ``ssh hub``: yes. In a terminal that can draw another session may take over."""
        kind = self._channel.get_terminal_type() if self._channel is not None else None
        if kind and kind.lower() not in DUMB:
            self._take_over(self.terminal)
        return True

    def exec_requested(self, command: str) -> bool:
        """Called by asyncssh for ``ssh hub 'command'``: yes; it runs when the session starts."""
        self._command = command
        if command.startswith(SCP):
            self._take_over(self.files)
        return True

    def subsystem_requested(self, subsystem: str) -> bool:
        """Called by asyncssh for ``sftp hub``, and by a new ``scp``: yes for who may upload."""
        return subsystem == "sftp" and self._take_over(self.files)

    def _take_over(self, inner: Inner) -> bool:
        self._inner = inner()
        if self._inner is None or self._channel is None:
            return False
        self._inner.connection_made(self._channel)  # type: ignore[arg-type]
        return True

    def session_started(self) -> None:
        """Called by asyncssh once the channel may be written to."""
        if self._inner is not None:
            self._inner.session_started()
        elif self._command is not None:
            self._work = asyncio.get_running_loop().create_task(self._run_command(self._command))
        else:
            user = self._channel.get_extra_info("username") if self._channel is not None else ""
            self._write(f"\nWelcome to {self.name}, {user}!\n{PROMPT}")

    def data_received(self, data: Any, datatype: Any) -> None:
        """Called by asyncssh with input, in pieces of any size: complete lines are evaluated, the rest is kept. Bytes
        are UTF-8, and a character may come in two pieces.
        """
        if self._inner is not None:
            self._inner.data_received(data, datatype)
            return
        text = self._decoder.decode(data) if isinstance(data, bytes) else data
        *lines, rest = (self._input + text).replace("\r\n", "\n").split("\n")
        self._input = rest[: MAX_LINE + 1]
        if lines and self._command is None and not self._ending:
            self.eval_lines(lines)

    def eval_lines(self, lines: Sequence[str]) -> asyncio.Task[int]:
        """Evaluate lines after all those before; the task gives the number of lines that failed."""
        self._waiting += len(lines)
        if self._waiting > MAX_WAITING and self._channel is not None:
            self._channel.pause_reading()
        self._work = asyncio.get_running_loop().create_task(self._after(self._work, list(lines)))
        return self._work

    async def _after(self, before: asyncio.Task[int] | None, lines: list[str]) -> int:
        if before is not None:
            await asyncio.wait([before])
        failed = 0
        for line in lines:
            if line.strip() in LEAVING:
                self._leave()
                break
            failed += await self._eval(line, error_to_stderr=False) != 0
            self._write(PROMPT)
            self._done_with_one()
        return failed

    def _done_with_one(self) -> None:
        self._waiting -= 1
        if self._waiting == MAX_WAITING and self._channel is not None:
            self._channel.resume_reading()

    async def _run_command(self, command: str) -> int:
        in_terminal = self._in_terminal()
        width = self._width if in_terminal else None
        self._progress = Progress(lambda text: self._write(text, to_stderr=not in_terminal), width)
        try:
            status = await self._eval(command, error_to_stderr=not in_terminal)
        except asyncio.CancelledError:
            self._say_goes_on(to_stderr=not in_terminal)
            status = INTERRUPTED
        self._exit(status)
        return status

    def _say_goes_on(self, *, to_stderr: bool) -> None:
        job = self._progress.job if self._progress is not None else None
        if self._progress is not None:
            self._progress.end()
        if job is not None and not job.finished:
            self._write(f"Stopped waiting; job {job.id} goes on: cancel({job.id}) ends it\n", to_stderr=to_stderr)

    def _width(self) -> int:
        return (self._channel.get_terminal_size()[0] if self._channel is not None else 0) or 80

    async def _eval(self, line: str, *, error_to_stderr: bool) -> int:
        """Show the line's result or error; returns the exit status: 0, 1 if it failed, 2 if it could not be tried."""
        try:
            if len(line) > MAX_LINE:
                raise PromptError(f"a line has at most {MAX_LINE} characters", usage=True)
            if line.startswith(SCP) and line == self._command:
                raise PromptError("files are taken from operators only, by a hub that has the feature dataupload")
            await self._show(line)
        except PromptError as error:
            self._end_progress()
            self._write(f"{error}\n", to_stderr=error_to_stderr)
            return 2 if error.usage else 1
        except Exception as error:
            self._end_progress()
            log.exception("a line of an ssh session failed")
            self._write(f"{type(error).__name__}: {error}\n", to_stderr=error_to_stderr)
            return 1
        return 0

    async def _show(self, line: str) -> None:
        if isinstance(self.shell, CommandPrompt):
            text = await self.shell.run(line, self._progress)
            self._write(printable(text) if self._in_terminal() else text)
            return
        result = self.shell.eval(line)
        self._write((await result if inspect.isawaitable(result) else result) or "")

    def _end_progress(self) -> None:
        if self._progress is not None:
            self._progress.end()

    def _in_terminal(self) -> bool:
        return self._channel is not None and bool(self._channel.get_terminal_type())

    def eof_received(self) -> bool:
        """Called by asyncssh at the end of the input: what came before is still evaluated, then the session ends."""
        if self._inner is not None:
            return bool(self._inner.eof_received())
        if self._command is None and not self._ending:
            self._ending = True
            rest, self._input = self._input, ""
            lines = [rest] if rest.strip() else []
            self.eval_lines(lines).add_done_callback(lambda task: self._leave())
        return True

    def soft_eof_received(self) -> None:
        """Called by the line editor for Ctrl-D on an empty line: the session ends."""
        if self._inner is not None:
            self._inner.soft_eof_received()
        else:
            self.eof_received()

    def break_received(self, msec: int) -> bool:
        """Called by asyncssh for a break, and for Ctrl-C in the line editor: forgets what was typed of the line, and
        then is as Enter on an empty one. A command given to ssh is not waited for any more.
        """
        if self._inner is not None:
            return self._inner.break_received(msec)
        if self._command is not None:
            self._interrupt()
            return True
        self._input = ""
        if isinstance(self._channel, asyncssh.SSHLineEditorChannel) and self._in_terminal():
            self._channel.clear_input()
        self._write("\n")
        self.eval_lines([""])
        return True

    def signal_received(self, signal: str) -> None:
        """Called by asyncssh when the client sends a signal: ``INT`` and ``TERM`` end the waiting for a command."""
        if self._inner is not None:
            self._inner.signal_received(signal)
        elif self._command is not None and signal in {"INT", "TERM", "HUP", "QUIT"}:
            self._interrupt()

    def _interrupt(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        """Called by asyncssh when the client's terminal has another size."""
        if self._inner is not None:
            self._inner.terminal_size_changed(width, height, pixwidth, pixheight)

    def pause_writing(self) -> None:
        """Called by asyncssh when the client does not read what it is sent."""
        if self._inner is not None:
            self._inner.pause_writing()

    def resume_writing(self) -> None:
        """Called by asyncssh when the client reads again."""
        if self._inner is not None:
            self._inner.resume_writing()

    def _leave(self) -> None:
        self._write(GOODBYE)
        self._exit(0)

    def _write(self, text: str, *, to_stderr: bool = False) -> None:
        if text and self._channel is not None and not self._channel.is_closing():
            self._channel.write(text, asyncssh.EXTENDED_DATA_STDERR if to_stderr else None)

    def _exit(self, status: int) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.exit(status)
