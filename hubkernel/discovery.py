"""Finding the owner of a home, and starting one.

``run/hub.json`` says where it is; that it still lives is told by its lock, that it is the one that is meant by an
authenticated ping. No process number is ever trusted.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel import __version__
from hubkernel.owner import PROTOCOL, HubBusyError, Owner, OwnerError, read_owner, starting

if TYPE_CHECKING:
    from hubkernel.hub.home import HubHome

START_TIMEOUT = 120.0
"""Seconds that an owner may take to start."""
STOP_TIMEOUT = 60.0
PING_TIMEOUT = 5.0
PAUSE = 0.02
READY = "HUBKERNEL_READY_FD"
LOG_TAIL = 20
MAX_LOG = 5_000_000
_PRIVATE = ("JPY_", "JUPYTER_", "HUBKERNEL_PLACEMENT", "IPYTHON", "PYDEVD")
"""Beginnings of what a kernel's environment says of the kernel; nothing for an owner to inherit."""


class Finder:
    """Finds the owner of one home."""

    def __init__(self, home: HubHome) -> None:
        self.home = home

    def discover(self) -> Owner | None:
        """The living owner, or None. Waits for one that is about to start or to end.

        Raises :class:`~hubkernel.owner.HubBusyError` for an owner that nobody can reach, and
        :class:`~hubkernel.owner.OwnerError` for one of another version.
        """
        deadline = time.monotonic() + START_TIMEOUT
        answered = True
        while (owner := read_owner(self.home.run)) is not None:
            if owner.placement == "embedded":
                raise HubBusyError(self.home.root, owner.pid)
            if owner.url:
                check_version(self.home, owner)
                if ping(owner) is not None:
                    return owner
                if not answered:  # twice in a row, and its lock is held
                    raise HubBusyError(self.home.root, owner.pid)
                answered = False
            if time.monotonic() > deadline:
                raise HubBusyError(self.home.root, owner.pid)
            time.sleep(PAUSE)
        return None

    def ensure(self) -> Owner:
        """The owner; if there is none, one is started."""
        return self.ensure_new()[0]

    def ensure_new(self, app: str | None = None) -> tuple[Owner, bool]:
        """The owner, and whether it was started here, with the script ``app``."""
        owner = self.discover()
        if owner is not None:
            return owner, False
        self.home.create()
        with starting(self.home.run):
            owner = self.discover()
            return (owner, False) if owner is not None else (start(self.home, app), True)

    def hosted(self) -> Owner:
        """The owner; it is for a Jupyter server to be it."""
        owner = self.discover()
        if owner is None:
            raise OwnerError(
                f"no Jupyter server hosts the hub at {self.home}: start one with "
                f"--HubKernelApp.placement=host, or choose the placement attach ($HUBKERNEL_PLACEMENT)"
            )
        return owner


def check_version(home: HubHome, owner: Owner) -> None:
    """Raise :class:`OwnerError` unless owner and client are of one version."""
    if (owner.protocol, owner.version) != (PROTOCOL, __version__):
        raise OwnerError(
            f"the hub at {home} runs hubkernel {owner.version or '?'} (protocol {owner.protocol}), this is "
            f"{__version__} (protocol {PROTOCOL}): `hubkernel --home {home} restart` brings it up to date"
        )


def ping(owner: Owner) -> dict[str, Any] | None:
    """What the owner says of itself; None if it does not answer, or is not the one that holds the home."""
    from http.client import HTTPConnection, HTTPException, HTTPSConnection
    from json import loads
    from urllib.parse import urlsplit

    address = urlsplit(owner.url)
    kind = HTTPSConnection if address.scheme == "https" else HTTPConnection
    connection = kind(address.hostname or "127.0.0.1", address.port, timeout=PING_TIMEOUT)
    try:
        connection.request("GET", f"{address.path}hubkernel/api/hub", headers={"Authorization": f"token {owner.token}"})
        answer = connection.getresponse()
        found = loads(answer.read()) if answer.status == 200 else {}
    except (OSError, HTTPException, ValueError):
        return None
    finally:
        connection.close()
    return found if isinstance(found, dict) and found.get("pid") == owner.pid else None


def start(home: HubHome, app: str | None = None) -> Owner:
    """Start an owner, detached from this process, and wait until it can be reached. Hold :func:`starting`.

    Raises :class:`OwnerError` with the end of ``run/hub.log`` if it does not start.
    """
    sys.stderr.write(f"starting the hub at {home} ...\n")
    sys.stderr.flush()
    log = home.run / "hub.log"
    begin = _turn(log)
    ready, tell = os.pipe()
    try:
        process = _spawn(home, log, tell, ["--app", str(Path(app).resolve())] if app else [])
    finally:
        os.close(tell)
    try:
        said = _said(ready)
    finally:
        os.close(ready)
    owner = read_owner(home.run) if said else None
    if owner is None or not owner.url:
        status = _ended(process)
        raise OwnerError(_why(home, log, begin, "did not come up" if status is None else f"ended with status {status}"))
    # It is on its own now. Should it end before this process does, it must not stay as a zombie, which looks alive.
    threading.Thread(target=process.wait, name="hub-owner", daemon=True).start()
    return owner


def stop(home: HubHome) -> Owner | None:
    """End the owner and wait until the home is free; None if there was none. Its unfinished jobs are interrupted.

    Raises :class:`OwnerError` for a hub in a process that is there for something else, and for one that does not answer
    or does not end.
    """
    owner = read_owner(home.run)
    if owner is None:
        return None
    if owner.placement != "attach":
        raise OwnerError(f"the hub at {home} is in process {owner.pid} ({owner.placement}); it ends with that")
    if not owner.url or ping(owner) is None:
        raise OwnerError(f"the hub at {home} does not answer; `kill -9 {owner.pid}` ends it, and interrupts its jobs")
    os.kill(owner.pid, signal.SIGTERM)
    deadline = time.monotonic() + STOP_TIMEOUT
    while (still := read_owner(home.run)) is not None and still.pid in (owner.pid, 0):
        if time.monotonic() > deadline:
            raise OwnerError(
                f"the hub at {home} (process {owner.pid}) does not end; {home.run / 'hub.log'} may say why"
            )
        time.sleep(PAUSE)
    return owner


def _spawn(home: HubHome, log: Path, tell: int, more: Sequence[str]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    command = [sys.executable, "-P", "-m", "hubkernel.server_ext", "--home", str(home.root), *more]
    with log.open("ab") as output:
        return subprocess.Popen(
            command,
            cwd=home.root,
            env={**environment, READY: str(tell)},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            pass_fds=(tell,),
            start_new_session=True,
        )


def _ended(process: subprocess.Popen[bytes]) -> int | None:
    """The status of an owner that is of no use; one that does not end by itself is killed, and has none."""
    try:
        return process.wait(STOP_TIMEOUT)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return None


def _said(ready: int) -> bool:
    """Whether it said that it is ready. Its end, too, ends the waiting."""
    found, _, _ = select.select([ready], [], [], START_TIMEOUT)
    return bool(found and os.read(ready, 16))


def _turn(log: Path) -> int:
    """Keep one old log, and return where the new entries begin."""
    size = log.stat().st_size if log.exists() else 0
    if size > MAX_LOG:
        log.replace(log.with_suffix(".log.1"))
        size = 0
    if size == 0:
        os.close(os.open(log, os.O_CREAT | os.O_WRONLY, 0o600))
    return size


def _why(home: HubHome, log: Path, begin: int, what: str) -> str:
    with log.open("rb") as stream:
        stream.seek(begin)
        lines = stream.read().decode("utf-8", "replace").splitlines()[-LOG_TAIL:]
    tail = "\n".join(f"  {line}" for line in lines)
    return f"the hub at {home} {what}; the end of {log}:\n{tail}" if tail else f"the hub at {home} {what}; see {log}"
