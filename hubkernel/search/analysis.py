"""Analyzers (text to terms) and normalizers (keyword to keyword), by the names and definitions that settings use.

The tokenizers run in Rust, the same ones for documents and queries. ``standard`` follows the word boundaries of
UAX #29 as far as a regular expression can.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any

import tantivy

from hubkernel.search.errors import illegal, mapping_error, unsupported

_STANDARD = r"\d+(?:[.,]\d+)*\w*|[\p{L}\p{M}_]+(?:['’.:·][\p{L}\p{M}_]+)*\w*(?:['’.]\w+)*|\w+"
_TOKENIZERS = {"standard": _STANDARD, "whitespace": r"\S+", "letter": r"\p{L}+"}
_BUILT_IN: dict[str, dict[str, Any]] = {
    "standard": {"tokenizer": "standard", "filter": ["lowercase"]},
    "default": {"tokenizer": "standard", "filter": ["lowercase"]},
    "simple": {"tokenizer": "letter", "filter": ["lowercase"]},
    "whitespace": {"tokenizer": "whitespace", "filter": []},
    "keyword": {"tokenizer": "keyword", "filter": []},
}
_FILTERS: dict[str, Callable[[], Any]] = {
    "lowercase": tantivy.Filter.lowercase,
    "asciifolding": tantivy.Filter.ascii_fold,
}

Normalize = Callable[[str], str]


class Analyzer:
    """Turns text into terms, for queries; documents are analyzed by the same object inside the index."""

    def __init__(self, name: str, tokenizer: str, filters: tuple[str, ...]) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.filters = filters

    @cached_property
    def engine(self) -> Any:
        """The tantivy ``TextAnalyzer``."""
        pattern = _TOKENIZERS.get(self.tokenizer)
        tokenizer = tantivy.Tokenizer.regex(pattern) if pattern else tantivy.Tokenizer.raw()
        return _with_filters(tokenizer, self.filters)

    @property
    def key(self) -> str:
        """Names what it does: two analyzers with one key give the same terms."""
        return "+".join((self.tokenizer, *self.filters))

    def terms(self, text: str) -> list[str]:
        return list(self.engine.analyze(text))

    def normalize(self, text: str) -> str:
        """For wildcards and ranges: the filters without the tokenizer."""
        return _normalizer(self.filters)(text)


class Analysis:
    """The analyzers and normalizers of one index: the built-in ones and those of its ``settings.analysis``."""

    def __init__(self, settings: Mapping[str, Any] | None = None) -> None:
        settings = settings or {}
        known = {"analyzer", "normalizer", "tokenizer", "filter", "char_filter"}
        if unknown := set(settings) - known:
            raise illegal(f"unknown analysis setting {sorted(unknown)}; known: {sorted(known)}")
        for part in ("tokenizer", "filter", "char_filter"):
            if settings.get(part):
                raise unsupported(f"a custom {part} ({', '.join(settings[part])})", "use the built-in ones")
        self._analyzers = {**_BUILT_IN, **settings.get("analyzer", {})}
        self._normalizers = {"lowercase": {"filter": ["lowercase"]}, **settings.get("normalizer", {})}
        self._cache: dict[str, Analyzer] = {}
        for name in self._analyzers:
            self.analyzer(name)
        for name in self._normalizers:
            self.normalizer(name, "")

    def analyzer(self, name: str) -> Analyzer:
        """Raises a 400 for a name or a definition that is not known."""
        if name not in self._analyzers:
            raise mapping_error(f"analyzer [{name}] has not been configured in mappings")
        if name not in self._cache:
            self._cache[name] = self._define(name, self._analyzers[name])
        return self._cache[name]

    def _define(self, name: str, definition: Mapping[str, Any]) -> Analyzer:
        kind = definition.get("type", "custom")
        if kind != "custom":
            definition = _BUILT_IN.get(kind) or {"tokenizer": f"of type {kind}"}
        tokenizer = definition.get("tokenizer", "standard")
        if tokenizer not in _TOKENIZERS and tokenizer != "keyword":
            raise unsupported(f"analyzer [{name}] with tokenizer [{tokenizer}]")
        return Analyzer(name, tokenizer, _filters(name, definition))

    def normalizer(self, name: str, field: str) -> Normalize:
        if name not in self._normalizers:
            raise mapping_error(f"normalizer [{name}] not found for field [{field}]")
        return _normalizer(_filters(name, self._normalizers[name]))


def _filters(name: str, definition: Mapping[str, Any]) -> tuple[str, ...]:
    given = definition.get("filter") or []
    filters = (given,) if isinstance(given, str) else tuple(given)
    if definition.get("char_filter"):
        raise unsupported(f"char_filter in [{name}]")
    for each in filters:
        if each not in _FILTERS:
            raise unsupported(f"token filter [{each}] in [{name}]", f"known: {sorted(_FILTERS)}")
    return filters


def _with_filters(tokenizer: Any, filters: tuple[str, ...]) -> Any:
    builder = tantivy.TextAnalyzerBuilder(tokenizer)
    for name in filters:
        builder = builder.filter(_FILTERS[name]())
    return builder.build()


def _normalizer(filters: tuple[str, ...]) -> Normalize:
    if not filters:
        return str
    if filters == ("lowercase",):
        return str.lower
    engine = _with_filters(tantivy.Tokenizer.raw(), filters)

    def normalize(text: str) -> str:
        return "".join(engine.analyze(text))

    return normalize
