"""One owner a home, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hubkernel import __version__
from hubkernel.owner import PROTOCOL, HubBusyError, OwnerLock, read_owner

HOLD = """
import sys
from pathlib import Path
from hubkernel.owner import HubBusyError, OwnerLock
lock = OwnerLock(Path(sys.argv[1]))
try:
    lock.acquire()
except HubBusyError as error:
    print("busy", error.pid, flush=True)
    sys.exit(75)
print("owner", flush=True)
sys.stdin.readline()
"""


def holder(run: Path) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", HOLD, str(run)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )


def said(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def end(process: subprocess.Popen[str]) -> int:
    process.communicate("\n", timeout=30)
    return process.returncode


def test_the_owner_says_who_it_is_to_its_user_only(tmp_path: Path) -> None:
    run = tmp_path / "run"
    lock = OwnerLock(run)
    owner = lock.acquire()
    assert (owner.pid, owner.version, owner.protocol) == (os.getpid(), __version__, PROTOCOL)
    assert json.loads((run / "hub.json").read_text())["pid"] == os.getpid()
    assert (run / "hub.json").stat().st_mode & 0o777 == 0o600
    assert run.stat().st_mode & 0o777 == 0o700
    assert read_owner(run) == owner
    lock.release()
    lock.release()
    assert not lock.held
    assert read_owner(run) is None
    assert not (run / "hub.json").exists()


def test_a_second_hub_on_a_home_gets_one_clear_error(tmp_path: Path) -> None:
    first = OwnerLock(tmp_path / "run")
    first.acquire()
    with pytest.raises(HubBusyError) as caught:
        OwnerLock(tmp_path / "run").acquire()
    assert str(caught.value).splitlines() == [
        f"the hub at {tmp_path} is in use by process {os.getpid()}: "
        "work there, end it, or choose another home ($HUBKERNEL_HOME)"
    ]
    assert caught.value._render_traceback_() == [f"HubBusyError: {caught.value}"]
    assert read_owner(tmp_path / "run") is not None
    first.release()


def test_a_failed_attempt_leaves_the_owner_alone(tmp_path: Path) -> None:
    first = OwnerLock(tmp_path / "run")
    owner = first.acquire()
    second = OwnerLock(tmp_path / "run")
    with pytest.raises(HubBusyError):
        second.acquire()
    second.release()
    assert read_owner(tmp_path / "run") == owner
    first.release()


def test_a_killed_owner_leaves_nothing_to_clean(tmp_path: Path) -> None:
    process = holder(tmp_path / "run")
    assert said(process) == "owner"
    owner = read_owner(tmp_path / "run")
    assert owner is not None and owner.pid == process.pid
    process.send_signal(signal.SIGKILL)
    process.communicate(timeout=30)
    assert (tmp_path / "run" / "hub.json").exists()
    assert read_owner(tmp_path / "run") is None
    lock = OwnerLock(tmp_path / "run")
    assert lock.acquire().pid == os.getpid()
    lock.release()


def test_of_many_that_race_exactly_one_becomes_the_owner(tmp_path: Path) -> None:
    processes = [holder(tmp_path / "run") for _ in range(4)]
    answers = [said(process) for process in processes]
    assert answers.count("owner") == 1
    winner = processes[answers.index("owner")]
    assert {answer for answer in answers if answer != "owner"} <= {f"busy {winner.pid}", "busy None"}
    assert sorted(end(process) for process in processes) == [0, 75, 75, 75]


def test_asking_who_owns_a_home_never_stands_in_an_owners_way(tmp_path: Path) -> None:
    run = tmp_path / "run"
    lock = OwnerLock(run)
    lock.acquire()
    lock.release()
    for _ in range(50):
        assert read_owner(run) is None
        lock.acquire()
        lock.release()


def test_what_a_later_version_wrote_is_a_busy_home_without_a_pid(tmp_path: Path) -> None:
    lock = OwnerLock(tmp_path / "run")
    lock.acquire()
    (tmp_path / "run" / "hub.json").write_text('{"owner": {"pid": 3}}')
    with pytest.raises(HubBusyError, match="in use by another process"):
        OwnerLock(tmp_path / "run").acquire()
    owner = read_owner(tmp_path / "run")
    assert owner is not None and owner.pid == 0
    lock.release()


def test_a_home_without_a_run_folder_has_no_owner(tmp_path: Path) -> None:
    assert read_owner(tmp_path / "nowhere") is None
