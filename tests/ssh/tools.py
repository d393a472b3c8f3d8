"""An ssh server on loopback, its clients, and a hub whose commands a test holds up and lets go."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
from argon2 import PasswordHasher

from hubkernel.hub.commands import CommandDefinition, Role
from hubkernel.hub.server import HubServer
from hubkernel.ssh.prompt import PromptError
from hubkernel.ssh.server import LOOPBACK, RunningSSHServer, listen

HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
PASSWORD = "correct horse"
HASH = HASHER.hash(PASSWORD)
SECONDS = 20


class Echo:
    """A shell of the simplest kind."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    async def eval(self, line: str) -> str:
        self.lines.append(line)
        await asyncio.sleep(0)
        if line == "bad":
            raise PromptError("that was bad")
        if line == "worse":
            raise RuntimeError("a bug")
        return f"<{line}>\n" if line else ""


class Commandless:
    """A hub for those who do not ask it anything."""

    def as_(self, **caller: Any) -> Commandless:
        return self


class Held(HubServer):
    """A hub with a job that runs until its gate opens."""

    def configure_commands(self) -> None:
        super().configure_commands()
        self.gate = threading.Event()
        self.commands["slow"] = self.slow
        self.commands["boom"] = self.boom
        self.commands["say"] = CommandDefinition(self.say, tracked=False, role=Role.viewer)
        self.commands["guarded"] = CommandDefinition(self.guarded, role=Role.developer)

    async def slow(self, n: int = 1) -> str:
        """Until the gate opens."""
        while not self.gate.is_set():
            await asyncio.sleep(0.005)
        return f"slow {n} is done"

    async def boom(self, n: int = 1) -> None:
        """Fails."""
        raise ValueError("kaboom")

    def say(self, text: str) -> str:
        """Gives the text back."""
        return text

    def guarded(self) -> str:
        """For developers."""
        return "secret"


@asynccontextmanager
async def serving(tmp_path: Path, shell: Any, name: str = "Test Hub", **more: Any) -> AsyncIterator[RunningSSHServer]:
    """A server; ``more`` are attributes of :class:`~hubkernel.ssh.server.HubSSHServer`."""
    attributes = {"NAME": name, "PASSWORDS": {"guest": HASH}, "SHELL": shell, **more}
    server = await listen(attributes, [str(tmp_path / name / "host_key")], LOOPBACK, 0)
    try:
        yield server
    finally:
        server.close()
        await server.wait_closed()


def login(server: Any, **options: Any) -> Any:
    """Connect with asyncssh's client; by default as the user ``guest`` with the right password."""
    options = {"username": "guest", "password": PASSWORD, "client_keys": None, **options}
    return asyncssh.connect("127.0.0.1", server.port, known_hosts=None, config=None, agent_path=None, **options)


def authorize(tmp_path: Path, user: str, options: str = "", name: str = "Test Hub") -> asyncssh.SSHKey:
    """A new key that opens the door of a user."""
    key = asyncssh.generate_private_key("ssh-ed25519")
    folder = tmp_path / name / "authorized_keys"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{user}.pub").write_text(f"{options}{key.export_public_key().decode()}")
    return key


def with_role(tmp_path: Path, role: str, name: str = "Test Hub") -> dict[str, Any]:
    """What :func:`login` takes to be a user of a role."""
    key = authorize(tmp_path, role, f'environment="HUB_ROLE={role}" ', name)
    return {"username": role, "password": None, "client_keys": [key]}


def run(test: Callable[[], Awaitable[None]]) -> None:
    """Run an asynchronous test, not for ever."""
    asyncio.run(asyncio.wait_for(test(), SECONDS))


async def until(condition: Callable[[], object]) -> None:
    """Until something is so; the test's own timeout ends it otherwise."""
    while not condition():
        await asyncio.sleep(0.01)
