"""Python shells in processes of their own: what is theirs, and that none of it is left behind."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pytest

from hubkernel.ssh.children import MAX_UNREAD, Child, Children, ChildShell
from tests.ssh.tools import Commandless, login, run, serving, until, with_role

pytestmark = pytest.mark.service

SHELL = """
import fcntl, json, os, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
signal.signal(signal.SIGINT, signal.default_int_handler)
orders = open(int(sys.argv[1])).read()
if not orders:
    sys.exit()
os.environ.update(json.loads(orders)["environment"])
print("ready", flush=True)
scope = {"__name__": "shell", "orders": json.loads(orders)}
for line in sys.stdin:
    try:
        exec(line, scope)
    except KeyboardInterrupt:
        print("interrupted", flush=True)
"""


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of IPython, which takes its time: a shell of a few lines, at the same end of the same terminal."""
    file = tmp_path / "shell.py"
    file.write_text(SHELL)
    monkeypatch.setattr("hubkernel.ssh.children.PROGRAM", [str(file)])
    return file


class Remote:
    """The client's side of a shell."""

    def __init__(self, process: asyncssh.SSHClientProcess[str]) -> None:
        self.process = process
        self.text = ""
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while data := await self.process.stdout.read(1 << 16):
            self.text += data

    async def shows(self, text: str) -> None:
        await until(lambda: text in self.text)

    async def says(self, code: str, text: str) -> None:
        """Run a line, until there is a line of output."""
        self.process.stdin.write(f"{code}\n")
        await self.shows(f"\r\n{text}\r\n")

    async def pid(self) -> int:
        self.process.stdin.write("import os; print('pid', os.getpid(), 'here', flush=True)\n")
        await self.shows(" here\r\n")
        return int(self.text.partition("\r\npid ")[2].split()[0])

    async def ends(self) -> asyncssh.SSHCompletedProcess:
        await self._reader
        return await self.process.wait()


@asynccontextmanager
async def shell(tmp_path: Path, **options: Any) -> AsyncIterator[tuple[Remote, Children]]:
    children = Children(tmp_path)
    async with (
        serving(tmp_path, Commandless(), CHILDREN=children) as server,
        login(server, **with_role(tmp_path, "developer")) as connection,
    ):
        process = await connection.create_process(term_type="xterm", term_size=(90, 30), **options)
        remote = Remote(process)
        await remote.shows("ready")
        yield remote, children


def gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def test_the_terminal_is_the_client_s(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        async with shell(tmp_path, env={"LANG": "tlh", "HUB_EVIL": "yes"}) as (remote, _):
            await remote.says("import os; print(*os.get_terminal_size())", "90 30")
            remote.process.change_terminal_size(77, 22)
            await remote.says("print(*os.get_terminal_size())", "77 22")
            remote.process.change_terminal_size(4_000_000_000, 4_000_000_000)
            await remote.says("print(*os.get_terminal_size())", "2000 2000")
            await remote.says(
                "print(os.environ['TERM'], os.environ['LANG'], os.environ.get('HUB_EVIL'))", "xterm tlh None"
            )
            await remote.says("print(orders['user'], orders['name'])", "developer Test Hub")
            await remote.says("print(os.getsid(0) == os.getpid(), os.ttyname(0) == os.ttyname(2))", "True True")

    run(test)


def test_interrupts_reach_what_runs(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        async with shell(tmp_path) as (remote, _):
            for interrupt in (
                lambda: remote.process.stdin.write("\x03"),
                lambda: remote.process.send_signal("INT"),
                lambda: remote.process.channel.send_break(10),
            ):
                remote.text = ""
                remote.process.stdin.write("import time; print('on it', flush=True); time.sleep(600)\n")
                await remote.shows("\r\non it\r\n")
                interrupt()
                await remote.shows("interrupted")
            remote.process.send_signal("USR1")  # not one of those that are passed on
            await remote.says("print('alive')", "alive")

    run(test)


def test_all_output_comes_before_the_status(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        async with shell(tmp_path) as (remote, _):
            code = "import sys; print('x' * 200_000 + 'end', flush=True); sys.exit(3)"
            remote.process.stdin.write(f"{code}\n")
            result = await remote.ends()
            assert result.exit_status == 3
            assert remote.text.endswith("xend\r\n")
            assert remote.text.count("x") >= 200_000

    run(test)


def test_a_signal_that_ends_the_shell_is_told(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        async with shell(tmp_path) as (remote, _):
            remote.process.stdin.write("import os; os.kill(os.getpid(), 9)\n")
            result = await remote.ends()
            assert result.exit_signal is not None
            assert result.exit_signal[0] == "KILL"

    run(test)


def test_ctrl_d_and_the_end_of_input_leave(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        for leave in (lambda stdin: stdin.write("\x04"), lambda stdin: stdin.write_eof()):
            async with shell(tmp_path) as (remote, _):
                leave(remote.process.stdin)
                assert (await remote.ends()).exit_status == 0

    run(test)


def test_a_client_that_goes_takes_its_shell_along(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        async with shell(tmp_path) as (remote, _):
            pid = await remote.pid()
            remote.process.stdin.write("import time; time.sleep(600)\n")
            remote.process.channel.get_connection().abort()
            await until(lambda: gone(pid))

    run(test)


def test_a_shell_that_does_not_hang_up_is_killed(
    tmp_path: Path, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubkernel.ssh.children.HANG_UP", 0.2)

    async def test() -> None:
        async with shell(tmp_path) as (remote, _):
            await remote.says(
                "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN); print('stubborn')", "stubborn"
            )
            pid = await remote.pid()
        await until(lambda: gone(pid))

    run(test)


def test_a_paste_larger_than_what_is_read_is_held_back_and_arrives(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        async with shell(tmp_path) as (remote, _):
            lines = 4 * MAX_UNREAD // 100
            remote.process.stdin.write("import termios, time; total = 0; mode = termios.tcgetattr(0)\n")
            # What is echoed may come in the midst of what is printed.
            await remote.says("mode[3] &= ~termios.ECHO; termios.tcsetattr(0, 0, mode); print('quiet')", "quiet")
            remote.process.stdin.write("time.sleep(0.3)\n" + f"total += len({'x' * 80!r})\n" * lines)
            await remote.says("print(total)", str(80 * lines))

    run(test)


def test_output_that_nobody_reads_stops_the_shell_and_not_the_hub(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        children = Children(tmp_path)
        async with (
            serving(tmp_path, Commandless(), CHILDREN=children) as server,
            login(server, **with_role(tmp_path, "developer")) as connection,
        ):
            process = await connection.create_process(term_type="xterm", window=1 << 16)
            await process.stdout.readuntil("ready")
            process.stdin.write("while True: print('y' * 1000)\n")
            (owner,) = server._connections.values()
            inner: Any = owner._sessions[0]._inner
            await until(lambda: inner._channel.get_write_buffer_size() > 1 << 16)
            await until(lambda: not asyncio.get_running_loop()._selector.get_map().get(inner._child.master))  # type: ignore[attr-defined]
            size = inner._channel.get_write_buffer_size()
            assert size < 1 << 20
            process.stdin.write("\x03")
            while "interrupted" not in await process.stdout.read(1 << 16):
                pass

    run(test)


def test_one_spare_shell_is_kept_and_none_is_left(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        children = Children(tmp_path)
        assert children._spare is None
        first = await children.take()
        children.prepare()
        children.prepare()
        assert children._spare is not None
        waiting = await asyncio.shield(children._spare)
        second = await children.take()
        assert second is waiting
        children.prepare()
        third = await asyncio.shield(children._spare)
        third.process.kill()
        await third.process.wait()
        fourth = await children.take()
        children.prepare()
        assert fourth.alive
        assert fourth is not third
        spare = await asyncio.shield(children._spare)
        for child in (first, second, fourth):
            children.give_back(child)
        await children.close()
        assert not any(child.alive for child in (first, second, third, fourth, spare))
        with pytest.raises(ConnectionError):
            await children.take()

    run(test)


def test_a_spare_shell_that_nobody_wants_ends_with_its_server(tmp_path: Path) -> None:
    """The real one: it waits for its orders, and there are none."""

    async def test() -> None:
        child = await Child.start(tmp_path)
        await child.end()
        assert not child.alive

    run(test)


def test_the_hub_says_why_there_is_no_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "nothing"))

    async def test() -> None:
        async with (
            serving(tmp_path, Commandless(), CHILDREN=Children(tmp_path)) as server,
            login(server, **with_role(tmp_path, "developer")) as connection,
        ):
            result = await connection.run(term_type="xterm")
            assert result.exit_status == 1
            assert "The hub cannot start a shell: " in str(result.stdout)

    run(test)


def test_only_developers_get_one(tmp_path: Path, program: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Commandless(), CHILDREN=Children(tmp_path)) as server:
            for role in ("viewer", "operator"):
                async with login(server, **with_role(tmp_path, role)) as connection:
                    process = await connection.create_process(term_type="xterm", env={"HUB_ROLE": "developer"})
                    await process.stdout.readuntil("hub>")
                    (owner,) = [owner for owner in server._connections.values() if owner.user == role]
                    assert not isinstance(owner._sessions[0]._inner, ChildShell)

    run(test)
