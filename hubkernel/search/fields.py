"""One field of a mapping: its type, and how a JSON value becomes what the index holds."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import StrEnum
from functools import partial
from typing import Any

from hubkernel.search.analysis import Analysis, Analyzer, Normalize
from hubkernel.search.dates import FORMATS, to_millis
from hubkernel.search.errors import mapping_error, unsupported

Value = str | int | float


class Kind(StrEnum):
    """What a field is inside the index. Booleans are 0 and 1, dates are milliseconds."""

    TEXT = "text"
    KEYWORD = "keyword"
    INTEGER = "integer"
    FLOAT = "float"
    BOOLEAN = "boolean"
    DATE = "date"
    STORED = "stored"
    """Kept in ``_source``, counted by ``exists``; a query on it is refused."""
    ALIAS = "alias"


_BITS = {"long": 63, "integer": 31, "short": 15, "byte": 7}
_KINDS: dict[str, Kind] = {
    **dict.fromkeys(("text", "match_only_text"), Kind.TEXT),
    **dict.fromkeys(("keyword", "wildcard"), Kind.KEYWORD),
    **dict.fromkeys(_BITS, Kind.INTEGER),
    **dict.fromkeys(("float", "double", "half_float", "scaled_float"), Kind.FLOAT),
    "boolean": Kind.BOOLEAN,
    "date": Kind.DATE,
    "alias": Kind.ALIAS,
    **dict.fromkeys(
        [
            "binary",
            "geo_point",
            "geo_shape",
            "point",
            "shape",
            "integer_range",
            "long_range",
            "float_range",
            "double_range",
            "date_range",
            "ip_range",
            "ip",
            "version",
            "flattened",
            "constant_keyword",
            "unsigned_long",
            "date_nanos",
            "completion",
            "search_as_you_type",
            "token_count",
            "dense_vector",
            "sparse_vector",
            "rank_feature",
            "rank_features",
            "murmur3",
            "percolator",
        ],
        Kind.STORED,
    ),
}
_PARAMETERS = frozenset(
    [
        "type",
        "fields",
        "copy_to",
        "meta",
        "index",
        "doc_values",
        "store",
        "null_value",
        "ignore_above",
        "ignore_malformed",
        "coerce",
        "normalizer",
        "analyzer",
        "search_analyzer",
        "search_quote_analyzer",
        "norms",
        "index_options",
        "index_phrases",
        "index_prefixes",
        "term_vector",
        "similarity",
        "position_increment_gap",
        "eager_global_ordinals",
        "fielddata",
        "split_queries_on_whitespace",
        "format",
        "locale",
        "boost",
        "scaling_factor",
        "path",
        "time_series_dimension",
        "time_series_metric",
    ]
)
_KEYWORD_LIMIT = 32766
"""Bytes: Lucene's longest term."""
SHORT = _KEYWORD_LIMIT // 4
"""A text with fewer characters is below that limit for sure."""


class Field:
    """A leaf. ``convert(value)`` gives the value for the index, None to leave it out, ``ValueError`` if it is bad."""

    __slots__ = (
        "analyzer", "convert", "definition", "kind", "normalize", "origins", "path", "search_analyzer", "type",
    )  # fmt: skip

    def __init__(self, path: str, definition: Mapping[str, Any], analysis: Analysis, *, nested: bool = False) -> None:
        self.path = path
        self.definition = definition
        self.type = str(definition.get("type", ""))
        if self.type not in _KINDS:
            raise mapping_error(f"No handler for type [{self.type}] declared on field [{path}]")
        self.kind = Kind.STORED if nested else _KINDS[self.type]
        self.origins: list[str] = []
        """Paths of the document that feed this field: its own, and those that copy to it."""
        self._check(path, definition)
        self.analyzer: Analyzer | None = None
        self.search_analyzer: Analyzer | None = None
        if self.kind is Kind.TEXT:
            name = definition.get("analyzer", "default")
            self.analyzer = analysis.analyzer(name)
            self.search_analyzer = analysis.analyzer(definition.get("search_analyzer", name))
        self.normalize: Normalize = str
        if "normalizer" in definition:
            self.normalize = analysis.normalizer(definition["normalizer"], path)
        self.convert = self._converter()

    def _check(self, path: str, definition: Mapping[str, Any]) -> None:
        if "script" in definition:
            raise unsupported(f"the script of field [{path}]")
        if self.kind is Kind.STORED:
            return
        if unknown := set(definition) - _PARAMETERS:
            raise mapping_error(f"unknown parameter {sorted(unknown)} on mapper [{path}] of type [{self.type}]")
        if self.kind is Kind.DATE and not set(str(definition.get("format", "epoch_millis")).split("||")) <= FORMATS:
            raise unsupported(f"date format [{definition['format']}] of field [{path}]", f"known: {sorted(FORMATS)}")

    @property
    def sortable(self) -> bool:
        """Whether sorts and aggregations may use it."""
        columns = self.definition.get("doc_values", True) not in (False, "false")
        return columns and self.kind not in (Kind.TEXT, Kind.STORED)

    @property
    def searchable(self) -> bool:
        indexed = self.definition.get("index", True) not in (False, "false")
        return self.kind is not Kind.STORED and (indexed or self.sortable)

    @property
    def limits(self) -> tuple[int, int]:
        """The smallest and the largest number of an integer field."""
        return -(1 << _BITS[self.type]), (1 << _BITS[self.type]) - 1

    @property
    def null_value(self) -> Any:
        return self.definition.get("null_value")

    def signature(self) -> tuple[str, str, str]:
        """What decides about the layout inside the index."""
        return self.path, self.kind, self.analyzer.key if self.analyzer else ""

    def _converter(self) -> Callable[[Any], Value | None]:
        match self.kind:
            case Kind.TEXT:
                assert self.analyzer is not None
                return partial(_text, self.analyzer.spaced)
            case Kind.KEYWORD:
                return partial(_keyword, self.normalize, self.definition.get("ignore_above"))
            case Kind.INTEGER:
                coerce = self.definition.get("coerce", True) not in (False, "false")
                return partial(_integer, _BITS[self.type], self.type, coerce)
            case Kind.FLOAT:
                return partial(_float, self.definition.get("scaling_factor"))
            case Kind.BOOLEAN:
                return boolean_of
            case Kind.DATE:
                return to_millis
            case _:
                return _nothing


def text_of(value: Any) -> str:
    """A JSON scalar as the text that a text or keyword field sees."""
    if value is True:
        return "true"
    return "false" if value is False else str(value)


def boolean_of(value: Any) -> int:
    if value is True or value == "true":
        return 1
    if value is False or value in ("false", ""):
        return 0
    raise ValueError(f"Failed to parse value [{value}] as only [true] or [false] are allowed.")


def _text(spaced: Callable[[str], str], value: Any) -> str:
    return spaced(text_of(value))


def _keyword(normalize: Normalize, longest: int | None, value: Any) -> str | None:
    text = value if type(value) is str else text_of(value)
    if longest is not None:
        if len(text) > int(longest):
            return None
    elif len(text) >= SHORT and len(text.encode()) > _KEYWORD_LIMIT:
        raise ValueError(f"immense term: {len(text.encode())} bytes, {_KEYWORD_LIMIT} at most; use ignore_above")
    return normalize(text)


def _integer(bits: int, name: str, coerce: bool, value: Any) -> int:
    if isinstance(value, bool) or (not coerce and not isinstance(value, int)):
        raise ValueError(f'For input string: "{text_of(value)}"')
    try:
        number = value if isinstance(value, int) else int(value)
    except ValueError:
        number = int(_float(None, value))
    if not -(1 << bits) <= number < 1 << bits:
        raise ValueError(f"Value [{value}] is out of range for type {name}")
    return number


def _float(scale: Any, value: Any) -> float:
    if isinstance(value, bool):
        raise ValueError(f'For input string: "{text_of(value)}"')
    try:
        number = float(value)
    except (ValueError, TypeError) as error:
        raise ValueError(f'For input string: "{value}"') from error
    if not math.isfinite(number):
        raise ValueError(f"[float] supports only finite values, but got [{value}]")
    return round(number * float(scale)) / float(scale) if scale else number


def _nothing(value: Any) -> None:
    return None
