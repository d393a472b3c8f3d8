"""The hub over ssh: who gets in, and what they get."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import asyncssh

from hubkernel.hub.commands import Role
from hubkernel.ssh.auth import Failures, Keys, check_password, make_host_key, valid_user, warn_of_legacy
from hubkernel.ssh.children import Children, ChildShell
from hubkernel.ssh.files import UploadFolder, UploadSession
from hubkernel.ssh.prompt import CommandPrompt
from hubkernel.ssh.session import HubSSHServerSession

log = logging.getLogger(__name__)

ATTEMPTS = 3
"""Wrong passwords on one connection, after which passwords are no longer accepted on it."""
KEYS = 10
"""Keys that a client may offer on one connection."""
SESSIONS = 10
"""Sessions at once on one connection."""
STARTING = 50
"""Connections at once of which it is not known yet whose they are."""
LOGIN_TIMEOUT = 60
"""Seconds in which a client has to say who it is."""
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
    FAILURES: Failures | None = None
    """Wrong passwords by address, over all connections; None: not counted."""
    HISTORY: Path | None = None
    """Folder of what users typed at the command prompt; None: not kept."""
    UPLOADS: Callable[[str, Role], UploadFolder] | None = None
    """What scp and sftp of a user of a role see, from operators on; None: neither is accepted."""
    CHILDREN: Children | None = None
    """Python shells for developers; None: they get the command prompt too."""
    HASHING: ThreadPoolExecutor | None = None
    """The threads that check passwords; None: those of the loop."""

    def __init__(self) -> None:
        self._connection: asyncssh.SSHServerConnection | None = None
        self._failures = 0
        self._keys = 0
        self._sessions: list[HubSSHServerSession] = []
        self.authenticated = False

    @property
    def address(self) -> str:
        """Where the client is."""
        peer = self._connection.get_extra_info("peername") if self._connection is not None else None
        return str(peer[0]) if peer else ""

    def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
        """Called by asyncssh when a new connection was accepted."""
        self._connection = connection
        log.info("ssh connection from %s", self.address)

    def connection_lost(self, exc: Exception | None) -> None:
        """Called by asyncssh when the connection is closed; ``exc`` is None after a clean end."""
        if exc is not None:
            log.info("ssh connection from %s ended: %s", self.address, exc)

    def begin_auth(self, username: str) -> bool:
        """Called by asyncssh when a client says who it is, and again when it says it is somebody else. Loads the keys
        of that user as they are now. Everybody has to authenticate, so this is always true.
        """
        if self._connection is not None:
            folder = self.AUTHORIZED_KEYS if valid_user(username) else None
            keys: Any = Keys.read(folder / f"{username}.pub") if folder is not None else None
            self._connection.set_authorized_keys(keys)  # none takes away those of a user named before
        return True

    def auth_completed(self) -> None:
        """Called by asyncssh once the client is who it says it is."""
        self.authenticated = True
        log.info("%s is logged in over ssh from %s, as %s", self.user, self.address, self.role.name)

    def public_key_auth_supported(self) -> bool:
        """Called by asyncssh before each key, also for a user who has none: who asks does not learn who has."""
        return self._keys < KEYS

    def validate_public_key(self, username: str, key: asyncssh.SSHKey) -> bool:
        """Called by asyncssh for a key that is not among those of the user: no. After too many no key is right."""
        self._keys += 1
        if self._keys >= KEYS and self._connection is not None:
            no_keys: Any = None
            self._connection.set_authorized_keys(no_keys)
        return False

    def password_auth_supported(self) -> bool:
        """Called by asyncssh before each password: some user has one, and not too many were wrong."""
        blocked = self.FAILURES is not None and self.FAILURES.blocked(self.address)
        return bool(self.PASSWORDS) and self._failures < ATTEMPTS and not blocked

    def validate_password(self, username: str, password: str) -> bool | Awaitable[bool]:
        """Called by asyncssh with a password. The hash is checked in a thread, so the answer has to be awaited; without
        a running loop it is there at once. May raise ``asyncssh.PasswordChangeRequired`` in a subclass that overrides
        :meth:`change_password`.
        """
        passwords = self.PASSWORDS if valid_user(username) else {}
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            return check_password(passwords, username, password)
        check = loop.run_in_executor(self.HASHING, check_password, passwords, username, password)
        check.add_done_callback(self._count_failure)
        return check

    def _count_failure(self, check: asyncio.Future[bool]) -> None:
        if check.cancelled() or check.exception() is not None or not check.result():
            self._failures += 1
            if self.FAILURES is not None:
                self.FAILURES.add(self.address)

    def change_password(self, username: str, old_password: str, new_password: str) -> bool | Awaitable[bool]:
        """Called by asyncssh when a client wants another password: no, they stand in the hub's settings."""
        self._failures += 1
        return False

    def session_requested(self) -> HubSSHServerSession | bool:
        """Called by asyncssh for each shell or command of the client; refused if the server has no ``SHELL``."""
        self._sessions = [session for session in self._sessions if not session.ended]
        if self.SHELL is None or len(self._sessions) >= SESSIONS:
            return False
        session = HubSSHServerSession(self.NAME, self._shell())
        self._sessions.append(session)
        if isinstance(session.shell, CommandPrompt):
            session.files = self._files
            session.terminal = lambda: self._terminal(session.shell)
        return session

    def _shell(self) -> Any:
        """A prompt of this user's own if ``SHELL`` is a hub."""
        return self.SHELL if hasattr(self.SHELL, "eval") else CommandPrompt(self.SHELL, self.role, self.user)

    def _terminal(self, prompt: CommandPrompt) -> asyncssh.SSHServerSession[Any]:
        """What a shell in a terminal is: Python for developers, the command prompt for others."""
        if self.CHILDREN is not None and self.role == Role.developer:
            return ChildShell(self.CHILDREN, {"name": self.NAME, "user": self.user})
        from hubkernel.ssh.console import Console

        return Console(self.NAME, prompt, self.HISTORY / self.user if self.HISTORY is not None else None)

    def _files(self) -> asyncssh.SSHServerSession[Any] | None:
        uploads = type(self).UPLOADS
        if uploads is None or self.role < Role.operator:
            return None
        return UploadSession(uploads(self.user, self.role))

    @property
    def user(self) -> str:
        """Who the client is."""
        return str(self._connection.get_extra_info("username")) if self._connection is not None else ""

    @property
    def role(self) -> Role:
        """``environment="HUB_ROLE=viewer"`` before a key in the user's file; operator without it. What a client sets
        itself does not count.
        """
        options = self._connection.get_key_option("environment", {}) if self._connection is not None else {}
        name = options.get("HUB_ROLE", "operator") if isinstance(options, dict) else "operator"
        return Role[name] if name in Role.__members__ else Role.viewer


class RunningSSHServer:
    """A listening server. ``port`` is the one it got, where 0 was asked for."""

    def __init__(self, acceptor: asyncssh.SSHAcceptor, kind: type[HubSSHServer]) -> None:
        self._acceptor = acceptor
        self._kind = kind
        self._connections: dict[asyncssh.SSHServerConnection, HubSSHServer] = {}
        self.port: int = acceptor.get_port()

    def add(self, connection: asyncssh.SSHServerConnection, server: HubSSHServer) -> None:
        """Called for each connection, so that it ends with the server. One too many is ended at once."""
        known = self._connections.items()
        self._connections = {other: owner for other, owner in known if not other.is_closed()}
        if sum(not owner.authenticated for owner in self._connections.values()) >= STARTING:
            log.warning("too many ssh connections that do not log in: one from %s is refused", server.address)
            connection.abort()
        self._connections[connection] = server

    def close(self) -> None:
        """Listen no more and end all connections. Call it on the server's loop."""
        self._acceptor.close()
        for connection in self._connections:
            connection.abort()
        if self._kind.HASHING is not None:
            self._kind.HASHING.shutdown(wait=False, cancel_futures=True)

    async def wait_closed(self) -> None:
        """Until all that :meth:`close` ended is gone."""
        for connection in self._connections:
            await connection.wait_closed()
        if self._kind.CHILDREN is not None:
            await self._kind.CHILDREN.close()
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
    attributes = {"NAME": name, "PASSWORDS": dict(passwords), "SHELL": shell}
    return await listen(attributes, keys, host or LOOPBACK, port)


async def listen(attributes: dict[str, Any], keys: Sequence[str], host: str, port: int) -> RunningSSHServer:
    """:func:`start_ssh_server` with any of the class attributes of :class:`HubSSHServer`."""
    for key in keys:
        await asyncio.to_thread(make_host_key, Path(key))
    warn_of_legacy(attributes["PASSWORDS"])
    kind = _of_its_own(Path(keys[0]).parent / "authorized_keys", attributes)
    started: list[RunningSSHServer] = []

    class Server(kind):  # type: ignore[misc, valid-type]
        def connection_made(self, connection: asyncssh.SSHServerConnection) -> None:
            super().connection_made(connection)
            for server in started:
                server.add(connection, self)

    acceptor = await asyncssh.create_server(
        Server,
        host,
        port,
        server_host_keys=list(keys),
        login_timeout=LOGIN_TIMEOUT,
        reuse_address=True,
        errors="replace",
        config=None,
        agent_forwarding=False,
        kbdint_auth=False,  # it cannot ask for a change of password
    )
    started.append(RunningSSHServer(acceptor, Server))
    return started[0]


def _of_its_own(authorized_keys: Path, attributes: dict[str, Any]) -> type[HubSSHServer]:
    """A class for one server alone, so that two in one process share nothing."""
    own = {
        "AUTHORIZED_KEYS": authorized_keys,
        "FAILURES": Failures(),
        "HASHING": ThreadPoolExecutor(1, "ssh-passwords"),
    }
    return type("Server", (HubSSHServer,), {**own, **attributes})
