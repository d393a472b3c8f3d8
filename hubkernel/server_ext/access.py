"""Who asks, and what they may: tokens of the hub first, else the identity provider and authorizer of the site."""

from __future__ import annotations

import re
import secrets
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jupyter_server.auth.identity import User
from jupyter_server.utils import ensure_async
from tornado import web

from hubkernel.api import Caller, this_user
from hubkernel.hub.commands import Role
from hubkernel.hub.tokens import TokenStore
from hubkernel.wire import DOOR, ROLE, USER

DOORS = frozenset({"python", "notebook", "cli", "rest", "ssh", "studio"})
MAX_USER = 200
_HEADER = re.compile(r"(?:token|bearer)\s+(\S+)\s*$", re.IGNORECASE)


@dataclass
class HubUser(User):  # type: ignore[misc]
    """Somebody with a token of the hub. ``trusted`` may speak for others: it is the user whose hub this is."""

    role: Role = Role.viewer
    trusted: bool = False


class HubTokens:
    """The token of ``run/hub.json``, which makes a developer, and the named ones of the home, which have roles."""

    def __init__(self, home: Path) -> None:
        self.own = secrets.token_hex(24)
        self._named = TokenStore(home)

    def user(self, token: str) -> HubUser | None:
        """Whose token it is."""
        if secrets.compare_digest(token.encode(), self.own.encode()):
            return HubUser(this_user(), role=Role.developer, trusted=True)
        known = self._named.check(token)
        return None if known is None else HubUser(known.name, role=known.role)


def given_token(handler: web.RequestHandler) -> str:
    """The token of a request, from its header or from ``?token=``."""
    found = _HEADER.match(handler.request.headers.get("Authorization", ""))
    return found.group(1) if found else str(handler.get_query_argument("token", ""))


class HubIdentity:
    """An identity provider for the hub's own handlers: who has no token of the hub is the site's business."""

    def __init__(self, tokens: HubTokens | None, site: Any) -> None:
        self._tokens = tokens
        self._site = site

    def __getattr__(self, name: str) -> Any:
        return getattr(self._site, name)

    async def get_user(self, handler: Any) -> User | None:
        """Called by jupyter_server for each request."""
        token = given_token(handler)
        user = self._tokens.user(token) if token and self._tokens is not None else None
        if user is not None:
            handler._hub_token = True
            return user
        return await ensure_async(self._site.get_user(handler))

    def is_token_authenticated(self, handler: Any) -> bool:
        """Then no other site can have made the browser ask."""
        return bool(getattr(handler, "_hub_token", False) or self._site.is_token_authenticated(handler))

    def should_check_origin(self, handler: Any) -> bool:
        return not self.is_token_authenticated(handler)


async def role_of(handler: Any) -> Role:
    """The role of a request's user. Raises 403 if they may not even look."""
    user = handler.current_user
    if isinstance(user, HubUser):
        return user.role

    async def allowed(action: str, resource: str) -> bool:
        return bool(await ensure_async(handler.authorizer.is_authorized(handler, user, action, resource)))

    for role in sorted(Role, reverse=True):
        if await allowed("execute", f"hubkernel:{role.name}"):
            return role
    if await allowed("read", "hubkernel"):
        return Role.viewer
    raise web.HTTPError(403, "you may not use this hub")


def caller_of(handler: Any, role: Role) -> Caller:
    """Who calls, by the headers of the request as far as they can be believed."""
    headers, user = handler.request.headers, handler.current_user
    door = headers.get(DOOR, "")
    caller = Caller(user.username, door if door in DOORS else "rest", role)
    if not (isinstance(user, HubUser) and user.trusted):
        return caller
    name = headers.get(ROLE, "")
    return caller.other(
        unquote(headers.get(USER, ""))[:MAX_USER], None, Role[name] if name in Role.__members__ else None
    )
