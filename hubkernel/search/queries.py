"""Queries on one field, on one view of an index: every question that is asked of tantivy is put together here.

``lenient``: a value that does not fit the type of the field matches nothing instead of being an error.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable
from typing import Any

import tantivy

from hubkernel.search.errors import QueryError, illegal, unsupported
from hubkernel.search.fields import Field, Kind, Value
from hubkernel.search.index import View
from hubkernel.search.settings import default_fields

Query = Any
Parts = Iterable[tuple[bool, str]]

MUST, SHOULD, MUST_NOT = tantivy.Occur.Must, tantivy.Occur.Should, tantivy.Occur.MustNot
_EVERY_DOCUMENT = ("_id", "_index", "_source", "_seq_no", "_version")
_NUMERIC = {
    Kind.INTEGER: tantivy.FieldType.Integer,
    Kind.BOOLEAN: tantivy.FieldType.Integer,
    Kind.DATE: tantivy.FieldType.Integer,
    Kind.FLOAT: tantivy.FieldType.Float,
}
_SPECIAL = re.compile(r"[\\.+*?()|\[\]{}^$#&\-~]")


class Queries:
    """Makes tantivy queries for ``view``."""

    def __init__(self, view: View) -> None:
        self.view = view
        self.mapping = view.mapping
        self._schema = view.schema

    # --- composition

    @staticmethod
    def everything() -> Query:
        return tantivy.Query.all_query()

    @staticmethod
    def nothing() -> Query:
        return tantivy.Query.empty_query()

    @staticmethod
    def constant(query: Query, score: float = 1.0) -> Query:
        return tantivy.Query.const_score_query(query, score)

    @staticmethod
    def boosted(query: Query, factor: float) -> Query:
        return query if factor == 1.0 else tantivy.Query.boost_query(query, factor)

    @staticmethod
    def boolean(clauses: list[tuple[Any, Query]], at_least: int | None = None) -> Query:
        """Purely negative clauses exclude from everything, as in Elasticsearch (not so in tantivy)."""
        if not clauses:
            return tantivy.Query.all_query()
        if all(occur == MUST_NOT for occur, _ in clauses):
            clauses = [*clauses, (MUST, tantivy.Query.const_score_query(tantivy.Query.all_query(), 0.0))]
        if at_least is None:
            return tantivy.Query.boolean_query(clauses)
        return tantivy.Query.boolean_query(clauses, at_least)

    def any_of(self, queries: list[Query]) -> Query:
        return self._joined(queries, SHOULD)

    def all_of(self, queries: list[Query]) -> Query:
        return self._joined(queries, MUST)

    def _joined(self, queries: list[Query], occur: Any) -> Query:
        if not queries:
            return self.nothing()
        return queries[0] if len(queries) == 1 else tantivy.Query.boolean_query([(occur, query) for query in queries])

    def best_of(self, queries: list[Query], tie_breaker: float = 0.0) -> Query:
        if not queries:
            return self.nothing()
        return queries[0] if len(queries) == 1 else tantivy.Query.disjunction_max_query(queries, tie_breaker)

    # --- fields

    def field(self, path: str) -> Field | None:
        """None if it is not mapped; 400 if it is mapped but cannot be searched."""
        field = self.mapping.resolve(path)
        if field is None or field.searchable:
            return field
        if field.kind is Kind.STORED:
            raise unsupported(f"queries on field [{path}] of type [{field.type}] (or inside of a nested object)")
        raise QueryError("query_shard_exception", f"Cannot search on field [{path}] since it is not indexed.")

    def columns(self, path: str, purpose: str) -> Field | None:
        """The field for a sort or an aggregation; None if it is not mapped, 400 if it has no column."""
        field = self.mapping.resolve(path)
        if field is None or field.sortable:
            return field
        if field.kind is Kind.TEXT:
            reason = (
                f"Fielddata is disabled on [{path}] in [{self.view.name}]. Text fields are not optimised for {purpose}"
            )
        else:
            reason = f"field [{path}] of type [{field.type}] has no doc values for {purpose}"
        raise QueryError("illegal_argument_exception", reason)

    def default_fields(self) -> list[str]:
        return default_fields(self.view.settings)

    def weighted(self, names: Iterable[str]) -> list[tuple[str, float]]:
        """``["name^2", "xref.*"]`` as fields with factors."""
        found: list[tuple[str, float]] = []
        for name in names:
            pattern, _, factor = name.partition("^")
            try:
                weight = float(factor) if factor else 1.0
            except ValueError as error:
                raise illegal(f"[{name}]: {factor} is no boost") from error
            found += [(path, weight) for path in self.mapping.expand(pattern)]
        return found

    def converted(self, field: Field, value: Any) -> Value | None:
        """The value as the index holds it; 400 if it does not fit."""
        try:
            return field.convert(value)
        except (ValueError, OverflowError) as error:
            raise QueryError(
                "query_shard_exception", f"failed to create query on field [{field.path}]: {error}"
            ) from error

    # --- terms

    def term(self, path: str, value: Any, *, lenient: bool = False) -> Query:
        if path == "_id":
            return self.constant(tantivy.Query.term_query(self._schema, "_id", str(value)))
        if path == "_index":
            return self.everything() if value == self.view.name else self.nothing()
        field = self.field(path)
        if field is None:
            return self.nothing()
        if field.kind is Kind.DATE:
            return self.range(path, value, value, lenient=lenient)
        try:
            made = str(value) if field.kind is Kind.TEXT else self.converted(field, value)
        except QueryError:
            if lenient:
                return self.nothing()
            raise
        if made is None:
            return self.nothing()
        query = tantivy.Query.term_query(self._schema, field.path, made)
        return self.constant(query) if field.kind in (Kind.INTEGER, Kind.FLOAT) else query

    def ids(self, values: list[Any]) -> Query:
        texts = [str(value) for value in values]
        return self.constant(tantivy.Query.term_set_query(self._schema, "_id", texts)) if texts else self.nothing()

    def terms(self, path: str, values: list[Any]) -> Query:
        if path == "_id":
            return self.ids(values)
        field = self.field(path)
        if field is None or not values:
            return self.nothing()
        if field.kind in (Kind.DATE, Kind.FLOAT):
            return self.constant(self.any_of([self.term(path, value) for value in values]))
        made = [str(v) if field.kind is Kind.TEXT else self.converted(field, v) for v in values]
        known = [value for value in made if value is not None]
        return self.constant(tantivy.Query.term_set_query(self._schema, field.path, known))

    def exists(self, pattern: str) -> Query:
        if pattern in _EVERY_DOCUMENT:
            return self.everything()
        paths = [field.path if (field := self.mapping.resolve(p)) else p for p in self.mapping.expand_any(pattern)]
        if not paths:
            return self.nothing()
        return self.constant(tantivy.Query.term_set_query(self._schema, "_field_names", paths))

    # --- text

    def match(
        self, path: str, value: Any, *, operator: str = "or", at_least: Any = None, lenient: bool = False
    ) -> Query | None:
        """Analyzed text; an exact term on other fields. None: the text has no words."""
        field = self._text_field(path)
        if field is None or field.search_analyzer is None:
            return self.term(path, value, lenient=lenient)
        words = field.search_analyzer.terms(str(value))
        if not words:
            return None
        queries = [tantivy.Query.term_query(self._schema, field.path, word) for word in words]
        if len(queries) == 1:
            return queries[0]
        if operator.lower() == "and":
            return self.all_of(queries)
        needed = required(at_least, len(queries)) if at_least is not None else None
        return self.boolean([(SHOULD, query) for query in queries], needed)

    def phrase(
        self, path: str, value: Any, slop: int = 0, *, prefix: bool = False, lenient: bool = False
    ) -> Query | None:
        """Words in order, ``slop`` moves apart; with ``prefix`` the last one is only its beginning."""
        field = self._text_field(path)
        if field is None or field.search_analyzer is None:
            return self.pattern(path, _beginning(str(value))) if prefix else self.term(path, value, lenient=lenient)
        words = field.search_analyzer.terms(str(value))
        if not words:
            return None
        if len(words) == 1:
            return self.pattern(path, _beginning(words[0])) if prefix else self._word(field, words[0])
        if prefix:
            return tantivy.Query.phrase_prefix_query(self._schema, field.path, words)
        return tantivy.Query.phrase_query(self._schema, field.path, words, slop)

    def _text_field(self, path: str) -> Field | None:
        if path in ("_id", "_index"):
            return None
        field = self.field(path)
        return field if field is not None and field.kind is Kind.TEXT else None

    def _word(self, field: Field, word: str) -> Query:
        return tantivy.Query.term_query(self._schema, field.path, word)

    # --- patterns

    def pattern(self, path: str, parts: Parts, *, lenient: bool = False, ignore_case: bool = False) -> Query:
        """Wildcards: ``*`` any characters, ``?`` one."""
        parts = tuple(parts)
        field = self._strings(path, "wildcard", lenient)
        if field is None:
            return self.nothing()
        literal = normalize_of(field)
        regex = "".join((".*" if c == "*" else ".") if wild else re.escape(literal(c)) for wild, c in parts)
        return self._regex(field, ("(?is)" if ignore_case else "(?s)") + regex)

    def regexp(self, path: str, regex: str, *, lenient: bool = False, ignore_case: bool = False) -> Query:
        field = self._strings(path, "regexp", lenient)
        if field is None:
            return self.nothing()
        return self._regex(field, ("(?i)" if ignore_case else "") + regex)

    def _regex(self, field: Field, regex: str) -> Query:
        try:
            return self.constant(tantivy.Query.regex_query(self._schema, field.path, regex))
        except ValueError as error:
            raise QueryError("query_shard_exception", f"bad regular expression [{regex}]: {error}") from error

    def fuzzy(self, path: str, text: str, distance: Any = "AUTO", *, prefix: int = 0, lenient: bool = False) -> Query:
        field = self._strings(path, "fuzzy", lenient)
        if field is None:
            return self.nothing()
        if prefix:
            raise unsupported("prefix_length in a fuzzy query")
        text = normalize_of(field)(text)
        return tantivy.Query.fuzzy_term_query(self._schema, field.path, text, distance=edits(distance, text))

    def _strings(self, path: str, kind: str, lenient: bool) -> Field | None:
        field = None if path == "_id" else self.field(path)
        if path != "_id" and (field is None or field.kind in (Kind.TEXT, Kind.KEYWORD)):
            return field
        if lenient:
            return None
        type_ = field.type if field is not None else "_id"
        reason = f"Can only use {kind} queries on keyword and text fields - not on [{path}] which is of type [{type_}]"
        raise QueryError("query_shard_exception", reason)

    # --- ranges

    def range(
        self, path: str, low: Any, high: Any, *,
        include_low: bool = True, include_high: bool = True, lenient: bool = False,
    ) -> Query:  # fmt: skip
        """None is an open end."""
        field = self.field(path)
        if field is None:
            return self.nothing()
        try:
            if field.kind in (Kind.TEXT, Kind.KEYWORD):
                return self._string_range(field, low, high, include_low, include_high)
            return self._number_range(field, low, high, include_low, include_high)
        except (ValueError, OverflowError) as error:
            if lenient:
                return self.nothing()
            reason = f"failed to create query on field [{path}]: {error}"
            raise QueryError("query_shard_exception", reason) from error

    def _string_range(self, field: Field, low: Any, high: Any, include_low: bool, include_high: bool) -> Query:
        """Tantivy has no ranges of strings: take the terms in between."""
        normal = normalize_of(field)
        bottom, top = (normal(str(end)) if end is not None else None for end in (low, high))
        prefix = _common_prefix(bottom, top) if bottom is not None and top is not None else ""
        between = [
            term
            for term, _ in self.view.searcher.terms_with_prefix(field.path, prefix)
            if (bottom is None or term > bottom or (include_low and term == bottom))
            and (top is None or term < top or (include_high and term == top))
        ]
        if not between:
            return self.nothing()
        return self.constant(tantivy.Query.term_set_query(self._schema, field.path, between))

    def _number_range(self, field: Field, low: Any, high: Any, include_low: bool, include_high: bool) -> Query:
        bottom, include_low = _bound(field, low, include_low, upper=False)
        top, include_high = _bound(field, high, include_high, upper=True)
        query = tantivy.Query.range_query(
            self._schema, field.path, _NUMERIC[field.kind], bottom, top, include_low, include_high
        )
        return self.constant(query)


def _bound(field: Field, value: Any, include: bool, *, upper: bool) -> tuple[Value | None, bool]:
    # an open end must count as included: tantivy refuses anything else
    if value is None:
        return None, True
    if field.kind is Kind.DATE:
        from hubkernel.search.dates import to_millis

        return to_millis(value, round_up=include if upper else not include), include
    if field.kind is Kind.INTEGER and not isinstance(value, bool):
        number = float(value) if not re.fullmatch(r"-?\d+", str(value)) else None
        if number is not None and not number.is_integer():
            return (math.floor(number) if upper else math.ceil(number)), True
        return int(value) if number is None else int(number), include
    return field.convert(value), include


def _common_prefix(low: str, high: str) -> str:
    for length, (a, b) in enumerate(zip(low, high, strict=False)):
        if a != b:
            return low[:length]
    return min(low, high, key=len)


def normalize_of(field: Field) -> Any:
    """How literal characters of a pattern or the ends of a range are prepared."""
    return field.search_analyzer.normalize if field.search_analyzer is not None else field.normalize


def _beginning(text: str) -> list[tuple[bool, str]]:
    return [*((False, character) for character in text), (True, "*")]


def edits(fuzziness: Any, text: str) -> int:
    """``AUTO`` is 0, 1 or 2 by the length of the term."""
    if str(fuzziness).upper() == "AUTO":
        return 0 if len(text) < 3 else 1 if len(text) < 6 else 2
    try:
        return min(int(fuzziness), 2)
    except ValueError as error:
        raise unsupported(f"fuzziness [{fuzziness}]", "use AUTO, 0, 1 or 2") from error


def required(at_least: Any, clauses: int) -> int:
    """``minimum_should_match``: a number or a percentage, negative ones count what may be missing."""
    text = str(at_least).strip()
    match = re.fullmatch(r"(-?\d+)(%?)", text)
    if match is None:
        raise unsupported(f"minimum_should_match [{at_least}]", "use a number or a percentage")
    number = int(match[1])
    if match[2]:
        share = abs(number) * clauses // 100
        number = share if number >= 0 else -share
        return max(0, number if text[0] != "-" else clauses + number)
    return max(0, number if number >= 0 else clauses + number)
