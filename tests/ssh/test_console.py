"""The command prompt in a terminal, key by key."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import asyncssh
import pyte
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prompt_toolkit.key_binding import KeyPress

from hubkernel.api import LocalHub
from hubkernel.hub.commands import UnknownCommandError
from hubkernel.ssh.console import KEYS_AT_ONCE, MAX_HISTORY, MAX_KEYS, MAX_TEXT, ChannelInput, _history
from tests.ssh.tools import Held, login, run, serving, until, with_role

KEYS = [
    b"\r",
    b"\x03",
    b"\t",
    b"\x1b",
    b"\x1b[A",
    b"\x1b[200~",
    b"\x1b[201~",
    b"\x12",
    b"\x18\x05",
    b"\x1b!",
    b"dump",
    b"x(",
    b"\x00",
]


class Terminal:
    """A client's terminal: what was typed, and what is on its screen."""

    def __init__(self, process: asyncssh.SSHClientProcess[str], width: int = 100, height: int = 40) -> None:
        self.process = process
        self.raw = ""
        self._screen = pyte.Screen(width, height)
        self._stream = pyte.Stream(self._screen)
        self._reader = asyncio.create_task(self._read())

    async def _read(self) -> None:
        while data := await self.process.stdout.read(4096):
            self.raw += data
            self._stream.feed(data)

    @property
    def text(self) -> str:
        """The lines of the screen, without what is empty at their ends."""
        return "\n".join(line.rstrip() for line in self._screen.display).rstrip()

    def clear(self) -> None:
        self._screen.reset()

    def type(self, keys: str) -> None:
        self.process.stdin.write(keys)

    async def shows(self, text: str) -> None:
        await until(lambda: text in self.text)

    async def run(self, line: str) -> str:
        """What a line shows, up to the next prompt."""
        self.clear()
        self.type(f"{line}\r")
        await until(lambda: line in self.text and self.text.endswith("\nhub>"))
        return self.text

    async def ends(self) -> int | None:
        await self._reader
        await self.process.wait()
        return self.process.exit_status


@asynccontextmanager
async def terminal(tmp_path: Path, hub: Any, role: str = "operator", **more: Any) -> AsyncIterator[Terminal]:
    async with (
        serving(tmp_path, hub, **more) as server,
        login(server, **with_role(tmp_path, role)) as connection,
    ):
        process = await connection.create_process(term_type="xterm-256color", term_size=(100, 40))
        screen = Terminal(process)
        await screen.shows("\n\nhub>")
        yield screen


def test_lines_are_run_and_ctrl_d_leaves(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            assert "Welcome to Test Hub, operator!" in screen.text
            assert (await screen.run("say 'grün'")).count("grün") == 2  # as typed, and as said
            assert "no command 'sya'; did you mean 'say'" in await screen.run("sya 'x'")
            assert "slow(n: int = 1) -> str" in await screen.run("slow?")
            screen.type("\x04")
            assert await screen.ends() == 0
            assert screen.text.endswith("Have a good one...")

    run(test)


@pytest.mark.parametrize("leave", ["exit", "quit()"])
def test_words_that_leave(tmp_path: Path, hub: LocalHub, leave: str) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            screen.type(f"{leave}\r")
            assert await screen.ends() == 0

    run(test)


def test_core_c49_a_job_is_followed_left_and_told_of_once(tmp_path: Path, held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            screen.type("slow(2)\r")
            await screen.shows("[1] RUN {")
            screen.type("\x03")
            await screen.shows("Job 1 goes on.")
            screen.clear()
            screen.type("\r")
            await screen.shows("[1] RUN {")
            held.gate.set()
            await until(lambda: hub.job(1).finished)
            screen.clear()
            screen.type("\r")
            await screen.shows("slow(n=2): finished ['slow 2 is done']")
            assert "[1] OK {" in screen.text
            assert "[1]" not in await screen.run("say x")

    run(test)


def test_ctrl_c_again_offers_to_cancel(tmp_path: Path, held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            screen.type("slow(2)\r")
            await screen.shows("[1] RUN {")
            screen.type("\x03")
            await screen.shows("goes on.")
            screen.type("\x03")
            await screen.shows("Cancel job 1 slow(n=2)? [y/N]")
            screen.type("n\r")
            await screen.shows("[y/N] n\nhub>")
            assert hub.job(1).state == "running"
            screen.type("\x03")
            await until(lambda: screen.text.count("[y/N]") == 2)
            screen.type("y\r")
            await until(lambda: hub.job(1).state == "cancelled")
            await screen.shows("True")
            assert "finished ['cancelled']" in await screen.run("say x")

    run(test)


def test_core_c55_a_result_is_shown_once(tmp_path: Path, held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        held.gate.set()
        async with terminal(tmp_path, hub) as screen:
            assert (await screen.run("slow(2)")).count("slow 2 is done") == 1
            assert (await screen.run("boom()")).count("kaboom") == 1

    run(test)


def test_tab_completes_commands_and_arguments(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            screen.type("slo\t")
            await screen.shows("hub> slow")
            screen.type("(\tn")
            await screen.shows("slow(n=")
            screen.type("\x03")

    run(test)


def test_a_viewer_is_offered_what_a_viewer_may(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub, "viewer") as screen:
            screen.type("s\t\t")
            await screen.shows("status")
            assert "slow" not in screen.text
            screen.type("\x03")
            assert "slow needs the role operator; viewer is viewer" in await screen.run("slow")

    run(test)


@pytest.mark.service
def test_what_was_typed_is_kept_for_each_user(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        history = tmp_path / "history"
        async with terminal(tmp_path, hub, HISTORY=history) as screen:
            await screen.run("say remembered")
        assert (history / "operator").stat().st_mode & 0o777 == 0o600
        async with terminal(tmp_path, hub, HISTORY=history) as screen:
            screen.type("\x1b[A")
            await screen.shows("hub> say remembered")
        async with terminal(tmp_path, hub, "viewer", HISTORY=history) as screen:
            screen.type("\x1b[A")
            await screen.run("say x")
            assert "remembered" not in screen.text

    run(test)


def test_a_long_history_is_cut(tmp_path: Path) -> None:
    file = tmp_path / "history" / "alice"
    file.parent.mkdir()
    entry = "\n# 2026-01-01 00:00:00\n+say x\n"
    file.write_text(entry * (MAX_HISTORY // len(entry) + 10))
    _history(file)
    assert file.stat().st_size < MAX_HISTORY
    assert file.read_text().startswith("# 2026-01-01")


@pytest.mark.parametrize("start,end", [("\x1b[200~", "\x1b[201~\r"), ("", "")])
def test_a_paste_of_many_lines_stops_at_the_first_that_fails(
    tmp_path: Path, hub: LocalHub, start: str, end: str
) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            screen.type(f"{start}say 'one'\rsay('two',\r)\r# a comment\rnope\rsay three\r{end}".replace("\r)", ")"))
            await screen.shows("no command 'nope'")
            await screen.shows("1 more lines were not run" if start else "\nthree\n")
            assert "\none\n" in screen.text
            assert "\ntwo\n" in screen.text

    run(test)


def test_a_resize_is_drawn_and_any_size_can_be(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            for size in ((40, 10), (0, 0), (4_000_000_000, 4_000_000_000), (1, 1), (80, 24)):
                screen.process.change_terminal_size(*size)
            await screen.run("say x")

    run(test)


def test_ends_of_other_kinds(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            screen.process.send_signal("INT")
            screen.process.channel.send_break(10)
            await screen.run("say x")
            screen.process.stdin.write_eof()
            assert await screen.ends() == 0

    run(test)


def test_keys_that_open_programs_elsewhere_open_none(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            for keys in ("\x18\x05", "\x1b!touch {}\r", "\x1bxv", "\x1b:", "\x1a", "\x1b\x1b!touch {}\r"):
                screen.type(keys.format(tmp_path / "pwned"))
                screen.type("\x03")
            screen.clear()
            await screen.run("say x")
            assert not (tmp_path / "pwned").exists()

    run(test)


class Refusing:
    """A hub that knows no command."""

    def as_(self, **caller: Any) -> Refusing:
        return self

    def commands(self) -> dict[str, Any]:
        return {}

    def call(self, name: str, *args: Any, **kwargs: Any) -> Any:
        raise UnknownCommandError(f"no command {name!r}")


@settings(max_examples=12, deadline=None)
@given(keys=st.lists(st.one_of(st.binary(max_size=40), st.sampled_from(KEYS)), max_size=30))
@pytest.mark.service
def test_any_keys_leave_a_hub_that_answers(tmp_path_factory: pytest.TempPathFactory, keys: list[bytes]) -> None:
    folder = tmp_path_factory.getbasetemp() / "keys"

    async def test() -> None:
        async with serving(folder, Refusing()) as server, login(server) as connection:
            process = await connection.create_process(term_type="xterm", encoding=None)
            for key in keys:
                if not process.stdin.is_closing():
                    process.stdin.write(key)
            if not process.stdin.is_closing():
                process.stdin.write_eof()
            await process.stdout.read()
            await process.wait()
            assert process.exit_status == 0
            assert (await connection.run("x")).exit_status == 2

    run(test)


def test_a_terminal_that_cannot_draw_has_lines(tmp_path: Path, hub: LocalHub) -> None:
    async def test() -> None:
        async with serving(tmp_path, hub) as server, login(server) as connection:
            process = await connection.create_process(term_type="dumb")
            await process.stdout.readuntil("hub> ")
            process.stdin.write("say once\n")
            assert (await process.stdout.readuntil("\r\nhub> ")).endswith("say once\r\nonce\r\nhub> ")

    run(test)


def test_a_disconnect_leaves_the_job_and_nothing_else(tmp_path: Path, held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        async with terminal(tmp_path, hub) as screen:
            screen.type("slow(2)\r")
            await screen.shows("[1] RUN {")
            screen.process.channel.get_connection().abort()
        held.gate.set()
        assert await asyncio.to_thread(hub.job(1).result, 10) == "slow 2 is done"

    run(test)


def input_of(feed: list[str]) -> tuple[ChannelInput, list[KeyPress], list[bool]]:
    pauses: list[bool] = []
    keys: list[KeyPress] = []
    source = ChannelInput(pauses.append)
    for text in feed:
        source.feed(text)
    return source, keys, pauses


def test_keys_come_in_portions_and_are_held_back() -> None:
    async def test() -> None:
        source, keys, pauses = input_of(["x" * (MAX_KEYS + 1)])
        assert pauses == [True]
        ready = asyncio.Event()
        with source.attach(ready.set):
            while len(keys) <= MAX_KEYS:
                await ready.wait()
                ready.clear()
                portion = source.read_keys()
                assert 0 < len(portion) <= KEYS_AT_ONCE
                keys += portion
        assert pauses == [True, False]

    run(test)


def test_a_paste_without_an_end_is_dropped() -> None:
    async def test() -> None:
        source, _, _ = input_of(["\x1b[200~", *["x" * 1000] * (MAX_TEXT // 1000 + 1), "y"])
        assert [press.data for press in source.read_keys()] == ["y"]

    run(test)
