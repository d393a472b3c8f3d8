"""Python shells in child processes, one for each terminal of a developer: what is typed there never runs in the hub."""

from __future__ import annotations

import asyncio
import fcntl
import json
import logging
import os
import pty
import signal
import struct
import sys
import termios
from contextlib import suppress
from pathlib import Path
from typing import Any

import asyncssh

log = logging.getLogger(__name__)

PROGRAM = ("-m", "hubkernel.ssh.child")
CHUNK = 1 << 16
MAX_UNREAD = 1 << 16
"""Bytes of input that may wait for a child that does not read; then the client has to wait."""
DRAIN = 2.0
"""Seconds for the output of a child that has ended, if a process it left behind keeps its terminal open."""
HANG_UP = 3.0
"""Seconds for a child to end after its terminal hung up."""
LARGEST = 2000
SIGNALS = {name: getattr(signal, f"SIG{name}") for name in ("INT", "QUIT", "TERM", "HUP")}
PASSED_ON = ("LANG", "LC_ALL", "LC_CTYPE", "COLORTERM")
"""Variables that a client may set."""


class Child:
    """A shell process and our end of its terminal. It waits for :meth:`begin` before it becomes somebody's."""

    def __init__(self, process: asyncio.subprocess.Process, master: int, control: int) -> None:
        self.process = process
        self.master = master
        self._control = control

    @classmethod
    async def start(cls, home: Path) -> Child:
        """A new process, which imports what it needs while nobody waits for it yet."""
        master, slave = pty.openpty()
        theirs, ours = os.pipe()
        try:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *PROGRAM,
                str(theirs),
                stdin=slave,
                stdout=slave,
                stderr=slave,
                env={**os.environ, "HUBKERNEL_HOME": str(home), "HUBKERNEL_PLACEMENT": "attach"},
                pass_fds=[theirs],
                start_new_session=True,
            )
        except BaseException:
            os.close(master)
            os.close(ours)
            raise
        finally:
            os.close(slave)
            os.close(theirs)
        os.set_blocking(master, False)
        return cls(process, master, ours)

    @property
    def alive(self) -> bool:
        return self.process.returncode is None

    def begin(self, size: tuple[int, int], orders: dict[str, Any]) -> None:
        """Give it to a user; ``orders`` are what :func:`hubkernel.ssh.child.main` reads. ``size`` is in columns and
        rows. Raises ``OSError`` if the process is gone.
        """
        self.resize(*size)
        control, self._control = self._control, -1
        with os.fdopen(control, "w") as pipe:
            json.dump(orders, pipe)

    def resize(self, width: int, height: int) -> None:
        """The client's terminal has another size, whatever the client may claim."""
        columns, rows = min(width or 80, LARGEST), min(height or 24, LARGEST)
        if self.master >= 0:
            fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def send_signal(self, name: str) -> None:
        """Send a signal to what runs in the foreground of the terminal."""
        if name in SIGNALS and self.master >= 0:
            try:
                os.killpg(os.tcgetpgrp(self.master), SIGNALS[name])
            except OSError as error:
                log.debug("no process to send %s to: %s", name, error)

    def hang_up(self) -> None:
        """What a terminal that is closed does. Safe to call twice."""
        self.close()
        if self.alive:
            self._kill(signal.SIGHUP)

    async def end(self) -> None:
        """Hang up; what does not end then is killed."""
        self.hang_up()
        try:
            await asyncio.wait_for(self.process.wait(), HANG_UP)
        except TimeoutError:
            self._kill(signal.SIGKILL)
            await self.process.wait()

    def close(self) -> None:
        """Give up our ends."""
        for handle in (self.master, self._control):
            if handle >= 0:
                os.close(handle)
        self.master = self._control = -1

    def _kill(self, number: signal.Signals) -> None:
        with suppress(ProcessLookupError):
            os.killpg(self.process.pid, number)


class Children:
    """The shells of one server. Once the first is in use it keeps a spare one, so that the next user need not wait."""

    def __init__(self, home: Path) -> None:
        self._home = home
        self._spare: asyncio.Task[Child] | None = None
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closed = False

    async def take(self) -> Child:
        """The spare shell, or a new one. Raises ``OSError``."""
        while not self._closed:
            starting, self._spare = self._spare or asyncio.create_task(Child.start(self._home)), None
            try:
                child = await asyncio.shield(starting)
            except asyncio.CancelledError:
                starting.add_done_callback(self._discard)
                raise
            if child.alive and not self._closed:
                return child
            self.give_back(child)
        raise ConnectionError("the ssh server is closed")

    def prepare(self) -> None:
        """Start the spare shell, unless it is there. Called when a shell is up, to take no time from it."""
        if self._spare is None and not self._closed:
            self._spare = asyncio.create_task(Child.start(self._home))

    def give_back(self, child: Child) -> None:
        """End a shell whose user is gone."""
        child.hang_up()
        self.watch(asyncio.create_task(child.end()))

    def _discard(self, starting: asyncio.Task[Child]) -> None:
        if not starting.cancelled() and starting.exception() is None:
            self.give_back(starting.result())

    def watch(self, task: asyncio.Task[Any]) -> None:
        """:meth:`close` waits for it."""
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """End all of them and wait for that. Called after all connections were ended."""
        self._closed = True
        if self._spare is not None:
            spare, self._spare = self._spare, None
            await asyncio.wait([spare])
            self._discard(spare)
        while self._tasks:
            await asyncio.wait(self._tasks)


class ChildShell(asyncssh.SSHServerSession[bytes]):
    """A terminal session whose keys go to a child process and whose output comes from there, byte by byte."""

    def __init__(self, children: Children, orders: dict[str, Any]) -> None:
        self._children = children
        self._orders = orders
        self._channel: Any = None
        self._child: Child | None = None
        self._running: asyncio.Task[None] | None = None
        self._unsent = bytearray()
        self._paused = False
        self._hung_up: asyncio.Future[None] | None = None

    def connection_made(self, chan: Any) -> None:
        self._channel = chan
        chan.set_encoding(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_reading()
        if self._running is not None:
            self._running.cancel()

    def shell_requested(self) -> bool:
        return True

    def session_started(self) -> None:
        self._running = asyncio.get_running_loop().create_task(self._run())
        self._children.watch(self._running)

    async def _run(self) -> None:
        try:
            child = await self._children.take()
        except OSError as error:
            self._refuse(error)
            return
        self._child = child
        try:
            child.begin(self._channel.get_terminal_size()[:2], self._begin())
            self._hung_up = asyncio.get_running_loop().create_future()
            self._set_reading(True)
            self._send(b"")
            status = await child.process.wait()
            await self._drain()
            self._exit(status)
        except OSError as error:
            self._refuse(error)
        finally:
            self._stop_reading()
            self._children.give_back(child)

    def _refuse(self, error: OSError) -> None:
        log.error("no shell for an ssh session: %s", error)
        if not self._channel.is_closing():
            self._channel.write(f"The hub cannot start a shell: {error}\r\n".encode())
            self._channel.exit(1)

    def _begin(self) -> dict[str, Any]:
        asked = self._channel.get_environment()
        environment = {name: asked[name] for name in PASSED_ON if name in asked}
        environment["TERM"] = self._channel.get_terminal_type() or "dumb"
        return {**self._orders, "environment": environment}

    async def _drain(self) -> None:
        """All that the child wrote is sent before its exit status is."""
        self._set_reading(True)
        if self._hung_up is not None:
            await asyncio.wait([self._hung_up], timeout=DRAIN)

    def _exit(self, status: int) -> None:
        if self._channel.is_closing():
            return
        if status < 0:
            self._channel.exit_with_signal(signal.Signals(-status).name.removeprefix("SIG"))
        else:
            self._channel.exit(status)

    # ------------------------------------------------------------------------------------ from the child

    def _set_reading(self, reading: bool) -> None:
        loop = asyncio.get_running_loop()
        if self._child is None or self._child.master < 0:
            return
        if reading and self._hung_up is not None and not self._hung_up.done():
            loop.add_reader(self._child.master, self._read)
        else:
            loop.remove_reader(self._child.master)

    def _read(self) -> None:
        if self._child is None:
            return
        try:
            data = os.read(self._child.master, CHUNK)
        except BlockingIOError:
            return
        except OSError:  # that is how Linux says that nobody has the terminal open any more
            data = b""
        if data and not self._channel.is_closing():
            self._channel.write(data)
            self._children.prepare()
        elif not data and self._hung_up is not None and not self._hung_up.done():
            self._hung_up.set_result(None)
            self._set_reading(False)

    def pause_writing(self) -> None:
        self._set_reading(False)

    def resume_writing(self) -> None:
        self._set_reading(True)

    def _stop_reading(self) -> None:
        if self._child is not None and self._child.master >= 0:
            loop = asyncio.get_running_loop()
            loop.remove_reader(self._child.master)
            loop.remove_writer(self._child.master)

    # -------------------------------------------------------------------------------------- to the child

    def data_received(self, data: bytes, datatype: Any) -> None:
        self._send(data)

    def _send(self, data: bytes) -> None:
        self._unsent += data
        master = self._child.master if self._child is not None else -1
        if master >= 0:
            self._write(master)
        full = len(self._unsent) > MAX_UNREAD
        if full != self._paused:
            self._paused = full
            (self._channel.pause_reading if full else self._channel.resume_reading)()

    def _write(self, master: int) -> None:
        try:
            if self._unsent:
                del self._unsent[: os.write(master, self._unsent)]
        except BlockingIOError:
            pass
        except OSError as error:
            log.debug("an ssh session's child takes no more input: %s", error)
            self._unsent.clear()
        if self._unsent:
            asyncio.get_running_loop().add_writer(master, self._send, b"")
        else:
            asyncio.get_running_loop().remove_writer(master)

    def terminal_size_changed(self, width: int, height: int, pixwidth: int, pixheight: int) -> None:
        if self._child is not None:
            self._child.resize(width, height)

    def break_received(self, msec: int) -> bool:
        self.signal_received("INT")
        return True

    def signal_received(self, signal: str) -> None:
        if self._child is not None:
            self._child.send_signal(signal)

    def eof_received(self) -> bool:
        self._send(b"\x04")
        return True
