"""What documents look like: the types that stand at each path. Adds up, so that ranges can be looked at in parallel."""

from __future__ import annotations

import base64
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

MIXED = {"type": "object", "enabled": False}
"""What cannot be indexed, since it is an object in one document and a value in another: kept, but not searched."""
_WORD_LENGTH = 128
_LONG = 1 << 63


@dataclass(slots=True)
class Shape:
    """One path. ``kinds``: of ``object string boolean long double date``."""

    kinds: set[str] = field(default_factory=set)
    longest: int = 0
    """Characters of the longest string."""
    words: bool = True
    """No string has white space in it."""

    def add(self, other: Shape) -> None:
        self.kinds |= other.kinds
        self.longest = max(self.longest, other.longest)
        self.words = self.words and other.words


class Shapes:
    """``skip``: top-level fields that are known already."""

    def __init__(self, skip: Collection[str] = ()) -> None:
        self.paths: dict[tuple[str, ...], Shape] = {}
        self._skip = frozenset(skip) | {"_id"}

    def read(self, document: Mapping[str, Any]) -> None:
        for name, value in document.items():
            if name not in self._skip:
                self._value((name,), value)

    def add(self, other: Shapes) -> None:
        for path, shape in other.paths.items():
            self.paths.setdefault(path, Shape()).add(shape)

    def _value(self, path: tuple[str, ...], value: Any) -> None:
        if isinstance(value, list):
            for item in value:
                self._value(path, item)
            return
        if value is None:
            return
        shape = self.paths.get(path)
        if shape is None:
            shape = self.paths[path] = Shape()
        if isinstance(value, dict):
            shape.kinds.add("object")
            for name, inner in value.items():
                self._value((*path, name), inner)
            return
        _scalar(shape, value)

    def properties(self) -> dict[str, Any]:
        """The ``properties`` of a mapping under which every document can be indexed."""
        properties: dict[str, Any] = {}
        closed: set[tuple[str, ...]] = set()
        for path, shape in sorted(self.paths.items()):
            if any(path[:depth] in closed for depth in range(1, len(path))):
                continue
            definition = _definition(shape)
            if definition is MIXED:
                closed.add(path)
            _put(properties, path, definition)
        return properties

    def mixed(self) -> list[str]:
        """Paths that cannot be searched: an object here, a value there."""
        return [".".join(path) for path, shape in sorted(self.paths.items()) if _definition(shape) is MIXED]


def _scalar(shape: Shape, value: Any) -> None:
    if isinstance(value, str):
        shape.kinds.add("string")
        shape.longest = max(shape.longest, len(value))
        if shape.words and (" " in value or any(map(str.isspace, value))):
            shape.words = False
    elif isinstance(value, bool):
        shape.kinds.add("boolean")
    elif isinstance(value, int):
        shape.kinds.add("long" if -_LONG <= value < _LONG else "string")
    elif isinstance(value, float):
        shape.kinds.add("double")
    elif isinstance(value, datetime):
        shape.kinds.add("date")
    else:
        shape.kinds.add("string")


def _definition(shape: Shape) -> dict[str, Any]:
    kinds = shape.kinds
    if "object" in kinds:
        return {"properties": {}} if kinds == {"object"} else MIXED
    if kinds == {"long", "double"}:
        return {"type": "double"}
    if len(kinds) == 1 and kinds != {"string"}:
        return {"type": next(iter(kinds))}
    if shape.words and shape.longest <= _WORD_LENGTH:
        return {"type": "keyword", "normalizer": "keyword_lowercase_normalizer"}
    return {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}


def _put(properties: dict[str, Any], path: tuple[str, ...], definition: dict[str, Any]) -> None:
    for name in path[:-1]:
        properties = properties[name]["properties"]
    properties[path[-1]] = definition


def json_value(value: Any) -> str:
    """For what JSON does not have: binary as base64, anything else as text. Called by the JSON encoder."""
    return base64.b64encode(value).decode() if isinstance(value, bytes) else str(value)
