"""Settings and mapping of a new index: BioThings' defaults, the build's own mapping, and how plain words are found."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from typing import Any

ALL = "all"
"""The field in which a query without a field looks for words."""
_HEADLINES = ("name", "label", "title")
"""Top-level fields in which a word weighs more than elsewhere."""
_FIELDS_LIMIT = 1000

SETTINGS: dict[str, Any] = {
    "number_of_shards": 1,
    "number_of_replicas": 0,
    "analysis": {
        "analyzer": {
            "string_lowercase": {"tokenizer": "keyword", "filter": "lowercase"},
            "whitespace_lowercase": {"tokenizer": "whitespace", "filter": "lowercase"},
        },
        "normalizer": {"keyword_lowercase_normalizer": {"type": "custom", "char_filter": [], "filter": ["lowercase"]}},
    },
}


def index_body(
    declared: Mapping[str, Any], found: Mapping[str, Any], meta: Mapping[str, Any], recipe: Mapping[str, Any]
) -> dict[str, Any]:
    """``{"settings", "mappings"}`` for a new index.

    ``declared`` are the properties that the sources give, ``found`` those of the documents' other fields. ``recipe``
    may have ``num_shards``, ``num_replicas`` and ``extra_index_settings``.
    """
    properties = {ALL: {"type": "text"}, **copy.deepcopy({**found, **declared})}
    if not any(_copies(definition) for _, definition in _leaves(properties)):
        _copy_texts(properties)
        default = _default_fields(properties)
    else:
        default = ["_id", ALL]
    settings = copy.deepcopy(SETTINGS) | {"query": {"default_field": default}}
    if "num_shards" in recipe:
        settings["number_of_shards"] = recipe["num_shards"]
    if "num_replicas" in recipe:
        settings["number_of_replicas"] = recipe["num_replicas"]
    count = sum(1 for _ in _leaves(properties))
    if count * 2 > _FIELDS_LIMIT:
        settings["mapping"] = {"total_fields": {"limit": count * 4}}
    settings.update(recipe.get("extra_index_settings") or {})
    return {"settings": {"index": settings}, "mappings": {"dynamic": "false", "properties": properties, "_meta": meta}}


def _leaves(properties: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    for name, definition in properties.items():
        if "properties" in definition:
            yield from _leaves(definition["properties"], f"{prefix}{name}.")
        elif definition.get("type", "object") != "object":
            yield prefix + name, definition


def _copies(definition: Mapping[str, Any]) -> bool:
    target = definition.get("copy_to", [])
    return ALL in ([target] if isinstance(target, str) else target)


def _copy_texts(properties: dict[str, Any]) -> None:
    """No source says what a plain word should be looked up in: then it is every text."""
    for path, definition in _leaves(properties):
        if definition["type"] == "text" and path != ALL:
            others = definition.get("copy_to", [])
            definition["copy_to"] = [*([others] if isinstance(others, str) else others), ALL]


def _default_fields(properties: dict[str, Any]) -> list[str]:
    """Identifiers are found as they are, so each keyword field is looked at beside the words of all texts."""
    headlines = [f"{name}^3" for name in _HEADLINES if properties.get(name, {}).get("type") in ("text", "keyword")]
    named = {name.partition("^")[0] for name in headlines}
    keywords = [path for path, each in _leaves(properties) if each["type"] == "keyword" and path not in named]
    return ["_id^100", *headlines, ALL, *keywords[:200]]
