"""The mapping of an index: checked, merged, grown by new fields, and laid out as a tree that documents are read along.

A :class:`Mapping` never changes; a new definition makes a new one.
"""

from __future__ import annotations

import copy
import fnmatch
import re
from collections.abc import Iterator
from typing import Any

from hubkernel.search.analysis import Analysis
from hubkernel.search.dates import looks_like_date
from hubkernel.search.errors import illegal, mapping_error, unsupported
from hubkernel.search.fields import Field, Kind

Definition = dict[str, Any]

_ROOT_KEYS = frozenset(
    [
        "properties",
        "dynamic",
        "dynamic_templates",
        "date_detection",
        "numeric_detection",
        "dynamic_date_formats",
        "_meta",
        "_source",
        "_routing",
        "_field_names",
    ]
)
_OBJECT_KEYS = frozenset(["type", "properties", "dynamic", "enabled", "include_in_parent", "include_in_root"])
_UNINDEXED = frozenset(("_id", "_index", "_source"))


class Node:
    """A place in a document: an object (``children``), a leaf (``targets``), or both for an object with a field."""

    __slots__ = ("children", "dynamic", "enabled", "field", "path", "targets")

    def __init__(self, path: str, dynamic: str, *, enabled: bool = True) -> None:
        self.path = path
        self.dynamic = dynamic
        self.enabled = enabled
        self.children: dict[str, Node] | None = None
        self.field: Field | None = None
        self.targets: tuple[Field, ...] = ()
        """The field itself, its multi-fields and where it is copied to."""


class Mapping:
    """``definition`` is the JSON of the API; ``fields`` maps each dotted leaf (multi-fields too) to its field."""

    def __init__(self, definition: Definition, analysis: Analysis) -> None:
        if unknown := set(definition) - _ROOT_KEYS:
            raise mapping_error(f"Root mapping definition has unsupported parameters: {sorted(unknown)}")
        if definition.get("_source", {}).get("enabled", True) is False:
            raise unsupported("an index without _source")
        self.definition = definition
        self.analysis = analysis
        self.fields: dict[str, Field] = {}
        self.objects: set[str] = set()
        self.root = Node("", _dynamic(definition.get("dynamic", True)))
        self._copies: list[tuple[Node, str]] = []
        self._object(self.root, definition.get("properties", {}), nested=False)
        self._connect()

    # --- building the tree

    def _object(self, node: Node, properties: Any, *, nested: bool) -> None:
        if not isinstance(properties, dict):
            raise mapping_error(f"Expected map for property [properties] on field [{node.path}]")
        node.children = {}
        for name, definition in properties.items():
            path = f"{node.path}.{name}" if node.path else name
            if not isinstance(definition, dict):
                raise mapping_error(f"Expected map for property [fields] on field [{path}] but got {definition!r}")
            if not name or name.startswith(".") or name.endswith("."):
                raise mapping_error(f"field name [{path}] cannot be empty or start or end with a dot")
            self._property(node, name, path, definition, nested=nested)

    def _property(self, parent: Node, name: str, path: str, definition: Definition, *, nested: bool) -> None:
        assert parent.children is not None
        node = parent.children[name] = Node(path, parent.dynamic)
        kind = definition.get("type", "object")
        if kind not in ("object", "nested"):
            self._leaf(node, definition, nested=nested)
            return
        if unknown := set(definition) - _OBJECT_KEYS:
            raise mapping_error(f"unsupported parameters {sorted(unknown)} on object [{path}]")
        node.dynamic = _dynamic(definition["dynamic"]) if "dynamic" in definition else parent.dynamic
        node.enabled = definition.get("enabled", True) not in (False, "false")
        self.objects.add(path)
        self._object(node, definition.get("properties", {}), nested=nested or kind == "nested")

    def _leaf(self, node: Node, definition: Definition, *, nested: bool) -> None:
        node.field = self._field(node.path, definition, nested=nested)
        targets = [node.field]
        for name, sub in definition.get("fields", {}).items():
            targets.append(self._field(f"{node.path}.{name}", sub, nested=nested))
        for target in targets:
            target.origins.append(node.path)
        node.targets = tuple(targets)
        copies = definition.get("copy_to", [])
        self._copies += [(node, path) for path in ([copies] if isinstance(copies, str) else copies)]

    def _field(self, path: str, definition: Definition, *, nested: bool) -> Field:
        if not isinstance(definition, dict) or "type" not in definition:
            raise mapping_error(f"No type specified for field [{path}]")
        field = self.fields[path] = Field(path, definition, self.analysis, nested=nested)
        return field

    def _connect(self) -> None:
        for node, path in self._copies:
            target = self.fields.get(path)
            if target is None and self.root.dynamic == "true":
                raise unsupported(
                    f"copy_to [{path}] of field [{node.path}]: no such field", "declare it in the mapping"
                )
            if target is None:
                continue
            node.targets += (target,)
            target.origins.append(node.path)
        for field in self.fields.values():
            if field.kind is Kind.ALIAS and field.definition.get("path") not in self.fields:
                raise mapping_error(
                    f"Invalid [path] value [{field.definition.get('path')}] for field alias [{field.path}]"
                )

    # --- asking

    def resolve(self, path: str) -> Field | None:
        """The field behind a name, through aliases; None if it is not mapped."""
        field = self.fields.get(path)
        if field is not None and field.kind is Kind.ALIAS:
            return self.fields[field.definition["path"]]
        return field

    def expand(self, pattern: str) -> list[str]:
        """Searchable fields that match a name with ``*``; a plain name is given back as it is."""
        if "*" not in pattern:
            return [pattern]
        return [p for p, f in self.fields.items() if f.searchable and fnmatch.fnmatchcase(p, pattern)]

    def expand_any(self, pattern: str) -> list[str]:
        """As :meth:`expand`, objects and stored fields too (for ``exists``)."""
        if "*" not in pattern:
            return [pattern]
        return [p for p in (*self.fields, *self.objects) if fnmatch.fnmatchcase(p, pattern)]

    def signature(self) -> list[tuple[str, str, str]]:
        """What the layout of the index depends on."""
        return sorted(f.signature() for f in self.fields.values() if f.kind not in (Kind.STORED, Kind.ALIAS))

    # --- changing

    def merged(self, update: Definition) -> Mapping:
        """With ``update`` (the body of a put mapping) put on top. 400 if a field would change its type."""
        definition = copy.deepcopy(self.definition)
        for key, value in update.items():
            if key == "properties":
                _merge_properties(definition.setdefault("properties", {}), value, "")
            else:
                definition[key] = value
        if "dynamic" in definition:
            definition["dynamic"] = _dynamic(definition["dynamic"])
        return Mapping(definition, self.analysis)

    def grown(self, additions: dict[str, Definition]) -> Mapping:
        """With new leaves, by dotted path."""
        update: Definition = {}
        for path, definition in additions.items():
            at = update
            *parents, name = path.split(".")
            for parent in parents:
                at = at.setdefault("properties", {}).setdefault(parent, {})
            at.setdefault("properties", {})[name] = definition
        return self.merged(update)

    def definition_for(self, path: str, value: Any) -> Definition | None:
        """What dynamic mapping makes of a first value; None: an object to descend into."""
        json_type = self._json_type(value)
        for template in self._templates():
            if _applies(template, path, json_type):
                return _instance(template["mapping"], path, json_type)
        if json_type == "object":
            return None
        if json_type == "string":
            return {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
        return {"type": "float" if json_type == "double" else json_type}

    def _templates(self) -> Iterator[Definition]:
        for named in self.definition.get("dynamic_templates", []):
            yield from named.values()

    def _json_type(self, value: Any) -> str:
        if isinstance(value, bool):
            return "boolean"
        if isinstance(value, int):
            return "long"
        if isinstance(value, float):
            return "double"
        if isinstance(value, dict):
            return "object"
        dates = self.definition.get("date_detection", True) not in (False, "false")
        return "date" if dates and looks_like_date(value) else "string"


def _dynamic(value: Any) -> str:
    text = str(value).lower()
    if text == "runtime":
        raise unsupported("dynamic: runtime", "use true, false or strict")
    if text not in ("true", "false", "strict"):
        raise mapping_error(f"Could not convert [dynamic] to boolean: [{value}]")
    return text


def _merge_properties(old: Definition, new: Any, prefix: str) -> None:
    if not isinstance(new, dict):
        raise mapping_error("Expected map for property [properties]")
    for name, definition in new.items():
        if name not in old:
            old[name] = copy.deepcopy(definition)
            continue
        _merge_property(old[name], definition, prefix + name)


def _merge_property(old: Definition, new: Definition, path: str) -> None:
    before, after = old.get("type", "object"), new.get("type", "object")
    if before != after:
        raise illegal(f"mapper [{path}] cannot be changed from type [{before}] to [{after}]")
    for key, value in new.items():
        if key == "properties":
            _merge_properties(old.setdefault("properties", {}), value, path + ".")
        elif key == "fields":
            _merge_properties(old.setdefault("fields", {}), value, path + ".")
        elif (
            key in ("analyzer", "normalizer", "index", "doc_values", "format", "enabled")
            and old.get(key, value) != value
        ):
            raise illegal(f"Mapper for [{path}] conflicts with existing mapper: Cannot update parameter [{key}] "
                          f"from [{old[key]}] to [{value}]")  # fmt: skip
        else:
            old[key] = copy.deepcopy(value)


_CONDITIONS = frozenset(
    [
        "match_mapping_type",
        "unmatch_mapping_type",
        "match",
        "unmatch",
        "path_match",
        "path_unmatch",
        "match_pattern",
        "mapping",
    ]
)


def _applies(template: Definition, path: str, json_type: str) -> bool:
    if unknown := set(template) - _CONDITIONS:
        raise unsupported(f"{sorted(unknown)} in a dynamic template")
    wanted = template.get("match_mapping_type", "*")
    if "*" not in wanted and json_type not in wanted:
        return False
    if "match_mapping_type" not in template and json_type == "object" and "path_match" not in template:
        return False
    name = path.rpartition(".")[2]
    regex = template.get("match_pattern") == "regex"
    return (
        _matches(name, template.get("match", "*"), regex)
        and _matches(path, template.get("path_match", "*"), False)
        and not ("unmatch" in template and _matches(name, template["unmatch"], regex))
        and not ("path_unmatch" in template and _matches(path, template["path_unmatch"], False))
    )


def _matches(name: str, patterns: str | list[str], regex: bool) -> bool:
    every = [patterns] if isinstance(patterns, str) else patterns
    if regex:
        return any(p == "*" or re.fullmatch(p, name) for p in every)
    return any(fnmatch.fnmatchcase(name, p) for p in every)


def _instance(definition: Definition, path: str, json_type: str) -> Definition:
    made: Definition = _filled(definition, path, json_type)
    if json_type != "object" and "type" not in made and "properties" not in made:
        return {"type": _default_type(json_type), **made}
    return made


def _filled(definition: Any, path: str, json_type: str) -> Any:
    """A template with its placeholders replaced, in multi-fields too."""
    if isinstance(definition, dict):
        return {key: _filled(value, path, json_type) for key, value in definition.items()}
    if isinstance(definition, str):
        text = definition.replace("{dynamic_type}", _default_type(json_type))
        return text.replace("{name}", path.rpartition(".")[2])
    return definition


def _default_type(json_type: str) -> str:
    return {"string": "text", "double": "float"}.get(json_type, json_type)
