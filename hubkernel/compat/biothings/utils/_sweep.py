"""What nearly every parser calls for each document: drop empty values, unwrap lists of one. Written for speed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from math import isnan
from typing import Any

Document = dict[str, Any]

EMPTY = (".", "-", "", "NA", "none", " ", "Not Available", "unknown")
"""What :func:`dict_sweep` drops unless it is told what."""

_EMPTY = frozenset(EMPTY)


def dict_sweep(d: Document, vals: Any = None, remove_invalid_list: bool = False) -> Document:
    """Drop, in place, every key whose value is one of ``vals`` (default: :data:`EMPTY`; None is not among them), every
    such item of a list, and each object and list that this leaves empty. Returns ``d``.

    ``vals`` is a value or a collection of values. ``True`` is not 1, nor ``False`` 0. A NaN in it stands for everything
    that is not equal to itself (NaN, ``pandas.NaT``) and for ``pandas.NA``. Lists in lists are left alone, and an
    object in a list stays even if it becomes empty. ``remove_invalid_list`` changes nothing: of a list that has
    nothing but ``vals`` nothing is left either way.
    """
    if vals is None:
        _sweep_texts(d, _EMPTY)
    elif type(vals) is not str and all(type(value) is str for value in vals):
        _sweep_texts(d, frozenset(vals))
    else:
        _sweep(d, _Wanted(vals))
    return d


def _sweep_texts(d: Document, texts: frozenset[str]) -> None:
    """As :func:`_sweep`, where all values to drop are texts."""
    gone = []
    for key, value in d.items():
        kind = type(value)
        if kind is str:
            if value in texts:
                gone.append(key)
        elif kind is dict:
            _sweep_texts(value, texts)
            if not value:
                gone.append(key)
        elif kind is int or kind is float or kind is bool or value is None:
            continue
        elif _sweep_other(value, texts):
            gone.append(key)
    for key in gone:
        del d[key]


def _sweep_other(value: Any, texts: frozenset[str]) -> bool:
    """A list, or what no JSON has. Whether nothing is left of it."""
    if isinstance(value, list):
        found = False
        for item in value:
            kind = type(item)
            if kind is dict:
                _sweep_texts(item, texts)
            elif kind is str:
                found = found or item in texts
            elif isinstance(item, dict):
                _sweep_texts(item, texts)
        if found:
            value[:] = [item for item in value if type(item) is not str or item not in texts]
        return not value
    if isinstance(value, dict):
        _sweep_texts(value, texts)
        return not value
    return isinstance(value, str) and value in texts


def _sweep(d: Document, wanted: _Wanted) -> None:
    gone = []
    for key, value in d.items():
        if wanted.has(value):
            gone.append(key)
        elif isinstance(value, dict):
            _sweep(value, wanted)
            if not value:
                gone.append(key)
        elif isinstance(value, list):
            for item in value:
                if isinstance(item, dict) and not wanted.has(item):
                    _sweep(item, wanted)
            value[:] = [item for item in value if not wanted.has(item)]
            if not value:
                gone.append(key)
    for key in gone:
        del d[key]


class _Wanted:
    """Values of any kind, found by equality but with ``True`` apart from 1."""

    def __init__(self, vals: Any) -> None:
        single = isinstance(vals, str) or not isinstance(vals, Collection)
        values = [vals] if single else list(vals)
        self._missing = any(map(_is_missing, values))
        self._hashed: set[tuple[bool, Any]] = set()
        self._others: list[Any] = []
        for value in values:
            try:
                self._hashed.add((isinstance(value, bool), value))
            except TypeError:
                self._others.append(value)

    def has(self, value: Any) -> bool:
        if self._missing and _is_missing(value):
            return True
        try:
            return (isinstance(value, bool), value) in self._hashed
        except TypeError:
            return any(value == other for other in self._others)


def _is_missing(value: Any) -> bool:
    if isinstance(value, (str, list, dict, int)) or value is None:
        return False
    if isinstance(value, float):
        return isnan(value)
    return type(value).__name__ in ("NAType", "NaTType")


def unlist(d: Document) -> Document:
    """Put, in place, the only item of a list in its place, at any depth of objects and of lists of objects; other
    lists, also empty ones, stay. Of a list in a list, only the outer one is unwrapped. Returns ``d``.
    """
    for key, value in d.items():
        kind = type(value)
        if kind is list:
            if len(value) == 1:
                d[key] = only = value[0]
                if isinstance(only, dict):
                    unlist(only)
            else:
                for item in value:
                    if isinstance(item, dict):
                        unlist(item)
        elif kind is dict or isinstance(value, dict):
            unlist(value)
    return d


def unlist_incexcl(
    d: Document, include_keys: Iterable[str] | None = None, exclude_keys: Iterable[str] | None = None
) -> Document:
    """As :func:`unlist`, for lists at the dotted paths ``include_keys`` only, or for all but those at
    ``exclude_keys``; a path names its own list, not those below it. Returns ``d``.
    """
    include = frozenset(include_keys) if include_keys else None
    exclude = frozenset(exclude_keys or ())
    _unlist_where(d, "", lambda path: (include is None or path in include) and path not in exclude)
    return d


def _unlist_where(d: Document, above: str, wanted: Callable[[str], bool]) -> None:
    for key, value in d.items():
        path = above + key
        if isinstance(value, list) and len(value) == 1 and wanted(path):
            d[key] = value[0]
        for item in value if isinstance(value, list) else (value,):
            if isinstance(item, dict):
                _unlist_where(item, f"{path}.", wanted)
