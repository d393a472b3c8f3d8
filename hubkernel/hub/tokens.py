"""Named tokens of a hub: who has one may use its doors, with the role that it was given.

A token is 256 random bits. The home's ``tokens.json`` (0600) has only its SHA-256, so reading that file lets nobody in.
A plain hash is right here: it takes 2^255 guesses to find such a token, so a slow one, which is for passwords that
people choose, would only make every request slow.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import re
import secrets
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.hub.commands import BadArgumentsError, ConflictError, Role, UnknownNameError
from hubkernel.hub.home import HubHome
from hubkernel.hub.names import hint
from hubkernel.hub.private import write_private
from hubkernel.jobs.masking import TOKEN_PREFIX

log = logging.getLogger(__name__)

DAY = 86400.0
FORMAT = 1


class TokenFileError(RuntimeError):
    """``tokens.json`` cannot be read; nobody gets in by a token until it is repaired or removed."""


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What is known of a token. Times are in seconds since the epoch; ``expires`` is None for one that never does."""

    name: str
    role: Role
    created: float
    expires: float | None = None

    def to_dict(self) -> dict[str, Any]:
        return {"name": self.name, "role": self.role.name, "created": self.created, "expires": self.expires}

    def shown(self) -> dict[str, Any]:
        """For people: times as ISO 8601 in UTC."""
        return {**self.to_dict(), "created": _iso(self.created), "expires": _iso(self.expires)}


class TokenStore:
    """The tokens of one home. Threading: from any thread. Changes by another process are seen at the next check."""

    def __init__(self, home: HubHome | Path, *, clock: Callable[[], float] = time.time) -> None:
        self.file = (home.root if isinstance(home, HubHome) else Path(home)) / "tokens.json"
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp: tuple[int, int, int] | None = None
        self._known: dict[str, tuple[str, TokenInfo]] = {}

    def create(self, name: str, role: str | Role = Role.viewer, days: float | None = None) -> str:
        """Make a token and return it; it can be seen only now. ``days`` is how long it lives.

        Raises :class:`ConflictError` if there is one of that name that has not expired.
        """
        with self._lock:
            known = self._load()
            if name in known and not self._expired(known[name][1]):
                raise ConflictError(f"there is a token {name!r} already: revoke it first, or rotate it")
            return self._add(known, checked_name(name), role_of(role), self._end(days))

    def rotate(self, name: str, days: float | None = None) -> str:
        """Make a new token of that name and role, in place of the old one, which is void at once."""
        with self._lock:
            known = self._load()
            info = self._find(known, name)
            return self._add(known, name, info.role, self._end(days))

    def revoke(self, name: str) -> TokenInfo:
        """Make a token void at once. Raises :class:`UnknownNameError`."""
        with self._lock:
            known = self._load()
            info = self._find(known, name)
            self._save({other: entry for other, entry in known.items() if other != name})
            return info

    def list(self) -> list[dict[str, Any]]:
        """All tokens by name: ``[{"name", "role", "created", "expires", "expired"}]``, times as ISO 8601 in UTC."""
        with self._lock:
            found = [info for _, info in self._load().values()]
        return [{**info.shown(), "expired": self._expired(info)} for info in sorted(found, key=lambda i: i.name)]

    def check(self, token: str) -> TokenInfo | None:
        """Whose token it is; None if nobody's, or expired. Takes as long for a wrong token as for a right one."""
        given = _hashed(token)
        with self._lock:
            try:
                known = self._load()
            except TokenFileError as error:
                log.error("%s", error)
                return None
        found = None
        for stored, info in known.values():
            if hmac.compare_digest(stored, given):
                found = info
        return None if found is None or self._expired(found) else found

    def _add(self, known: dict[str, tuple[str, TokenInfo]], name: str, role: Role, expires: float | None) -> str:
        token = TOKEN_PREFIX + secrets.token_urlsafe(32)
        info = TokenInfo(name, role, self._clock(), expires)
        self._save({**known, name: (_hashed(token), info)})
        return token

    def _end(self, days: float | None) -> float | None:
        if days is not None and not days > 0:
            raise BadArgumentsError(
                f"days is {days}; it takes a number above 0, or None for a token that never expires"
            )
        return None if days is None else self._clock() + days * DAY

    def _expired(self, info: TokenInfo) -> bool:
        return info.expires is not None and info.expires <= self._clock()

    def _find(self, known: dict[str, tuple[str, TokenInfo]], name: str) -> TokenInfo:
        if name not in known:
            raise UnknownNameError(f"no token {name!r}{hint(name, known)}")
        return known[name][1]

    def _load(self) -> dict[str, tuple[str, TokenInfo]]:
        """The tokens by name, read again if the file has changed."""
        try:
            stat = self.file.stat()
        except FileNotFoundError:
            self._stamp, self._known = None, {}
            return {}
        stamp = (stat.st_ino, stat.st_mtime_ns, stat.st_size)
        if stamp != self._stamp:
            self._known, self._stamp = self._read(), stamp
        return self._known

    def _read(self) -> dict[str, tuple[str, TokenInfo]]:
        try:
            entries = json.loads(self.file.read_text("utf-8"))["tokens"]
            return {
                entry["name"]: (
                    entry["sha256"],
                    TokenInfo(entry["name"], Role[entry["role"]], entry["created"], entry["expires"]),
                )
                for entry in entries
            }
        except (ValueError, KeyError, TypeError) as error:
            raise TokenFileError(
                f"{self.file} is damaged ({type(error).__name__}): restore it, or remove it and make new tokens"
            ) from None

    def _save(self, known: dict[str, tuple[str, TokenInfo]]) -> None:
        entries = [{**info.to_dict(), "sha256": stored} for stored, info in known.values()]
        write_private(self.file, json.dumps({"format": FORMAT, "tokens": entries}, indent=1))
        self._stamp = None


def role_of(role: str | Role) -> Role:
    """The role of that name. Raises :class:`BadArgumentsError` naming the nearest one."""
    if isinstance(role, Role):
        return role
    if role not in Role.__members__:
        raise BadArgumentsError(f"no role {role!r}{hint(role, Role.__members__)}: viewer, operator or developer")
    return Role[role]


def checked_name(name: str) -> str:
    """A name that may be part of a file name. Raises :class:`BadArgumentsError`."""
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}", name):
        raise BadArgumentsError(f"{name!r} is not a name: use letters, digits, '.', '_' and '-', 64 at most")
    return name


def _iso(at: float | None) -> str | None:
    return None if at is None else datetime.fromtimestamp(at, UTC).isoformat(timespec="seconds")


def _hashed(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()
