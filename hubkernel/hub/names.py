"""Nearest names, for errors that help."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, names: Iterable[str], *, cutoff: float = 0.6) -> str | None:
    """The name most like ``name`` (letter case aside), or None if none is near."""
    by_lower = {known.lower(): known for known in names}
    found = get_close_matches(name.lower(), by_lower, n=1, cutoff=cutoff)
    return by_lower[found[0]] if found else None


def hint(name: str, names: Iterable[str]) -> str:
    """``; did you mean 'x'?`` or nothing: the end of an error about an unknown name."""
    found = nearest(name, names)
    return f"; did you mean {found!r}?" if found else ""
