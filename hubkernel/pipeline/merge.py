"""How two or more versions of one document become one: shared by uploads (duplicates) and builds (sources).

*upsert* is shallow: each top-level key of a later document replaces the earlier one's. *merge_struct* is deep and loses
nothing:

============== ============== =====================================================================
so far         next           result
============== ============== =====================================================================
value          equal value    the value (``True`` is not ``1``; ``1`` equals ``1.0``)
value          other value    ``[value, other]`` (null is a value, unless ``ignore_null``)
list           list           the list, then what it did not hold
list           value, object  appended unless it is there
value, object  list           ``[value]`` or ``[object]``, then what it did not hold
object         object         key by key
object         value          :class:`MergeConflictError` (or the first stays, ``on_conflict="first"``)
============== ============== =====================================================================

The order is that of arrival. Nothing here changes its arguments; results may share parts with them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Any, Literal

Document = dict[str, Any]

INDEX_FROM = 24
"""From this many items on, a list's members are looked up in a set instead of one by one."""


class MergeConflictError(ValueError):
    """An object and a plain value stand at the same path: no index could hold both."""

    def __init__(self, path: str, first: str = "object", second: str = "value") -> None:
        super().__init__(f"field {path!r} is {first} in one document and {second} in another")
        self.path = path
        self.kinds = (first, second)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.path, *self.kinds)


@dataclass(frozen=True, slots=True)
class MergeOptions:
    """What ``merger_kwargs`` may say. Names of fields are top-level keys, for ``aslistofdict`` also dotted paths."""

    aslistofdict: frozenset[str] = frozenset()
    """Fields whose objects are collected into a list instead of being merged key by key."""
    include: frozenset[str] | None = None
    """Only these fields are merged; of the others the first one seen stays."""
    exclude: frozenset[str] = frozenset()
    """Of these fields the first one seen stays."""
    ignore_null: bool = False
    on_conflict: Literal["error", "first"] = "error"

    @classmethod
    def of(cls, given: Mapping[str, Any] | None) -> MergeOptions:
        """From the ``merger_kwargs`` of a source. Raises ``ValueError`` for an unknown name or value."""
        known = [field.name for field in fields(cls)]
        values: dict[str, Any] = {}
        for name, value in (given or {}).items():
            if name not in known:
                raise ValueError(f"unknown merge option {name!r}{_nearest(name, known)}")
            values[name] = _names(name, value) if name in ("aslistofdict", "include", "exclude") else value
        if values.get("on_conflict", "error") not in ("error", "first"):
            raise ValueError(f"on_conflict is 'error' or 'first', not {values['on_conflict']!r}")
        return cls(**{name: value for name, value in values.items() if value is not None})


def _names(option: str, value: Any) -> frozenset[str] | None:
    if value is None:
        return None
    names = [value] if isinstance(value, str) else value
    if isinstance(names, (list, tuple)) and all(isinstance(name, str) for name in names):
        return frozenset(names)
    raise ValueError(f"merge option {option!r} is a field name or a list of them, not {value!r}")


def _nearest(name: str, known: Iterable[str]) -> str:
    near = get_close_matches(name, list(known), n=1)
    return f"; did you mean {near[0]!r}?" if near else ""


DEFAULTS = MergeOptions()
OnConflict = Callable[[str], None]
"""``(dotted path)``: called for every conflict that ``on_conflict="first"`` settled."""


def merge_struct(
    first: Any,
    second: Any,
    aslistofdict: str | Sequence[str] | None = None,
    include: Sequence[str] | None = None,
    exclude: Sequence[str] | None = None,
    *,
    ignore_null: bool = False,
) -> Any:
    """Merge two values deeply; see the table of this module. Raises :class:`MergeConflictError`."""
    options = MergeOptions.of(
        {"aslistofdict": aslistofdict, "include": include, "exclude": exclude, "ignore_null": ignore_null}
    )
    return merge_values([first, second], options)


def merge_documents(
    documents: Sequence[Document], options: MergeOptions = DEFAULTS, on_conflict: OnConflict | None = None
) -> Document:
    """Merge all documents of one ``_id`` deeply, in their order. Same as merging them two by two, in linear time."""
    return _merge_objects(documents, options, "", on_conflict)


def merge_values(values: Sequence[Any], options: MergeOptions = DEFAULTS, on_conflict: OnConflict | None = None) -> Any:
    """Merge any values, in their order."""
    return _merge(values, options, "", on_conflict)


def upsert(documents: Iterable[Document], on_overwrite: Callable[[str], None] | None = None) -> Document:
    """Merge documents shallowly: later top-level keys replace earlier ones; ``on_overwrite(key)`` if they differ."""
    merged: Document = {}
    for document in documents:
        if on_overwrite is not None:
            for key in merged.keys() & document.keys():
                if not same(merged[key], document[key]):
                    on_overwrite(key)
        merged.update(document)
    return merged


def merge_roots(documents: Iterable[Document]) -> Document:
    """Merge documents of one ``_id`` at their root keys: the values of a key that several have become one list, in
    order of arrival and as they are (lists are joined, nothing is left out). A key that one has keeps its value.
    """
    found: dict[str, list[Any]] = {}
    for document in documents:
        for key, value in document.items():
            found.setdefault(key, []).append(value)
    doc_id = found.pop("_id")[0]
    return {"_id": doc_id, **{key: values[0] if len(values) == 1 else _joined(values) for key, values in found.items()}}


def _joined(values: Iterable[Any]) -> list[Any]:
    return [item for value in values for item in (value if isinstance(value, (list, tuple)) else [value])]


def same(first: Any, second: Any) -> bool:
    """Equal as JSON: as Python says, but ``True`` is not ``1``."""
    return first is second or (bool(first == second) and (type(first) is str or _same_booleans(first, second)))


def _same_booleans(first: Any, second: Any) -> bool:
    if isinstance(first, dict):
        return all(_same_booleans(value, second[key]) for key, value in first.items())
    if isinstance(first, (list, tuple)):
        return all(map(_same_booleans, first, second))
    return isinstance(first, bool) is isinstance(second, bool)


def _merge_objects(
    objects: Sequence[Mapping[str, Any]], options: MergeOptions, path: str, on_conflict: OnConflict | None
) -> Document:
    """Collect the values of each key, in order, and merge them."""
    found: dict[str, list[Any]] = {}
    for item in objects:
        for key, value in item.items():
            found.setdefault(key, []).append(value)
    keep_first = _kept(found, options) if not path else frozenset()
    return {
        key: values[0]
        if len(values) == 1 or key in keep_first
        else _merge(values, options, f"{path}.{key}" if path else key, on_conflict)
        for key, values in found.items()
    }


def _kept(keys: Iterable[str], options: MergeOptions) -> frozenset[str]:
    if options.include is None:
        return options.exclude
    return options.exclude | (frozenset(keys) - options.include)


def _merge(values: Sequence[Any], options: MergeOptions, path: str, on_conflict: OnConflict | None) -> Any:
    if options.ignore_null:
        values = [value for value in values if value is not None] or [None]
    first = values[0]
    for value in values:
        if not same(first, value):
            break
    else:
        return first
    if path in options.aslistofdict:
        values = [value if isinstance(value, (list, tuple)) else [value] for value in values]
    if isinstance(values[0], dict):
        return _merge_from_object(values, options, path, on_conflict)
    return _merge_items(values[0], values[1:], options, path, on_conflict)


def _merge_from_object(values: Sequence[Any], options: MergeOptions, path: str, on_conflict: OnConflict | None) -> Any:
    """Objects merge into one until the first list; from there on they are items."""
    leading = next((index for index, value in enumerate(values) if not isinstance(value, dict)), len(values))
    merged = _merge_objects(values[:leading], options, path, on_conflict)
    if leading == len(values):
        return merged
    if isinstance(values[leading], (list, tuple)):
        return _merge_items([merged], values[leading:], options, path, on_conflict)
    _conflict("an object", _kind(values[leading]), options, path, on_conflict)
    return _merge([merged, *values[leading + 1 :]], options, path, on_conflict)


def _merge_items(
    first: Any, others: Sequence[Any], options: MergeOptions, path: str, on_conflict: OnConflict | None
) -> Any:
    single = not isinstance(first, (list, tuple))
    items = _Items([first] if single else list(first))
    for value in others:
        if isinstance(value, (list, tuple)):
            items.extend(value)
            single = False
        elif single and isinstance(value, dict):
            _conflict(_kind(first), "an object", options, path, on_conflict)
        else:
            items.extend((value,))
            single = single and len(items.items) == 1
    return items.items[0] if single else items.items


def _conflict(first: str, second: str, options: MergeOptions, path: str, on_conflict: OnConflict | None) -> None:
    if options.on_conflict == "error":
        raise MergeConflictError(path, first, second)
    if on_conflict is not None:
        on_conflict(path)


def _kind(value: Any) -> str:
    names = {type(None): "null", bool: "a boolean", int: "a number", float: "a number", str: "a string"}
    return names.get(type(value), f"a {type(value).__name__}")


class _Items:
    """A list that takes only what it does not hold yet; repetitions within one addition are kept as they are."""

    def __init__(self, items: list[Any]) -> None:
        self.items = items
        self._index: set[Any] | None = None

    def extend(self, values: Sequence[Any]) -> None:
        if self._index is None and len(self.items) + len(values) >= INDEX_FROM:
            self._index = set(map(_key, self.items))
        new = [value for value in values if not self._holds(value)]
        self.items += new
        if self._index is not None:
            self._index.update(map(_key, new))

    def _holds(self, value: Any) -> bool:
        if self._index is not None:
            return _key(value) in self._index
        for item in self.items:  # noqa: SIM110 - a generator takes longer than most of these lists
            if same(value, item):
                return True
        return False


def _key(value: Any) -> Any:
    """Hashable; equal for values that are the :func:`same`."""
    if isinstance(value, bool):
        return (bool, value)
    if isinstance(value, dict):
        return (dict, frozenset((name, _key(item)) for name, item in value.items()))
    if isinstance(value, (list, tuple)):
        return (list if isinstance(value, list) else tuple, *map(_key, value))
    try:
        hash(value)
    except TypeError:
        return (type(value), repr(value))
    return value
