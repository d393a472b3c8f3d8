"""Who gets in and what they get, driven by asyncssh's own client on loopback."""

from __future__ import annotations

import asyncio
import socket
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hubkernel.hub import HubSSHServer, HubSSHServerSession, start_ssh_server
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.ssh.auth import check_password, valid_user
from tests.ssh.tools import HASH, HASHER, PASSWORD, Echo, authorize, login, run, serving


def test_a_command_runs_and_gives_its_status(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Echo()) as server, login(server) as connection:
            good = await connection.run("hello")
            assert (good.stdout, good.stderr, good.exit_status) == ("<hello>\n", "", 0)
            bad = await connection.run("bad")
            assert (bad.stdout, bad.stderr, bad.exit_status) == ("", "that was bad\n", 1)
            bug = await connection.run("worse")
            assert (bug.stderr, bug.exit_status) == ("RuntimeError: a bug\n", 1)

    run(test)


def test_lines_are_answered_in_order_and_the_end_of_input_waits_for_them(tmp_path: Path) -> None:
    async def test() -> None:
        shell = Echo()
        async with serving(tmp_path, shell) as server, login(server) as connection:
            result = await connection.run(None, input="one\r\ntwo\nbad\nünïcode")
        assert shell.lines == ["one", "two", "bad", "ünïcode"]
        assert result.exit_status == 0
        assert result.stdout == (
            "\nWelcome to Test Hub, guest!\nhub> "
            "<one>\nhub> <two>\nhub> that was bad\nhub> <ünïcode>\nhub> Have a good one...\n"
        )

    run(test)


def test_input_in_pieces_of_any_size(tmp_path: Path) -> None:
    async def test() -> None:
        shell = Echo()
        async with serving(tmp_path, shell) as server, login(server) as connection:
            process = await connection.create_process(encoding=None)
            for byte in "grün\nlast\n".encode():
                process.stdin.write(bytes([byte]))
                await asyncio.sleep(0)
            process.stdin.write(b"exit\nnever\n")
            output = await process.stdout.read()
        assert shell.lines == ["grün", "last"]
        assert output.decode().endswith("<last>\nhub> Have a good one...\n")
        assert process.exit_status == 0

    run(test)


@pytest.mark.parametrize("kind", ["xterm", "dumb"])
def test_a_terminal_has_ctrl_d_and_ctrl_c(tmp_path: Path, kind: str) -> None:
    async def test() -> None:
        shell = Echo()
        async with serving(tmp_path, shell) as server, login(server) as connection:
            process = await connection.create_process(term_type=kind)
            await process.stdout.readuntil("hub> ")
            process.stdin.write("half\x03")
            await process.stdout.readuntil("hub> ")
            process.stdin.write("\x04")
            output = await process.stdout.read()
        assert shell.lines[-1] == ""
        assert "Have a good one..." in output
        assert process.exit_status == 0

    run(test)


def test_without_a_shell_sessions_are_refused(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, None) as server, login(server) as connection:
            with pytest.raises(asyncssh.ChannelOpenError, match="refused"):
                await connection.run("hello")

    run(test)


@pytest.mark.parametrize(
    ("user", "password"),
    [("guest", "wrong"), ("guest", ""), ("nobody", PASSWORD), ("old", "abc"), ("../guest", PASSWORD), ("star", "*")],
)
def test_who_may_not_log_in(tmp_path: Path, user: str, password: str) -> None:
    async def test() -> None:
        passwords = {"guest": HASH, "old": "abJnggxhB/yWI", "star": "*"}
        async with serving(tmp_path, Echo(), PASSWORDS=passwords) as server:
            with pytest.raises(asyncssh.PermissionDenied):
                await login(server, username=user, password=password)

    run(test)


def test_an_empty_password_is_refused_even_if_it_is_the_one() -> None:
    assert not check_password({"guest": HASHER.hash("")}, "guest", "")


def test_a_legacy_hash_names_the_command_that_makes_a_new_one(caplog: pytest.LogCaptureFixture) -> None:
    assert not check_password({"guest": "abJnggxhB/yWI"}, "guest", "x")
    assert "no argon2 hash" in caplog.text
    assert "PasswordHasher().hash" in caplog.text


def test_too_many_wrong_passwords_end_passwords_on_that_connection(tmp_path: Path) -> None:
    tried: list[str] = []

    class Client(asyncssh.SSHClient):
        def password_auth_requested(self) -> str | None:
            tried.append("wrong" if len(tried) < 5 else PASSWORD)
            return tried[-1]

    async def test() -> None:
        async with serving(tmp_path, Echo()) as server:
            with pytest.raises((asyncssh.PermissionDenied, asyncssh.DisconnectError)):
                await login(server, password=None, client_factory=Client)

    run(test)
    assert 3 <= len(tried) <= 4
    assert PASSWORD not in tried


def test_keys_open_the_door_of_their_user_only(tmp_path: Path) -> None:
    async def test() -> None:
        key = authorize(tmp_path, "alice")
        (tmp_path / "Test Hub" / "authorized_keys" / "mallory.pub").write_text("no key at all\n")
        async with serving(tmp_path, Echo()) as server:
            async with login(server, username="alice", password=None, client_keys=[key]) as connection:
                assert (await connection.run("x")).stdout == "<x>\n"
            for other in ("bob", "mallory", "../authorized_keys/alice"):
                with pytest.raises(asyncssh.PermissionDenied):
                    await login(server, username=other, password=None, client_keys=[key])

    run(test)


@pytest.mark.parametrize("name", ["alice", "a.b-c_9"])
def test_names_of_users(name: str) -> None:
    assert valid_user(name)


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "-x", "a b", "x" * 65, "a\n", "é"])
def test_names_that_are_none(name: str) -> None:
    assert not valid_user(name)


def test_the_host_key_is_made_once_and_private(tmp_path: Path) -> None:
    async def test() -> None:
        file = tmp_path / "Test Hub" / "host_key"
        async with serving(tmp_path, Echo()):
            first = file.read_bytes()
        async with serving(tmp_path, Echo()):
            assert file.read_bytes() == first
        assert file.stat().st_mode & 0o777 == 0o600

    run(test)


def test_it_listens_on_loopback_and_says_when_the_port_is_taken(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Echo()) as server:
            hosts = {sock.getsockname()[0] for sock in server._acceptor.sockets}
            assert hosts == {"127.0.0.1"}
            keys = [str(tmp_path / "key")]
            with pytest.raises(OSError, match="in use"):
                await start_ssh_server(asyncio.get_running_loop(), "x", {}, keys=keys, port=server.port)

    run(test)


def test_two_servers_share_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        one, two = Echo(), Echo()
        other = {"guest": HASHER.hash("other")}
        async with serving(tmp_path, one, "One") as first, serving(tmp_path, two, "Two", PASSWORDS=other) as second:
            async with login(first) as connection:
                await connection.run("first")
            async with login(second, password="other") as connection:
                await connection.run("second")
            with pytest.raises(asyncssh.PermissionDenied):
                await login(first, password="other")
        assert (one.lines, two.lines) == (["first"], ["second"])

    run(test)
    assert (HubSSHServer.PASSWORDS, HubSSHServer.SHELL) == ({}, None)


def test_closing_ends_the_connections(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Echo()) as server:
            connection = await login(server)
            process = await connection.create_process()
            await process.stdout.readuntil("hub> ")
            server.close()
            await server.wait_closed()
            await connection.wait_closed()
            with pytest.raises(OSError):
                await asyncio.open_connection("127.0.0.1", server.port)

    run(test)


def test_class_attributes_are_honoured_on_a_subclass() -> None:
    class Own(HubSSHServer):
        PASSWORDS = {"me": HASH}
        SHELL = Echo()

    server = Own()
    assert server.begin_auth("me") is True
    assert server.password_auth_supported() is True
    assert server.validate_password("me", PASSWORD) is True
    assert server.validate_password("me", "no") is False
    session = server.session_requested()
    assert isinstance(session, HubSSHServerSession)
    assert session.shell is Own.SHELL
    assert HubSSHServer().session_requested() is False
    assert HubSSHServer().password_auth_supported() is False


def test_each_callback_of_a_session_by_itself() -> None:
    class Channel:
        def __init__(self) -> None:
            self.written: list[str] = []
            self.status: int | None = None

        def write(self, text: str, datatype: Any = None) -> None:
            self.written.append(text)

        def exit(self, status: int) -> None:
            self.status = status

        def is_closing(self) -> bool:
            return self.status is not None

        def get_extra_info(self, name: str) -> str:
            return "me"

        def get_terminal_type(self) -> None:
            return None

    async def test() -> None:
        session, channel, shell = HubSSHServerSession("Hub", Echo()), Channel(), None
        shell = session.shell
        session.connection_made(channel)  # type: ignore[arg-type]
        assert session.shell_requested() is True
        session.session_started()
        assert channel.written == ["\nWelcome to Hub, me!\nhub> "]
        session.data_received("a\nb", None)
        session.data_received("c\n", None)
        assert await session.eval_lines(["bad", "d"]) == 1
        assert shell.lines == ["a", "bc", "bad", "d"]
        assert session.break_received(10) is True
        session.soft_eof_received()
        assert session.eof_received() is True
        while channel.status is None:
            await asyncio.sleep(0)
        assert channel.status == 0
        assert channel.written[-1] == "Have a good one...\n"
        session.connection_lost(None)

    run(test)


def test_an_exec_request_is_accepted() -> None:
    assert HubSSHServerSession("Hub", Echo()).exec_requested("x") is True


def test_it_is_awaited_on_the_loop_it_is_given() -> None:
    async def test() -> None:
        loop = asyncio.new_event_loop()
        with pytest.raises(RuntimeError, match="awaited on the loop"):
            await start_ssh_server(loop, "x", {})
        loop.close()

    run(test)


def test_a_real_hub_over_ssh_with_roles_of_keys(home: HubHome) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home.config_file.write_text(f'ssh_port = {port}\nhub_name = "Mine"\n[ssh_passwords]\nguest = "{HASH}"\n')
    keys = home.ssh / "authorized_keys"
    keys.mkdir()
    viewer = asyncssh.generate_private_key("ssh-ed25519")
    (keys / "eve.pub").write_text(f'environment="HUB_ROLE=viewer" {viewer.export_public_key().decode()}')
    server = HubServer.open(home)
    server.run_in_thread()
    server.state["src_master"].insert_one({"_id": "colors"})

    async def test() -> None:
        class Address:
            pass

        address = Address()
        address.port = port  # type: ignore[attr-defined]
        async with login(address) as connection:
            assert "'name': 'Mine'" in (await connection.run("status()")).stdout
            created = await connection.run("create_build_conf things thing ['colors']")
            assert created.exit_status == 0, created.stderr
            refused = await connection.run("setconf('hub_name', 'x')")
            assert (refused.exit_status, refused.stderr) == (1, "setconf needs the role developer; guest is operator\n")
        async with login(address, username="eve", password=None, client_keys=[viewer]) as connection:
            assert "things" in (await connection.run("build_config_info")).stdout
            refused = await connection.run("delete_build_conf things")
            assert "needs the role operator; eve is viewer" in refused.stderr
        waiting = await login(address)
        server.shutdown()
        await waiting.wait_closed()

    try:
        run(test)
    finally:
        server.shutdown()
