"""Who may come in: the token in the path, and the origins that a browser may come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from tornado.httputil import HTTPServerRequest

from hubkernel.hub.commands import Role

METHODS = "PUT, DELETE, POST, GET, OPTIONS"
HEADERS = "Content-Type,X-BioThings-API,X-Biothings-Access-Token"


class Identity(Protocol):
    """Whom a token stands for."""

    @property
    def name(self) -> str: ...

    @property
    def role(self) -> Role: ...


Check = Callable[[str], Identity | None]
"""Called with what somebody gave as a token, in a thread; None if it is none. Compares in constant time."""


def take_token(request: HTTPServerRequest) -> str:
    """Take the token, the first part of the path, out of a request. What is left (path and arguments, no query) is all
    that handlers and logs get to see.
    """
    parts = request.path.split("/", 2)
    request.path = f"/{parts[2]}" if len(parts) > 2 else "/"
    request.uri, request.query = request.path, ""
    return parts[1] if len(parts) > 1 and not parts[0] else ""


class Origins:
    """The web pages that may use the hub, as ``scheme://host[:port]``. Requests that no page makes have no origin."""

    def __init__(self, allowed: Iterable[str]) -> None:
        self._allowed = frozenset(origin.rstrip("/").lower() for origin in allowed)

    def foreign(self, request: HTTPServerRequest) -> bool:
        """Whether a page makes the request that may not."""
        origin = request.headers.get("Origin")
        return origin is not None and origin.lower() not in self._allowed

    def headers(self, request: HTTPServerRequest) -> dict[str, str]:
        """The CORS headers of the answer."""
        origin = request.headers.get("Origin")
        if origin is None or origin.lower() not in self._allowed:
            return {"Vary": "Origin"}
        found = {
            "Vary": "Origin",
            "Access-Control-Allow-Origin": origin,
            "Access-Control-Allow-Methods": METHODS,
            "Access-Control-Allow-Headers": HEADERS,
        }
        if request.headers.get("Access-Control-Request-Private-Network"):  # a public page, a hub at home
            found["Access-Control-Allow-Private-Network"] = "true"
        return found
