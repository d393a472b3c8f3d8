"""Real terminals: the command line, IPython and ``jupyter console``, each with a pty of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pexpect
import pytest

from hubkernel.hub.home import HubHome
from hubkernel.owner import read_owner
from tests.e2e.homes import outcome

pytestmark = pytest.mark.service
BIN = Path(sys.executable).parent


def hubkernel(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "hubkernel", *arguments], capture_output=True, text=True, timeout=100, check=False)


def terminal(program: str, *arguments: str) -> pexpect.spawn:
    environment = {**os.environ, "TERM": "dumb", "COLUMNS": "100", "LINES": "40"}
    return pexpect.spawn(
        str(BIN / program), list(arguments), env=environment, timeout=60, encoding="utf-8", dimensions=(40, 100)
    )


# --------------------------------------------------------------------------------------------------- the command line


def test_exec_does_the_whole_job_one_step_after_the_other(home: HubHome) -> None:
    done = hubkernel("exec", 'dump("hpo_terms") && upload("hpo_terms") && count("hpo_terms")')
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "60"
    assert "upload(src='hpo_terms')" in done.stderr
    status = json.loads(hubkernel("status", "--json").stdout)
    terms = next(source for source in status["sources"] if source["name"] == "hpo_terms")
    assert (terms["documents"], terms["upload"], status["owner"]) == (60, "success", None)


@pytest.mark.parametrize(
    ("command", "status", "says"),
    [
        ("dmp hpo_terms", 2, "no command 'dmp'; did you mean 'dump'?"),
        ("dump hpo_terms forse=True", 2, "forse"),
        ("dump hpo_term", 2, "no source 'hpo_term': did you mean 'hpo_terms'?"),
        ("upload hpo_terms", 1, "hpo_terms"),
        ("count nothing", 1, "nothing"),
    ],
)
def test_what_is_wrong_is_one_line_and_a_status(home: HubHome, command: str, status: int, says: str) -> None:
    done = hubkernel("exec", "--quiet", command)
    assert done.returncode == status
    assert done.stdout == ""
    lines = done.stderr.splitlines()
    assert len(lines) == 1 and lines[0].startswith("hubkernel: ")
    assert says in lines[0]


def test_progress_is_one_line_of_the_terminal_and_ctrl_c_cancels(home: HubHome) -> None:
    assert hubkernel("exec", "-q", "dump slow").returncode == 0
    process = terminal("hubkernel", "exec", "upload slow")
    process.expect(r"\rupload\(src='slow'\) .*running")
    process.expect(r"\rupload\(src='slow'\) .*running")
    process.sendintr()
    process.expect("Cancelling job 2")
    process.expect("cancelled")
    process.expect(pexpect.EOF)
    process.close()
    assert process.exitstatus == 130
    assert outcome(home)[2] == ("upload(src='slow')", "cancelled")
    assert read_owner(home.run) is None


def test_a_second_process_is_told_who_owns_the_home_while_status_answers(home: HubHome) -> None:
    assert hubkernel("exec", "-q", "dump slow").returncode == 0
    owner = terminal("hubkernel", "exec", "upload slow")
    owner.expect("running")
    second = hubkernel("exec", "sources")
    assert second.returncode == 75
    assert second.stderr.strip().startswith(f"hubkernel: the hub at {home} is in use by process {owner.pid}")
    status = hubkernel("status")
    assert status.returncode == 0
    assert f"in use by process {owner.pid}" in status.stdout
    assert "running" in status.stdout
    owner.kill(signal.SIGKILL)
    owner.wait()
    third = hubkernel("exec", "commands(2)")
    assert third.returncode == 0, third.stderr
    assert json.loads(third.stdout)["2"]["state"] == "interrupted"


# -------------------------------------------------------------------------------------------------------------- shells


@pytest.fixture
def ipython(jupyter: Path) -> Iterator[pexpect.spawn]:
    shell = terminal("ipython", "--no-banner", "--simple-prompt", "--colors=NoColor", "--ext=hubkernel")
    shell.expect(r"In \[1\]: ")
    yield shell
    shell.close(force=True)


def test_ipython_in_a_terminal(ipython: pexpect.spawn, home: HubHome) -> None:
    ipython.sendline("%hub dump slow")
    ipython.expect(r"Job 1 · dump\(src='slow'\) · done")
    ipython.expect(r"In \[2\]: ")
    ipython.sendline("%hub upload slow")
    ipython.expect(r"\rupload\(src='slow'\) .*running")
    ipython.sendintr()
    ipython.expect("job 2 goes on. Interrupt again within 2 s to cancel it")
    ipython.expect("Interrupted: job 2 upload")
    ipython.expect(r"In \[3\]: ")
    ipython.sendline("%hub cancel 2")
    ipython.expect(r"Out\[3\]: True")
    ipython.expect(r"In \[4\]: ")
    ipython.sendline("hub.job(2).wait(30).state")
    ipython.expect(r"Out\[4\]: 'cancelled'")
    ipython.expect(r"In \[5\]: ")
    ipython.sendline("exit()")
    ipython.expect(pexpect.EOF)
    assert read_owner(home.run) is None


def test_ipython_ends_while_a_job_runs(ipython: pexpect.spawn, home: HubHome) -> None:
    ipython.sendline("hub.dump('slow').wait(); job = hub.upload('slow')")
    ipython.expect(r"In \[2\]: ")
    ipython.sendline("exit()")
    ipython.expect(pexpect.EOF)
    assert outcome(home)[2] == ("upload(src='slow')", "interrupted")


def test_jupyter_console(jupyter: Path, home: HubHome) -> None:
    console = terminal("jupyter-console", "--kernel=hub", "--simple-prompt", "--ZMQTerminalInteractiveShell.banner=")
    console.expect(r"In \[1\]: ")
    console.sendline("%hub dump hpo_terms")
    console.expect(r"Job 1 · dump\(src='hpo_terms'\) · done")
    console.expect(r"In \[2\]: ")
    console.sendline("upload('hpo_terms').result()['hpo_terms']['count']")
    console.expect("60")
    console.expect(r"In \[3\]: ")
    console.sendline("exit")
    console.expect(pexpect.EOF)
    console.close()
