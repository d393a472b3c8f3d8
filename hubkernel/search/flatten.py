"""A document becomes the terms of the index, in one walk along the tree of the mapping."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from hubkernel.search.columns import Column, columns, one_by_one
from hubkernel.search.errors import ApiError
from hubkernel.search.fields import Field, Kind, Value
from hubkernel.search.mapping import Definition, Mapping, Node

_SIMPLE = frozenset([str, int, float, bool])


@dataclass(slots=True)
class Flat:
    """``values``: field path to its index values; ``names``: every path that has a value, objects too."""

    values: dict[str, list[Value]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class _Target(NamedTuple):
    """A field that a leaf feeds with values of one type."""

    path: str
    field: Field
    column: Column
    shared: bool
    """Whether other leaves feed it too."""
    ordered: bool
    """Text keeps the order of its values, and how often each of them is there."""


class Flattener:
    """Reads documents along one mapping: first all values of each leaf are gathered, then each leaf is converted at
    once.

    ``additions`` fills with the definitions of leaves that dynamic mapping adds: when it is not empty, the caller grows
    the mapping and reads the document again.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.additions: dict[str, Definition] = {}
        self._flat = Flat()
        self._leaves: dict[Node, list[Any]] = {}
        self._id = ""
        self._targets: dict[tuple[Node, type | None], list[_Target]] = {}
        self._shared = [
            path for path, each in mapping.fields.items() if len(each.origins) > 1 and each.kind is not Kind.TEXT
        ]

    def read(self, source: AnyMapping[str, Any], id: str) -> Flat:
        """Raises a 400 :class:`ApiError` naming field, value and id for a document that does not fit."""
        flat = self._flat = Flat()
        self._leaves = {}
        self._id = id
        self.additions = {}
        self._object(source, self.mapping.root)
        for node, values in self._leaves.items():
            self._convert(node, values)
        for path in self._shared:
            if path in flat.values:
                flat.values[path] = sorted(set(flat.values[path]))
        flat.names.update(flat.values)
        return flat

    def _object(self, source: AnyMapping[str, Any], node: Node) -> None:
        children, leaves = node.children or {}, self._leaves
        for name, value in source.items():
            child = children.get(name)
            if child is None:
                child = self._unknown(node, name, value)
                if child is None:
                    continue
            if child.field is None:
                self._at_object(child, value)
            elif child in leaves:
                leaves[child] += value if type(value) is list else (value,)
            else:
                leaves[child] = list(value) if type(value) is list else [value]

    def _at_object(self, node: Node, value: Any) -> None:
        if not node.enabled or value is None:
            return
        if isinstance(value, dict):
            self._flat.names.add(node.path)
            self._object(value, node)
        elif isinstance(value, list):
            for item in value:
                self._at_object(node, item)
        else:
            name = node.path.rpartition(".")[2]
            raise self._bad(
                f"object mapping for [{node.path}] tried to parse field [{name}] as object, but found a concrete value"
            )

    def _convert(self, node: Node, values: list[Any]) -> None:
        assert node.field is not None
        kind = _only_type(values)
        if kind not in _SIMPLE:
            values = list(self._scalars(node, node.field, values))
            kind = _only_type(values)
        if not values:
            return
        if node.field.kind is Kind.STORED:
            self._flat.names.add(node.path)
        targets = self._targets.get((node, kind))
        if targets is None:
            targets = self._targets[node, kind] = _targets(node, kind)
        found = self._flat.values
        for path, target, column, shared, ordered in targets:
            made = column(values)
            if made is None:
                made = self._converted(target, values)
            if not made:
                continue
            if shared:
                found.setdefault(path, []).extend(made)
            else:
                found[path] = made if ordered or len(made) == 1 else sorted(set(made))

    def _scalars(self, node: Node, field: Field, values: list[Any]) -> Iterator[Any]:
        for value in values:
            if isinstance(value, list):
                yield from self._scalars(node, field, value)
            elif isinstance(value, dict):
                if field.kind is not Kind.STORED:
                    raise self._bad(f"failed to parse field [{node.path}] of type [{field.type}]: found an object")
                self._flat.names.add(node.path)
            elif value is not None:
                yield value
            elif field.null_value is not None:
                yield field.null_value

    def _converted(self, target: Field, values: Iterable[Any]) -> list[Value]:
        convert = target.convert
        made: list[Value] = []
        for value in values:
            try:
                each = convert(value)
            except (ValueError, OverflowError) as error:
                if target.definition.get("ignore_malformed") in (True, "true"):
                    continue
                raise self._bad(
                    f"failed to parse field [{target.path}] of type [{target.type}]. "
                    f"Preview of field's value: '{str(value)[:50]}'",
                    str(error),
                ) from error
            if each is not None:
                made.append(each)
        return made

    # --- what the mapping does not know

    def _unknown(self, node: Node, name: str, value: Any) -> Node | None:
        if "." in name:
            return self._dotted(node, name, value)
        path = f"{node.path}.{name}" if node.path else name
        sample = _first(value)
        if sample is None or node.dynamic == "false":
            return None
        if node.dynamic == "strict":
            raise ApiError(400, "strict_dynamic_mapping_exception",
                           f"mapping set to strict, dynamic introduction of [{name}] within [{node.path or '_doc'}] "
                           "is not allowed")  # fmt: skip
        definition = self.mapping.definition_for(path, sample)
        if definition is not None:
            self.additions.setdefault(path, definition)
            return None
        new = Node(path, node.dynamic)
        new.children = {}
        return new

    def _dotted(self, node: Node, name: str, value: Any) -> Node | None:
        """``{"a.b": 1}`` means ``{"a": {"b": 1}}``."""
        head, _, rest = name.partition(".")
        if not head or not rest:
            raise self._bad(f"field name cannot contain only the character [.] or end with it: [{name}]")
        self._object({head: {rest: value}}, node)
        return None

    def _bad(self, reason: str, cause: str = "") -> ApiError:
        extra = {"caused_by": {"type": "illegal_argument_exception", "reason": cause}} if cause else {}
        return ApiError(400, "document_parsing_exception", f"{reason} in document with id '{self._id}'", **extra)


def _only_type(values: list[Any]) -> type | None:
    """Of all the values; None if there are several types, or no values."""
    if len(values) == 1:
        return type(values[0])
    types = set(map(type, values))
    return types.pop() if len(types) == 1 else None


def _targets(node: Node, kind: type | None) -> list[_Target]:
    """What becomes of the values of a leaf, if all of them are of type ``kind`` (None: of several types)."""
    return [
        _Target(
            path=each.path,
            field=each,
            column=columns(each).get(kind, one_by_one) if kind else one_by_one,
            shared=len(each.origins) > 1,
            ordered=each.kind is Kind.TEXT,
        )
        for each in node.targets
        if each.kind not in (Kind.STORED, Kind.ALIAS)
    ]


def _first(value: Any) -> Any:
    """The first value that says something about the type of a field."""
    if isinstance(value, list):
        return next((found for item in value if (found := _first(item)) is not None), None)
    return value


def values_at(source: Any, path: str) -> list[Any]:
    """The scalars at a dotted path of a document, through lists."""
    if isinstance(source, list):
        return [value for item in source for value in values_at(item, path)]
    if not path:
        return [] if source is None else [source]
    if not isinstance(source, dict):
        return []
    if path in source:
        return values_at(source[path], "")
    found: list[Any] = []
    head, _, rest = path.partition(".")
    while rest:
        if head in source:
            found += values_at(source[head], rest)
        more, _, rest = rest.partition(".")
        head = f"{head}.{more}"
    return found
