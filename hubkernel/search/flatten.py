"""A document becomes the terms of the index, in one walk along the tree of the mapping."""

from __future__ import annotations

from collections.abc import Mapping as AnyMapping
from dataclasses import dataclass, field
from typing import Any

from hubkernel.search.errors import ApiError
from hubkernel.search.fields import Field, Kind, Value
from hubkernel.search.mapping import Definition, Mapping, Node


@dataclass(slots=True)
class Flat:
    """``values``: field path to its index values; ``names``: every path that has a value, objects too."""

    values: dict[str, list[Value]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)


class Flattener:
    """Reads documents along one mapping. ``additions`` fills with the definitions of leaves that dynamic mapping adds:
    when it is not empty, the caller grows the mapping and reads the document again.
    """

    def __init__(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self.additions: dict[str, Definition] = {}
        self._flat = Flat()
        self._id = ""

    def read(self, source: AnyMapping[str, Any], id: str) -> Flat:
        """Raises a 400 :class:`ApiError` naming field, value and id for a document that does not fit."""
        self._flat = Flat()
        self._id = id
        self.additions = {}
        self._object(source, self.mapping.root)
        return self._finish()

    def _finish(self) -> Flat:
        fields = self.mapping.fields
        for path, values in self._flat.values.items():
            if len(values) > 1 and fields[path].kind is not Kind.TEXT:
                values[:] = sorted(set(values))
        return self._flat

    def _object(self, source: AnyMapping[str, Any], node: Node) -> None:
        children = node.children
        for name, value in source.items():
            child = children.get(name) if children is not None else None
            if child is None:
                child = self._unknown(node, name, value)
                if child is None:
                    continue
            if child.field is None:
                self._at_object(child, value)
            else:
                self._at_leaf(child, value)

    def _at_object(self, node: Node, value: Any) -> None:
        if not node.enabled or value is None:
            return
        if isinstance(value, list):
            for item in value:
                self._at_object(node, item)
        elif isinstance(value, dict):
            self._flat.names.add(node.path)
            self._object(value, node)
        else:
            name = node.path.rpartition(".")[2]
            raise self._bad(f"object mapping for [{node.path}] tried to parse field [{name}] as object, "
                            "but found a concrete value")  # fmt: skip

    def _at_leaf(self, node: Node, value: Any) -> None:
        assert node.field is not None
        if node.field.kind is Kind.STORED:
            if value is not None and value != []:
                self._flat.names.add(node.path)
            if isinstance(value, dict) or len(node.targets) == 1:
                return
        if isinstance(value, list):
            for item in value:
                self._at_leaf(node, item)
            return
        if value is None:
            value = node.field.null_value
            if value is None:
                return
        if isinstance(value, dict):
            raise self._bad(f"failed to parse field [{node.path}] of type [{node.field.type}]: found an object")
        for target in node.targets:
            self._put(target, value)

    def _put(self, target: Field, value: Any) -> None:
        try:
            made = target.convert(value)
        except (ValueError, OverflowError) as error:
            if target.definition.get("ignore_malformed") in (True, "true"):
                return
            raise self._bad(
                f"failed to parse field [{target.path}] of type [{target.type}]. "
                f"Preview of field's value: '{str(value)[:50]}'",
                str(error),
            ) from error
        if made is None:
            return
        values = self._flat.values.get(target.path)
        if values is None:
            self._flat.values[target.path] = [made]
            self._flat.names.add(target.path)
        else:
            values.append(made)

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
