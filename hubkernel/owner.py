"""Who owns a hub home. One process at a time, for as long as it lives.

The lock is an ``flock`` on ``run/owner.lock``, which the operating system drops with its process, so a ``kill -9``
leaves nothing to clean. ``run/hub.json`` (0600) only tells others who holds it; a file without the lock means nothing.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from hubkernel import __version__

PROTOCOL = 1
"""Raised whenever client and owner would no longer understand each other."""

_RETRY = 0.3
_PAUSE = 0.03


class HubBusyError(RuntimeError):
    """Another process owns the home. ``home`` is its folder, ``pid`` the owner's if it is known."""

    def __init__(self, home: Path | str, pid: int | None) -> None:
        self.home, self.pid = str(home), pid
        who = f"process {pid}" if pid else "another process"
        super().__init__(
            f"the hub at {home} is in use by {who}: work there, end it, or choose another home ($HUBKERNEL_HOME)"
        )

    def _render_traceback_(self) -> list[str]:
        """IPython shows this instead of a traceback: where it was raised is of no interest."""
        return [f"{type(self).__name__}: {self}"]


@dataclass(frozen=True, slots=True)
class Owner:
    """What the owner of a home says of itself. ``started`` is in seconds since the epoch."""

    pid: int
    version: str
    protocol: int
    started: float
    placement: str = "embedded"


class OwnerLock:
    """The lock of one home. Holding it is what makes a process the owner."""

    def __init__(self, run: Path) -> None:
        self.run = run
        self._file: int | None = None

    @property
    def held(self) -> bool:
        return self._file is not None

    def acquire(self, placement: str = "embedded") -> Owner:
        """Take the lock and publish who we are. Raises :class:`HubBusyError`."""
        self.run.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._file = _lock(self.run)
        owner = Owner(os.getpid(), __version__, PROTOCOL, time.time(), placement)
        _publish(self.run / "hub.json", asdict(owner))
        return owner

    def release(self) -> None:
        """Give the home back. Safe to call twice."""
        if self._file is None:
            return
        (self.run / "hub.json").unlink(missing_ok=True)
        os.close(self._file)
        self._file = None


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
        return Owner(**json.loads((run / "hub.json").read_text()))
    except (OSError, ValueError, TypeError):
        return None  # just being written, or of a later version: then its pid is unknown


def _publish(path: Path, content: dict[str, Any]) -> None:
    temporary = path.with_suffix(".tmp")
    file = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(file, "w") as stream:
        json.dump(content, stream)
    temporary.replace(path)
