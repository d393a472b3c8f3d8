"""The command prompt by itself, on a running hub."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from hubkernel.api import JobHandle, LocalHub
from hubkernel.hub.commands import Role
from hubkernel.jobs.models import JobRecord
from hubkernel.ssh.prompt import CommandPrompt, PromptError, shown
from hubkernel.ssh.screen import Progress, job_line, printable
from tests.ssh.tools import Held, run, until


def job(**fields: Any) -> JobHandle:
    given = {"id": 2, "name": "slow", "command": "slow(n=2)", "created": 10.0, "started": 10.0, "finished": 12.4}
    return JobHandle(None, JobRecord(**{**given, **fields}))  # type: ignore[arg-type]


def test_core_c49_the_lines_about_a_job() -> None:
    running = job_line(job(state="running", finished=11.4, done=1, total=4, message="reading"))
    assert running == "[2] RUN {1.4s} slow(n=2) 25% reading"
    assert job_line(job(state="done", result="x")) == "[2] OK {2.4s} slow(n=2): finished ['x']"
    assert job_line(job(state="done", result=[0, 1, 2])) == "[2] OK {2.4s} slow(n=2): finished [0, 1, 2]"
    assert job_line(job(state="done")) == "[2] OK {2.4s} slow(n=2): finished [None]"
    assert job_line(job(state="failed", error="kaboom")) == "[2] ERR {2.4s} slow(n=2): finished ['kaboom']"
    assert job_line(job(state="cancelled")) == "[2] ERR {2.4s} slow(n=2): finished ['cancelled']"


def test_what_a_terminal_would_obey_is_not_sent() -> None:
    assert printable("a\x1b]0;title\x07b\tc\nd\x9b1m\x7f") == "a\ufffd]0;title\ufffdb\tc\nd\ufffd1m\ufffd"
    assert "\x1b" not in job_line(job(state="running", message="\x1b[2J"))


def test_progress_in_a_terminal_is_drawn_over() -> None:
    written: list[str] = []
    progress = Progress(written.append, lambda: 30)
    progress.draw(job(state="running", finished=11.0, message="a long message of a job that works"))
    progress.draw(job(state="running", finished=12.0, message="short"))
    progress.draw(job(state="running", finished=12.0, message="short"))
    progress.end()
    assert written == [
        "\r[2] RUN {1.0s} slow(n=2) a lo",
        "\r[2] RUN {2.0s} slow(n=2) shor",
        f"\r{' ' * 29}\r",
    ]
    assert progress.job is None


def test_progress_elsewhere_is_a_line_for_each_change(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkernel.ssh.screen.SECOND", 0)
    written: list[str] = []
    progress = Progress(written.append)
    for message in ("one", "one", "two"):
        progress.draw(job(state="running", finished=11.0, message=message))
    progress.draw(job(state="done"))
    progress.end()
    assert written == ["[2] RUN {1.0s} slow(n=2) one\n", "[2] RUN {1.0s} slow(n=2) two\n"]


@pytest.mark.parametrize(
    ("value", "text"), [(None, ""), ("", ""), ("a", "a\n"), ("a\n", "a\n"), ({"b": 1, "a": 2}, "{'b': 1, 'a': 2}\n")]
)
def test_values_as_text(value: Any, text: str) -> None:
    assert shown(value) == text


def refused(hub: LocalHub, line: str, role: Role = Role.operator) -> PromptError:
    errors: list[PromptError] = []

    async def test() -> None:
        with pytest.raises(PromptError) as caught:
            await CommandPrompt(hub, role, "me").eval(line)
        errors.append(caught.value)

    run(test)
    return errors[0]


REFUSED = [
    ("slw(1)", "no command 'slw'; did you mean 'slow'", True),
    ("slow(x)", "x is no literal", True),
    ("say()", "'text' is missing", True),
    ("__import__('os').system('true')", "only one command", True),
    ("guarded", "guarded needs the role developer; me is operator", False),
    ("slow && nope()", "no command 'nope'", True),
    ("slow &&", "'&&' needs a command on both sides", True),
    ("say x && slow", "can't chain commands", True),
]


def test_what_is_refused_before_anything_starts(hub: LocalHub) -> None:
    for line, message, usage in REFUSED:
        error = refused(hub, line)
        assert message in str(error)
        assert error.usage is usage, line
    assert hub.jobs() == []


def test_a_viewer_may_only_look(hub: LocalHub) -> None:
    assert "slow needs the role operator; me is viewer" in str(refused(hub, "slow", Role.viewer))
    assert not CommandPrompt(hub, Role.viewer).may("slow")
    assert CommandPrompt(hub, Role.viewer).may("say")


def test_no_command_gives_more_rights(hub: LocalHub) -> None:
    for line in ("run('guarded')", "run('slow && guarded')", "schedule('0 3 * * *', 'guarded')"):
        assert "guarded is for developers" in str(refused(hub, line))


def test_commands_jobs_and_chains(held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        prompt = CommandPrompt(hub)
        assert await prompt.eval('say("x")') == "x\n"
        assert await prompt.eval("say x") == "x\n"
        assert await prompt.eval("   ") == ""
        held.gate.set()
        assert await prompt.eval("slow(2)") == "slow 2 is done\n"
        assert await prompt.eval("slow(2) && slow(3)") == "slow 2 is done\nslow 3 is done\n"
        with pytest.raises(PromptError, match=r"\[3\] ERR .*finished \['ValueError: kaboom'\]"):
            await prompt.eval("boom() && slow(4)")

    run(test)
    assert [known.command for known in hub.jobs()] == ["boom() && slow(n=4)", "slow(n=2) && slow(n=3)", "slow(n=2)"]


def test_core_c50_the_same_command_while_it_runs(held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        prompt = CommandPrompt(hub)
        first = asyncio.create_task(prompt.eval("slow(2)"))
        await until(lambda: hub.jobs(running=True))
        with pytest.raises(PromptError, match="already running"):
            await prompt.eval("slow 2")
        held.gate.set()
        assert await first == "slow 2 is done\n"
        assert await prompt.eval("slow 2") == "slow 2 is done\n"

    run(test)


def test_the_job_says_who_asked_and_where(held: Held, hub: LocalHub) -> None:
    async def test() -> None:
        held.gate.set()
        await CommandPrompt(hub, Role.operator, "alice").eval("slow(2)")

    run(test)
    assert [(known.record.user, known.record.door) for known in hub.jobs()] == [("alice", "ssh")]
