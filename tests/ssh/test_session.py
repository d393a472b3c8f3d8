"""Sessions without a terminal: lines, single commands, and what input of any kind does to them."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import asyncssh
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkernel.api import LocalHub
from hubkernel.hub.commands import UnknownCommandError
from hubkernel.ssh.session import MAX_LINE, MAX_WAITING, HubSSHServerSession
from tests.ssh.tools import Echo, Held, login, run, serving, until, with_role


class Channel:
    """What of a channel a session uses."""

    def __init__(self) -> None:
        self.written: list[tuple[str, bool]] = []
        self.status: int | None = None
        self.paused = False

    def write(self, text: str, datatype: Any = None) -> None:
        self.written.append((text, datatype is not None))

    @property
    def text(self) -> str:
        return "".join(text for text, _ in self.written)

    def exit(self, status: int) -> None:
        self.status = status

    def is_closing(self) -> bool:
        return self.status is not None

    def pause_reading(self) -> None:
        self.paused = True

    def resume_reading(self) -> None:
        self.paused = False

    def get_extra_info(self, name: str) -> str:
        return "me"

    def get_terminal_type(self) -> None:
        return None


def started(shell: Any) -> tuple[HubSSHServerSession, Channel]:
    session, channel = HubSSHServerSession("Hub", shell), Channel()
    session.connection_made(channel)  # type: ignore[arg-type]
    assert session.shell_requested() is True
    session.session_started()
    return session, channel


async def ended(channel: Channel) -> None:
    await until(lambda: channel.status is not None)


def test_a_character_may_come_in_two_pieces() -> None:
    async def test() -> None:
        session, channel = started(Echo())
        for byte in "grün 🧬\r\nx".encode():
            session.data_received(bytes([byte]), None)
        session.eof_received()
        await ended(channel)
        assert session.shell.lines == ["grün 🧬", "x"]

    run(test)


def test_a_paste_of_many_lines_is_run_in_order_and_held_back() -> None:
    async def test() -> None:
        session, channel = started(Echo())
        lines = [f"line {number}" for number in range(MAX_WAITING + 500)]
        session.data_received("\n".join(lines) + "\n", None)
        assert channel.paused
        await session.eval_lines([])
        assert not channel.paused
        assert session.shell.lines == lines

    run(test)


def test_a_line_without_an_end_is_refused_and_not_kept() -> None:
    async def test() -> None:
        session, channel = started(Echo())
        for _ in range(100):
            session.data_received("x" * 10_000, None)
            assert len(session._input) <= MAX_LINE + 1
        session.data_received("\nfine\n", None)
        assert await session.eval_lines([]) == 0
        assert session.shell.lines == ["fine"]
        assert f"a line has at most {MAX_LINE} characters" in channel.text

    run(test)


def test_nothing_is_run_after_the_end() -> None:
    async def test() -> None:
        session, channel = started(Echo())
        session.soft_eof_received()
        session.data_received("late\n", None)
        session.eof_received()
        await ended(channel)
        assert session.shell.lines == []
        assert channel.text.count("Have a good one...") == 1
        assert channel.status == 0

    run(test)


def test_core_c58_ctrl_d_leaves_and_a_break_is_enter() -> None:
    async def test() -> None:
        session, channel = started(Echo())
        session.data_received("forgotten", None)
        assert session.break_received(500) is True
        await session.eval_lines([])
        assert session.shell.lines == [""]
        session.soft_eof_received()
        await ended(channel)
        assert (channel.status, channel.written[-1][0]) == (0, "Have a good one...\n")

    run(test)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.one_of(st.binary(max_size=50), st.text(max_size=50)), max_size=20))
def test_any_input_leaves_a_session_that_works(pieces: list[Any]) -> None:
    async def test() -> None:
        session, channel = started(Echo())
        for piece in pieces:
            session.data_received(piece, None)
        session.data_received("\nstill there\n", None)
        await session.eval_lines([])
        assert channel.status == 0 or "<still there>" in channel.text

    run(test)


@pytest.mark.parametrize("ending", ["connection_lost", "break_received", "signal_received"])
def test_an_interrupted_command_goes_on_in_the_hub(tmp_path: Path, held: Held, hub: LocalHub, ending: str) -> None:
    async def test() -> None:
        async with serving(tmp_path, hub) as server, login(server) as connection:
            process = await connection.create_process("slow")
            assert "RUN" in await process.stderr.readline()
            if ending == "connection_lost":
                connection.abort()
                await connection.wait_closed()
            else:
                process.send_signal("INT") if ending == "signal_received" else process.channel.send_break(10)
                result = await process.wait()
                assert result.exit_status == 130
                assert "Stopped waiting; job 1 goes on: cancel(1) ends it" in str(result.stderr)
            held.gate.set()
            assert await asyncio.to_thread(hub.job(1).result, 10) == "slow 1 is done"

    run(test)


def test_core_c55_a_result_is_printed_once_and_the_status_says_how_it_went(
    tmp_path: Path, held: Held, hub: LocalHub
) -> None:
    async def test() -> None:
        held.gate.set()
        async with serving(tmp_path, hub) as server, login(server) as connection:
            good = await connection.run("slow(3)")
            assert (good.stdout, good.exit_status) == ("slow 3 is done\n", 0)
            assert "slow 3 is done" not in str(good.stderr)
            bad = await connection.run("boom(1)")
            assert (bad.stdout, bad.exit_status) == ("", 1)
            assert "[2] ERR {" in str(bad.stderr)
            assert str(bad.stderr).endswith("} boom(n=1): finished ['ValueError: kaboom']\n")
            lines = await connection.run(None, input="say once\n")
            assert str(lines.stdout).count("once") == 1

    run(test)


STATUSES = [
    ("say hello", 0, ""),
    ("slow(1", 2, "is missing for this"),
    ("nope", 2, "no command 'nope'"),
    ("slow(1, 2)", 2, "too many"),
    ("guarded", 1, "guarded needs the role developer; guest is operator"),
    ("slow && guarded", 1, "guarded is for developers"),
    ("run('guarded')", 1, "guarded is for developers"),
    ("scp -t .", 1, "files are taken from operators only"),
    ("scp\x00 -t .", 2, ""),
    ("   ", 0, ""),
]


def test_the_exit_status_of_a_command(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with serving(tmp_path, hub) as server, login(server) as connection:
            for command, status, error in STATUSES:
                result = await connection.run(command)
                assert result.exit_status == status, (command, result.stderr)
                assert re.search(error, str(result.stderr))
                assert bool(result.stderr) == bool(status)

    run(test)


def test_core_c56_the_output_of_a_command_goes_to_its_session_only(tmp_path: Path, held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        async with serving(tmp_path, hub) as server, login(server) as one, login(server) as two:
            first, second = await one.create_process(), await two.create_process()
            for process in (first, second):
                await process.stdout.readuntil("hub> ")
            first.stdin.write("slow 1\n")
            await until(lambda: len(hub.jobs(running=True)) == 1)
            second.stdin.write("say mine\n")
            assert await second.stdout.readuntil("hub> ") == "mine\nhub> "
            held.gate.set()
            assert await first.stdout.readuntil("hub> ") == "slow 1 is done\nhub> "
            second.stdin.write_eof()
            assert await second.stdout.read() == "Have a good one...\n"

    run(test)


def test_core_c54_help_lists_public_commands_and_explains_one(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with serving(tmp_path, hub) as server, login(server, **with_role(tmp_path, "viewer")) as connection:
            names = str((await connection.run("help()")).stdout)
            assert "    slow\n" in names
            hidden = next(info.name for info in hub.commands().values() if not info.public)
            assert f"    {hidden}\n" not in names
            for question in ("help(slow)", "help('slow')", "slow?", "?slow", "help slow"):
                assert (await connection.run(question)).stdout == "slow(n: int = 1) -> str\n\nUntil the gate opens.\n"
            assert (await connection.run("?")).stdout == names
        assert hub.jobs() == []

    run(test)


def test_raw_bytes_on_the_port_change_nothing(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Echo()) as server:
            for data in (b"", b"\x00" * 5000, b"GET / HTTP/1.1\r\n\r\n", b"SSH-2.0-x\r\n" + bytes(range(256)) * 20):
                reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
                writer.write(data)
                writer.write_eof()
                await reader.read()
                writer.close()
            async with login(server) as connection:
                assert (await connection.run("still")).stdout == "<still>\n"

    run(test)


@settings(max_examples=25, deadline=None)
@given(data=st.binary(max_size=400), banner=st.booleans())
def test_any_bytes_on_the_port_change_nothing(
    tmp_path_factory: pytest.TempPathFactory, data: bytes, banner: bool
) -> None:
    async def test() -> None:
        async with serving(tmp_path_factory.getbasetemp() / "bytes", Echo()) as server:
            reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
            writer.write((b"SSH-2.0-fuzz\r\n" if banner else b"") + data)
            writer.write_eof()
            await reader.read()
            writer.close()
            async with login(server) as connection:
                assert (await connection.run("still")).stdout == "<still>\n"

    run(test)


@settings(max_examples=60, deadline=None)
@given(line=st.text(alphabet="()[]{}'\",.&?=_ \\\nabslowkernl0123456789-:;%!$é\x00\x1b", max_size=60))
def test_any_line_is_answered(line: str) -> None:
    """The hub is a tool without commands that change anything, so only the parser decides."""
    from hubkernel.ssh.prompt import CommandPrompt, PromptError

    class Bare:
        def as_(self, **caller: Any) -> Bare:
            return self

        def commands(self) -> dict[str, Any]:
            return {}

        def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
            raise UnknownCommandError(name)

    async def test() -> None:
        try:
            assert await CommandPrompt(Bare()).eval(line) == ""  # type: ignore[arg-type]
            assert not line.strip()
        except PromptError as error:
            assert str(error)

    run(test)


PROBES = [
    "__import__('os').system('touch {file}')",
    "say(__import__('pathlib').Path('{file}').touch())",
    "say(f\"{{open('{file}', 'w')}}\")",
    "say(open('{file}', 'w'))",
    "say([open('{file}', 'w') for _ in [1]])",
    "say((lambda: open('{file}', 'w'))())",
    "!touch {file}",
    "%sx touch {file}",
    "say $(touch {file})",
    "say `touch {file}`",
    "say x; touch {file}",
    "say x && touch {file}",
    "exec(\"open('{file}', 'w')\")",
    "eval(\"open('{file}', 'w')\")",
    "run(\"exec(open('{file}', 'w'))\")",
    "say.__globals__['__builtins__']['open']('{file}', 'w')",
    "x = open('{file}', 'w')",
    "import pathlib; pathlib.Path('{file}').touch()",
    "say({{**{{'a': open('{file}', 'w')}}}})",
    "say(text:=open('{file}', 'w'))",
    "say(await open('{file}', 'w'))",
]


def test_nothing_is_evaluated(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with serving(tmp_path, hub) as server, login(server, **with_role(tmp_path, "developer")) as connection:
            for probe in PROBES:
                line = probe.format(file=tmp_path / "pwned")
                await connection.run(line)
                await connection.run(None, input=f"{line}\n")
                assert not (tmp_path / "pwned").exists(), line

    run(test)


def test_a_subsystem_that_there_is_not(tmp_path: Path) -> None:
    async def test() -> None:
        async with serving(tmp_path, Echo()) as server, login(server) as connection:
            for name in ("sftp", "netconf"):
                with pytest.raises(asyncssh.ChannelOpenError):
                    await connection.create_process(subsystem=name)

    run(test)
