"""The hub in a process of its own, and OpenSSH's programs as its users have them."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pexpect
import pytest
from argon2 import PasswordHasher

from hubkernel import discovery
from hubkernel.hub.home import HubHome
from hubkernel.owner import read_owner
from tests.e2e.homes import add_slow_source, hpo_home
from tests.services import ServiceMissingError, missing, openssh
from tests.ssh.tools import PASSWORD, until

pytestmark = pytest.mark.service
HELP = "command(id: int) -> dict[str, Any]\n\nOne launched command: its text, state, times, progress and results.\n"


@dataclass
class Place:
    """A running hub and the keys to it."""

    home: HubHome
    port: int
    folder: Path

    def options(self, user: str, flag: str = "-p") -> list[str]:
        known = f"UserKnownHostsFile={self.folder / 'known_hosts'}"
        chosen = ["StrictHostKeyChecking=accept-new", known, "LogLevel=ERROR", "IdentitiesOnly=yes", "BatchMode=yes"]
        return ["-F", "none", flag, str(self.port), "-i", str(self.folder / user)] + [f"-o{one}" for one in chosen]

    def run(self, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run([program, *arguments], capture_output=True, text=True, timeout=60, check=False)

    def ssh(self, user: str, *command: str, key: str | None = None) -> subprocess.CompletedProcess[str]:
        return self.run("ssh", *self.options(key or user), f"{user}@127.0.0.1", *command)

    def scp(self, user: str, source: str, target: str, *flags: str) -> subprocess.CompletedProcess[str]:
        return self.run("scp", *flags, *self.options(user, "-P"), source, target)

    def terminal(self, user: str, *command: str) -> pexpect.spawn:
        arguments = ["-tt", *self.options(user), f"{user}@127.0.0.1", *command]
        environment = {**os.environ, "TERM": "xterm-256color"}
        return pexpect.spawn(
            "ssh", arguments, env=environment, timeout=60, encoding="utf-8", dimensions=(30, 100), echo=False
        )


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    try:
        openssh.probe()
    except ServiceMissingError as error:
        missing(error)
    folder = tmp_path_factory.mktemp("openssh")
    home = hpo_home(folder / "home")
    add_slow_source(home)
    hashed = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1).hash(PASSWORD)
    home.config_file.write_text(f'hub_name = "Open Hub"\nssh_port = 0\n[ssh_passwords]\nguest = "{hashed}"\n')
    (home.root.parent / "secret").write_text("secret")
    keys = home.ssh / "authorized_keys"
    keys.mkdir()
    for role in ("viewer", "operator", "developer", "stranger"):
        made = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", role, "-f", str(folder / role)]
        subprocess.run(made, check=True, stdin=subprocess.DEVNULL)
        if role != "stranger":
            (keys / f"{role}.pub").write_text(f'environment="HUB_ROLE={role}" {(folder / f"{role}.pub").read_text()}')
    owner = discovery.start(home)
    assert owner.ssh_port
    try:
        yield Place(home, owner.ssh_port, folder)
    finally:
        os.kill(owner.pid, signal.SIGTERM)
        asyncio.run(asyncio.wait_for(until(lambda: read_owner(home.run) is None), 60))


def test_a_command_by_key(place: Place) -> None:
    done = place.ssh("viewer", "command?")
    assert (done.returncode, done.stdout, done.stderr) == (0, HELP, "")


@pytest.mark.parametrize(("user", "key"), [("viewer", "stranger"), ("operator", "viewer"), ("nobody", "viewer")])
def test_a_wrong_key(place: Place, user: str, key: str) -> None:
    done = place.ssh(user, "command?", key=key)
    assert done.returncode == 255
    assert "Permission denied" in done.stderr


def test_a_key_is_given_and_taken_away_by_a_developer(place: Place) -> None:
    line = (place.folder / "stranger.pub").read_text().strip()
    assert place.ssh("ann", "command?", key="stranger").returncode == 255
    given = place.ssh("developer", f'add_key("ann", "{line}", role="viewer")')
    assert given.returncode == 0, given.stderr
    assert place.ssh("ann", "command?", key="stranger").stdout == HELP
    assert place.ssh("ann", "dump hpo_terms", key="stranger").returncode == 1
    assert place.ssh("developer", 'revoke_key("ann")').returncode == 0
    assert place.ssh("ann", "command?", key="stranger").returncode == 255
    told = place.ssh("developer", 'audit(door="ssh", user="ann")').stdout
    assert "refused" in told
    assert "dump" in told


@pytest.mark.parametrize(("password", "status"), [(PASSWORD, 0), ("wrong", 255)])
def test_a_password(place: Place, password: str, status: int) -> None:
    ask = place.folder / "ask"
    ask.write_text(f"#!/bin/sh\necho '{password}'\n")
    ask.chmod(0o700)
    options = [option for option in place.options("stranger") if option != "-oBatchMode=yes"]
    done = subprocess.run(
        ["ssh", *options, "-oPubkeyAuthentication=no", "guest@127.0.0.1", "command?"],
        env={**os.environ, "SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force", "DISPLAY": ":0"},
        capture_output=True, text=True, timeout=60, check=False, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert done.stdout == (HELP if status == 0 else "")


def test_the_status_of_a_command_its_progress_and_its_error(place: Place) -> None:
    done = place.ssh("operator", 'dump("hpo_terms")')
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == 1
    assert "RUN {" in done.stderr
    assert place.ssh("operator", "dmp hpo_terms").returncode == 2
    assert place.ssh("operator", "dump hpo_trms").returncode == 2
    assert place.ssh("viewer", "dump hpo_terms").returncode == 1
    assert place.ssh("operator", "dump slow").returncode == 0
    running = subprocess.Popen(
        ["ssh", *place.options("operator"), "operator@127.0.0.1", "upload slow"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert running.stderr is not None
    first = running.stderr.readline()
    assert "RUN {" in first
    number = first.partition("]")[0].strip("[")
    assert place.ssh("operator", f"cancel {number}").stdout == "True\n"
    out, error = running.communicate(timeout=60)
    assert (running.returncode, out) == (1, "")
    assert error.splitlines()[-1].startswith(f"[{number}] ERR {{")


def test_lines_from_a_pipe(place: Place) -> None:
    done = subprocess.run(
        ["ssh", *place.options("viewer"), "viewer@127.0.0.1"],
        input="command?\ncmmand?\n", capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.startswith(f"\nWelcome to Open Hub, viewer!\nhub> {HELP}hub> ")
    assert done.stdout.endswith("hub> Have a good one...\n")


def test_an_operator_has_the_command_prompt(place: Place) -> None:
    terminal = place.terminal("operator")
    terminal.expect("Welcome to Open Hub, operator!")
    terminal.expect("hub>")
    terminal.send("help comm\t")
    terminal.expect("and")
    terminal.send("\r")
    terminal.expect("One launched command")
    terminal.send("dump slow force=True && upload slow\r")
    terminal.expect(r"\[\d+\] RUN \{[^}]*\} dump\(src='slow',force=True\) && upload\(src='slow'\)")
    terminal.send("\x03")
    terminal.expect("goes on")
    terminal.send("\x03")
    terminal.expect(r"\[y/N\]")
    terminal.send("y\r")
    terminal.expect("True")
    terminal.send("\x04")
    terminal.expect("Have a good one...")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 0
    assert "upload slow" in (place.home.ssh / "history" / "operator").read_text()


def test_core_c55_a_developer_has_python_with_the_hub(place: Place) -> None:
    terminal = place.terminal("developer")
    terminal.expect("Welcome to Open Hub, developer!")
    terminal.expect("hub .*1.*> ")
    terminal.send("def twice(x):\n    return 2 * x\n\n")
    terminal.send("print('<', twice(21), '>')\r")
    terminal.expect("< 42 >")
    terminal.send("type(commands()).__name__\r")
    terminal.expect("'dict'")
    terminal.send("%hub help command\r")
    terminal.expect("One launched command")
    terminal.setwinsize(22, 77)
    terminal.send("import os; print(*os.get_terminal_size())\r")
    terminal.expect("77 22")
    terminal.send("import time; print('on', 'it'); time.sleep(600)\r")
    terminal.expect("on it")
    terminal.send("\x03")
    terminal.expect("KeyboardInterrupt")
    terminal.send("hub.jobs(); print(get_ipython().hubkernel_extension.hub.api.caller)\r")
    terminal.expect("user='developer', door='ssh'")
    terminal.send("print(get_ipython().ipython_dir, get_ipython().history_manager.hist_file)\r")
    terminal.expect_exact(f"{place.home.ssh / 'ipython'}")
    terminal.sendline("import os; os._exit(3)")
    terminal.expect(pexpect.EOF)
    terminal.close()
    assert terminal.exitstatus == 3
    assert place.ssh("viewer", "command?").stdout == HELP


def test_a_developer_s_single_command_starts_no_python(place: Place) -> None:
    done = place.ssh("developer", "__import__('os').system('true')")
    assert done.returncode == 2
    assert "only one command" in done.stderr


@pytest.mark.parametrize("flags", [(), ("-O",)])
def test_scp(place: Place, flags: tuple[str, ...]) -> None:
    content = os.urandom(200_000)
    mine = place.folder / "mine"
    mine.write_bytes(content)
    there = place.scp("operator", str(mine), "operator@127.0.0.1:data", *flags)
    assert there.returncode == 0, there.stderr
    assert (place.home.dataupload / "data").read_bytes() == content
    assert "dataupload('data')" in place.ssh("developer", 'audit(door="ssh", user="operator")').stdout
    back = place.scp("operator", "operator@127.0.0.1:data", str(place.folder / "back"), *flags)
    assert back.returncode == 0, back.stderr
    assert (place.folder / "back").read_bytes() == content
    out = place.scp("operator", "operator@127.0.0.1:../../secret", str(place.folder / "stolen"), *flags)
    assert out.returncode != 0
    assert not (place.folder / "stolen").exists()
    refused = place.scp("viewer", str(mine), "viewer@127.0.0.1:refused", *flags)
    assert refused.returncode != 0
    assert not (place.home.dataupload / "refused").exists()


def test_sftp(place: Place) -> None:
    (place.folder / "mine").write_text("x")
    batch = place.folder / "batch"
    batch.write_text(f"mkdir src\nput {place.folder / 'mine'} src/one\nls -l src\nrename src/one src/two\npwd\n")
    done = place.run("sftp", "-b", str(batch), *place.options("operator", "-P"), "operator@127.0.0.1")
    assert done.returncode == 0, done.stderr
    assert "Remote working directory: /\n" in done.stdout
    assert (place.home.dataupload / "src" / "two").read_text() == "x"
