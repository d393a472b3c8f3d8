"""The client that a plugin's release function gets."""

from __future__ import annotations

from typing import Any

import httpx


class Session(httpx.Client):
    """``httpx`` with the words that plugins know from a ``requests`` session."""

    def request(self, *args: Any, **kwargs: Any) -> httpx.Response:
        redirects = kwargs.pop("allow_redirects", None)
        if redirects is not None:
            kwargs["follow_redirects"] = redirects
        for word in ("verify", "stream"):
            kwargs.pop(word, None)
        return super().request(*args, **kwargs)

    def get(self, url: Any, **kwargs: Any) -> httpx.Response:
        return self.request("GET", url, **kwargs)

    def head(self, url: Any, **kwargs: Any) -> httpx.Response:
        return self.request("HEAD", url, **kwargs)
