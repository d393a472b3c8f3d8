"""Index settings and names: what is accepted, and the flat-or-nested forms made one."""

from __future__ import annotations

import re
from typing import Any

from hubkernel.search.errors import ApiError, illegal

_KNOWN = frozenset(
    [
        "number_of_shards",
        "number_of_replicas",
        "refresh_interval",
        "codec",
        "query",
        "analysis",
        "max_result_window",
        "mapping",
        "auto_expand_replicas",
        "creation_date",
        "uuid",
        "provided_name",
        "version",
        "hidden",
        "max_terms_count",
        "max_regex_length",
        "translog",
        "routing",
        "blocks",
        "priority",
        "search",
        "merge",
        "unassigned",
        "gc_deletes",
    ]
)
_STATIC = frozenset(("number_of_shards", "codec", "analysis"))
_GIVEN_BY_US = ("creation_date", "uuid", "provided_name", "version")
_CODECS = frozenset(("default", "lz4", "best_compression", "zstd"))
_BAD_NAME = re.compile(r'[\\/*?"<>| ,#:]')


def normalise(settings: dict[str, Any] | None) -> dict[str, Any]:
    """``{"index": {"a": 1}}``, ``{"index.a": 1}`` and ``{"a": 1}`` all give ``{"a": "1"}``. 400 for unknown ones."""
    flat: dict[str, Any] = {}
    for key, value in (settings or {}).items():
        if key == "index" and isinstance(value, dict):
            for inner, inner_value in value.items():
                _put(flat, inner, inner_value)
        else:
            _put(flat, key.removeprefix("index."), value)
    if unknown := set(flat) - _KNOWN:
        raise illegal(f"unknown setting [index.{sorted(unknown)[0]}]; check the spelling")
    codec = flat.get("codec", "default")
    if codec not in _CODECS:
        raise illegal(f"unknown value for [index.codec] must be one of {sorted(_CODECS)} but was: {codec}")
    return {key: _text(value) for key, value in flat.items()}


def _put(into: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, name = dotted.split(".")
    for parent in parents:
        into = into.setdefault(parent, {})
    into[name] = value


def _text(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _text(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_text(inner) for inner in value]
    return str(value).lower() if isinstance(value, bool) else str(value)


def changed(old: dict[str, Any], update: dict[str, Any]) -> dict[str, Any]:
    """The settings of a living index with ``update`` on top. 400 for what is fixed at creation."""
    new = normalise(update)
    if fixed := (_STATIC | set(_GIVEN_BY_US)) & set(new):
        raise illegal(f"Can't update non dynamic settings [{sorted(fixed)}] for open indices")
    return {**old, **new}


def check_name(name: str, what: str = "index") -> None:
    """400 for a name that Elasticsearch would not take."""
    reason = ""
    if name != name.lower():
        reason = "must be lowercase"
    elif not name or name in (".", "..") or name[0] in "-_+" or _BAD_NAME.search(name):
        reason = 'must not be empty, start with one of -_+ or contain one of \\ / * ? " < > | space , # :'
    elif len(name.encode()) > 255:
        reason = "must be no longer than 255 bytes"
    if reason:
        raise ApiError(400, f"invalid_{what}_name_exception", f"Invalid {what} name [{name}], {reason}", index=name)


def default_fields(settings: dict[str, Any]) -> list[str]:
    """Where a query without a field looks: ``index.query.default_field``, else everywhere."""
    given = settings.get("query", {}).get("default_field") or ["*"]
    return given.split(",") if isinstance(given, str) else list(given)
