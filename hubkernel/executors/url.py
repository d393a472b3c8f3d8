"""An executor's url: ``scheme://[host]?option=value&...``."""

from __future__ import annotations

from collections.abc import Callable
from difflib import get_close_matches
from typing import Any
from urllib.parse import parse_qsl, urlsplit


def options(url: str, **known: Callable[[str], Any]) -> dict[str, Any]:
    """The options of ``url``, each converted by its entry in ``known``. Raises ``ValueError`` naming what is wrong."""
    values: dict[str, Any] = {}
    for name, text in parse_qsl(urlsplit(url).query, keep_blank_values=True):
        if name not in known:
            near = get_close_matches(name, known, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"it knows {', '.join(known)}"
            raise ValueError(f"{url}: unknown option {name!r}; {hint}")
        try:
            values[name] = known[name](text)
        except ValueError as error:
            raise ValueError(f"{url}: {name}={text!r} is not valid: {error}") from None
    return values


def names(text: str) -> tuple[str, ...]:
    """``a,b`` -> ``("a", "b")``."""
    return tuple(name for name in text.split(",") if name)
