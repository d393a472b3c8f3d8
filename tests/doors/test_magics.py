"""``%hub`` in a shell without a kernel; tests/e2e has the kernels."""

from __future__ import annotations

import signal
import threading
from typing import Any

import pytest
from IPython.core.completer import provisionalcompleter
from IPython.core.error import UsageError

from hubkernel import live
from hubkernel.api import Caller, JobFailedError, JobHandle, LocalHub
from hubkernel.facade import Rows
from hubkernel.hub.commands import CommandDefinition, Role
from hubkernel.magics import HubCodeError
from tests.doors.fake import SOURCES, FakeServer


def run(shell: Any, code: str) -> Any:
    """Run a cell; its last value, or its error raised."""
    result = shell.run_cell(code)
    result.raise_error()
    return result.result


def test_words_and_calls_are_the_same(shell: Any) -> None:
    assert run(shell, "%hub later 41") == 42
    assert run(shell, "%hub later(value=41)") == 42
    assert run(shell, "%hub later value=41") == 42


def test_without_a_command_it_shows_the_status(shell: Any) -> None:
    assert run(shell, "%hub") == {"source": {"total": 2}}


def test_a_list_is_a_table(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert isinstance(run(shell, "rows = %hub sources\nrows"), Rows)
    assert shell.user_ns["rows"] == SOURCES
    assert "hpo_terms  2025-01-16" in capsys.readouterr().out


def test_python_values_go_into_a_command_and_its_job_into_a_variable(shell: Any, server: FakeServer) -> None:
    job = run(shell, 'src = "hpo_terms"\njob = %hub --no-wait dump $src force={1 == 1}\njob')
    assert isinstance(job, JobHandle)
    assert job.command == "dump(src='hpo_terms',force=True)"


def test_it_waits_with_progress_and_returns_the_job(
    shell: Any, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    job = run(shell, "%hub quick")
    assert job.result() == "quickly"
    assert capsys.readouterr().out.count("quick()") == 2  # progress, and the value of the cell


def test_no_wait_goes_on_at_once(shell: Any, server: FakeServer) -> None:
    assert run(shell, "%hub --no-wait dump x").state == "running"


def test_a_failed_job_fails_the_cell(shell: Any, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    mover = threading.Thread(
        target=lambda: (server.jobs.wait_for_job(1), server.jobs.move(1, state="failed", error="404"))
    )
    mover.start()
    with pytest.raises(JobFailedError, match="404"):
        run(shell, "%hub dump x\nafter = 1")
    mover.join()
    assert "after" not in shell.user_ns
    out = capsys.readouterr().out
    assert "JobFailedError: job 1 dump(src='x') failed: 404" in out
    assert "live.py" not in out


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("%hub dmp x", "no command 'dmp'; did you mean 'dump'?"),
        ("%hub dump", "dump: 'src' is missing"),
        ("%hub merge hpo targt=1", "did you mean 'target_name'?"),
        ("%hub dump(x)", "x is no literal; for text write 'x'"),
        ("%hub --wat dump x", "unknown option --wat; there is --no-wait"),
        ("%%hub dump x\nstatus", "%%hub takes --no-wait, exec or plugin only"),
    ],
)
def test_wrong_usage_is_one_error(shell: Any, server: FakeServer, line: str, says: str) -> None:
    with pytest.raises(UsageError) as caught:
        run(shell, line)
    assert says in str(caught.value)
    assert not server.jobs.records


def test_a_cell_runs_one_command_a_line_and_stops_at_the_first_failure(
    shell: Any, server: FakeServer, capsys: pytest.CaptureFixture[str]
) -> None:
    run(shell, "n = 'one'")
    with pytest.raises(UsageError, match="did you mean 'dump'"):
        run(shell, "%%hub\n# settings\n\nsetconf x {n}\nsetconf(\n  'y', 2)\ndmp x\nsetconf z 3")
    assert [record.command for record in server.jobs.records.values()] == [
        "setconf(name='x',value='one')",
        "setconf(name='y',value=2)",
    ]
    assert "{'x': 'one'}" in capsys.readouterr().out


def test_chained_commands_are_one_job(shell: Any, server: FakeServer) -> None:
    with pytest.raises(UsageError, match="did you mean 'dump'"):
        run(shell, "%hub setconf x 1 && dmp y && setconf z 3")
    assert not server.jobs.records
    job = run(shell, "%hub --no-wait setconf x 1 && quick")
    assert (job.command, job.result(10)) == ("setconf(name='x',value=1) && quick()", [{"x": 1}, "quickly"])
    with pytest.raises(JobFailedError, match="there is no setting 'nothing'"):
        run(shell, "%hub setconf nothing 1 && setconf z 3")
    assert len(server.jobs.records) == 2


def test_help_is_a_manual(shell: Any, capsys: pytest.CaptureFixture[str]) -> None:
    run(shell, "%hub?")
    manual = capsys.readouterr().out
    assert "%hub --no-wait COMMAND" in manual
    assert "Interrupting the kernel stops the waiting" in manual


# ------------------------------------------------------------------------------------------------------------ interrupt


@pytest.fixture
def interrupt_when_it_waits(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Interrupts the waiting as often as there are entries; each drawing takes one."""
    planned: list[str] = []
    draw = live.PlainScreen.draw

    def drawing(self: live.PlainScreen, job: JobHandle) -> None:
        draw(self, job)
        if planned:
            planned.pop()
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(live.PlainScreen, "draw", drawing)
    monkeypatch.setattr(live, "GRACE", 0.05)
    monkeypatch.setattr(live, "REDRAW", 0.02)
    return planned


def test_an_interrupt_stops_the_waiting_and_not_the_job(
    shell: Any, server: FakeServer, interrupt_when_it_waits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_when_it_waits += ["once"]
    with pytest.raises(KeyboardInterrupt):
        run(shell, "%hub dump x\nafter = 1")
    assert server.jobs.records[1].state == "running"
    assert "after" not in shell.user_ns
    out = capsys.readouterr().out
    assert "job 1 goes on. Interrupt again within" in out
    assert "hub.cancel(1)" in out
    assert "Interrupted: job 1 dump(src='x') is running" in out
    assert "live.py" not in out


def test_a_second_interrupt_cancels_the_job_and_the_hub_lives_on(
    shell: Any, server: FakeServer, interrupt_when_it_waits: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    interrupt_when_it_waits += ["once", "twice"]
    with pytest.raises(JobFailedError, match="was cancelled"):
        run(shell, "%hub dump x")
    assert server.jobs.records[1].state == "cancelled"
    assert "Cancelling job 1" in capsys.readouterr().out
    assert run(shell, "%hub later 1") == 2


def test_a_second_interrupt_that_comes_with_the_message_cancels_the_job_too(
    shell: Any,
    server: FakeServer,
    interrupt_when_it_waits: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    interrupt_when_it_waits += ["once"]
    say = live.PlainScreen.say

    def saying(self: live.PlainScreen, text: str) -> None:
        say(self, text)
        if "Stopped waiting" in text:
            signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(live.PlainScreen, "say", saying)
    with pytest.raises(JobFailedError, match="was cancelled"):
        run(shell, "%hub dump x")
    assert server.jobs.records[1].state == "cancelled"
    assert "Cancelling job 1" in capsys.readouterr().out


# ----------------------------------------------------------------------------------------------------------- completion


def complete(shell: Any, text: str) -> list[str]:
    with provisionalcompleter():
        return [found.text for found in shell.Completer.completions(text, len(text))]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("%hub du", ["dump"]),
        ("%hub --no-wait du", ["dump"]),
        ("%hub dump hpo_", ["hpo_genes", "hpo_terms"]),
        ("%hub dump hpo_terms fo", ["force="]),
        ("%hub dump src=hpo_t", ["hpo_terms"]),
        ("%hub dump hpo_terms && mer", ["merge"]),
        ("%hub merge hp", ["hpo", "hpo_20250116"]),
        ("%hub search hpo_c", ["hpo_current"]),
        ("%hub dump('hpo_t", ["hpo_terms"]),
        ('hub.dump("hpo_g', ["hpo_genes"]),
        ('hub.dump("hpo_terms", fo', ["force="]),
    ],
)
def test_commands_arguments_sources_and_builds_are_completed(shell: Any, text: str, expected: list[str]) -> None:
    assert sorted(complete(shell, text)) == expected


def test_a_cell_magic_is_completed_on_each_line(shell: Any) -> None:
    assert complete(shell, "%%hub\ndump hpo_terms\nmer") == ["merge"]


def test_attributes_of_hub_are_completed(shell: Any) -> None:
    assert complete(shell, "hub.du") == ["dump"]


def test_other_code_is_left_to_ipython(shell: Any) -> None:
    assert "import" in complete(shell, "impor")
    assert complete(shell, "other('hpo_te") == []


# -------------------------------------------------------------------------------------------------------- load, unload


def test_loading_twice_is_harmless_and_unloading_takes_everything_back(shell: Any) -> None:
    before = len(shell.Completer.custom_matchers)
    shell.run_line_magic("reload_ext", "hubkernel")
    assert len(shell.Completer.custom_matchers) == before
    shell.run_line_magic("unload_ext", "hubkernel")
    assert "hub" not in shell.user_ns
    assert shell.find_line_magic("hub") is None
    assert shell.find_cell_magic("hub") is None
    assert len(shell.Completer.custom_matchers) == before - 1


# ------------------------------------------------------------------------------------------------------ code in the hub


def test_a_cell_of_code_runs_in_the_hub(shell: Any, server: FakeServer, capsys: pytest.CaptureFixture[str]) -> None:
    seen = []

    def run_code(code: str) -> dict[str, Any]:
        """Run code."""
        seen.append(code)
        error = "Traceback ...\nNameError: nothing" if "nothing" in code else None
        return {"output": "printed there\n", "value": "42", "error": error}

    server.extra_commands["run_code"] = CommandDefinition(run_code, tracked=False)
    run(shell, "%%hub exec\nx = jm\nx")
    assert seen == ["x = jm\nx\n"]
    assert capsys.readouterr().out == "printed there\n42\n"
    with pytest.raises(HubCodeError, match="NameError: nothing"):
        run(shell, "%%hub exec\nnothing")


def test_code_is_for_developers(shell: Any, server: FakeServer, api: LocalHub) -> None:
    server.extra_commands["run_code"] = CommandDefinition(lambda code: {}, tracked=False, role=Role.developer)
    api.caller = Caller("olga", "notebook", Role.operator)
    with pytest.raises(UsageError, match="run_code needs the role developer; olga is operator"):
        run(shell, "%%hub exec\n1")
