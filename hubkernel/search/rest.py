"""Method and path of a request find their handler; whatever happens becomes a status and JSON.

A path or a parameter that nobody handles is an error of the caller, never ignored.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import orjson

from hubkernel.search.engine import Engine
from hubkernel.search.errors import ApiError, illegal

log = logging.getLogger(__name__)

_COMMON = frozenset(["pretty", "human", "error_trace", "filter_path", "master_timeout", "timeout", "request_timeout"])


class Answer(NamedTuple):
    status: int
    body: bytes
    """JSON, or text for ``_cat``."""
    content_type: str = "application/json"


@dataclass
class Call:
    """A request on its way to a handler."""

    engine: Engine
    method: str
    path: dict[str, str]
    """The parts of the path that the route names."""
    params: dict[str, str]
    raw: bytes
    status: int = 200

    @property
    def body(self) -> Any:
        """The JSON of the body, None if there is none; 400 if it is not JSON."""
        if not self.raw:
            return None
        try:
            return orjson.loads(self.raw)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, "parse_exception", f"the request body is no JSON: {error}") from error

    def object(self, *known: str) -> dict[str, Any]:
        """The body as an object, with ``known`` keys only."""
        body = self.body or {}
        if not isinstance(body, dict):
            raise illegal("the request body must be a JSON object")
        if known and (unknown := set(body) - set(known)):
            raise ApiError(400, "parse_exception", f"unknown key {sorted(unknown)} in the body of {self.method}")
        return body

    @property
    def index(self) -> str | None:
        return self.path.get("index")

    def flag(self, name: str, default: bool = False) -> bool:
        return self.params.get(name, str(default).lower()) in ("true", "")


Handler = Callable[[Call], Any]


@dataclass
class _Route:
    methods: frozenset[str]
    pattern: re.Pattern[str]
    params: frozenset[str]
    handler: Handler


@dataclass
class Router:
    routes: list[_Route] = field(default_factory=list)

    def add(self, methods: str, path: str, *params: str) -> Callable[[Handler], Handler]:
        """Decorator. ``path``: ``/{index}/_doc/{id}``; a handler answers JSON-able data, or a :class:`Answer`."""
        regex = re.sub(r"\{(\w+)\}", lambda m: rf"(?P<{m[1]}>{_segment(m[1])})", path)

        def register(handler: Handler) -> Handler:
            allowed = frozenset(params) | _COMMON
            self.routes.append(_Route(frozenset(methods.split("|")), re.compile(regex + "/?"), allowed, handler))
            return handler

        return register

    def find(self, method: str, path: str) -> tuple[_Route, dict[str, str]]:
        other: set[str] = set()
        for route in self.routes:
            match = route.pattern.fullmatch(path)
            if match is None:
                continue
            if method in route.methods:
                return route, {k: unquote(v) for k, v in match.groupdict().items() if v is not None}
            other |= route.methods
        if other:
            reason = f"Incorrect HTTP method for uri [{path}] and method [{method}], allowed: {sorted(other)}"
            raise ApiError(405, "illegal_argument_exception", reason)
        reason = f"no handler found for uri [{path}] and method [{method}]: the embedded engine does not have this API"
        raise ApiError(400, "illegal_argument_exception", reason)


def _segment(name: str) -> str:
    # an index is never named like an API
    return r"[^_/][^/]*|_all" if name == "index" else r"[^/]+"


ROUTER = Router()


def handle(engine: Engine, method: str, target: str, body: bytes | None = None) -> Answer:
    """``target``: path and query of a url. Never raises for a bad request; an error of ours is logged and gives 500."""
    url = urlsplit(target)
    params = dict(parse_qsl(url.query, keep_blank_values=True))
    try:
        route, path = ROUTER.find(method, url.path)
        _check_params(route, params, url.path)
        call = Call(engine, method, path, params, body or b"")
        answer = route.handler(call)
        if isinstance(answer, Answer):
            return answer
        return Answer(call.status, orjson.dumps(answer, option=orjson.OPT_NON_STR_KEYS))
    except ApiError as error:
        return Answer(error.status, orjson.dumps(error.body()))
    except Exception as error:
        log.exception("%s %s failed", method, target)
        wrapped = ApiError(500, "exception", f"{type(error).__name__}: {error}")
        return Answer(500, orjson.dumps(wrapped.body()))


def _check_params(route: _Route, params: Mapping[str, str], path: str) -> None:
    if unknown := set(params) - route.params:
        raise illegal(f"request [{path}] contains unrecognized parameter: {sorted(unknown)}")
    if params.get("filter_path"):
        raise illegal("the embedded engine does not support filter_path")
