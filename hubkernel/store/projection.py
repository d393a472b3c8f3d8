"""Projections: which fields of a document are returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubkernel.store.base import Document, Projection
from hubkernel.store.errors import UnsupportedQueryError

_Tree = dict[str, Any]
"""Fields by name; the leaf True is a named field, an inner tree is what a dotted path names below it."""


def compile_projection(projection: Projection | None) -> Callable[[Document], Document]:
    """A function that gives the wanted part of a document (the document itself if ``projection`` is None or ``{}``).

    ``["name", "xrefs.hgnc"]`` and ``{"name": 1}`` include, ``{"name": 0}`` excludes; ``_id`` is included unless it is
    set to 0. Raises :class:`UnsupportedQueryError` for anything else.
    """
    if projection is None or projection == {}:
        return lambda document: document
    wanted = _wanted(projection)
    keep_id = wanted.pop("_id", None)
    kinds = set(wanted.values())
    if len(kinds) > 1:
        raise UnsupportedQueryError("a projection either includes fields (1) or excludes them (0), not both")
    including = kinds.pop() if kinds else bool(keep_id)
    tree = _tree(wanted)
    if including:
        tree |= {"_id": True} if keep_id is not False else {}
        return lambda document: _keep(document, tree)
    tree |= {"_id": True} if keep_id is False else {}
    return lambda document: _leave_out(document, tree)


def _wanted(projection: Projection) -> dict[str, bool]:
    if isinstance(projection, str):
        raise UnsupportedQueryError(f"a projection is a list of fields or a dict of 0 and 1, not {projection!r}")
    if not isinstance(projection, Mapping):
        projection = dict.fromkeys(projection, 1) or {"_id": 1}
    for path, flag in projection.items():
        if not isinstance(path, str) or not path or any(part.startswith("$") or not part for part in path.split(".")):
            raise UnsupportedQueryError(f"a projection cannot name the field {path!r}")
        if not isinstance(flag, int) or flag not in (0, 1):
            raise UnsupportedQueryError(f"a projection takes 0 or 1 for {path!r}, not {flag!r}")
    return {path: bool(flag) for path, flag in projection.items()}


def _tree(paths: Mapping[str, bool]) -> _Tree:
    tree: _Tree = {}
    for path in paths:
        *above, last = path.split(".")
        branch = tree
        for part in above:
            branch = branch.setdefault(part, {})
            if branch is True:
                raise _collision(path)
        if last in branch:
            raise _collision(path)
        branch[last] = True
    return tree


def _collision(path: str) -> UnsupportedQueryError:
    return UnsupportedQueryError(f"a projection names {path!r} and a field above or below it: name one of them")


def _keep(value: Any, tree: _Tree) -> Any:
    if isinstance(value, list):
        return [_keep(inner, tree) for inner in value if isinstance(inner, dict | list)]
    kept = {}
    for name, inner in value.items():
        below = tree.get(name)
        if below is True:
            kept[name] = inner
        elif below is not None and isinstance(inner, dict | list):
            kept[name] = _keep(inner, below)
    return kept


def _leave_out(value: Any, tree: _Tree) -> Any:
    if isinstance(value, list):
        return [_leave_out(inner, tree) for inner in value]
    if not isinstance(value, dict):
        return value
    return {
        name: inner if name not in tree else _leave_out(inner, tree[name])
        for name, inner in value.items()
        if tree.get(name) is not True
    }
