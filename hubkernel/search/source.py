"""What of a document an answer shows: ``_source`` includes and excludes, with ``*`` and dotted paths."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Any

from hubkernel.search.errors import parsing_error

Show = Callable[[dict[str, Any]], dict[str, Any]]


def shown(given: Any, params: Mapping[str, str]) -> Show | None:
    """From the ``_source`` of a body and the parameters of a url; None: no ``_source`` at all."""
    includes, excludes = _list(params.get("_source_includes")), _list(params.get("_source_excludes"))
    if given is None:
        given = params.get("_source")
    if given in (False, "false"):
        return None
    if isinstance(given, dict):
        if unknown := set(given) - {"includes", "include", "excludes", "exclude"}:
            raise parsing_error(f"Unknown key for a _source: {sorted(unknown)}")
        includes += _list(given.get("includes", given.get("include")))
        excludes += _list(given.get("excludes", given.get("exclude")))
    elif given not in (None, True, "true"):
        includes += _list(given)
    if not includes and not excludes:
        return lambda document: document
    return _Filter(tuple(includes), tuple(excludes))


def _list(value: Any) -> list[str]:
    if value is None:
        return []
    return value.split(",") if isinstance(value, str) else list(value)


class _Filter:
    def __init__(self, includes: tuple[str, ...], excludes: tuple[str, ...]) -> None:
        self.wanted = _paths(includes or ("*",))
        self.unwanted = _paths(excludes)
        self.prefixes = tuple(_prefix_pattern(pattern) for pattern in includes)

    def __call__(self, document: dict[str, Any]) -> dict[str, Any]:
        return self._object(document, "")

    def _object(self, source: dict[str, Any], prefix: str) -> dict[str, Any]:
        kept: dict[str, Any] = {}
        for name, value in source.items():
            path = prefix + name
            if self.unwanted.fullmatch(path):
                continue
            inside = self.wanted.fullmatch(path) is not None
            if inside and not isinstance(value, (dict, list)):
                kept[name] = value
            elif inside or any(p.fullmatch(path) for p in self.prefixes):
                filtered = self._value(value, path, inside)
                if inside or filtered not in (None, {}, []):
                    kept[name] = filtered
        return kept

    def _value(self, value: Any, path: str, inside: bool) -> Any:
        if isinstance(value, dict):
            return self._object(value, path + ".")
        if isinstance(value, list):
            items = [self._value(item, path, inside) for item in value]
            return items if inside else [item for item in items if item not in (None, {}, [])]
        return value if inside else None


@lru_cache(maxsize=256)
def _paths(patterns: tuple[str, ...]) -> re.Pattern[str]:
    """A path that a pattern names, or one below it."""
    return re.compile("|".join(rf"(?:{_regex(pattern)})(?:\..*)?" for pattern in patterns) or r"(?!)", re.DOTALL)


@lru_cache(maxsize=256)
def _prefix_pattern(pattern: str) -> re.Pattern[str]:
    """A path above something that the pattern may name."""
    steps = pattern.split(".")
    alternatives = [_regex(".".join(steps[: depth + 1])) for depth in range(len(steps) - 1)]
    if "*" in pattern:
        star = pattern.index("*")
        alternatives.append(_regex(pattern[:star]) + ".*")
    return re.compile("|".join(f"(?:{each})" for each in alternatives) or r"(?!)", re.DOTALL)


def _regex(pattern: str) -> str:
    return ".*".join(re.escape(part) for part in pattern.split("*"))
