"""Values in documents, found by dotted paths."""

from __future__ import annotations

import shlex
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import Any

from hubkernel.compat.biothings.utils._paths import owners_of, parts_of, values_at

Document = dict[str, Any]


def get_dotfield_value(dotfield: str, d: Document) -> Any:
    """The value at a dotted path of objects. Raises ``KeyError``."""
    value: Any = d
    for part in dotfield.split("."):
        value = value[part]
    return value


def find_value_in_doc(dotfield: str, value: Any, doc: Any) -> bool:
    """Whether some value at a dotted path, as text, is ``value``, in which ``*`` stands for anything. Case matters."""
    found = (item for item in values_at(doc, parts_of(dotfield)))
    return any(_is_like(item, str(value)) for item in found)


def _is_like(found: Any, pattern: str) -> bool:
    if isinstance(found, list):
        return any(_is_like(item, pattern) for item in found)
    # Only the star is special here.
    return fnmatchcase(str(found), pattern.replace("[", "[[]").replace("?", "[?]"))


def filter_dict(d: Document, keys: Iterable[str]) -> Document:
    """Remove, in place, what is at these dotted paths, also in lists of objects; what is not there is no error. Returns
    ``d``.
    """
    for key in keys:
        path = parts_of(key)
        for owner in owners_of(d, path):
            owner.pop(path[-1], None)
    return d


def traverse(obj: Any, leaf_node: bool = False) -> Iterator[tuple[str, Any]]:
    """``(dotted path, value)`` of every object and list in a document, the inner ones first and the document itself
    (its path is empty) last. With ``leaf_node``, of every other value instead.
    """
    return _traverse(obj, "", leaf_node)


def _traverse(value: Any, path: str, leaf_node: bool) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from _traverse(inner, f"{path}.{key}" if path else str(key), leaf_node)
    elif isinstance(value, list):
        for inner in value:
            yield from _traverse(inner, path, leaf_node)
    elif leaf_node:
        yield path, value
    if not leaf_node and isinstance(value, dict | list):
        yield path, value


REPLACE, REMOVE = "__REPLACE__", "__REMOVE__"


def merge(x: Document, dx: Document) -> Document:
    """Change ``x`` by ``dx``, in place, object by object; other values take the place of what was there. Returns ``x``.

    An object with a true ``__REPLACE__`` takes the place of the whole one; one with ``__REMOVE__`` removes it.
    """
    if dx.get(REPLACE):
        x.clear()
    for key, value in dx.items():
        if not isinstance(value, dict):
            if key != REPLACE:
                x[key] = value
        elif value.get(REMOVE):
            x.pop(key, None)
        else:
            there = x.get(key)
            x[key] = merge(there if isinstance(there, dict) else {}, value)
    return x


def split_ids(q: str) -> list[str]:
    """The ids in a text, between spaces, line ends, ``|``, ``,`` and ``+``; one in quotes may hold these. Raises
    ``ValueError`` for a quote that does not end.
    """
    words = shlex.shlex(q, posix=True)
    words.whitespace += "|,+"
    words.whitespace_split, words.commenters = True, ""
    return list(words)
