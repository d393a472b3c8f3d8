"""Updates of one document: the documented subset of MongoDB's update operators (docs/users/queries.md)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from copy import deepcopy
from itertools import pairwise
from typing import Any

from hubkernel.store.base import Document, Filter
from hubkernel.store.errors import UnsupportedQueryError, UpdateError
from hubkernel.store.order import sort_key
from hubkernel.store.paths import MISSING, is_position
from hubkernel.store.query import compile_condition, compile_filter, normal

_Path = tuple[str, ...]
_Action = Callable[[Document, _Path, Any], None]
_PADDING = 1_500_000
"""How far beyond an array's end an update may write; MongoDB has the same limit."""


class Update:
    """A checked update, to be applied to any number of documents.

    Raises :class:`UnsupportedQueryError` if it is not made of known operators, or names a field twice.
    """

    def __init__(self, update: Mapping[str, Any]) -> None:
        if not isinstance(update, Mapping) or not update:
            raise UnsupportedQueryError("an update is a dict of operators, like {'$set': {'name': value}}")
        steps = [step for operator, fields in normal(update).items() for step in _steps(operator, fields)]
        _check_conflicts([path for _, path, _ in steps])
        # MongoDB goes through the fields in this order, whatever order they were written in.
        self._steps = sorted(steps, key=lambda step: _path_order(step[1]))

    def apply(self, document: Document) -> Document:
        """Change ``document`` in place and return it. Raises :class:`UpdateError`, then it may be half changed."""
        return self._apply(document, inserting=False)

    def insert(self, filter: Filter) -> Document:
        """The document that an upsert inserts when nothing matched ``filter``."""
        return self._apply(seed(filter), inserting=True)

    def _apply(self, document: Document, *, inserting: bool) -> Document:
        doc_id = document.get("_id", MISSING)
        for operator, path, argument in self._steps:
            if inserting or operator != "$setOnInsert":
                _ACTIONS[operator](document, path, deepcopy(argument))
        if doc_id is not MISSING:
            _check_id(document.get("_id", MISSING), doc_id)
        return document


class Replacement:
    """A checked whole new content of a document; the old ``_id`` stays."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        if not isinstance(document, Mapping):
            raise UnsupportedQueryError("a replacement is a document")
        if any(str(name).startswith("$") for name in document):
            raise UnsupportedQueryError("a replacement has fields, no operators; use an update for these")
        self._document = dict(document)

    def apply(self, document: Document) -> Document:
        """The new document, with the ``_id`` of the old one. Raises :class:`UpdateError` if it has another one."""
        _check_id(self._document.get("_id", document["_id"]), document["_id"])
        return {"_id": document["_id"], **self._document}

    def insert(self, filter: Filter) -> Document:
        """The document that an upsert inserts when nothing matched ``filter``."""
        found = seed(filter)
        start = {"_id": found["_id"]} if "_id" in found else {}
        if start and "_id" in self._document:
            _check_id(self._document["_id"], start["_id"])
        return start | self._document


def seed(filter: Filter) -> Document:
    """The fields that a filter fixes by equality: what an upsert starts from."""
    document: Document = {}
    for path, value in sorted(_fixed_fields(normal(filter)), key=lambda field: _path_order(field[0])):
        _set(document, path, value)
    return document


def _fixed_fields(filter: Mapping[str, Any]) -> Iterator[tuple[_Path, Any]]:
    for name, condition in filter.items():
        if name == "$and" or (name == "$or" and len(condition) == 1):
            for clause in condition:
                yield from _fixed_fields(clause)
        elif not name.startswith("$") and (value := _fixed(condition)) is not MISSING:
            yield tuple(name.split(".")), value


def _fixed(condition: Any) -> Any:
    """The one value that a condition admits, if it is of a form that says so."""
    if hasattr(condition, "pattern"):
        return MISSING
    if not isinstance(condition, Mapping) or not next(iter(condition), "").startswith("$"):
        return condition
    if "$eq" in condition:
        return condition["$eq"]
    every = condition.get("$all", [])
    some = {sort_key(value): value for value in condition.get("$in", [])}
    for values in (list(some.values()), every):
        if len(values) == 1 and not hasattr(values[0], "pattern"):
            return values[0]
    if len(every) > 1:
        raise UpdateError(f"cannot tell what to insert from $all with several values: {condition!r}")
    return MISSING


def _steps(operator: str, fields: Any) -> Iterator[tuple[str, _Path, Any]]:
    if operator not in _ACTIONS:
        known = " ".join(sorted(_ACTIONS))
        raise UnsupportedQueryError(f"unknown update operator {operator!r}; known are {known} (docs/users/queries.md)")
    if not isinstance(fields, Mapping):
        raise UnsupportedQueryError(f"{operator} takes a dict of fields, not {fields!r}")
    for name, argument in fields.items():
        path = tuple(name.split("."))
        if any(not part or part.startswith("$") for part in path):
            raise UnsupportedQueryError(f"{operator} cannot name the field {name!r}")
        _CHECKS.get(operator, _accept)(operator, argument)
        yield operator, path, argument


def _accept(operator: str, argument: Any) -> None:
    pass


def _check_number(operator: str, argument: Any) -> None:
    if isinstance(argument, bool) or not isinstance(argument, int | float):
        raise UnsupportedQueryError(f"{operator} takes a number, not {argument!r}")


def _check_each(operator: str, argument: Any) -> None:
    if not isinstance(argument, Mapping) or not next(iter(argument), "").startswith("$"):
        return
    if set(argument) != {"$each"} or not isinstance(argument["$each"], list):
        raise UnsupportedQueryError(f"{operator} knows the modifier $each with a list and no other: {argument!r}")


def _check_pull(operator: str, argument: Any) -> None:
    _puller(argument)


_CHECKS = {"$inc": _check_number, "$push": _check_each, "$addToSet": _check_each, "$pull": _check_pull}


def _check_conflicts(paths: list[_Path]) -> None:
    ordered = sorted(paths)
    for path, following in pairwise(ordered):
        if following[: len(path)] == path:
            raise UnsupportedQueryError(f"the update changes {'.'.join(path)!r} and {'.'.join(following)!r} at once")


def _path_order(path: _Path) -> list[tuple[int, int, str]]:
    return [(0, int(part), "") if is_position(part) else (1, 0, part) for part in path]


def _check_id(new: Any, old: Any) -> None:
    if new is MISSING or sort_key(new) != sort_key(old):
        raise UpdateError(f"_id cannot be changed (it is {old!r}): insert a new document and delete the old one")


def _set(document: Document, path: _Path, value: Any) -> None:
    holder = _reach(document, path)
    _put(holder, path, value)


def _unset(document: Document, path: _Path, argument: Any) -> None:
    holder = _look(document, path)
    if isinstance(holder, dict):
        holder.pop(path[-1], None)
    elif isinstance(holder, list) and is_position(path[-1]) and int(path[-1]) < len(holder):
        holder[int(path[-1])] = None


def _inc(document: Document, path: _Path, amount: Any) -> None:
    holder = _reach(document, path)
    old = _child(holder, path[-1])
    if old is MISSING:
        old = 0
    elif isinstance(old, bool) or not isinstance(old, int | float):
        raise UpdateError(f"$inc needs a number at {'.'.join(path)!r}, found {old!r}")
    _put(holder, path, type(old)(old + amount) if isinstance(amount, int) else old + amount)


def _push(document: Document, path: _Path, argument: Any) -> None:
    _array(document, path, "$push").extend(_each(argument))


def _add_to_set(document: Document, path: _Path, argument: Any) -> None:
    array = _array(document, path, "$addToSet")
    known = {sort_key(value) for value in array}
    for value in _each(argument):
        key = sort_key(value)
        if key not in known:
            known.add(key)
            array.append(value)


def _pull(document: Document, path: _Path, argument: Any) -> None:
    array = _child(_look(document, path, strict=True), path[-1])
    if array is MISSING:
        return
    if not isinstance(array, list):
        raise UpdateError(f"$pull needs an array at {'.'.join(path)!r}, found {array!r}")
    goes = _puller(argument)
    array[:] = [value for value in array if not goes(value)]


def _puller(argument: Any) -> Callable[[Any], bool]:
    """Whether ``$pull`` takes a value: by operators, by a filter on documents, or by equality."""
    if isinstance(argument, Mapping) and not next(iter(argument), "").startswith("$"):
        matches = compile_filter(argument)
        return lambda value: isinstance(value, dict) and matches(value)
    if isinstance(argument, Mapping) or hasattr(argument, "pattern"):
        fits = compile_condition(argument)
        return lambda value: fits([value])
    key = sort_key(argument)
    return lambda value: sort_key(value) == key


def _each(argument: Any) -> list[Any]:
    if isinstance(argument, dict) and "$each" in argument:
        values: list[Any] = argument["$each"]
        return values
    return [argument]


def _array(document: Document, path: _Path, operator: str) -> list[Any]:
    holder = _reach(document, path)
    array = _child(holder, path[-1])
    if array is MISSING:
        array = []
        _put(holder, path, array)
    if not isinstance(array, list):
        raise UpdateError(f"{operator} needs an array at {'.'.join(path)!r}, found {array!r}")
    return array


def _child(holder: Any, part: str) -> Any:
    if isinstance(holder, dict):
        return holder.get(part, MISSING)
    if isinstance(holder, list) and is_position(part) and int(part) < len(holder):
        return holder[int(part)]
    return MISSING


def _look(document: Document, path: _Path, *, strict: bool = False) -> Any:
    """What holds the last part of ``path``, or MISSING; ``strict`` refuses a path through what has no such parts."""
    holder: Any = document
    for depth, part in enumerate(path):
        if strict and not _has_parts(holder, part):
            raise UpdateError(f"the path {'.'.join(path)!r} leads through {holder!r:.60}, which has no {part!r}")
        if depth < len(path) - 1:
            holder = _child(holder, part)
    return holder


def _has_parts(holder: Any, part: str) -> bool:
    return holder is MISSING or isinstance(holder, dict) or (isinstance(holder, list) and is_position(part))


def _reach(document: Document, path: _Path) -> Any:
    """As :func:`_look`, with what is missing on the way created."""
    holder: Any = document
    for depth, part in enumerate(path[:-1]):
        inner = _child(holder, part)
        if inner is MISSING:
            inner = {}
            _put(holder, path[: depth + 1], inner)
        holder = inner
    return holder


def _put(holder: Any, path: _Path, value: Any) -> None:
    part = path[-1]
    if isinstance(holder, dict):
        holder[part] = value
    elif isinstance(holder, list) and is_position(part) and int(part) < len(holder) + _PADDING:
        holder.extend([None] * (int(part) + 1 - len(holder)))
        holder[int(part)] = value
    else:
        raise UpdateError(f"cannot create the field {'.'.join(path)!r}: above it is {holder!r:.60}")


_ACTIONS: dict[str, _Action] = {
    "$set": _set,
    "$setOnInsert": _set,
    "$unset": _unset,
    "$inc": _inc,
    "$push": _push,
    "$addToSet": _add_to_set,
    "$pull": _pull,
}
UPDATE_OPERATORS = frozenset(_ACTIONS) | {"$each"}
