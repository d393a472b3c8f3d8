"""Values of a hub as the JSON that Studio reads."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import PurePath
from typing import Any

import orjson

_OPTIONS = orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC


def encode(value: Any) -> bytes:
    """JSON: a time without zone is UTC, NaN is null, a set or tuple is a list, keys are texts.

    Raises ``TypeError`` before anything is written if JSON has no such value.
    """
    return orjson.dumps(value, default=_plain, option=_OPTIONS)


def text(value: Any) -> str:
    return encode(value).decode()


def _plain(value: Any) -> Any:
    match value:
        case set() | frozenset():
            return _ordered(value)
        case Mapping():
            return dict(value)
        case PurePath():
            return str(value)
    if type(value).__module__.startswith("bson"):
        return str(value)
    raise TypeError(f"Type is not JSON serializable: {type(value).__name__}")


def _ordered(values: Iterable[Any]) -> list[Any]:
    found = list(values)
    try:
        return sorted(found)
    except TypeError:
        return found
