"""The command prompt in a terminal: line editing, history, completion, progress. It evaluates nothing."""

from __future__ import annotations

import asyncio
import codecs
import itertools
import logging
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, cast

import asyncssh
from prompt_toolkit import PromptSession
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.data_structures import Size
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.input import Input
from prompt_toolkit.input.typeahead import clear_typeahead
from prompt_toolkit.input.vt100_parser import Vt100Parser
from prompt_toolkit.key_binding import KeyPress
from prompt_toolkit.output.vt100 import Vt100_Output

from hubkernel.api import JobHandle
from hubkernel.completion import Candidates
from hubkernel.hub.syntax import command_lines
from hubkernel.ssh.prompt import CommandPrompt, PromptError
from hubkernel.ssh.screen import Progress, job_line, printable
from hubkernel.ssh.session import GOODBYE, LEAVING

log = logging.getLogger(__name__)

MAX_TEXT = 1 << 14
"""Characters of a line, or of a paste, that are kept."""
MAX_KEYS = 4096
"""Keys that may wait; while there are more, nothing more is read."""
KEYS_AT_ONCE = 128
"""Keys handled before others on the hub's loop have their turn."""
MAX_HISTORY = 1 << 20
"""Bytes of a history file; a larger one is cut to its end."""
LARGEST = Size(rows=500, columns=1000)
INTERRUPT = "\x03"


_numbers = itertools.count()


class ChannelInput(Input):
    """Keys from a channel, for prompt_toolkit. Unlike a pipe it never blocks, however much is pasted."""

    def __init__(self, pause: Callable[[bool], None]) -> None:
        self._pause = pause
        self._keys: list[KeyPress] = []
        self._parser = Vt100Parser(self._keys.append)
        self._since_key = 0
        self._hash = f"ssh-{next(_numbers)}"  # never that of another session, whose keys prompt_toolkit may keep
        self._ready: Callable[[], None] | None = None
        self._closed = False
        self._paused = False

    def feed(self, text: str) -> None:
        """More of what the user types."""
        before = len(self._keys)
        self._parser.feed(text)
        self._since_key = 0 if len(self._keys) > before else self._since_key + len(text)
        if self._since_key > MAX_TEXT:  # a paste without an end
            self._parser.reset()
            self._since_key = 0
        self._set_paused(len(self._keys) > MAX_KEYS)
        self._notify()

    def close(self) -> None:
        """Whoever reads is told that this was all."""
        self._closed = True
        clear_typeahead(self)
        self._notify()

    def read_keys(self) -> list[KeyPress]:
        """Some of the keys that wait; the reader is called again for the rest."""
        keys, self._keys[:] = self._keys[:KEYS_AT_ONCE], self._keys[KEYS_AT_ONCE:]
        self._set_paused(len(self._keys) > MAX_KEYS)
        if self._keys:
            asyncio.get_running_loop().call_soon(self._notify)
        return keys

    def flush_keys(self) -> list[KeyPress]:
        """After a while without input: a lone Escape is one."""
        self._parser.flush()
        return self.read_keys()

    def _notify(self) -> None:
        if self._ready is not None and (self._keys or self._closed):
            self._ready()

    def _set_paused(self, paused: bool) -> None:
        if paused != self._paused:
            self._paused = paused
            self._pause(paused)

    @contextmanager
    def attach(self, input_ready_callback: Callable[[], None]) -> Iterator[None]:
        """Called by prompt_toolkit while it reads."""
        previous, self._ready = self._ready, input_ready_callback
        asyncio.get_running_loop().call_soon(self._notify)
        try:
            yield
        finally:
            self._ready = previous

    @contextmanager
    def detach(self) -> Iterator[None]:
        """Called by prompt_toolkit while it does not read."""
        previous, self._ready = self._ready, None
        try:
            yield
        finally:
            self._ready = previous

    @property
    def closed(self) -> bool:
        return self._closed

    def raw_mode(self) -> AbstractContextManager[None]:
        return nullcontext()

    cooked_mode = raw_mode

    def fileno(self) -> int:
        raise NotImplementedError

    def typeahead_hash(self) -> str:
        return self._hash


class Console(asyncssh.SSHServerSession[bytes]):
    """The command prompt of one user's terminal. asyncssh's callbacks come through :class:`HubSSHServerSession`.

    ``history`` is the file of what the user typed before; None keeps it in memory.
    """

    def __init__(self, name: str, prompt: CommandPrompt, history: Path | None = None) -> None:
        self.name = name
        self.prompt = prompt
        self._history = history
        self._channel: Any = None
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._input = ChannelInput(self._pause_reading)
        self._progress = Progress(self._write_progress, lambda: self._size().columns)
        self._conversation: asyncio.Task[None] | None = None
        self._running: asyncio.Task[bool] | None = None
        self._app: Any = None
        self._left: list[JobHandle] = []
        self._interrupted = False
        self._slow = False

    def connection_made(self, chan: Any) -> None:
        self._channel = chan
        chan.set_encoding(None)  # with one, asyncssh would edit the line

    def connection_lost(self, exc: Exception | None) -> None:
        self._input.close()
        if self._conversation is not None:
            self._conversation.cancel()

    def shell_requested(self) -> bool:
        return True

    def session_started(self) -> None:
        self._conversation = asyncio.get_running_loop().create_task(self._talk())

    def data_received(self, data: bytes, datatype: Any) -> None:
        self._typed(self._decoder.decode(data))

    def _typed(self, keys: str) -> None:
        """While a command runs, Ctrl-C stops the waiting for it, and other keys are for the next line."""
        if self._running is not None and INTERRUPT in keys:
            self._interrupt()
            keys = keys.rpartition(INTERRUPT)[2]
        self._input.feed(keys)

    def eof_received(self) -> bool:
        self._input.close()
        return True

    def break_received(self, msec: int) -> bool:
        self._typed(INTERRUPT if self._running is not None else "\r")
        return True

    def signal_received(self, signal: str) -> None:
        if signal == "INT":
            self._typed(INTERRUPT)

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._app is not None and self._app.is_running:
            self._app._on_resize()

    def pause_writing(self) -> None:
        self._slow = True

    def resume_writing(self) -> None:
        self._slow = False

    def _size(self) -> Size:
        """Of the client's terminal, within what can be drawn: a client may claim any."""
        width, height = self._channel.get_terminal_size()[:2]
        return Size(rows=min(height or 24, LARGEST.rows), columns=min(width or 80, LARGEST.columns))

    def _pause_reading(self, paused: bool) -> None:
        (self._channel.pause_reading if paused else self._channel.resume_reading)()

    # ---------------------------------------------------------------------------------------------- talking

    async def _talk(self) -> None:
        try:
            output = Vt100_Output(cast(Any, _Stdout(self.write)), self._size, term=self._term(), enable_cpr=False)
            with create_app_session(input=self._input, output=output):
                await self._lines(self._session(output))
            self.write(GOODBYE)
            status = 0
        except Exception:
            log.exception("the prompt of an ssh session failed")
            self.write("The prompt failed; the hub's log says why.\n")
            status = 1
        if not self._channel.is_closing():
            self._channel.exit(status)

    def _term(self) -> str:
        return str(self._channel.get_terminal_type() or "")

    def _session(self, output: Vt100_Output) -> PromptSession[str]:
        session: PromptSession[str] = PromptSession(
            "hub> ",
            output=output,  # without it prompt_toolkit asks what terminal the hub was started in
            completer=CommandCompleter(self.prompt),
            complete_while_typing=False,
            history=_history(self._history),
        )
        session.app.terminal_size_polling_interval = None
        session.default_buffer.on_text_changed += _cut
        self._app = session.app
        return session

    async def _lines(self, session: PromptSession[str]) -> None:
        user = self._channel.get_extra_info("username")
        self.write(f"\nWelcome to {printable(self.name)}, {user}!\n")
        self.write("help lists the commands, dump? explains one, Tab completes, Ctrl-D leaves.\n\n")
        while True:
            try:
                text = await session.prompt_async(set_exception_handler=False, handle_sigint=False)
            except KeyboardInterrupt:
                await self._offer_to_cancel(session)
                continue
            except EOFError:
                return
            self._tell_of_left(also_running=not text.strip())
            if not await self._do_all(command_lines(text)):
                return

    async def _do_all(self, lines: list[str]) -> bool:
        """Run what was typed or pasted, up to the first that fails. False if the user wants to leave."""
        for number, line in enumerate(lines, 1):
            if line in LEAVING:
                return False
            if not await self._do(line):
                if number < len(lines):
                    self.write(f"{len(lines) - number} more lines were not run\n")
                return True
        return True

    async def _do(self, line: str) -> bool:
        self._interrupted = False
        self._running = asyncio.create_task(self._run(line))
        try:
            return await self._running
        except asyncio.CancelledError:
            if not self._interrupted:
                self._running.cancel()
                raise
            self._stopped_waiting()
            return False
        finally:
            self._running = None

    async def _run(self, line: str) -> bool:
        try:
            self.write(printable(await self.prompt.run(line, self._progress)))
        except PromptError as error:
            self._progress.end()
            self.write(f"{printable(str(error))}\n")
            return False
        return True

    def _interrupt(self) -> None:
        if self._running is not None:
            self._interrupted = True
            self._running.cancel()

    def _stopped_waiting(self) -> None:
        job = self._progress.job
        self._progress.end()
        if job is None:
            self.write("Stopped waiting; the command goes on.\n")
            return
        self._left.append(job)
        if not job.finished:
            self.write(f"Job {job.id} goes on. Ctrl-C again to cancel it, Enter to see how far it is.\n")

    def _tell_of_left(self, *, also_running: bool) -> None:
        """How the jobs ended that nobody waited for, once; and how far the others are, if asked."""
        for job in list(self._left):
            if job.finished:
                self._left.remove(job)
            if job.finished or also_running:
                self.write(f"{job_line(job)}\n")

    async def _offer_to_cancel(self, session: PromptSession[str]) -> None:
        """Ctrl-C at the prompt, after one that stopped the waiting."""
        job = next((job for job in reversed(self._left) if not job.finished), None)
        if job is None:
            return
        question: PromptSession[str] = PromptSession(output=session.app.output, history=InMemoryHistory())
        question.app.terminal_size_polling_interval = None
        self._app = question.app
        try:
            answer = await question.prompt_async(
                f"Cancel job {job.id} {printable(job.command)}? [y/N] ",
                set_exception_handler=False,
                handle_sigint=False,
            )
        except (KeyboardInterrupt, EOFError):
            answer = ""
        self._app = session.app
        if answer.strip().lower() in {"y", "yes"}:
            await self._do(f"cancel({job.id})")

    # ---------------------------------------------------------------------------------------------- output

    def write(self, text: str) -> None:
        """Text for the terminal; its lines end as they do elsewhere."""
        if not self._channel.is_closing():
            self._channel.write(text.replace("\r\n", "\n").replace("\n", "\r\n").encode("utf-8", "replace"))

    def _write_progress(self, text: str) -> None:
        if not self._slow:
            self.write(text)


class _Stdout:
    """What prompt_toolkit draws on."""

    encoding = "utf-8"

    def __init__(self, write: Callable[[str], None]) -> None:
        self.write = write

    def isatty(self) -> bool:
        return True

    def flush(self) -> None:
        pass


class CommandCompleter(Completer):
    """Names of commands, then of sources, builds and arguments, asked for in a thread of the session."""

    def __init__(self, prompt: CommandPrompt) -> None:
        self._prompt = prompt
        self._candidates = Candidates(lambda: prompt.hub)

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """What may stand at the cursor. Asks the hub, so it is called outside of the hub's loop."""
        text = document.text_before_cursor
        word = _word(text)
        for candidate, kind in self._candidates.magic(text):
            if candidate.startswith(word) and (kind != "command" or self._prompt.may(candidate)):
                yield Completion(candidate, -len(word), display_meta=kind)

    async def get_completions_async(
        self, document: Document, complete_event: CompleteEvent
    ) -> AsyncGenerator[Completion, None]:
        """Called by prompt_toolkit for Tab; an error is no completion."""
        try:
            found = await self._prompt.in_thread(lambda: list(self.get_completions(document, complete_event)))
        except Exception as error:
            log.debug("nothing to complete: %s", error)
            found = []
        for completion in found:
            yield completion


def _word(text: str) -> str:
    """The piece of a word before the cursor that is completed."""
    end = len(text)
    while end and (text[end - 1].isalnum() or text[end - 1] in "_-."):
        end -= 1
    return text[end:]


def _cut(buffer: Any) -> None:
    """Called after each change of the line; keeps it within bounds, since drawing it takes the hub's time."""
    if len(buffer.text) > MAX_TEXT:
        buffer.text = buffer.text[:MAX_TEXT]


def _history(file: Path | None) -> History:
    if file is None:
        return InMemoryHistory()
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    file.touch(mode=0o600)
    if file.stat().st_size > MAX_HISTORY:
        kept = file.read_bytes()[-MAX_HISTORY // 2 :]
        file.write_bytes(kept[kept.find(b"\n# ") + 1 :])
    return FileHistory(str(file))
