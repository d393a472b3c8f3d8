"""How values compare: MongoDB's order over all types, and the sorting of documents by it.

Source: https://www.mongodb.com/docs/manual/reference/bson-type-comparison-order/
"""

from __future__ import annotations

import heapq
import math
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import total_ordering
from itertools import islice
from typing import Any

from bson import Decimal128, MaxKey, MinKey, ObjectId, Regex, Timestamp
from bson.datetime_ms import DatetimeMS

from hubkernel.store.base import Document, Sort
from hubkernel.store.errors import UnsupportedQueryError
from hubkernel.store.paths import MISSING, Whole, is_position

Key = tuple[int, Any]
"""A value's place in the order: the rank of its type, then its place among values of that type. Equal values have
equal keys, which hash equally: ``1`` and ``1.0`` are equal, ``1`` and ``True`` are not."""

Order = list[tuple[list[str], bool]]
"""A compiled sort: the parts of each path, and whether it goes down."""

NULL, NUMBER, STRING, OBJECT, ARRAY, BINARY, OBJECT_ID, BOOL, DATE, TIMESTAMP, REGEX, OTHER = range(10, 22)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EMPTY_ARRAY: Key = (5, None)


def sort_key(value: Any) -> Key:
    """The place of ``value``, any value that a document can hold (or :data:`MISSING`, which counts as null)."""
    make = _KEYS.get(type(value))
    if make is not None:
        return make(value)
    for kind, make in _BASES:
        if isinstance(value, kind):
            return make(value)
    return (OTHER, repr(value))


def compile_sort(sort: Sort | None) -> Order:
    """Raises :class:`UnsupportedQueryError` unless every direction is 1 or -1 and every path a string."""
    order: Order = []
    for item in sort or ():
        if not (isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str) and item[1] in (1, -1)):
            raise UnsupportedQueryError(f"sort takes (path, 1 or -1) pairs, not {item!r}")
        order.append((item[0].split("."), item[1] == -1))
    return order


def arrange(documents: Iterable[Document], order: Order, skip: int = 0, limit: int = 0) -> Iterable[Document]:
    """The documents in that order (none: as they come), without the first ``skip``, at most ``limit`` (0: all).

    Holds all documents if there is an order and no limit, else no more than ``skip + limit``.
    """
    if skip < 0 or limit < 0:
        raise UnsupportedQueryError(f"skip and limit cannot be negative: {skip}, {limit}")
    stop = skip + limit if limit else None
    if not order:
        return islice(documents, skip, stop)
    key = _document_key(order)
    if stop is None:
        return sorted(documents, key=key)[skip:]
    return heapq.nsmallest(stop, documents, key=key)[skip:]


def _document_key(order: Order) -> Callable[[Document], list[Any]]:
    return lambda document: [
        _Down(_edge(document, path, max)) if down else _edge(document, path, min) for path, down in order
    ]


def _edge(document: Document, path: list[str], pick: Callable[[Iterable[Key]], Key]) -> Key:
    """What a document is sorted by: of an array its least element going up, its greatest going down."""
    keys: list[Key] = []
    for value in _reached(document, path):
        if isinstance(value, list) and not isinstance(value, Whole):
            keys += map(sort_key, value) if value else [_EMPTY_ARRAY]
        else:
            keys.append(sort_key(value))
    return pick(keys) if keys else sort_key(None)


def _reached(value: Any, path: list[str]) -> Iterator[Any]:
    """As a filter's path, except that an array with the named position is entered there only."""
    if not path:
        yield value
    elif isinstance(value, dict):
        yield from _reached(value.get(path[0], MISSING), path[1:])
    elif isinstance(value, list) and is_position(path[0]) and int(path[0]) < len(value):
        inner = value[int(path[0])]
        whole = len(path) == 1 and isinstance(inner, list) and inner
        yield from [Whole(inner)] if whole else _reached(inner, path[1:])
    elif isinstance(value, list):
        for inner in value:
            yield from _reached(inner if isinstance(inner, dict) else None, path)
    else:
        yield MISSING


@total_ordering
class _Down:
    """A key that sorts backwards."""

    __slots__ = ("key",)

    def __init__(self, key: Key) -> None:
        self.key = key

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Down) and self.key == other.key

    def __lt__(self, other: _Down) -> bool:
        return self.key > other.key

    __hash__ = None  # type: ignore[assignment]


def _number(value: Any) -> Key:
    if isinstance(value, Decimal128):
        value = value.to_decimal()
    if math.isnan(value):
        return (NUMBER, (0, 0))
    return (NUMBER, (1, value))


def _object(value: Mapping[str, Any]) -> Key:
    parts = []
    for name, inner in value.items():
        rank, place = sort_key(inner)
        parts.append((rank, name, place))
    return (OBJECT, tuple(parts))


def _array(value: Sequence[Any]) -> Key:
    return (ARRAY, tuple(map(sort_key, value)))


def _date(value: datetime) -> Key:
    moment = value if value.tzinfo else value.replace(tzinfo=UTC)
    return (DATE, (moment - _EPOCH) // timedelta(milliseconds=1))


def _binary(value: bytes) -> Key:
    return (BINARY, (len(value), getattr(value, "subtype", 0), bytes(value)))


def _regex(value: Any) -> Key:
    return (REGEX, (str(value.pattern), int(value.flags) & ~re.UNICODE))


_KEYS: dict[type, Callable[[Any], Key]] = {
    type(None): lambda _: (NULL, None),
    type(MISSING): lambda _: (NULL, None),
    bool: lambda value: (BOOL, value),
    int: lambda value: (NUMBER, (1, value)),
    float: _number,
    str: lambda value: (STRING, value),
    dict: _object,
    list: _array,
}
# Subclasses (Int64, Whole, SON, ...) and the rarer types; bool is not an int here, so it never gets this far.
_BASES: list[tuple[type | tuple[type, ...], Callable[[Any], Key]]] = [
    (str, lambda value: (STRING, str(value))),
    ((int, float, Decimal128), _number),
    (Mapping, _object),
    ((list, tuple), _array),
    (bytes, _binary),
    (ObjectId, lambda value: (OBJECT_ID, value.binary)),
    (datetime, _date),
    (DatetimeMS, lambda value: (DATE, int(value))),
    (Timestamp, lambda value: (TIMESTAMP, (value.time, value.inc))),
    ((re.Pattern, Regex), _regex),
    (MinKey, lambda _: (0, None)),
    (MaxKey, lambda _: (99, None)),
]
