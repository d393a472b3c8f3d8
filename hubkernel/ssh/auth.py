"""Who may log in: names, passwords, keys, and how often one may try."""

from __future__ import annotations

import logging
import os
import re
import time
from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import asyncssh

log = logging.getLogger(__name__)

ADDRESSES = 10_000
"""Addresses remembered at once."""


class Failures:
    """Wrong passwords by address: after ``limit`` of them within ``seconds``, no more are tried for that address.

    Keys are not counted: they cannot be guessed, and who has one is never locked out by others behind his address.
    """

    def __init__(self, limit: int = 20, seconds: float = 600.0, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit, self._seconds, self._clock = limit, seconds, clock
        self._at: dict[str, deque[float]] = {}

    def add(self, address: str) -> None:
        """One more wrong password."""
        times = self._at.pop(address, None) or deque(maxlen=self._limit)
        times.append(self._clock())
        self._at[address] = times
        if len(self._at) > ADDRESSES:
            del self._at[next(iter(self._at))]
        if self.blocked(address):
            log.warning("%d wrong passwords from %s: no more are tried for a while", self._limit, address)

    def blocked(self, address: str) -> bool:
        """Whether passwords from there are refused unseen."""
        times = self._at.get(address)
        return times is not None and len(times) == self._limit and times[0] > self._clock() - self._seconds


class Keys(asyncssh.SSHAuthorizedKeys):
    """The public keys of a user, with two options of OpenSSH's that asyncssh does not know: ``expiry-time`` and
    ``restrict``.
    """

    @classmethod
    def read(cls, file: Path) -> Keys | None:
        """The keys in a file; None if there is no such file, or none that can be used, of which the log says why."""
        try:
            return cls(file.read_text()) if file.is_file() else None
        except (ValueError, OSError) as error:
            log.error("%s cannot be used: %s", file, error)
            return None

    def validate(self, *args: Any, **kwargs: Any) -> Any:
        """Called by asyncssh with a key; the options of its line, or None if it is not accepted."""
        if (options := super().validate(*args, **kwargs)) is None:
            return None
        ends: Any = options.get("expiry-time", [])
        if ends is True or any(_expired(end) for end in ends):
            return None
        if "restrict" in options and "pty" not in options:
            return {**options, "no-pty": True}
        return options


def _expired(text: str) -> bool:
    """Whether a time as ``20261231``, ``202612312359`` or ``20261231235959``, with ``Z`` for UTC, has passed. One that
    is written otherwise has.
    """
    digits, zone = text.removesuffix("Z"), UTC if text.endswith("Z") else None
    form = {8: "%Y%m%d", 12: "%Y%m%d%H%M", 14: "%Y%m%d%H%M%S"}.get(len(digits), "")
    try:
        end = datetime.strptime(digits, form).replace(tzinfo=zone)
    except ValueError:
        return True
    return end.timestamp() <= time.time()


def valid_user(username: str) -> bool:
    """Whether a name can be a user's: it becomes part of a file name."""
    return re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", username) is not None


def check_password(passwords: Mapping[str, str], username: str, password: str) -> bool:
    """Whether ``password`` is that of the user. Takes about as long for a user that does not exist. Blocks for some ten
    milliseconds.

    Only argon2 hashes count. For another one the log names the command that makes a new one.
    """
    from argon2 import PasswordHasher
    from argon2.exceptions import InvalidHashError, VerificationError

    stored = passwords.get(username, "")
    warn_of_legacy({username: stored} if stored else {})
    known = _is_argon2(stored) and bool(password)
    try:
        return PasswordHasher().verify(stored if known else _nobody(), password) and known
    except (VerificationError, InvalidHashError):
        return False


def warn_of_legacy(passwords: Mapping[str, str]) -> None:
    """Log each user whose hash is none of argon2, as those of ``crypt`` were, with the command that makes a new one."""
    for user, stored in passwords.items():
        if not _is_argon2(stored):
            log.warning("the password of %s is no argon2 hash and is refused; make one: %s", user, MAKE_HASH)


MAKE_HASH = 'python -c "import argon2, getpass; print(argon2.PasswordHasher().hash(getpass.getpass()))"'


def _is_argon2(stored: str) -> bool:
    return stored.startswith("$argon2")


@cache
def _nobody() -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(os.urandom(16))


def make_host_key(path: Path) -> None:
    """Make a host key, readable by its owner only, unless it is there."""
    if path.exists():
        return
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519")
    unfinished = path.with_name(f"{path.name}.part")
    handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key.export_private_key())
    unfinished.replace(path)
    log.info("made the ssh host key %s", path)
