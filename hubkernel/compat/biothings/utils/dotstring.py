"""``biothings.utils.dotstring``: values at dotted paths, through objects and lists of objects."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hubkernel.compat.biothings._missing import answer
from hubkernel.compat.biothings.utils._paths import owners_of, parts_of, values_at

Document = dict[str, Any]


def key_value(dictionary: Document, key: str) -> Iterator[Any]:
    """The values at a path; None if there is none."""
    found = False
    for value in values_at(dictionary, parts_of(key)):
        found = True
        yield value
    if not found:
        yield None


def set_key_value(dictionary: Document, key: str, value: Any) -> Document:
    """Set, in place, the value at a path wherever the objects on the way are there. Returns ``dictionary``."""
    path = parts_of(key)
    for owner in owners_of(dictionary, path):
        owner[path[-1]] = value
    return dictionary


def remove_key(dictionary: Document, key: str) -> Document:
    """Remove, in place, what is at a path. Returns ``dictionary``."""
    path = parts_of(key)
    for owner in owners_of(dictionary, path):
        owner.pop(path[-1], None)
    return dictionary


def list_length(d: Document, field: str) -> int:
    """The length of the (first) list at a path, 0 if there is none."""
    first = next(values_at(d, parts_of(field)), None)
    return len(first) if isinstance(first, list) else 0


def last_element(d: Document, key_list: Sequence[str]) -> Iterator[tuple[str, Document]]:
    """``(last key, object that has it)`` for a path given as a list."""
    return ((key_list[-1], owner) for owner in owners_of(d, list(key_list)) if key_list[-1] in owner)


__getattr__ = answer(__name__)
