"""Documents and lists into another shape."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import total_ordering
from itertools import product
from typing import Any

from hubkernel.pipeline import merge

Document = dict[str, Any]


def dict_convert(
    _dict: Document, keyfn: Callable[[Any], Any] | None = None, valuefn: Callable[[Any], Any] | None = None
) -> Document:
    """``_dict`` with each key as ``keyfn(key)`` and each value as ``valuefn(value)``; nothing deeper. A copy with
    ``keyfn``, else in place.
    """
    if keyfn is not None:
        return {keyfn(key): valuefn(value) if valuefn else value for key, value in _dict.items()}
    if valuefn is not None:
        _dict.update({key: valuefn(value) for key, value in _dict.items()})
    return _dict


def value_convert(_dict: Document, fn: Callable[[Any], Any], traverse_list: bool = True) -> Document:
    """Replace, in place, each value by ``fn(value)``, or in a list (unless ``traverse_list`` is false) each item;
    nothing deeper. Returns ``_dict``.
    """
    for key, value in _dict.items():
        if traverse_list and isinstance(value, list):
            _dict[key] = [fn(item) for item in value]
        else:
            _dict[key] = fn(value)
    return _dict


def dict_traverse(d: Document, func: Callable[[Any, Any], tuple[Any, Any]], traverse_list: bool = False) -> None:
    """Replace, in place, every key and value, except of keys with an object, by what ``func(key, value)`` returns.

    A list is a value; with ``traverse_list``, the objects in lists are traversed instead, and lists stay.
    """
    for key, value in list(d.items()):
        if isinstance(value, dict):
            dict_traverse(value, func, traverse_list)
        elif traverse_list and isinstance(value, list):
            for item in value:
                if isinstance(item, dict):
                    dict_traverse(item, func, traverse_list)
        else:
            del d[key]
            new_key, new_value = func(key, value)
            d[new_key] = new_value


def dict_walk(dictionary: Any, key_func: Callable[[Any], Any]) -> Any:
    """A copy with every key, at any depth of objects but not in lists, as ``key_func(key)``."""
    if not isinstance(dictionary, dict):
        return dictionary
    return {key_func(key): dict_walk(value, key_func) for key, value in dictionary.items()}


def normalized_value(value: Any, sort: bool = True) -> Any:
    """A list without what is false (0, empty, None), without repetitions, sorted, and unwrapped if one is left;
    anything else as it is. What cannot be sorted, and with ``sort=False`` everything, stays in its order.
    """
    if not isinstance(value, list):
        return value
    items = _distinct(item for item in value if item)
    if sort:
        items = _sorted(items)
    return items[0] if len(items) == 1 else items


def _order(item: Any) -> Any:
    return sorted((str(key), _order(value)) for key, value in item.items()) if isinstance(item, dict) else item


def _distinct(items: Iterable[Any]) -> list[Any]:
    found: list[Any] = []
    for item in items:
        if not any(merge.same(item, other) for other in found):
            found.append(item)
    return found


def dict_nodup(_dict: Document, sort: bool = True) -> Document:
    """:func:`normalized_value` of each value, in place. Returns ``_dict``."""
    for key, value in _dict.items():
        _dict[key] = normalized_value(value, sort)
    return _dict


def dict_apply(d: Document, key: Any, value: Any, sort: bool = True) -> None:
    """Add a value, or each of a list, to what ``d`` has at ``key``, in place, and make of both what
    :func:`normalized_value` does. Returns nothing.
    """
    d[key] = normalized_value([*_items(d[key]), *_items(value)] if key in d else value, sort)


def dict_attrmerge(
    dict_li: Sequence[Document],
    removedup: bool = True,
    sort: bool = True,
    special_fns: Mapping[Any, Callable[[list[Any]], Any]] | None = None,
) -> Document:
    """One object out of several: the values of a key in one list, as :func:`normalized_value` makes it.

    ``removedup=False`` keeps all of them, in their order. ``special_fns``: what to make of the list of values of a key.
    """
    merged: Document = {}
    for key in dict.fromkeys(key for item in dict_li for key in item):
        values = [item[key] for item in dict_li if key in item]
        if special_fns and key in special_fns:
            merged[key] = special_fns[key](values)
            continue
        flat = [item for value in values for item in (value if isinstance(value, list) else [value])]
        merged[key] = normalized_value(flat, sort) if removedup else flat if len(values) > 1 else values[0]
    return merged


def _sorted(items: list[Any]) -> list[Any]:
    try:
        return sorted(items, key=_order if any(isinstance(item, dict) for item in items) else None)
    except TypeError:  # of several kinds: the order stays
        return items


def merge_struct(
    v1: Any,
    v2: Any,
    aslistofdict: str | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
) -> Any:
    """Merge two values deeply, as ``on_duplicates: merge`` does: nothing is lost (docs/users/build.md has the table). A
    first object is changed in place, and returned. Raises ``ValueError`` where one has an object and the other a
    plain value.
    """
    merged = merge.merge_struct(v1, v2, aslistofdict, include, exclude)
    if isinstance(v1, dict) and isinstance(merged, dict) and merged is not v1:
        v1.update(merged)
        return v1
    return merged


def merge_root_keys(doc1: Document, doc2: Document, exclude: Iterable[str] | None = None) -> Document:
    """Put, in ``doc1``, the values of keys that both have into one list, first those of ``doc1``; what only one has
    stays as it is. Of ``_id`` and keys in ``exclude`` the first one stays. Returns ``doc1``.
    """
    kept = {"_id", *(exclude or ())}
    for key, value in doc2.items():
        if key not in doc1:
            doc1[key] = value
        elif key not in kept and value != []:
            doc1[key] = [*_items(doc1[key]), *_items(value)]
    return doc1


def _items(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def merge_dict(dict_li: Sequence[Mapping[Any, Any]], attr_li: Sequence[Any], missingvalue: Any = None) -> Document:
    """``{key: {attr: value}}`` of objects with the same keys: the n-th one's values under the n-th of ``attr_li``.

    Where one lacks a key its attribute is missing, or ``missingvalue`` if that is given.
    """
    merged: Document = {}
    for key in dict.fromkeys(key for item in dict_li for key in item):
        pairs = zip(attr_li, dict_li, strict=True)
        found = {attr: item.get(key, missingvalue) for attr, item in pairs if key in item or missingvalue is not None}
        merged[key] = found
    return merged


def merge_duplicate_rows(rows: Iterable[Document], db: str) -> Document:
    """The first of some documents, with the values of all in its object at ``db``: those that differ become a list, in
    the order of the documents.
    """
    items = list(rows)
    if not items:
        return {}
    keys = dict.fromkeys(key for row in items for key in row.get(db, {}))
    merged = {}
    for key in keys:
        values = [row[db][key] for row in items if key in row.get(db, {})]
        merged[key] = _several(values)
    return {**items[0], db: merged}


def _several(values: list[Any]) -> Any:
    if all(merge.same(values[0], value) for value in values[1:]):
        return values[0]
    return [item for value in values for item in _items(value)]


def dict_to_list(gene_d: Mapping[str, Document]) -> list[Document]:
    """The documents of ``{id: document}``, each given its ``_id``."""
    for doc_id, document in gene_d.items():
        document["_id"] = doc_id
    return list(gene_d.values())


def alwayslist(value: Any) -> Any:
    """A list or tuple as it is, None as an empty list, anything else as a list of it."""
    if value is None:
        return []
    return value if isinstance(value, list | tuple) else [value]


def list_split(d: Document, sep: str) -> Document:
    """Split, in place, every text that has ``sep``, at any depth of objects, into a list of its stripped parts. Returns
    ``d``.
    """
    for key, value in d.items():
        if isinstance(value, dict):
            list_split(value, sep)
        elif isinstance(value, str) and sep in value:
            d[key] = [part.strip() for part in value.split(sep)]
    return d


def id_strip(id_list: str) -> list[str]:
    """The stripped parts of ``"a | b"``."""
    return [part.strip() for part in id_list.split("|")]


def dupline_seperator(
    dupline: Sequence[str], dup_sep: str, dup_idx: Sequence[int] | None = None, strip: bool = False
) -> Iterable[tuple[Any, ...]]:
    """A row with several values in a column as several rows: every combination of the parts of the columns ``dup_idx``
    (default: all). ``strip`` takes spaces off the parts.
    """
    split = range(len(dupline)) if dup_idx is None else {index % len(dupline) for index in dup_idx}
    columns: list[Sequence[Any]] = []
    for index, value in enumerate(dupline):
        parts = value.split(dup_sep) if index in split else [value]
        columns.append([part.strip() for part in parts] if strip and index in split else parts)
    return (row for row in product(*columns))


def updated_dict(_dict: Document, attrs: Mapping[Any, Any]) -> Document:
    """``_dict.update(attrs)``, returned."""
    _dict.update(attrs)
    return _dict


def update_dict_recur(d: Document, u: Mapping[Any, Any]) -> Document:
    """As :func:`updated_dict`, but an object is updated by an object, at any depth."""
    for key, value in u.items():
        there = d.get(key)
        d[key] = update_dict_recur(there, value) if isinstance(there, dict) and isinstance(value, Mapping) else value
    return d


def listitems(a_list: Sequence[Any], *idx: int) -> list[Any]:
    """The items at these places."""
    return [a_list[index] for index in idx]


def list_itemcnt(a_list: Iterable[Any]) -> list[tuple[Any, int]]:
    """``(item, how often it is there)``, in the order of their first coming."""
    return list(Counter(a_list).items())


def list2dict(a_list: Iterable[Sequence[Any]], keyitem: Any, alwayslist: bool = False) -> dict[Any, Any]:
    """Rows by the item at index ``keyitem``: the other items as a tuple, or the item itself if there is only one.
    Several rows of a key are a list of these; with ``alwayslist`` also one is. Several indices make tuples of keys.
    """
    several = isinstance(keyitem, list | tuple)
    indices = [keyitem] if not several else list(keyitem)
    grouped: dict[Any, list[Any]] = {}
    for row in a_list:
        at = {index % len(row) for index in indices}
        rest = tuple(item for index, item in enumerate(row) if index not in at)
        key = tuple(row[index] for index in indices) if several else row[keyitem]
        grouped.setdefault(key, []).append(rest[0] if len(rest) == 1 else rest)
    return {key: values if alwayslist or len(values) > 1 else values[0] for key, values in grouped.items()}


def listsort(
    a_list: Iterable[Sequence[Any]],
    by: int | Sequence[int],
    reverse: bool = False,
    cmp: Callable[[Any, Any], int] | None = None,
    key: Callable[[Any], Any] | None = None,
) -> list[Any]:
    """Rows sorted by their item at index ``by``, or by those at several; ``key`` is applied to that item."""
    from functools import cmp_to_key

    turn = cmp_to_key(cmp) if cmp else None

    def order(row: Sequence[Any]) -> Any:
        item = row[by] if isinstance(by, int) else [row[index] for index in by]
        item = key(item) if key else item
        return turn(item) if turn else item

    return sorted(a_list, key=order, reverse=reverse)


@total_ordering
class MinType:
    """Less than everything else."""

    def __le__(self, other: object) -> bool:
        return True

    def __eq__(self, other: object) -> bool:
        return self is other

    __hash__ = object.__hash__


Min = MinType()
