"""The owner in a process of its own: who starts it, what it survives, what its end leaves behind."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel import cli, client
from hubkernel.handles import HubClosedError, JobCancelledError
from hubkernel.hub.home import HubHome
from hubkernel.owner import HubBusyError, OwnerError, OwnerLock, read_owner
from tests.e2e.homes import add_slow_source, outcome
from tests.server_ext.owners import end, kill, owner_of, python, until

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("owner processes")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubHome]:
    """A home with a source whose upload never ends; whatever owns it is gone afterwards."""
    home = HubHome(tmp_path / "hub").create()
    add_slow_source(home)
    monkeypatch.setenv("HUBKERNEL_PLACEMENT", "attach")
    yield home
    client.disconnect(home)
    end(home)


def running_upload(home: HubHome) -> object:
    hub = client.connect(home)
    hub.call("dump", "slow").result(60)
    job = hub.call("upload", "slow")
    until(lambda: job.state == "running" and job.record.done, "the upload")
    return job


def test_the_first_door_starts_it_and_says_so(home: HubHome, capfd: pytest.CaptureFixture[str]) -> None:
    hub = client.connect(home)
    owner = owner_of(home)
    assert capfd.readouterr().err == f"starting the hub at {home} ...\n"
    assert (hub.about()["pid"], hub.placement) == (owner.pid, "attach")
    assert owner.pid != os.getpid() and os.getsid(owner.pid) == owner.pid
    assert (home.run / "hub.json").stat().st_mode & 0o777 == 0o600
    assert (home.run / "hub.log").stat().st_mode & 0o777 == 0o600
    assert owner.token not in (home.run / "hub.log").read_text()
    assert owner.url.startswith("http://127.0.0.1:")


def test_sixteen_doors_that_race_start_one(home: HubHome) -> None:
    code = "from hubkernel import client; print(client.connect().about()['pid'])"
    doors = [python(code, home) for _ in range(16)]
    said = [door.communicate(timeout=110) for door in doors]
    assert {out.strip() for out, _ in said} == {str(owner_of(home).pid)}
    assert sum("starting the hub" in err for _, err in said) == 1


def test_its_end_by_sigterm_is_clean_and_true(home: HubHome) -> None:
    job = running_upload(home)
    os.kill(owner_of(home).pid, signal.SIGTERM)
    with pytest.raises(JobCancelledError, match="was interrupted"):
        job.result(60)  # type: ignore[attr-defined]
    until(lambda: read_owner(home.run) is None)
    assert not (home.run / "hub.json").exists()
    assert outcome(home) == {1: ("dump(src='slow')", "done"), 2: ("upload(src='slow')", "interrupted")}


def test_after_kill_9_the_next_call_brings_a_new_one_and_no_job_is_lost(home: HubHome) -> None:
    job = running_upload(home)
    before = owner_of(home).pid
    kill(home)
    with pytest.raises(HubClosedError, match="was closed while job 2 was running"):
        job.wait(60)  # type: ignore[attr-defined]
    hub = client.connect(home)
    assert [(found.id, found.state) for found in hub.jobs()] == [(2, "interrupted"), (1, "done")]
    assert job.state == "interrupted"  # type: ignore[attr-defined]
    assert owner_of(home).pid != before
    assert hub.call("sources")[0]["upload"]["sources"]["slow"]["status"] == "canceled"


def test_what_waits_is_told_by_the_new_owner(home: HubHome) -> None:
    job = running_upload(home)
    kill(home)
    other = python("from hubkernel import client; print(client.connect().job(2).state)", home)
    out, _ = other.communicate(timeout=110)
    assert out.strip() == "interrupted"
    client.connect(home).call("sources")
    until(lambda: job.state == "interrupted", "the news of the new owner")  # type: ignore[attr-defined]


def test_the_commands_stop_and_restart_end_the_process(home: HubHome) -> None:
    hub = client.connect(home)
    before, epoch = owner_of(home), hub.epoch
    assert hub.call("restart") == "Hub is restarting"
    until(lambda: (now := read_owner(home.run)) is not None and now.url and now.token != before.token, "the new hub")
    assert hub.about()["pid"] == owner_of(home).pid
    assert hub.epoch != epoch
    assert hub.call("stop") == "Hub is stopping"
    until(lambda: read_owner(home.run) is None, "the end of the hub")


def test_a_second_owner_by_hand_is_status_75(home: HubHome) -> None:
    owner = client.connect(home).about()["pid"]
    done = subprocess.run(
        [sys.executable, "-m", "hubkernel.server_ext", "--home", str(home)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 75
    assert f"in use by process {owner}" in done.stderr
    assert owner_of(home).pid == owner


def test_a_client_of_another_version_is_told_what_to_do(home: HubHome, monkeypatch: pytest.MonkeyPatch) -> None:
    client.connect(home)
    client.disconnect(home)
    monkeypatch.setattr("hubkernel.discovery.__version__", "99.0")
    with pytest.raises(OwnerError, match=rf"runs hubkernel .* this is 99.0 .*hubkernel --home {home} restart"):
        client.connect(home)
    monkeypatch.undo()
    monkeypatch.setattr("hubkernel.discovery.PROTOCOL", 99)
    with pytest.raises(OwnerError, match="protocol 99"):
        client.connect(home, placement="attach")


def test_an_owner_that_cannot_start_says_why(home: HubHome) -> None:
    home.config_file.write_text("hub_nam = 'x'\n")
    with pytest.raises(OwnerError, match="did you mean 'hub_name'"):
        client.connect(home, placement="attach")
    assert read_owner(home.run) is None


def test_an_embedded_hub_is_out_of_reach_and_says_so(home: HubHome) -> None:
    lock = OwnerLock(home.run)
    lock.acquire("embedded")
    with pytest.raises(HubBusyError, match=f"in use by process {os.getpid()}"):
        client.connect(home)
    lock.release()


def test_a_hub_that_a_jupyter_server_should_host_is_not_started(home: HubHome) -> None:
    with pytest.raises(OwnerError, match="no Jupyter server hosts the hub"):
        client.connect(home, placement="host")
    assert not (home.run / "hub.log").exists()


class TestCommandLine:
    def run(self, home: HubHome, *arguments: str) -> int:
        return cli.main(["--home", str(home), *arguments])

    def test_start_url_restart_stop(self, home: HubHome, capfd: pytest.CaptureFixture[str]) -> None:
        assert self.run(home, "url") == 1
        assert "`hubkernel start` starts one" in capfd.readouterr().err
        assert self.run(home, "start") == 0
        first = owner_of(home)
        assert self.run(home, "start") == 0
        assert f"ran already: process {first.pid}" in capfd.readouterr().out
        assert self.run(home, "url") == 0
        assert capfd.readouterr().out == f"{first.url}hubkernel/api/hub?token={first.token}\n"
        assert self.run(home, "url", "--json") == 0
        assert json.loads(capfd.readouterr().out)["token"] == first.token
        assert self.run(home, "status", "--json") == 0
        assert first.token not in capfd.readouterr().out
        assert self.run(home, "restart") == 0
        second = owner_of(home)
        assert (second.pid, second.token) != (first.pid, first.token)
        assert self.run(home, "stop") == 0
        assert read_owner(home.run) is None
        assert self.run(home, "stop") == 0
        assert "no hub runs" in capfd.readouterr().out

    def test_exec_leaves_the_hub_running(self, home: HubHome, capfd: pytest.CaptureFixture[str]) -> None:
        assert self.run(home, "exec", "dump slow") == 0
        assert capfd.readouterr().out.strip()
        assert client.connect(home).job(1).record.door == "cli"

    def test_the_hub_s_own_script(self, home: HubHome, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
        script = tmp_path / "hub.py"
        script.write_text(SCRIPT)
        assert self.run(home, "start", "--app", str(script)) == 0
        assert self.run(home, "start", "--app", str(script)) == 75
        capfd.readouterr()
        assert self.run(home, "exec", "hello('you')") == 0
        assert capfd.readouterr().out == "hello you\n"
        assert self.run(home, "restart") == 0
        assert self.run(home, "exec", "hello('again')") == 0
        assert "hello again" in capfd.readouterr().out

    def test_in_the_foreground_it_ends_with_ctrl_c(self, home: HubHome) -> None:
        process = python("import sys; from hubkernel.cli import main; sys.exit(main(['start', '--foreground']))", home)
        until(lambda: (found := read_owner(home.run)) is not None and found.url, "the hub")
        assert owner_of(home).pid == process.pid
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        assert process.returncode == 0
        assert read_owner(home.run) is None


SCRIPT = """
import biothings
from biothings.hub import HubServer


class MyHub(HubServer):
    def configure_commands(self):
        super().configure_commands()
        self.commands["hello"] = lambda name: f"hello {name}"


if __name__ == "__main__":
    MyHub([], name="My hub").start()
"""
