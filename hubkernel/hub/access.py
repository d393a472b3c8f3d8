"""The commands about who may use the hub, and who did: tokens, ssh keys, the audit log."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from hubkernel.hub.audit import AuditLog
from hubkernel.hub.keys import KeyStore
from hubkernel.hub.names import hint
from hubkernel.hub.tokens import TokenStore, role_of

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer


class AccessActions:
    """Methods that become commands. None of them is tracked: a journal must not keep a token."""

    def __init__(self, server: HubServer) -> None:
        self.server = server

    @functools.cached_property
    def tokens(self) -> TokenStore:
        return TokenStore(self.server.home)

    @functools.cached_property
    def keys(self) -> KeyStore:
        return KeyStore(self.server.home)

    @functools.cached_property
    def log(self) -> AuditLog:
        return AuditLog(self.server.log_folder / "audit.log", max_bytes=self.server.config.audit_max_bytes)

    def create_token(self, name: str, role: str = "viewer", days: float | None = None) -> str:
        """Make a token for the hub's doors and return it; it is shown only now.

        ``role`` is viewer, operator or developer. After ``days`` it is void; without, it lives until it is revoked.
        """
        return self.tokens.create(name, role, days)

    def rotate_token(self, name: str, days: float | None = None) -> str:
        """Replace a token by a new one of the same name and role and return that; the old one is void at once."""
        return self.tokens.rotate(name, days)

    def list_tokens(self) -> list[dict[str, Any]]:
        """The named tokens with their roles and when they expire; never the tokens themselves."""
        return self.tokens.list()

    def revoke_token(self, name: str) -> dict[str, Any]:
        """Make a token void at once."""
        return self.tokens.revoke(name).shown()

    def add_key(self, user: str, key: str, role: str = "operator") -> dict[str, Any]:
        """Let a user in over ssh with a public key: the line in ``id_ed25519.pub``."""
        return self.keys.add(user, key, role)

    def list_keys(self, user: str | None = None) -> list[dict[str, Any]]:
        """The public ssh keys with their users, roles and fingerprints."""
        return self.keys.listed(user)

    def revoke_key(self, user: str, fingerprint: str | None = None) -> list[dict[str, Any]]:
        """Take an ssh key of a user away, or all of them; returns those that are gone."""
        return self.keys.revoke(user, fingerprint)

    def audit(
        self,
        limit: int = 100,
        user: str | None = None,
        door: str | None = None,
        role: str | None = None,
        outcome: str | None = None,
    ) -> list[dict[str, Any]]:
        """Who ran what, newest first: ``[{"time", "user", "role", "door", "command", "outcome"}]``.

        ``outcome`` is how it begins: ``done``, ``started``, ``failed`` or ``refused``. Reading commands are not kept.
        """
        if outcome is not None and outcome not in OUTCOMES:
            raise ValueError(f"no outcome {outcome!r}{hint(outcome, OUTCOMES)}: one of {', '.join(OUTCOMES)}")
        wanted = {"user": user, "door": door, "role": None if role is None else role_of(role).name}

        def keep(entry: dict[str, Any]) -> bool:
            fits = all(value is None or entry.get(key) == value for key, value in wanted.items())
            return fits and (outcome is None or str(entry.get("outcome", "")).startswith(outcome))

        return self.log.read(limit, keep)


OUTCOMES = ("done", "started", "failed", "refused")
