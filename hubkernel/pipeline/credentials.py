"""Logins by reference: settings say where a login is, never what it is. It is read where it is used, and kept nowhere.

``env:NAME`` (an environment variable), ``file:path`` (its first line; others must not be able to read it) and
``keyring:service/user`` (the system's keyring; needs the package ``keyring``).
"""

from __future__ import annotations

import base64
import os
from collections.abc import Mapping
from pathlib import Path

KINDS = ("env", "file", "keyring")
_SCHEMES = ("basic", "bearer", "token", "digest")


class CredentialError(ValueError):
    """A reference is wrong, or leads nowhere. The message has the reference, never what it leads to."""


def check_reference(reference: str) -> str:
    """The reference itself, if it is one. Raises :class:`CredentialError`, which does not repeat it: it may be a
    password that was written in its place.
    """
    kind, _, place = reference.partition(":")
    if kind not in KINDS or not place or (kind == "keyring" and "/" not in place):
        raise CredentialError("write where the login is, not the login: env:NAME, file:path or keyring:service/user")
    return reference


def resolve(reference: str) -> str:
    """What a reference leads to. Raises :class:`CredentialError`."""
    kind, _, place = check_reference(reference).partition(":")
    found = {"env": _from_environment, "file": _from_file, "keyring": _from_keyring}[kind](place)
    if not found:
        raise CredentialError(f"{reference}: there is nothing there")
    return found


def _from_environment(name: str) -> str:
    return os.environ.get(name, "")


def _from_file(path: str) -> str:
    file = Path(path).expanduser()
    try:
        if file.stat().st_mode & 0o077:
            raise CredentialError(f"file:{path}: others may read it; run: chmod 600 {path}")
        return file.read_text("utf-8").split("\n", 1)[0].strip()
    except OSError as error:
        raise CredentialError(f"file:{path}: {error.strerror}") from None


def _from_keyring(place: str) -> str:
    try:
        import keyring
    except ImportError:
        raise CredentialError(f"keyring:{place}: needs the package keyring: pip install 'hubkernel[keyring]'") from None
    service, _, user = place.rpartition("/")
    try:
        return keyring.get_password(service, user) or ""
    except Exception as error:  # each backend has its own
        raise CredentialError(f"keyring:{place}: {type(error).__name__}") from None


def authorization(logins: Mapping[str, str], scheme: str, host: str) -> str | None:
    """The Authorization header for a request to ``host``; None if there is no login for it.

    What a reference leads to is ``user:password``, or the header itself (``Bearer ...``). Raises
    :class:`CredentialError`, also for a login that would be sent in the clear.
    """
    reference = logins.get(host)
    if reference is None:
        return None
    if scheme != "https" and host not in ("localhost", "127.0.0.1", "::1"):
        raise CredentialError(f"the login for {host} is not sent over {scheme}: use https")
    login = resolve(reference)
    if login.partition(" ")[0].lower() in _SCHEMES:
        return login
    if ":" not in login:
        raise CredentialError(f"{reference}: what stands there is neither user:password nor an Authorization header")
    return f"Basic {base64.b64encode(login.encode()).decode()}"
