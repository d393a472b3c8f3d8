"""Dotted paths in documents, as the SDK's helpers take them: through objects, and through lists of objects."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

Document = dict[str, Any]


def parts_of(path: str | Sequence[str]) -> list[str]:
    return path.split(".") if isinstance(path, str) else list(path)


def convert_at(
    d: Document,
    fn: Callable[[Any], Any],
    include_keys: Iterable[str] | None = None,
    exclude_keys: Iterable[str] | None = None,
) -> Document:
    """Replace, in place, every value that is no object or list by ``fn`` of it, items of lists each by its own.

    ``include_keys`` restricts it to the values at these dotted paths, ``exclude_keys`` leaves those out; a path names
    no objects, nor what is below them. Returns ``d``.
    """
    include = frozenset(include_keys) if include_keys else None
    _convert(d, fn, "", include, frozenset(exclude_keys or ()))
    return d


def _convert(
    value: Document, fn: Callable[[Any], Any], above: str, include: frozenset[str] | None, exclude: frozenset[str]
) -> None:
    for key, inner in value.items():
        path = above + key
        value[key] = _converted(inner, fn, path, include, exclude)


def _converted(
    value: Any, fn: Callable[[Any], Any], path: str, include: frozenset[str] | None, exclude: frozenset[str]
) -> Any:
    if isinstance(value, dict):
        _convert(value, fn, f"{path}.", include, exclude)
        return value
    if isinstance(value, list):
        return [_converted(item, fn, path, include, exclude) for item in value]
    return fn(value) if (include is None or path in include) and path not in exclude else value


def traverse_keys(
    d: Document, include_keys: Iterable[str] | None = None, exclude_keys: Iterable[str] | None = None
) -> Iterator[tuple[str, Any]]:
    """``(dotted path, value)`` of everything that is no object or list, items of lists singly.

    With ``include_keys``: of what is at these paths, whole, unless it is false (0, empty, None) or not there. With
    ``exclude_keys``: of all but those at these paths; a path names no objects, nor what is below them.
    """
    if include_keys:
        for path in include_keys:
            yield from ((path, value) for value in values_at(d, parts_of(path)) if value)
    else:
        yield from _leaves(d, "", frozenset(exclude_keys or ()))


def _leaves(value: Any, path: str, exclude: frozenset[str]) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _leaves(inner, f"{path}.{key}" if path else str(key), exclude)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _leaves(item, path, exclude)
    elif path not in exclude:
        yield path, value


def values_at(value: Any, path: Sequence[str]) -> Iterator[Any]:
    """What is at a path, once for each object of the lists on the way."""
    return (owner[path[-1]] for owner in owners_of(value, path) if path[-1] in owner)


def owners_of(value: Any, path: Sequence[str]) -> Iterator[Document]:
    """The objects that have, or could have, the last part of a path."""
    if isinstance(value, list):
        for item in value:
            yield from owners_of(item, path)
    elif isinstance(value, dict):
        if len(path) == 1:
            yield value
        elif path[0] in value:
            yield from owners_of(value[path[0]], path[1:])
