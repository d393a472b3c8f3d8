"""``biothings.utils.dotfield``: from ``{"a.b": 1}`` to ``{"a": {"b": 1}}`` and back."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hubkernel.compat.biothings._missing import answer
from hubkernel.compat.biothings.utils._paths import owners_of, parts_of

Document = dict[str, Any]


def make_object(attr: Any, value: Any) -> Document:
    """``("a.b", 1)``, or ``(["a", "b"], 1)``, as ``{"a": {"b": 1}}``."""
    for part in reversed(parts_of(attr)):
        value = {part: value}
    return value  # type: ignore[no-any-return]


def merge_object(obj1: Document, obj2: Mapping[str, Any]) -> Document:
    """Put what ``obj2`` has into ``obj1``, object by object; other values take the place of what was there. Returns
    ``obj1``.
    """
    for key, value in obj2.items():
        there = obj1.get(key)
        obj1[key] = merge_object(there, value) if isinstance(there, dict) and isinstance(value, dict) else value
    return obj1


def parse_dot_fields(doc: Mapping[str, Any]) -> Document:
    """A document whose keys may be dotted, with objects instead."""
    found: Document = {}
    for key, value in doc.items():
        merge_object(found, make_object(key, value))
    return found


def compose_dot_fields_by_fields(doc: Document, fields: Iterable[str]) -> Document:
    """The reverse, in place, for the dotted ``fields`` that go through objects only. Returns ``doc``."""
    for field in fields:
        path = parts_of(field)
        owners = list(owners_of(doc, path))
        if len(path) == 1 or len(owners) != 1 or path[-1] not in owners[0] or _through_list(doc, path):
            continue
        value = owners[0].pop(path[-1])
        for depth in range(len(path) - 1, 0, -1):
            above = next(owners_of(doc, path[:depth]))
            if above[path[depth - 1]] == {}:
                del above[path[depth - 1]]
        doc[field] = value
    return doc


def _through_list(doc: Any, path: list[str]) -> bool:
    for part in path[:-1]:
        doc = doc[part]
        if isinstance(doc, list):
            return True
    return False


__getattr__ = answer(__name__)
