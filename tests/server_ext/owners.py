"""Real owner processes for tests."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from hubkernel.hub.home import HubHome
from hubkernel.owner import Owner, read_owner

TIMEOUT = 60.0


def until(true: Callable[[], object], what: str = "what was waited for") -> None:
    deadline = time.monotonic() + TIMEOUT
    while not true():
        assert time.monotonic() < deadline, f"{what} did not happen"
        time.sleep(0.02)


def owner_of(home: HubHome) -> Owner:
    found = read_owner(home.run)
    assert found is not None and found.url
    return found


def kill(home: HubHome) -> None:
    """As a crash would."""
    os.kill(owner_of(home).pid, signal.SIGKILL)
    until(lambda: read_owner(home.run) is None, "the end of the owner")


def end(home: HubHome) -> None:
    """Whatever state it is in, nothing of it stays."""
    found = read_owner(home.run)
    if found is None or not found.pid or found.pid == os.getpid():
        return
    os.kill(found.pid, signal.SIGTERM)
    try:
        until(lambda: read_owner(home.run) is None)
    except AssertionError:
        os.kill(found.pid, signal.SIGKILL)
        raise


def python(code: str, home: HubHome, *arguments: str) -> subprocess.Popen[str]:
    """Another process on the same home."""
    environment = {**os.environ, "HUBKERNEL_HOME": str(home.root), "HUBKERNEL_PLACEMENT": "attach"}
    return subprocess.Popen(
        [sys.executable, "-c", code, *arguments],
        env=environment,
        cwd=Path(__file__).parents[2],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
