"""The order of hits: what a request asks for, and the keys that decide.

One key is sorted by the search files themselves. Several keys, ``search_after`` and several indices are sorted here,
by values read from the documents.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cmp_to_key
from typing import Any

import orjson

from hubkernel.search.errors import QueryError, illegal, parsing_error, unsupported
from hubkernel.search.fields import Field, Value
from hubkernel.search.flatten import values_at
from hubkernel.search.queries import Queries

SCORE = "_score"
DOC = "_doc"


@dataclass(frozen=True, slots=True)
class Key:
    """One sort key. ``field`` is ``_score``, ``_doc`` or the path of a column."""

    field: str
    descending: bool
    missing_first: bool = False
    unmapped_ok: bool = False
    mode: str = ""

    @property
    def special(self) -> bool:
        return self.field in (SCORE, DOC)


def sort_keys(given: Any) -> list[Key]:
    """From ``"name:desc,taxid"``, ``["name", {"taxid": "desc"}, {"taxid": {"order": "desc", ...}}]``."""
    if not given:
        return []
    if isinstance(given, str):
        given = given.split(",")
    elif isinstance(given, dict):
        given = [{name: each} for name, each in given.items()]
    return [_key(each) for each in given]


def _key(given: Any) -> Key:
    if isinstance(given, str):
        field, _, order = given.partition(":")
        return _made(field, {"order": order} if order else {})
    if not isinstance(given, dict) or len(given) != 1:
        raise parsing_error(f"a sort must be a field name or an object with one field, not {given!r}")
    field, options = next(iter(given.items()))
    return _made(field, {"order": options} if isinstance(options, str) else options)


def _made(field: str, options: dict[str, Any]) -> Key:
    if unknown := set(options) - {"order", "missing", "unmapped_type", "mode", "numeric_type", "format"}:
        raise unsupported(f"{sorted(unknown)} in the sort on [{field}]")
    order = options.get("order", "desc" if field == SCORE else "asc")
    if order not in ("asc", "desc"):
        raise illegal(f"unknown sort order [{order}] on [{field}]: use asc or desc")
    missing, mode = options.get("missing", "_last"), options.get("mode", "")
    if missing not in ("_first", "_last"):
        raise unsupported(f"missing [{missing}] in the sort on [{field}]", "use _first or _last")
    if mode not in ("", "min", "max"):
        raise unsupported(f"mode [{mode}] in the sort on [{field}]", "use min or max")
    return Key(field, order == "desc", missing == "_first", "unmapped_type" in options, mode)


def column(queries: Queries, key: Key) -> Field | None:
    """The field to sort by; None for a special key, or for an unmapped one that may be. 400 otherwise."""
    if key.special:
        return None
    field = queries.columns(key.field, "sorting")
    if field is None and not key.unmapped_ok:
        reason = f"No mapping found for [{key.field}] in order to sort on"
        raise QueryError("query_shard_exception", reason, index=queries.view.name)
    return field


class KeyReader:
    """Reads the sort values of a document of one index."""

    def __init__(self, queries: Queries, keys: list[Key]) -> None:
        self._columns = [(key, column(queries, key)) for key in keys]

    @property
    def needs_source(self) -> bool:
        return any(field is not None for _, field in self._columns)

    def read(self, seq: int, score: float, source: bytes | None) -> list[Any]:
        document = orjson.loads(source) if source is not None and self.needs_source else None
        return [self._value(key, field, document, seq, score) for key, field in self._columns]

    def _value(self, key: Key, field: Field | None, document: Any, seq: int, score: float) -> Any:
        if key.field == SCORE:
            return score
        if key.field == DOC:
            return seq
        if field is None:
            return None
        values = column_values(field, document)
        if not values:
            return None
        high = key.mode == "max" or (key.descending and key.mode != "min")
        return max(values) if high else min(values)


def column_values(field: Field, document: Any) -> list[Any]:
    """The values that the index holds for a field of a document."""
    found: list[Value] = []
    for origin in field.origins:
        for value in values_at(document, origin):
            try:
                made = field.convert(value)
            except (ValueError, OverflowError):
                continue  # ignore_malformed: it is not in the index either
            if made is not None:
                found.append(made)
    if not found and field.null_value is not None:
        found = [made for made in [field.convert(field.null_value)] if made is not None]
    return found


def comparer(keys: list[Key]) -> Any:
    """A ``key=`` for sorting lists of sort values."""

    def compare(left: list[Any], right: list[Any]) -> int:
        for key, a, b in zip(keys, left, right, strict=True):
            if a == b:
                continue
            if a is None or b is None:
                return (1 if a is None else -1) * (-1 if key.missing_first else 1)
            return (-1 if a < b else 1) * (-1 if key.descending else 1)
        return 0

    return cmp_to_key(compare)


def converted_after(queries: Queries, keys: list[Key], after: list[Any]) -> list[Any]:
    """``search_after`` values in the form of the index (dates may come as text)."""
    if len(after) != len(keys):
        raise illegal(f"search_after has {len(after)} value(s) but sort has {len(keys)}.")
    made: list[Any] = []
    for key, value in zip(keys, after, strict=True):
        field = column(queries, key)
        made.append(value if field is None or value is None else queries.converted(field, value))
    return made
