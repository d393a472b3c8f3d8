"""From texts to numbers and booleans."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from math import isfinite
from typing import Any

from hubkernel.compat.biothings.utils._paths import convert_at, parts_of

Document = dict[str, Any]

_NUMBER = re.compile(r"\s*[+-]?(?:\d+|(\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+))\s*").fullmatch
_BEGINNINGS = frozenset("0123456789.+- \t")
TRUE = frozenset({"true", "1", "t", "y", "yes"})
"""Texts that mean true, in any case."""
FALSE = frozenset({"false", "0", "f", "n", "no"})


def to_number(val: Any) -> Any:
    """A text that is a whole number as an int, one that is another number as a float, everything else unchanged.

    Spaces around it and leading zeros do not matter; ``1e5`` is a number. ``1_000``, ``nan`` and ``inf`` are texts:
    they are rather names than numbers, and no document holds a number that is not finite.
    """
    if not isinstance(val, str) or (val[:1] not in _BEGINNINGS and val.isascii()):
        return val
    return _number(val)


def _number(text: str) -> Any:
    found = _NUMBER(text)
    if found is None:
        return text
    try:
        if found.lastindex is None:
            return int(text)
    except ValueError:  # thousands of digits
        pass
    number = float(text)
    return number if isfinite(number) else text


def value_convert_to_number(d: Document, skipped_keys: Collection[str] | None = None) -> Document:
    """Apply :func:`to_number`, in place, to all values of ``d``, of objects in it, and to the items of lists. Returns
    ``d``.

    Values of keys in ``skipped_keys`` stay as they are: texts, and lists with all that is in them. The keys of an
    object that has such a key are judged by their own names.
    """
    skipped = frozenset(skipped_keys or ())
    for key, value in d.items():
        kind = type(value)
        if kind is str:
            # The most frequent case, without a call for a text that cannot be a number.
            if (value[:1] in _BEGINNINGS or not value.isascii()) and key not in skipped:
                d[key] = _number(value)
        elif kind is int or kind is float or value is None:
            continue
        elif isinstance(value, dict):
            value_convert_to_number(value, skipped)
        elif isinstance(value, list | tuple) and key not in skipped:
            d[key] = type(value)([_item(item, skipped) for item in value]) if value else value
        elif key not in skipped:
            d[key] = to_number(value)
    return d


def _item(item: Any, skipped: frozenset[str]) -> Any:
    if isinstance(item, dict):
        return value_convert_to_number(item, skipped)
    return to_number(item)


def safe_type(f: Callable[[str], Any], val: Any) -> Any:
    """``f(val)`` if ``val`` is a text that ``f`` takes, else ``val``."""
    if not isinstance(val, str):
        return val
    try:
        return f(val)
    except ValueError:
        return val


def to_int(val: Any) -> Any:
    """A text as an int; what is no text, or no whole number, unchanged."""
    return safe_type(int, val)


def to_float(val: Any) -> Any:
    """A text as a float; what is no text, or no number, unchanged."""
    return safe_type(float, val)


def int_convert(
    d: Document, include_keys: Iterable[str] | None = None, exclude_keys: Iterable[str] | None = None
) -> Document:
    """Apply :func:`to_int`, in place, to all values and items of lists, or to those at dotted paths. Returns ``d``."""
    return convert_at(d, to_int, include_keys, exclude_keys)


def float_convert(
    d: Document, include_keys: Iterable[str] | None = None, exclude_keys: Iterable[str] | None = None
) -> Document:
    """As :func:`int_convert`, with :func:`to_float`."""
    return convert_at(d, to_float, include_keys, exclude_keys)


def to_boolean(val: Any, true_str: Collection[str] | None = None, false_str: Collection[str] | None = None) -> Any:
    """A text as True or False by :data:`TRUE` and :data:`FALSE` in any case, None if it is neither; of anything else
    what Python holds for true. Given ``true_str`` and ``false_str`` are compared as they are.
    """
    if not isinstance(val, str):
        return bool(val)
    if val in true_str if true_str is not None else val.lower() in TRUE:
        return True
    if val in false_str if false_str is not None else val.lower() in FALSE:
        return False
    return None


def boolean_convert(d: Document, convert_keys: Iterable[str] | None = None, level: int = 0) -> Document:
    """Apply :func:`to_boolean`, in place, to the values at the dotted paths ``convert_keys``, items of lists singly.
    Nothing without them. None becomes False. Returns ``d``.
    """
    for path in convert_keys or ():
        _boolean_at(d, parts_of(path)[level:])
    return d


def _boolean_at(value: Any, path: list[str]) -> None:
    if isinstance(value, list):
        for item in value:
            _boolean_at(item, path)
    elif isinstance(value, dict) and path and path[0] in value:
        below = value[path[0]]
        if len(path) > 1:
            _boolean_at(below, path[1:])
        elif isinstance(below, list):
            value[path[0]] = [item if isinstance(item, dict | list) else to_boolean(item) for item in below]
        elif not isinstance(below, dict):
            value[path[0]] = to_boolean(below)
