"""The hub over ssh: a prompt for commands, and single commands as ``ssh hub 'dump("x")'``."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Sequence
from pathlib import Path
from typing import Any

import asyncssh

from hubkernel.hub.commands import Role
from hubkernel.ssh.auth import check_password, make_host_key, valid_user
from hubkernel.ssh.prompt import CommandPrompt, PromptError

log = logging.getLogger(__name__)

PROMPT = "hub> "
ATTEMPTS = 3
"""Wrong passwords on one connection, after which passwords are no longer accepted on it."""
LOOPBACK = "127.0.0.1"


class HubSSHServer(asyncssh.SSHServer):
    """One connection of a client. asyncssh makes one for each, and calls the methods below on the loop of the server.

    ``PASSWORDS`` (user to argon2 hash) and ``SHELL`` are class attributes: set them on a subclass.
    ``SHELL`` is a hub (:class:`~hubkernel.api.HubAPI`), or any object with ``eval(line) -> str`` (may be a coroutine).
    """

    PASSWORDS: dict[str, str] = {}
    SHELL: Any = None
    NAME = "BioThings Hub"
    AUTHORIZED_KEYS: Path | None = None
    """Folder of ``<user>.pub`` files, each with the public keys of that user."""

    def __init__(self) -> None:
        self._connection: asyncssh.SSHServerConnection | None = None
        self._failures = 0

    def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
        """Called by asyncssh when a new connection was accepted."""
        self._connection = connection
        log.info("ssh connection from %s", connection.get_extra_info("peername"))

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh when the connection is closed; ``exc`` is None after a clean end."""
        if exc is not None:
            log.info("ssh connection ended: %s", exc)

    def begin_auth(self, username: str) -> bool:
        """Called by asyncssh before anything of a user is checked. Loads the user's public keys. Everybody has to
        authenticate, so this is always true.
        """
        if self.AUTHORIZED_KEYS is not None and self._connection is not None and valid_user(username):
            keys = self.AUTHORIZED_KEYS / f"{username}.pub"
            if keys.is_file():
                self._load_keys(self._connection, keys)
        return True

    def _load_keys(self, connection: asyncssh.SSHServerConnection, keys: Path) -> None:
        try:
            connection.set_authorized_keys(str(keys))
        except (ValueError, OSError) as error:
            log.error("%s cannot be used: %s", keys, error)

    def password_auth_supported(self) -> bool:
        """Called by asyncssh before each password: some user has one, and not too many were wrong."""
        return bool(self.PASSWORDS) and self._failures < ATTEMPTS

    def validate_password(self, username: str, password: str) -> bool | Awaitable[bool]:
        """Called by asyncssh with a password. The hash is checked in a thread, so the answer has to be awaited; without
        a running loop it is there at once.
        """
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return check_password(self.PASSWORDS, username, password)
        check = loop.run_in_executor(None, check_password, self.PASSWORDS, username, password)
        check.add_done_callback(self._count_failure)
        return check

    def _count_failure(self, check: asyncio.Future[bool]) -> None:
        if check.cancelled() or check.exception() is not None or not check.result():
            self._failures += 1

    def session_requested(self) -> HubSSHServerSession | bool:
        """Called by asyncssh for each shell or command of the client; refused if the server has no ``SHELL``."""
        if self.SHELL is None:
            return False
        return HubSSHServerSession(self.NAME, self._shell())

    def _shell(self) -> Any:
        """A prompt of this user's own if ``SHELL`` is a hub."""
        return self.SHELL if hasattr(self.SHELL, "eval") else CommandPrompt(self.SHELL, self._role())

    def _role(self) -> Role:
        """``environment="HUB_ROLE=viewer"`` before a key in the user's file; operator without it."""
        options = self._connection.get_key_option("environment", {}) if self._connection is not None else {}
        name = options.get("HUB_ROLE", "operator") if isinstance(options, dict) else "operator"
        return Role[name] if name in Role.__members__ else Role.viewer


class HubSSHServerSession(asyncssh.SSHServerSession[str]):
    """A prompt, or one command, of a client. asyncssh calls the methods below on the loop of the server.

    Lines are evaluated one after the other, in the order in which they came, by ``shell.eval(line)``.
    """

    def __init__(self, name: str, shell: Any) -> None:
        self.name = name
        self.shell = shell
        self._channel: asyncssh.SSHServerChannel[str] | asyncssh.SSHLineEditorChannel | None = None
        self._command: str | None = None
        self._input = ""
        self._ending = False
        self._work: asyncio.Task[int] | None = None

    def connection_made(self, chan: asyncssh.SSHServerChannel[str]) -> None:
        """Called by asyncssh when the channel is open; ``chan`` is where output goes."""
        self._channel = chan

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh when the channel is gone. What runs on the hub goes on."""
        if self._work is not None:
            self._work.cancel()

    def shell_requested(self) -> bool:
        """Called by asyncssh for ``ssh hub``: yes."""
        return True

    def exec_requested(self, command: str) -> bool:
        """Called by asyncssh for ``ssh hub 'command'``: yes; it runs when the session starts."""
        self._command = command
        return True

    def session_started(self) -> None:
        """Called by asyncssh once the channel may be written to."""
        if self._command is not None:
            self._work = asyncio.get_running_loop().create_task(self._run_command(self._command))
            return
        user = self._channel.get_extra_info("username") if self._channel is not None else ""
        self._write(f"\nWelcome to {self.name}, {user}!\n{PROMPT}")

    def data_received(self, data: str, datatype: Any) -> None:
        """Called by asyncssh with input, in pieces of any size: complete lines are evaluated, the rest is kept."""
        *lines, self._input = (self._input + data.replace("\r\n", "\n")).split("\n")
        if lines:
            self.eval_lines(lines)

    def eval_lines(self, lines: Sequence[str]) -> asyncio.Task[int]:
        """Evaluate lines after all those before; the task gives the number of lines that failed."""
        self._work = asyncio.get_running_loop().create_task(self._after(self._work, list(lines)))
        return self._work

    async def _after(self, before: asyncio.Task[int] | None, lines: list[str]) -> int:
        if before is not None:
            await asyncio.wait([before])
        failed = 0
        for line in lines:
            if line.strip() in ("exit", "quit", "exit()", "quit()"):
                self._leave()
                break
            failed += not await self._eval(line, error_to_stderr=False)
            self._write(PROMPT)
        return failed

    async def _run_command(self, command: str) -> int:
        done = await self._eval(command, error_to_stderr=True)
        self._exit(0 if done else 1)
        return int(not done)

    async def _eval(self, line: str, *, error_to_stderr: bool) -> bool:
        try:
            result = self.shell.eval(line)
            text = await result if inspect.isawaitable(result) else result
        except PromptError as error:
            self._write(f"{error}\n", to_stderr=error_to_stderr)
            return False
        except Exception as error:
            log.exception("a line of an ssh session failed")
            self._write(f"{type(error).__name__}: {error}\n", to_stderr=error_to_stderr)
            return False
        self._write(text or "")
        return True

    def eof_received(self) -> bool:
        """Called by asyncssh at the end of the input: what came before is still evaluated, then the session ends."""
        if self._command is None and not self._ending:
            self._ending = True
            rest, self._input = self._input, ""
            lines = [rest] if rest.strip() else []
            self.eval_lines(lines).add_done_callback(lambda task: self._leave())
        return True

    def soft_eof_received(self) -> None:
        """Called by the line editor for Ctrl-D on an empty line: the session ends."""
        self.eof_received()

    def break_received(self, msec: int) -> bool:
        """Called by asyncssh for a break, and for Ctrl-C in the line editor: forgets what was typed of the line, and
        then is as Enter on an empty one.
        """
        self._input = ""
        if isinstance(self._channel, asyncssh.SSHLineEditorChannel):
            self._channel.clear_input()
        self._write("\n")
        self.eval_lines([""])
        return True

    def _leave(self) -> None:
        self._write("Have a good one...\n")
        self._exit(0)

    def _write(self, text: str, *, to_stderr: bool = False) -> None:
        if text and self._channel is not None and not self._channel.is_closing():
            self._channel.write(text, asyncssh.EXTENDED_DATA_STDERR if to_stderr else None)

    def _exit(self, status: int) -> None:
        if self._channel is not None and not self._channel.is_closing():
            self._channel.exit(status)


class RunningSSHServer:
    """A listening server. ``port`` is the one it got, where 0 was asked for."""

    def __init__(self, acceptor: asyncssh.SSHAcceptor) -> None:
        self._acceptor = acceptor
        self._connections: set[asyncssh.SSHServerConnection] = set()
        self.port: int = acceptor.get_port()

    def add(self, connection: asyncssh.SSHServerConnection) -> None:
        """Called for each connection, so that it ends with the server."""
        self._connections = {known for known in self._connections if not known.is_closed()} | {connection}

    def close(self) -> None:
        """Listen no more and end all connections. Call it on the server's loop."""
        self._acceptor.close()
        for connection in self._connections:
            connection.abort()

    async def wait_closed(self) -> None:
        """Until all that :meth:`close` ended is gone."""
        for connection in self._connections:
            await connection.wait_closed()
        await self._acceptor.wait_closed()


async def start_ssh_server(  # noqa: PLR0917 - the signature is given
    loop: asyncio.AbstractEventLoop,
    name: str,
    passwords: dict[str, str],
    keys: Sequence[str] = ["bin/ssh_host_key"],
    shell: Any = None,
    host: str = "",
    port: int = 8022,
) -> RunningSSHServer:
    """Listen for ssh; returns the running server, to be closed on ``loop``, which is the running one.

    ``passwords`` are argon2 hashes by user. ``keys`` are files of host keys; one that is missing is made. Beside the
    first, ``authorized_keys/<user>.pub`` has the public keys of users. An empty ``host`` is the loopback address.
    ``shell`` is as :attr:`HubSSHServer.SHELL`. Raises ``OSError`` if the port is taken.
    """
    if loop is not asyncio.get_running_loop():
        raise RuntimeError("start_ssh_server has to be awaited on the loop that it is given")
    for key in keys:
        await asyncio.to_thread(make_host_key, Path(key))
    authorized = Path(keys[0]).parent / "authorized_keys"
    started: list[RunningSSHServer] = []

    class Server(HubSSHServer):
        """Of this server alone, so that two in one process share nothing."""

        PASSWORDS = dict(passwords)
        SHELL = shell
        NAME = name
        AUTHORIZED_KEYS = authorized

        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            super().connection_made(connection)
            for server in started:
                server.add(connection)

    acceptor = await asyncssh.create_server(
        Server, host or LOOPBACK, port, server_host_keys=list(keys), login_timeout=60, reuse_address=True
    )
    started.append(RunningSSHServer(acceptor))
    return started[0]
