"""All values of a leaf at once, where they are of one JSON type: a call for each value of each document is slow."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import isfinite
from typing import Any

from hubkernel.search.fields import SHORT, Field, Kind, Value, text_of

Column = Callable[[list[Any]], list[Any] | None]
"""Takes values of one type, at least one. Gives what ``Field.convert`` gives for each of them, or None where they have
to be looked at one by one (one of them is bad, or so long that its bytes must be counted)."""


def columns(field: Field) -> dict[type, Column]:
    """By type of the values; a type that is missing has no short way. A column may give back the list it got."""
    match field.kind:
        case Kind.TEXT:
            assert field.analyzer is not None
            spaced = field.analyzer.spaced
            return {str: lambda values: list(map(spaced, values))}
        case Kind.KEYWORD:
            keywords = partial(_keywords, field.normalize, field.definition.get("ignore_above"))
            return {
                str: keywords,
                int: lambda values: keywords(_texts(values)),
                float: lambda values: keywords(_texts(values)),
                bool: lambda values: keywords(_booleans_as_texts(values)),
            }
        case Kind.INTEGER:
            low, high = field.limits
            return {int: lambda values: values if low <= min(values) and max(values) <= high else None}
        case Kind.FLOAT if "scaling_factor" not in field.definition:
            return {float: lambda values: values if all(map(isfinite, values)) else None}
        case Kind.BOOLEAN:
            return {bool: lambda values: list(map(int, values))}
        case _:
            return {}


def one_by_one(values: list[Value]) -> None:
    """The column of a type for which there is no short way."""


def _texts(values: list[Any]) -> list[str]:
    return list(map(str, values))


def _booleans_as_texts(values: list[bool]) -> list[str]:
    return list(map(text_of, values))


def _keywords(normalize: Callable[[str], str], longest: Any, values: list[str]) -> list[str] | None:
    if longest is not None:
        limit = int(longest)
        values = [value for value in values if len(value) <= limit]
    elif max(map(len, values)) >= SHORT:
        return None
    return values if normalize is str else list(map(normalize, values))
