"""Kernels and Jupyter servers that only visit a hub, and a Jupyter server that hosts one."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from hubkernel import client
from hubkernel.api import HubAPI
from hubkernel.hub.home import HubHome
from hubkernel.owner import read_owner
from tests.e2e.homes import outcome
from tests.e2e.test_kernel import Cell
from tests.server_ext.owners import end, owner_of, until

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("owner processes")]
TOKEN = "the-token-of-lab"


@pytest.fixture(autouse=True)
def attach(home: HubHome, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("HUBKERNEL_PLACEMENT", "attach")
    yield
    client.disconnect(home)
    end(home)


def finish(home: HubHome) -> None:
    """Let the slow upload end."""
    folder = next((home.root / "archive" / "slow").iterdir())
    (folder / "enough").touch()


# --------------------------------------------------------------------------------------------------------------- kernel


def test_the_hub_survives_interrupt_restart_and_shutdown_of_the_kernel(home: HubHome, kernel: Any) -> None:
    manager, kernel_client = kernel
    assert Cell(kernel_client, "%hub dump slow").end().status == "ok"
    owner = owner_of(home)
    cell = Cell(kernel_client, "%hub upload slow")
    cell.until(lambda outputs: outputs.live)
    manager.interrupt_kernel()
    cell.until(lambda outputs: "Stopped waiting" in outputs.text)
    assert cell.end().error[0] == "WaitInterrupted"
    manager.restart_kernel(now=True)
    kernel_client.wait_for_ready(timeout=60)
    said = Cell(kernel_client, "print(hub.job(2).state, hub.api.about()['pid'])").end().text.split()
    assert said == ["running", str(owner.pid)]
    manager.shutdown_kernel(now=True)
    hub = client.connect(home)
    assert hub.about()["pid"] == owner.pid
    job = hub.job(2)
    assert (job.state, job.record.door) == ("running", "notebook")
    finish(home)
    assert job.wait(60).state == "done"


def test_code_of_a_cell_runs_in_the_owner(home: HubHome, kernel: Any) -> None:
    _, kernel_client = kernel
    cell = Cell(kernel_client, "%%hub exec\nimport os\nprint('in', os.getpid())\nsorted(sm.get_sources()[0])[:1]").end()
    assert cell.text.splitlines()[-2:] == [f"in {owner_of(home).pid}", "['_id']"]
    failed = Cell(kernel_client, "%%hub exec\nprint('first')\nnothing.at_all").end()
    assert failed.error[0] == "HubCodeError"
    assert failed.error[-1] == "NameError: name 'nothing' is not defined"
    assert "first\n" in failed.text
    again = Cell(kernel_client, "%%hub exec\nimport asyncio\nawait asyncio.sleep(0, 'awaited')").end()
    assert again.text == "'awaited'\n"


# ------------------------------------------------------------------------------------------------------- Jupyter server


@contextmanager
def jupyter_server(folder: Path, *options: str) -> Iterator[tuple[subprocess.Popen[bytes], httpx.Client]]:
    """A Jupyter server as a user starts it, and a client with its token below ``/user/me/``."""
    log = folder / "server.log"
    command = [sys.executable, "-m", "jupyter_server", "--no-browser", "--allow-root", "--ServerApp.port=0"]
    command += ["--ServerApp.base_url=/user/me/", f"--IdentityProvider.token={TOKEN}"]
    command += ["--ServerApp.jpserver_extensions={'hubkernel': True}", f"--ServerApp.root_dir={folder}", *options]
    with log.open("wb") as output:
        process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL)
    try:
        until(lambda: _port(folder, process) is not None, "the start of the Jupyter server")
        url = f"http://127.0.0.1:{_port(folder, process)}/user/me/hubkernel/api/"
        headers = {"Authorization": f"token {TOKEN}"}
        with httpx.Client(base_url=url, headers=headers, trust_env=False, timeout=60) as rest:
            until(lambda: _answers(rest), "an answer of the Jupyter server")
            yield process, rest
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def _port(folder: Path, process: subprocess.Popen[bytes]) -> int | None:
    import json

    assert process.poll() is None, (folder / "server.log").read_text()
    file = Path(os.environ["JUPYTER_RUNTIME_DIR"], f"jpserver-{process.pid}.json")
    try:
        return int(json.loads(file.read_text())["port"])
    except (OSError, ValueError):
        return None


def _answers(rest: httpx.Client) -> bool:
    try:
        return rest.get("../../api").status_code == 200
    except httpx.TransportError:
        return False


def test_a_jupyter_server_visits_the_hub_and_starts_it_only_when_asked(home: HubHome, jupyter: Path) -> None:
    with jupyter_server(jupyter) as (process, rest):
        assert read_owner(home.run) is None
        assert httpx.get(f"{rest.base_url}jobs", trust_env=False).status_code == 403
        assert read_owner(home.run) is None
        found = rest.get("hub").json()
        owner = owner_of(home)
        assert (found["pid"], found["placement"], found["role"]) == (owner.pid, "attach", "developer")
        answer = rest.post("call/dump", json={"args": ["slow"]})
        assert (answer.status_code, answer.headers["Location"]) == (202, "/user/me/hubkernel/api/jobs/1")
        hub = client.connect(home)
        job = hub.job(1)
        assert job.wait(60).state == "done"
        assert (job.record.door, owner.pid) == ("rest", hub.about()["pid"])
        assert rest.get("jobs/1").json()["job"]["state"] == "done"
        assert rest.post("call/dmp").status_code == 404
        assert rest.post("call/setconf", json={"args": ["nothing", 1]}).status_code == 422
        events = rest.get("events?since=0").json()["events"]
        assert [event["data"]["state"] for event in events if event["entity"] == "job"][-1] == "done"
    assert process.returncode == 0
    assert owner_of(home) == owner


def test_a_jupyter_server_hosts_the_hub(home: HubHome, jupyter: Path) -> None:
    with jupyter_server(jupyter, "--HubKernelApp.placement=host") as (process, rest):
        until(lambda: (found := read_owner(home.run)) is not None and found.url, "the hub")
        owner = owner_of(home)
        assert (owner.pid, owner.placement) == (process.pid, "host")
        assert owner.token != TOKEN
        hub: HubAPI = client.connect(home, placement="host")
        assert (hub.placement, hub.about()["pid"]) == ("host", process.pid)
        hub.call("dump", "slow").result(60)
        job = hub.call("upload", "slow")
        until(lambda: job.state == "running", "the upload")
        assert rest.get("jobs/2").json()["job"]["state"] == "running"
        assert rest.post("call/restart").status_code == 409
        epoch = hub.epoch
        assert rest.post("call/restart", json={"kwargs": {"force": True}}).status_code == 200
        assert job.wait(60).state == "interrupted"
        until(lambda: _epoch(rest) not in (None, epoch), "the new hub")
        assert owner_of(home).pid == process.pid
        job = hub.call("upload", "slow")
        until(lambda: job.state == "running", "the upload")
    assert job.wait(60).state == "interrupted"
    assert read_owner(home.run) is None
    assert outcome(home)[3] == ("upload(src='slow')", "interrupted")


def _epoch(rest: httpx.Client) -> str | None:
    answer = rest.get("hub")
    return str(answer.json()["epoch"]) if answer.status_code == 200 else None
