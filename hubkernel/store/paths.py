"""Dotted paths into documents, through arrays, as MongoDB reads them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Final


class Missing:
    """The type of :data:`MISSING`."""

    def __repr__(self) -> str:
        return "MISSING"


MISSING: Final = Missing()
"""What a path gives where the document has nothing."""


class Whole(list[Any]):
    """An array that was named by its position in another: it is matched as a whole, not element by element."""


def values_at(value: Any, parts: Sequence[str], depth: int = 0) -> Iterator[Any]:
    """Every value that the path reaches; :data:`MISSING` where a document on the way lacks it.

    An array on the way is entered twice: at the position that a numeric part names, and in each document that it holds.
    """
    if depth == len(parts):
        yield value
    elif isinstance(value, dict):
        if parts[depth] in value:
            yield from values_at(value[parts[depth]], parts, depth + 1)
        else:
            yield MISSING
    elif isinstance(value, list):
        yield from _values_in(value, parts, depth)
    else:
        yield MISSING


def elements(values: Iterator[Any]) -> Iterator[Any]:
    """The values, and after each array its elements."""
    for value in values:
        yield value
        if isinstance(value, list) and not isinstance(value, Whole):
            yield from value


def is_position(part: str) -> bool:
    """Whether a path's part can name a place in an array."""
    return part.isascii() and part.isdigit() and (part == "0" or part[0] != "0")


def _values_in(array: list[Any], parts: Sequence[str], depth: int) -> Iterator[Any]:
    part = parts[depth]
    if is_position(part) and int(part) < len(array):
        inner = array[int(part)]
        last = depth + 1 == len(parts)
        if last:
            yield Whole(inner) if isinstance(inner, list) else inner
        elif isinstance(inner, dict | list):
            yield from values_at(inner, parts, depth + 1)
    for inner in array:
        if isinstance(inner, dict):
            yield from values_at(inner, parts, depth)
