"""The web client of dumpers and release functions."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import httpx

_WORDS = ("verify", "stream")
"""Words of a ``requests`` session that the client as a whole decides."""


class Response(httpx.Response):
    """An answer with the words that plugins know from ``requests``."""

    @property
    def ok(self) -> bool:
        return not self.is_error

    def iter_content(self, chunk_size: int = 1 << 16) -> Iterator[bytes]:
        return self.iter_bytes(chunk_size)


class Session(httpx.Client):
    """``httpx`` with the words that plugins know from a ``requests`` session."""

    def request(self, *args: Any, **kwargs: Any) -> Response:
        redirects = kwargs.pop("allow_redirects", None)
        if redirects is not None:
            kwargs["follow_redirects"] = redirects
        for word in _WORDS:
            kwargs.pop(word, None)
        response = super().request(*args, **kwargs)
        response.__class__ = Response
        return response  # type: ignore[return-value]

    def get(self, url: Any, **kwargs: Any) -> Response:
        return self.request("GET", url, **kwargs)

    def head(self, url: Any, **kwargs: Any) -> Response:
        return self.request("HEAD", url, **kwargs)

    def post(self, url: Any, **kwargs: Any) -> Response:
        return self.request("POST", url, **kwargs)
