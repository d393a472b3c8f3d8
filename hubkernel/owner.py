"""Who owns a hub home. One process at a time, for as long as it lives.

The lock is an ``flock`` on ``run/owner.lock``, which the operating system drops with its process, so a ``kill -9``
leaves nothing to clean. ``run/hub.json`` (0600) only tells others who holds it and how to reach it; a file without the
lock means nothing. ``run/start.lock`` is held while someone starts an owner, so that many who want one start one.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from hubkernel import __version__

PROTOCOL = 1
"""Raised whenever client and owner would no longer understand each other."""

_RETRY = 0.3
_PAUSE = 0.03


class OwnerError(RuntimeError):
    """There is no owner that this process can talk to. The message says what to do."""

    def _render_traceback_(self) -> list[str]:
        """IPython shows this instead of a traceback: where it was raised is of no interest."""
        return [f"{type(self).__name__}: {self}"]


class HubBusyError(OwnerError):
    """Another process owns the home. ``home`` is its folder, ``pid`` the owner's if it is known."""

    def __init__(self, home: Path | str, pid: int | None = None) -> None:
        self.home, self.pid = str(home), pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the hub at {home} is in use by {who}: work there, end it, or choose another home ($HUBKERNEL_HOME)"
        )


@dataclass(frozen=True, slots=True)
class Owner:
    """What the owner of a home says of itself. ``started`` is in seconds since the epoch."""

    pid: int
    version: str
    protocol: int
    started: float
    placement: str = "embedded"
    url: str = ""
    """Where it answers; empty while it starts, and for an embedded hub, which nobody else can reach."""
    token: str = field(default="", repr=False)
    ssh_port: int | None = None
    app: str | None = None
    """The hub's own script, if it was started with one."""

    def public(self) -> dict[str, Any]:
        """Without the token."""
        return {name: value for name, value in asdict(self).items() if name != "token"}


class OwnerLock:
    """The lock of one home. Holding it is what makes a process the owner."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._file: int | None = None
        self._owner: Owner | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self, placement: str = "embedded") -> Owner:
        """Take the lock and publish who we are. Raises :class:`HubBusyError`."""
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = _lock(self.run)
        self._owner = Owner(os.getpid(), __version__, PROTOCOL, time.time(), placement)
        _publish(self.run / "hub.json", asdict(self._owner))
        return self._owner

    def publish(self, **changes: Any) -> Owner:
        """Tell others more: fields of :class:`Owner`. Only who holds the lock may."""
        if self._owner is None:
            raise RuntimeError("only the owner of a home says who owns it; acquire() comes first")
        self._owner = replace(self._owner, **changes)
        _publish(self.run / "hub.json", asdict(self._owner))
        return self._owner

    def release(self) -> None:
        """Give the home back. Safe to call twice."""
        if self._file is None:
            return
        (self.run / "hub.json").unlink(missing_ok=True)
        os.close(self._file)
        self._file = self._owner = None


@contextmanager
def starting(run: Path) -> Iterator[None]:
    """Held by whoever is about to start an owner; waits for those who are at it. An interrupt ends the waiting."""
    run.mkdir(mode=0o700, parents=True, exist_ok=True)
    file = os.open(run / "start.lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
    finally:
        os.close(file)


def read_owner(run: Path) -> Owner | None:
    """The living owner of a home, or None. Changes nothing.

    Probing takes a shared lock for an instant; an owner that starts just then tries again (:func:`_lock`).
    """
    try:
        probe = os.open(run / "owner.lock", os.O_RDONLY)
    except FileNotFoundError:
        return None
    try:
        fcntl.flock(probe, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return _read(run) or Owner(0, "", 0, 0.0, "unknown")
    finally:
        os.close(probe)
    return None


def _lock(run: Path) -> int:
    """Waits a moment: for someone's probe to pass, or for a kernel that is just being restarted to be gone."""
    file = os.open(run / "owner.lock", os.O_RDWR | os.O_CREAT, 0o600)
    deadline = time.monotonic() + _RETRY
    while True:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return file
        except BlockingIOError:
            if time.monotonic() > deadline:
                os.close(file)
                owner = _read(run)
                raise HubBusyError(run.parent, owner.pid if owner else None) from None
        time.sleep(_PAUSE)


def _read(run: Path) -> Owner | None:
    try:
        said = json.loads((run / "hub.json").read_text())
        known = {item.name for item in fields(Owner)}  # a later version may say more
        return Owner(**{name: value for name, value in said.items() if name in known})
    except (OSError, ValueError, TypeError, AttributeError):
        return None  # just being written, or of another kind: then its pid is unknown


def _publish(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as stream:
        json.dump(content, stream)
    temporary.replace(path)
