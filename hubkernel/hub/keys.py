"""Public ssh keys of users: ``ssh/authorized_keys/<user>.pub``, one key a line, each with the role that it gives."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hubkernel.hub.commands import BadArgumentsError, ConflictError, Role, UnknownNameError
from hubkernel.hub.home import HubHome
from hubkernel.hub.names import hint
from hubkernel.hub.private import write_private
from hubkernel.hub.tokens import checked_name, role_of

_LINE = re.compile(
    r"(?:(?P<options>\S*\"[^\n]*\"\S*|[^\s\"]+)\s+)??"
    r"(?P<type>(?:ssh|ecdsa|sk)-[\w@.-]+)\s+(?P<key>[A-Za-z0-9+/]+=*)(?:\s+(?P<comment>[^\n]*))?\s*"
)
_ROLE = re.compile(r'environment="HUB_ROLE=(\w+)"')
WEAK = {"ssh-dss"}


@dataclass(frozen=True, slots=True)
class PublicKey:
    """One line of such a file."""

    user: str
    role: Role
    type: str
    key: str
    comment: str
    options: str = ""

    @property
    def fingerprint(self) -> str:
        """As ``ssh-keygen -l`` shows it: ``SHA256:...``."""
        digest = hashlib.sha256(base64.b64decode(self.key)).digest()
        return f"SHA256:{base64.b64encode(digest).decode().rstrip('=')}"

    def to_dict(self) -> dict[str, Any]:
        return {
            "user": self.user,
            "role": self.role.name,
            "type": self.type,
            "fingerprint": self.fingerprint,
            "comment": self.comment,
        }

    def line(self) -> str:
        options = self.options or f'environment="HUB_ROLE={self.role.name}"'
        return " ".join(part for part in (options, self.type, self.key, self.comment) if part)


class KeyStore:
    """The keys of one home; the ssh console reads the files at each login. Threading: from any thread."""

    def __init__(self, home: HubHome) -> None:
        self.folder = home.ssh / "authorized_keys"
        self._lock = threading.Lock()

    def add(self, user: str, key: str, role: str = "operator") -> dict[str, Any]:
        """Let a user in with a public key (the content of ``id_ed25519.pub``); returns it as listed.

        Raises :class:`BadArgumentsError` for what is no public key, :class:`ConflictError` for one that is there.
        """
        new = parsed_key(checked_name(user), key, role_of(role))
        with self._lock:
            lines = self._lines(user)
            if any(known.key == new.key for known in self._parsed(user, lines)):
                raise ConflictError(f"{user} has the key {new.fingerprint} already: revoke it first to change its role")
            write_private(self._file(user), "\n".join([*lines, new.line()]) + "\n")
        return new.to_dict()

    def listed(self, user: str | None = None) -> list[dict[str, Any]]:
        """``[{"user", "role", "type", "fingerprint", "comment"}]``, of all users or one."""
        users = [user] if user is not None else self.users()
        return [key.to_dict() for name in users for key in self._parsed(name, self._lines(name))]

    def revoke(self, user: str, fingerprint: str | None = None) -> list[dict[str, Any]]:
        """Take keys away: the one of a fingerprint, or all of the user; returns them. Open connections stay open."""
        with self._lock:
            if user not in self.users():
                raise UnknownNameError(f"{user!r} has no keys{hint(user, self.users())}")
            lines = self._lines(user)
            gone = [k for k in self._parsed(user, lines) if fingerprint in (None, k.fingerprint)]
            if not gone:
                known = ", ".join(key.fingerprint for key in self._parsed(user, lines))
                raise UnknownNameError(f"{user} has no key {fingerprint!r}; there is {known}")
            left = [] if fingerprint is None else [line for line in lines if not any(k.key in line for k in gone)]
            if left:
                write_private(self._file(user), "\n".join(left) + "\n")
            else:
                self._file(user).unlink()
        return [key.to_dict() for key in gone]

    def users(self) -> list[str]:
        """Those who have keys."""
        return sorted(file.stem for file in self.folder.glob("*.pub"))

    def _file(self, user: str) -> Path:
        return self.folder / f"{checked_name(user)}.pub"

    def _lines(self, user: str) -> list[str]:
        file = self._file(user)
        return file.read_text("utf-8").splitlines() if file.exists() else []

    def _parsed(self, user: str, lines: list[str]) -> list[PublicKey]:
        found = [_LINE.fullmatch(line.strip()) for line in lines]
        return [_of_match(user, match) for match in found if match is not None]


def parsed_key(user: str, text: str, role: Role) -> PublicKey:
    """A public key as ssh writes it: type, base64, comment. Raises :class:`BadArgumentsError`."""
    match = _LINE.fullmatch(text.strip())
    if "PRIVATE KEY" in text:
        raise BadArgumentsError("this is a private key; it never leaves its owner. Give the .pub file beside it")
    if match is None or match["options"]:
        raise BadArgumentsError("this is no public key; it is one line, such as 'ssh-ed25519 AAAA... me@here'")
    try:
        blob = base64.b64decode(match["key"], validate=True)
    except binascii.Error:
        blob = b""
    name = match["type"].encode()
    if not blob.startswith(len(name).to_bytes(4, "big") + name):
        raise BadArgumentsError(f"this public key is damaged: its content is not of type {match['type']}")
    if match["type"] in WEAK:
        raise BadArgumentsError(f"{match['type']} keys are too weak; make one: ssh-keygen -t ed25519")
    return PublicKey(user, role, match["type"], match["key"], (match["comment"] or "").strip())


def _of_match(user: str, match: re.Match[str]) -> PublicKey:
    options = match["options"] or ""
    said = _ROLE.search(options)
    name = said[1] if said else "operator"
    role = Role[name] if name in Role.__members__ else Role.viewer
    return PublicKey(user, role, match["type"], match["key"], (match["comment"] or "").strip(), options)
