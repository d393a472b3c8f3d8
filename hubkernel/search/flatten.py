"""A document becomes the terms of the index, in one walk along the tree of the mapping."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any

from hubkernel.search.errors import ApiError
from hubkernel.search.fields import SHORT, Field, Kind, Value, text_of
from hubkernel.search.mapping import Definition, Mapping, Node

_NOT_SCALAR = {list, dict, type(None)}


@dataclass(slots=True)
class Flat:
    """``values``: field path to its index values; ``names``: every path that has a value, objects too."""

    values: dict[str, list[Value]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Flattener:
    """Reads documents along one mapping: first all values of each leaf are gathered, then each leaf is converted at
    once (documents repeat values a lot).

    ``additions`` fills with the definitions of leaves that dynamic mapping adds: when it is not empty, the caller grows
    the mapping and reads the document again.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.additions: dict[str, Definition] = {}
        self._flat = Flat()
        self._leaves: dict[Node, list[Any]] = {}
        self._id = ""

    def read(self, source: AnyMapping[str, Any], id: str) -> Flat:
        """Raises a 400 :class:`ApiError` naming field, value and id for a document that does not fit."""
        self._flat = Flat()
        self._leaves = {}
        self._id = id
        self.additions = {}
        self._object(source, self.mapping.root)
        for node, values in self._leaves.items():
            self._convert(node, values)
        for path, made in self._flat.values.items():
            if len(made) > 1 and self.mapping.fields[path].kind is not Kind.TEXT:
                made[:] = sorted(set(made))
        return self._flat

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
                continue
            gathered = leaves.get(child)
            if gathered is None:
                gathered = leaves[child] = []
            if type(value) is list:
                gathered.extend(value)
            else:
                gathered.append(value)

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
        types = set(map(type, values))
        if types & _NOT_SCALAR:
            values = list(self._scalars(node, node.field, values))
            types = set(map(type, values))
        if not values:
            return
        if node.field.kind is Kind.STORED:
            self._flat.names.add(node.path)
        for target in node.targets:
            self._store(target, values, only_text=types == {str})

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

    def _store(self, target: Field, values: list[Any], *, only_text: bool) -> None:
        made: Collection[Value]
        if target.kind is Kind.TEXT:
            made = values if only_text else [text_of(value) for value in values]
        elif target.kind in (Kind.STORED, Kind.ALIAS):
            return
        elif only_text:
            unique = set(values)
            made = unique if target.verbatim and max(map(len, unique)) < SHORT else self._converted(target, unique)
        else:  # not made unique before: 1, 1.0 and true are equal, but not as text
            made = self._converted(target, values)
        if made:
            self._flat.names.add(target.path)
            self._flat.values.setdefault(target.path, []).extend(made)

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
