"""Who gets in: keys and their options, passwords, and how often one may try."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hubkernel.api import LocalHub
from hubkernel.hub import HubSSHServer, HubSSHServerSession
from hubkernel.hub.commands import Role
from hubkernel.ssh.auth import Failures
from hubkernel.ssh.server import SESSIONS
from tests.ssh.tools import HASH, PASSWORD, Echo, authorize, login, run, serving, until, with_role


class Connection:
    """What of a connection the server's callbacks use."""

    def __init__(self, address: str = "192.0.2.1") -> None:
        self.keys: Any = "never set"
        self.address = address

    def set_authorized_keys(self, keys: Any) -> None:
        self.keys = keys

    def get_extra_info(self, name: str) -> Any:
        return (self.address, 4711) if name == "peername" else "guest"

    def get_key_option(self, name: str, default: Any) -> Any:
        return default


def own(**attributes: Any) -> HubSSHServer:
    """A server callback object that is connected."""
    server: HubSSHServer = type("Own", (HubSSHServer,), attributes)()
    server.connection_made(Connection())  # type: ignore[arg-type]
    return server


def test_who_says_to_be_another_has_no_keys_of_the_first(tmp_path: Path) -> None:
    authorize(tmp_path, "alice")
    server = own(AUTHORIZED_KEYS=tmp_path / "Test Hub" / "authorized_keys")
    assert server.begin_auth("alice") is True
    assert isinstance(server._connection.keys, asyncssh.SSHAuthorizedKeys)  # type: ignore[union-attr]
    assert server.begin_auth("bob") is True
    assert server._connection.keys is None  # type: ignore[union-attr]


def test_each_callback_of_a_server_by_itself() -> None:
    server = own(PASSWORDS={"guest": HASH}, SHELL=Echo())
    assert server.address == "192.0.2.1"
    assert server.public_key_auth_supported() is True
    assert server.validate_public_key("guest", asyncssh.generate_private_key("ssh-ed25519")) is False
    assert server.password_auth_supported() is True
    assert server.change_password("guest", PASSWORD, "new") is False
    assert server.authenticated is False
    server.auth_completed()
    assert server.authenticated is True
    assert isinstance(server.session_requested(), HubSSHServerSession)
    server.connection_lost(None)
    server.connection_lost(OSError("gone"))


def test_wrong_passwords_are_counted_by_address_and_forgotten_in_time() -> None:
    now = [0.0]
    failures = Failures(limit=2, seconds=60, clock=lambda: now[0])
    assert not failures.blocked("a")
    failures.add("a")
    failures.add("b")
    assert not failures.blocked("a")
    now[0] = 50
    failures.add("a")
    assert failures.blocked("a")
    assert not failures.blocked("b")
    now[0] = 60
    assert not failures.blocked("a")


def test_the_addresses_that_are_remembered_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkernel.ssh.auth.ADDRESSES", 3)
    failures = Failures(limit=1)
    for address in "abcd":
        failures.add(address)
    assert [address for address in "abcd" if failures.blocked(address)] == ["b", "c", "d"]


def test_an_address_that_guesses_passwords_is_refused_those_but_not_keys(tmp_path: Path) -> None:
    async def test() -> None:
        key = authorize(tmp_path, "guest")
        async with serving(tmp_path, Echo(), FAILURES=Failures(limit=2)) as server:
            for password in ("wrong", "worse", PASSWORD):
                with pytest.raises(asyncssh.PermissionDenied):
                    await login(server, password=password)
            async with login(server, client_keys=[key]) as connection:
                assert (await connection.run("x")).stdout == "<x>\n"

    run(test)


def test_a_connection_may_offer_some_keys_only(tmp_path: Path) -> None:
    async def test() -> None:
        right = authorize(tmp_path, "alice")
        wrong = [asyncssh.generate_private_key("ssh-ed25519") for _ in range(10)]
        async with serving(tmp_path, Echo()) as server:
            async with login(server, username="alice", password=None, client_keys=[*wrong[:9], right]) as connection:
                assert (await connection.run("x")).exit_status == 0
            with pytest.raises(asyncssh.PermissionDenied):
                await login(server, username="alice", password=None, client_keys=[*wrong, right])

    run(test)


def test_a_key_that_is_taken_away_opens_nothing_from_the_next_connection_on(tmp_path: Path) -> None:
    async def test() -> None:
        who = with_role(tmp_path, "viewer")
        async with serving(tmp_path, Echo()) as server:
            async with login(server, **who):
                (tmp_path / "Test Hub" / "authorized_keys" / "viewer.pub").unlink()
            with pytest.raises(asyncssh.PermissionDenied):
                await login(server, **who)

    run(test)


class Shown(asyncssh.public_key.SSHKeyPair):
    """A key of which only the public half is known."""

    def __init__(self, key: asyncssh.SSHKey) -> None:
        names = (key.algorithm, key.algorithm, (key.algorithm,), (key.algorithm,))
        super().__init__(*names, key.public_data, b"")

    async def sign_async(self, data: bytes) -> bytes:
        return self.sign(data)

    def sign(self, data: bytes) -> bytes:
        return asyncssh.packet.String(self.sig_algorithm) + asyncssh.packet.String(bytes(64))


def test_a_key_that_is_only_shown_gives_no_role(tmp_path: Path) -> None:
    roles: list[Role] = []

    def watching(self: HubSSHServer) -> Any:
        roles.append(self.role)
        return HubSSHServer.session_requested(self)

    async def test() -> None:
        key = authorize(tmp_path, "guest", 'environment="HUB_ROLE=developer" ')
        options = {"username": "guest", "known_hosts": None, "config": None, "agent_path": None}
        async with serving(tmp_path, Echo(), session_requested=watching) as server:
            shown = asyncssh.connect("127.0.0.1", server.port, client_keys=[Shown(key)], password=PASSWORD, **options)
            async with shown as connection:
                await connection.run("x")
            async with login(server, client_keys=[key]) as connection:
                await connection.run("x")

    run(test)
    assert roles == [Role.operator, Role.developer]


ROLES = {
    "": "operator",
    'environment="HUB_ROLE=viewer" ': "viewer",
    'environment="HUB_ROLE=developer" ': "developer",
    'environment="HUB_ROLE=root" ': "viewer",
    'environment="HUB_ROLE=" ': "viewer",
}


def test_roles_of_keys(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with serving(tmp_path, hub) as server:
            for options, role in ROLES.items():
                key = authorize(tmp_path, "alice", options)
                async with login(server, username="alice", password=None, client_keys=[key]) as connection:
                    mine = await connection.run("guarded", env={"HUB_ROLE": "developer"})
                    assert (mine.exit_status == 0) == (role == "developer")
                    assert role == "developer" or f"alice is {role}" in str(mine.stderr)

    run(test)


def test_a_forced_command_is_all_that_a_key_can_do(tmp_path: Path) -> None:
    async def test() -> None:
        shell = Echo()
        key = authorize(tmp_path, "cron", 'command="status" ')
        who = {"username": "cron", "password": None, "client_keys": [key]}
        async with serving(tmp_path, shell) as server, login(server, **who) as connection:
            assert (await connection.run("dump x")).stdout == "<status>\n"
            assert (await connection.run()).stdout == "<status>\n"
        assert shell.lines == ["status", "status"]

    run(test)


@pytest.mark.parametrize(
    ("options", "terminal"),
    [
        ("", True),
        ("no-pty ", False),
        ("restrict ", False),
        ("restrict,pty ", True),
        ('expiry-time="29991231" ', True),
        ('expiry-time="29991231235959Z" ', True),
        ('from="127.0.0.1" ', True),
        ('from="192.0.2.1" ', None),
        ('expiry-time="20200101" ', None),
        ('expiry-time="202001010000Z" ', None),
        ('expiry-time="tomorrow" ', None),
        ("expiry-time ", None),
    ],
)
def test_options_of_keys(tmp_path: Path, options: str, terminal: bool | None) -> None:
    async def test() -> None:
        key = authorize(tmp_path, "alice", options)
        who = {"username": "alice", "password": None, "client_keys": [key]}
        async with serving(tmp_path, Echo()) as server:
            if terminal is None:
                with pytest.raises(asyncssh.PermissionDenied):
                    await login(server, **who)
                return
            async with login(server, **who) as connection:
                assert (await connection.run("x")).stdout == "<x>\n"
                if not terminal:
                    with pytest.raises(asyncssh.ChannelOpenError):
                        await connection.create_process(term_type="xterm")
                else:
                    await (await connection.create_process(term_type="xterm")).stdout.readuntil("hub> ")

    run(test)


def test_a_connection_has_a_number_of_sessions(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Echo()) as server, login(server) as connection:
            many = [await connection.create_process() for _ in range(SESSIONS)]
            with pytest.raises(asyncssh.ChannelOpenError, match="refused"):
                await connection.run("x")
            many[0].stdin.write_eof()
            await many[0].wait()
            assert (await connection.run("x")).stdout == "<x>\n"

    run(test)


def test_connections_that_do_not_log_in_are_not_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkernel.ssh.server.STARTING", 2)

    async def test() -> None:
        async with serving(tmp_path, Echo()) as server:
            silent = [await asyncio.open_connection("127.0.0.1", server.port) for _ in range(2)]
            for reader, _ in silent:
                assert (await reader.readline()).startswith(b"SSH-2.0")
            with pytest.raises((asyncssh.Error, OSError)):
                await login(server)
            for _, writer in silent:
                writer.close()
                await writer.wait_closed()
            await until(lambda: all(connection.is_closed() for connection in server._connections))
            async with login(server) as connection:
                assert (await connection.run("x")).stdout == "<x>\n"

    run(test)


def test_a_password_may_have_to_be_changed(tmp_path: Path) -> None:
    changed: list[tuple[str, str, str]] = []

    class Expiring(HubSSHServer):
        def validate_password(self, username: str, password: str) -> bool:
            if password == PASSWORD:
                raise asyncssh.PasswordChangeRequired("choose another")
            return False

        def change_password(self, username: str, old_password: str, new_password: str) -> bool:
            changed.append((username, old_password, new_password))
            return True

    class Client(asyncssh.SSHClient):
        def password_change_requested(self, prompt: str, lang: str) -> tuple[str, str]:
            assert prompt == "choose another"
            return PASSWORD, "battery staple"

    async def test() -> None:
        own = {name: Expiring.__dict__[name] for name in ("validate_password", "change_password")}
        async with serving(tmp_path, Echo(), **own) as server, login(server, client_factory=Client) as connection:
            assert (await connection.run("x")).exit_status == 0

    run(test)
    assert changed == [("guest", PASSWORD, "battery staple")]


def test_passwords_are_not_changed_here(tmp_path: Path) -> None:
    class Client(asyncssh.SSHClient):
        def password_change_requested(self, prompt: str, lang: str) -> tuple[str, str]:
            return PASSWORD, "battery staple"

    def expired(self: Any, username: str, password: str) -> bool:
        raise asyncssh.PasswordChangeRequired("choose another")

    async def test() -> None:
        async with serving(tmp_path, Echo(), validate_password=expired) as server:
            with pytest.raises(asyncssh.PermissionDenied):
                await login(server, client_factory=Client)

    run(test)


def test_core_c59_who_gets_in(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def test() -> None:
        key = authorize(tmp_path, "alice")
        passwords = {"guest": HASH, "legacy": "9RKfd8gDuNf0Q"}
        async with serving(tmp_path, Echo(), PASSWORDS=passwords) as server:
            async with login(server) as connection:
                assert (await connection.run("x")).exit_status == 0
            async with login(server, username="alice", password=None, client_keys=[key]) as connection:
                assert (await connection.run("x")).exit_status == 0
            for user, password in (("nobody", PASSWORD), ("guest", ""), ("../x", PASSWORD), ("legacy", "")):
                with pytest.raises(asyncssh.PermissionDenied):
                    await login(server, username=user, password=password)

    run(test)
    assert "the password of legacy is no argon2 hash and is refused; make one: python -c" in caplog.text


def test_nothing_is_forwarded(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Echo()) as server, login(server) as connection:
            with pytest.raises(asyncssh.ChannelOpenError):
                await connection.open_connection("127.0.0.1", server.port)
            with pytest.raises(asyncssh.ChannelListenError):
                await connection.forward_remote_port("127.0.0.1", 0, "127.0.0.1", server.port)

    run(test)
