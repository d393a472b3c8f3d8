"""Filters: the documented subset of MongoDB's query language (docs/users/queries.md), compiled to a predicate.

Every backend compiles a filter before it uses it, so what is outside of the subset is the same error everywhere.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import bson
from bson import Regex

from hubkernel.store.base import Document, Filter
from hubkernel.store.errors import UnsupportedQueryError
from hubkernel.store.order import NULL, Key, sort_key
from hubkernel.store.paths import MISSING, Whole, elements, values_at

Predicate = Callable[[Document], bool]
_Test = Callable[[list[Any]], bool]
"""Judges all values that a path reached in one document."""

LOGICAL = frozenset({"$and", "$or", "$nor"})
FILTER_OPERATORS = LOGICAL | {
    *("$eq", "$ne", "$gt", "$gte", "$lt", "$lte", "$in", "$nin", "$exists", "$not"),
    *("$regex", "$options", "$size", "$all", "$elemMatch"),
}


def compile_filter(filter: Filter | None) -> Predicate:
    """Raises :class:`UnsupportedQueryError` for anything outside of the subset."""
    return _filter(normal(filter)) if filter else _anything


@dataclass(frozen=True, slots=True)
class WantedIds:
    """What a filter says of ``_id`` alone: no other document can match. None and None: it says nothing."""

    ids: list[Any] | None = None
    start: str | None = None
    """The least string that may match ..."""
    stop: str | None = None
    """... and the first one beyond."""
    complete: bool = False
    """The filter says nothing else: every document with one of these ids matches."""


def wanted_ids(filter: Filter | None) -> WantedIds:
    """The part of a (valid) filter that an index of ids can answer."""
    if not filter or "_id" not in filter:
        return WantedIds()
    condition = filter["_id"]
    complete = len(filter) == 1
    if not _is_operators(condition):
        return WantedIds() if _is_regex(condition) else WantedIds(ids=[condition], complete=complete)
    if "$eq" in condition:
        return WantedIds(ids=[condition["$eq"]], complete=complete and len(condition) == 1)
    if "$in" in condition and not any(map(_is_regex, condition["$in"])):
        return WantedIds(ids=_distinct(condition["$in"]), complete=complete and len(condition) == 1)
    return _range(condition, complete)


def wanted_values(filter: Filter | None) -> dict[str, list[Any]]:
    """The values that a (valid) filter asks for, by path. Documents without any of them do not match."""
    found: dict[str, list[Any]] = {}
    for path, condition in (filter or {}).items():
        if path in LOGICAL or _is_regex(condition):
            continue
        if not _is_operators(condition):
            found[path] = [condition]
        elif "$eq" in condition and not _is_regex(condition["$eq"]):
            found[path] = [condition["$eq"]]
        elif "$in" in condition and not any(map(_is_regex, condition["$in"])):
            found[path] = list(condition["$in"])
    return found


def normal(value: Mapping[str, Any]) -> dict[str, Any]:
    """A private copy with the types that documents have when they come out of a store."""
    try:
        copy: dict[str, Any] = bson.decode(bson.encode(value))
    except Exception as error:
        raise UnsupportedQueryError(f"cannot be expressed in BSON: {error}") from error
    return copy


def compile_condition(condition: Any) -> _Test:
    """``{"$gt": 5, ...}``, a pattern or a plain value, as a test of the values at a path."""
    if _is_operators(condition):
        tests = [_operator(name, argument, condition) for name, argument in condition.items()]
        return tests[0] if len(tests) == 1 else lambda values: all(test(values) for test in tests)
    if _is_regex(condition):
        return _pattern(condition)
    return _equal(condition)


def _is_operators(condition: Any) -> bool:
    return isinstance(condition, Mapping) and bool(condition) and next(iter(condition)).startswith("$")


def _is_regex(value: Any) -> bool:
    return isinstance(value, re.Pattern | Regex)


def _anything(document: Document) -> bool:
    return True


def _filter(filter: Mapping[str, Any]) -> Predicate:
    tests = [_clause(name, condition) for name, condition in filter.items()]
    if len(tests) == 1:
        return tests[0]
    return lambda document: all(test(document) for test in tests)


def _clause(name: str, condition: Any) -> Predicate:
    if name in LOGICAL:
        return _logical(name, condition)
    if name.startswith("$"):
        raise _unknown(name)
    test = compile_condition(condition)
    if "." not in name:
        return lambda document: test([document.get(name, MISSING)])
    parts = name.split(".")
    return lambda document: test(list(values_at(document, parts)))


def _logical(name: str, clauses: Any) -> Predicate:
    if not isinstance(clauses, list) or not clauses or not all(isinstance(clause, Mapping) for clause in clauses):
        raise UnsupportedQueryError(f"{name} takes a list of filters that is not empty")
    tests = [_filter(clause) for clause in clauses]
    if name == "$and":
        return lambda document: all(test(document) for test in tests)
    if name == "$or":
        return lambda document: any(test(document) for test in tests)
    return lambda document: not any(test(document) for test in tests)


def _operator(name: str, argument: Any, condition: Mapping[str, Any]) -> _Test:
    make = _OPERATORS.get(name)
    if make is not None:
        return make(argument)
    if name == "$regex":
        return _pattern(argument, condition.get("$options"))
    if name == "$options" and "$regex" in condition:
        return lambda values: True
    raise _unknown(name)


def _unknown(name: str) -> UnsupportedQueryError:
    known = " ".join(sorted(FILTER_OPERATORS))
    return UnsupportedQueryError(f"unknown filter operator {name!r}; known are {known} (docs/users/queries.md)")


def _equal(argument: Any) -> _Test:
    if argument is None:
        return lambda values: any(value is None or value is MISSING for value in elements(iter(values)))
    if type(argument) is str:
        return lambda values: any(value == argument for value in elements(iter(values)))
    key = sort_key(argument)
    return lambda values: any(value is not MISSING and sort_key(value) == key for value in elements(iter(values)))


def _ne(argument: Any) -> _Test:
    if _is_regex(argument):
        raise UnsupportedQueryError("$ne takes no pattern; use $not")
    return _negate(_equal(argument))


def _negate(test: _Test) -> _Test:
    return lambda values: not test(values)


def _compare(name: str) -> Callable[[Any], _Test]:
    judge: Callable[[Key, Key], bool] = {
        "$gt": lambda a, b: a > b,
        "$gte": lambda a, b: a >= b,
        "$lt": lambda a, b: a < b,
        "$lte": lambda a, b: a <= b,
    }[name]

    def make(argument: Any) -> _Test:
        if _is_regex(argument):
            raise UnsupportedQueryError(f"{name} takes no pattern")
        limit = sort_key(argument)
        if limit[0] == NULL:
            return _equal(None) if name in ("$gte", "$lte") else _nothing

        def fits(value: Any) -> bool:
            key = sort_key(value)
            return key[0] == limit[0] and (key == limit or _comparable(key, limit)) and judge(key, limit)

        return lambda values: any(fits(value) for value in elements(iter(values)))

    return make


def _nothing(values: list[Any]) -> bool:
    return False


_NAN: Key = sort_key(float("nan"))


def _comparable(key: Key, other: Key) -> bool:
    """NaN is neither more nor less than any number."""
    return _NAN not in (key, other)


def _in(argument: Any) -> _Test:
    if not isinstance(argument, list):
        raise UnsupportedQueryError("$in and $nin take a list")
    if any(map(_is_operators, argument)):
        raise UnsupportedQueryError("$in and $nin take values, no operators")
    patterns = [_pattern(value) for value in argument if _is_regex(value)]
    keys = {sort_key(value) for value in argument if not _is_regex(value)}
    null = sort_key(None) in keys

    def test(values: list[Any]) -> bool:
        for value in elements(iter(values)):
            if (value is not MISSING or null) and sort_key(value) in keys:
                return True
        return any(pattern(values) for pattern in patterns)

    return test


def _exists(argument: Any) -> _Test:
    wanted = bool(argument)
    return lambda values: any(value is not MISSING for value in values) is wanted


def _not(argument: Any) -> _Test:
    if not _is_regex(argument) and not _is_operators(argument):
        raise UnsupportedQueryError("$not takes operators or a pattern")
    return _negate(compile_condition(argument))


def _size(argument: Any) -> _Test:
    if isinstance(argument, bool) or not isinstance(argument, int) or argument < 0:
        raise UnsupportedQueryError("$size takes a whole number")
    return lambda values: any(isinstance(value, list) and len(value) == argument for value in values)


def _all(argument: Any) -> _Test:
    if not isinstance(argument, list):
        raise UnsupportedQueryError("$all takes a list")
    tests = [_member(value) for value in argument]
    return lambda values: bool(tests) and all(test(values) for test in tests)


def _member(value: Any) -> _Test:
    if _is_operators(value) and set(value) != {"$elemMatch"}:
        raise UnsupportedQueryError("$all takes values or $elemMatch, no other operators")
    return compile_condition(value)


def _elem_match(argument: Any) -> _Test:
    if not isinstance(argument, Mapping):
        raise UnsupportedQueryError("$elemMatch takes a filter or operators")
    if _is_operators(argument) and next(iter(argument)) not in LOGICAL:
        fits = compile_condition(argument)
        return lambda values: any(
            fits([Whole(inner) if isinstance(inner, list) else inner]) for inner in _inner(values)
        )
    matches = _filter(argument)
    return lambda values: any(isinstance(inner, dict) and matches(inner) for inner in _inner(values))


def _inner(values: list[Any]) -> Iterator[Any]:
    return (inner for value in values if isinstance(value, list) for inner in value)


def _pattern(argument: Any, options: Any = None) -> _Test:
    search = _compile_pattern(argument, options).search
    return lambda values: any(isinstance(value, str) and search(value) is not None for value in elements(iter(values)))


def _compile_pattern(argument: Any, options: Any) -> re.Pattern[str]:
    if isinstance(argument, Regex):
        argument, flags = argument.pattern, argument.flags & (re.I | re.M | re.S | re.X)
    else:
        flags = 0
    if not isinstance(argument, str) or not isinstance(options or "", str):
        raise UnsupportedQueryError("$regex takes a string or a pattern, $options a string")
    unknown = set(options or "") - set(_FLAGS)
    if unknown:
        raise UnsupportedQueryError(f"unknown $options {''.join(sorted(unknown))!r}; known are i m s x")
    for letter in options or "":
        flags |= _FLAGS[letter]
    try:
        return re.compile(argument, flags)
    except re.error as error:
        raise UnsupportedQueryError(f"bad pattern {argument!r}: {error}") from error


_FLAGS = {"i": re.I, "m": re.M, "s": re.S, "x": re.X}
_OPERATORS: dict[str, Callable[[Any], _Test]] = {
    "$eq": _equal,
    "$ne": _ne,
    **{name: _compare(name) for name in ("$gt", "$gte", "$lt", "$lte")},
    "$in": _in,
    "$nin": lambda argument: _negate(_in(argument)),
    "$exists": _exists,
    "$not": _not,
    "$size": _size,
    "$all": _all,
    "$elemMatch": _elem_match,
}


def _distinct(values: Iterable[Any]) -> list[Any]:
    return list({sort_key(value): value for value in values}.values())


def _range(condition: Mapping[str, Any], complete: bool) -> WantedIds:
    bounds = {name: limit for name, limit in condition.items() if name in _BOUNDS and type(limit) is str}
    if not bounds:
        return WantedIds()
    # No string lies between a string and the same one with a NUL appended.
    starts = [limit + "\0" * (name == "$gt") for name, limit in bounds.items() if name in ("$gt", "$gte")]
    stops = [limit + "\0" * (name == "$lte") for name, limit in bounds.items() if name in ("$lt", "$lte")]
    return WantedIds(
        start=max(starts, default=None),
        stop=min(stops, default=None),
        complete=complete and len(bounds) == len(condition),
    )


_BOUNDS = frozenset({"$gt", "$gte", "$lt", "$lte"})
