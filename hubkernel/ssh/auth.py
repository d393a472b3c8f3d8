"""Who may log in: names, passwords, keys."""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path

log = logging.getLogger(__name__)


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
    if stored and not stored.startswith("$argon2"):
        log.warning("the password of %s is no argon2 hash and is refused; make one: %s", username, MAKE_HASH)
    known = stored.startswith("$argon2") and bool(password)
    try:
        return PasswordHasher().verify(stored if known else _nobody(), password) and known
    except (VerificationError, InvalidHashError):
        return False


MAKE_HASH = 'python -c "import argon2, getpass; print(argon2.PasswordHasher().hash(getpass.getpass()))"'


@cache
def _nobody() -> str:
    from argon2 import PasswordHasher

    return PasswordHasher().hash(os.urandom(16))


def make_host_key(path: Path) -> None:
    """Make a host key, readable by its owner only, unless it is there."""
    if path.exists():
        return
    import asyncssh

    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = asyncssh.generate_private_key("ssh-ed25519")
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(handle, "wb") as file:
        file.write(key.export_private_key())
    log.info("made the ssh host key %s", path)
