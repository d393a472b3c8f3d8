"""Analyzers (text to terms) and normalizers (keyword to keyword), by the names and definitions that settings use.

``standard`` follows the word boundaries of UAX #29 as far as a regular expression can. The tokenizers run in Rust, but
tantivy makes such an expression ready for each value anew, which took half of the time of indexing. So documents reach
the index with their tokens already set apart by spaces, and most text is ASCII in which that needs no tokenizer.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, NamedTuple

import tantivy

from hubkernel.search.errors import illegal, mapping_error, unsupported

_STANDARD = r"\d+(?:[.,]\d+)*\w*|[\p{L}\p{M}_]+(?:['’.:·][\p{L}\p{M}_]+)*\w*(?:['’.]\w+)*|\w+"
_TOKENIZERS = {"standard": _STANDARD, "whitespace": r"\S+", "letter": r"\p{L}+"}


class _Ascii(NamedTuple):
    """What a tokenizer does to ASCII: ``inside`` is what tokens consist of. ``tokens`` is needed for text with one of
    ``. , : '`` in it, where that may belong to a token too.
    """

    inside: str
    tokens: re.Pattern[str] | None = None


_ASCII = {
    "standard": _Ascii(
        r"\w",
        re.compile(r"\d+(?:[.,]\d+)*\w*|[A-Za-z_]+(?:['.:][A-Za-z_]+)*\w*(?:['.]\w+)*|\w+", re.ASCII),
    ),
    "whitespace": _Ascii(r"\S"),
    "letter": _Ascii("[A-Za-z]"),
}
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
    """Turns text into terms: ``engine`` for queries; ``spaced``, then ``indexing`` inside the index, for documents."""

    def __init__(self, name: str, tokenizer: str, filters: tuple[str, ...]) -> None:
        self.name = name
        self.tokenizer = tokenizer
        self.filters = filters

    @cached_property
    def engine(self) -> Any:
        """The tantivy ``TextAnalyzer``."""
        return _with_filters(_tokenizer(self.tokenizer), self.filters)

    @cached_property
    def indexing(self) -> Any:
        """That of the index, for text that is :attr:`spaced`."""
        spaces = tantivy.Tokenizer.whitespace() if self.tokenizer in _TOKENIZERS else tantivy.Tokenizer.raw()
        return _with_filters(spaces, self.filters)

    @cached_property
    def spaced(self) -> Callable[[str], str]:
        """Takes a text, gives its tokens, not yet filtered, with ASCII white space between them."""
        return _spacer(self.tokenizer) if self.tokenizer in _TOKENIZERS else str

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


def _tokenizer(name: str) -> Any:
    pattern = _TOKENIZERS.get(name)
    return tantivy.Tokenizer.regex(pattern) if pattern else tantivy.Tokenizer.raw()


def _spacer(tokenizer: str) -> Callable[[str], str]:
    inside, tokens = _ASCII[tokenizer]
    kept = re.compile(inside, re.ASCII)
    blanks = bytes(code if code > 127 or kept.match(chr(code)) else 32 for code in range(256))
    split = _with_filters(_tokenizer(tokenizer), ()).analyze

    def spaced(text: str) -> str:
        if not text.isascii():
            return " ".join(split(text))
        if text.isalnum() and tokenizer != "letter":
            return text
        if tokens is not None and ("." in text or "," in text or ":" in text or "'" in text):
            return " ".join(tokens.findall(text))
        return text.encode().translate(blanks).decode()  # far quicker than str.translate

    return spaced


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
