"""The query DSL: JSON to a query. A clause or a parameter that is not known is refused, never skipped."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hubkernel.search.errors import parsing_error, unsupported
from hubkernel.search.queries import MUST, MUST_NOT, SHOULD, Queries, Query, required
from hubkernel.search.query_string import query_string

Body = dict[str, Any]
_REFUSED = frozenset(
    [
        "nested",
        "has_child",
        "has_parent",
        "parent_id",
        "script",
        "script_score",
        "percolate",
        "more_like_this",
        "geo_distance",
        "geo_bounding_box",
        "geo_polygon",
        "geo_shape",
        "shape",
        "intervals",
        "span_term",
        "span_near",
        "span_or",
        "span_not",
        "span_first",
        "span_multi",
        "span_containing",
        "span_within",
        "distance_feature",
        "rank_feature",
        "pinned",
        "knn",
        "semantic",
        "sparse_vector",
        "text_expansion",
        "terms_set",
        "rule",
        "combined_fields",
        "match_bool_prefix",
        "wrapper",
        "type",
        "weighted_tokens",
        "simple_query_string",
        "function_score",
        "boosting",
    ]
)
_COMMON = ("boost", "_name")


def compile_query(queries: Queries, query: Any) -> Query:
    """All documents for None. Raises a 400 that names the clause for what is wrong or not supported."""
    if query is None:
        return queries.everything()
    if not isinstance(query, dict):
        raise parsing_error(f"a query must be an object, not {query!r}")
    if len(query) != 1:
        raise parsing_error(f"a query must have exactly one clause, not {sorted(query)}: use [bool] to combine")
    name, body = next(iter(query.items()))
    if name in _REFUSED:
        raise unsupported(f"[{name}] queries")
    handler = _HANDLERS.get(name)
    if handler is None:
        raise parsing_error(f"unknown query [{name}]")
    if not isinstance(body, dict):
        raise parsing_error(f"[{name}] query malformed, no start_object after query name")
    return handler(queries, body)


def _only(body: Body, name: str, *known: str) -> None:
    if unknown := set(body) - set(known) - set(_COMMON):
        raise parsing_error(f"[{name}] query does not support {sorted(unknown)}")


def _one_field(body: Body, name: str, value: str, *known: str) -> tuple[str, Body]:
    """``{"f": 1}`` and ``{"f": {"value": 1, ...}}``; the second with the parameters that are known."""
    fields = {key: each for key, each in body.items() if key not in _COMMON}
    if len(fields) != 1:
        raise parsing_error(f"[{name}] query doesn't support multiple fields or none, found {sorted(fields)}")
    path, inner = next(iter(fields.items()))
    if not isinstance(inner, dict):
        return path, {value: inner, **{key: body[key] for key in _COMMON if key in body}}
    _only(inner, name, value, *known)
    if value not in inner:
        raise parsing_error(f"[{name}] query on [{path}] needs [{value}]")
    return path, inner


def _boosted(queries: Queries, query: Query | None, body: Body) -> Query:
    return queries.nothing() if query is None else queries.boosted(query, float(body.get("boost", 1.0)))


def _match_all(queries: Queries, body: Body) -> Query:
    _only(body, "match_all")
    return queries.constant(queries.everything(), float(body.get("boost", 1.0)))


def _match_none(queries: Queries, body: Body) -> Query:
    _only(body, "match_none")
    return queries.nothing()


def _term(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(body, "term", "value", "case_insensitive")
    if inner.get("case_insensitive"):
        parts = [(False, character) for character in str(inner["value"])]
        return _boosted(queries, queries.pattern(path, parts, ignore_case=True), inner)
    return _boosted(queries, queries.term(path, inner["value"]), inner)


def _terms(queries: Queries, body: Body) -> Query:
    fields = {key: each for key, each in body.items() if key not in _COMMON}
    if len(fields) != 1:
        raise parsing_error(f"[terms] query doesn't support multiple fields or none, found {sorted(fields)}")
    path, values = next(iter(fields.items()))
    if isinstance(values, dict):
        raise unsupported("terms lookup")
    if not isinstance(values, list):
        raise parsing_error(f"[terms] query on [{path}] needs a list")
    return _boosted(queries, queries.terms(path, values), body)


def _ids(queries: Queries, body: Body) -> Query:
    _only(body, "ids", "values")
    values = body.get("values", [])
    return _boosted(queries, queries.ids(values if isinstance(values, list) else [values]), body)


def _exists(queries: Queries, body: Body) -> Query:
    _only(body, "exists", "field")
    if "field" not in body:
        raise parsing_error("[exists] must be provided with a [field]")
    return _boosted(queries, queries.exists(str(body["field"])), body)


def _prefix(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(body, "prefix", "value", "case_insensitive", "rewrite")
    parts = [*((False, character) for character in str(inner["value"])), (True, "*")]
    return _boosted(queries, queries.pattern(path, parts, ignore_case=bool(inner.get("case_insensitive"))), inner)


def _wildcard(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(_renamed(body, "wildcard", "value"), "wildcard", "value", "case_insensitive", "rewrite")
    parts = list(_wildcard_parts(str(inner["value"])))
    return _boosted(queries, queries.pattern(path, parts, ignore_case=bool(inner.get("case_insensitive"))), inner)


def _wildcard_parts(text: str) -> list[tuple[bool, str]]:
    parts: list[tuple[bool, str]] = []
    escaped = False
    for character in text:
        if character == "\\" and not escaped:
            escaped = True
            continue
        parts.append((character in "*?" and not escaped, character))
        escaped = False
    return parts


def _renamed(body: Body, old: str, new: str) -> Body:
    return {
        path: {new if key == old else key: value for key, value in inner.items()} if isinstance(inner, dict) else inner
        for path, inner in body.items()
    }


def _regexp(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(body, "regexp", "value", "case_insensitive", "flags", "max_determinized_states", "rewrite")
    if inner.get("flags", "NONE") not in ("NONE", "ALL", ""):
        raise unsupported(f"regexp flags [{inner['flags']}]")
    ignore_case = bool(inner.get("case_insensitive"))
    return _boosted(queries, queries.regexp(path, str(inner["value"]), ignore_case=ignore_case), inner)


def _fuzzy(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(body, "fuzzy", "value", "fuzziness", "prefix_length", "max_expansions", "transpositions")
    prefix = int(inner.get("prefix_length", 0))
    query = queries.fuzzy(path, str(inner["value"]), inner.get("fuzziness", "AUTO"), prefix=prefix)
    return _boosted(queries, query, inner)


def _range(queries: Queries, body: Body) -> Query:
    fields = {key: each for key, each in body.items() if key not in _COMMON}
    if len(fields) != 1 or not isinstance(next(iter(fields.values())), dict):
        raise parsing_error("[range] query needs exactly one field with gt, gte, lt or lte")
    path, inner = next(iter(fields.items()))
    _only(inner, "range", "gt", "gte", "lt", "lte", "format")
    if "format" in inner:
        raise unsupported("format in a range query", "dates are ISO text or milliseconds")
    low, high = inner.get("gt", inner.get("gte")), inner.get("lt", inner.get("lte"))
    include_low, include_high = inner.get("gt") is None, inner.get("lt") is None
    return _boosted(queries, queries.range(path, low, high, include_low=include_low, include_high=include_high), inner)


def _match(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(
        body, "match", "query", "operator", "minimum_should_match", "lenient", "zero_terms_query", "fuzziness"
    )
    if inner.get("fuzziness") is not None:
        return _boosted(queries, _fuzzy_match(queries, path, inner), inner)
    query = queries.match(
        path, inner["query"], operator=inner.get("operator", "or"),
        at_least=inner.get("minimum_should_match"), lenient=bool(inner.get("lenient")),
    )  # fmt: skip
    if query is None and inner.get("zero_terms_query", "none") == "all":
        return queries.everything()
    return _boosted(queries, query, inner)


def _fuzzy_match(queries: Queries, path: str, inner: Body) -> Query:
    field = queries.field(path)
    analyzer = field.search_analyzer if field is not None else None
    words = analyzer.terms(str(inner["query"])) if analyzer is not None else [str(inner["query"])]
    made = [queries.fuzzy(path, word, inner["fuzziness"]) for word in words]
    return queries.all_of(made) if str(inner.get("operator", "or")).lower() == "and" else queries.any_of(made)


def _match_phrase(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(body, "match_phrase", "query", "slop", "zero_terms_query")
    return _boosted(queries, queries.phrase(path, inner["query"], int(inner.get("slop", 0))), inner)


def _match_phrase_prefix(queries: Queries, body: Body) -> Query:
    path, inner = _one_field(body, "match_phrase_prefix", "query", "max_expansions", "zero_terms_query")
    return _boosted(queries, queries.phrase(path, inner["query"], prefix=True), inner)


def _multi_match(queries: Queries, body: Body) -> Query:
    known = ("query", "fields", "operator", "lenient", "type", "minimum_should_match", "tie_breaker", "slop")
    _only(body, "multi_match", *known)
    kind = body.get("type", "best_fields")
    if kind not in ("best_fields", "most_fields", "phrase"):
        raise unsupported(f"[multi_match] of type [{kind}]", "use best_fields, most_fields or phrase")
    if "query" not in body:
        raise parsing_error("No text specified for multi_match query")
    fields = body.get("fields") or queries.default_fields()
    everywhere = "*" in fields
    made: list[Query] = []
    for path, weight in queries.weighted([fields] if isinstance(fields, str) else fields):
        query = _multi_match_on(queries, path, body, kind, lenient=everywhere or bool(body.get("lenient")))
        if query is not None:
            made.append(queries.boosted(query, weight))
    joined = queries.any_of(made) if kind == "most_fields" else queries.best_of(made, float(body.get("tie_breaker", 0)))
    return _boosted(queries, joined, body)


def _multi_match_on(queries: Queries, path: str, body: Body, kind: str, *, lenient: bool) -> Query | None:
    if kind == "phrase":
        return queries.phrase(path, body["query"], int(body.get("slop", 0)), lenient=lenient)
    return queries.match(
        path, body["query"], operator=body.get("operator", "or"),
        at_least=body.get("minimum_should_match"), lenient=lenient,
    )  # fmt: skip


def _bool(queries: Queries, body: Body) -> Query:
    _only(body, "bool", "must", "filter", "should", "must_not", "minimum_should_match", "adjust_pure_negative")
    must = [(MUST, query) for query in _compiled(queries, body, "must")]
    filters = [(MUST, queries.constant(query, 0.0)) for query in _compiled(queries, body, "filter")]
    must_not = [(MUST_NOT, query) for query in _compiled(queries, body, "must_not")]
    should = [(SHOULD, query) for query in _compiled(queries, body, "should")]
    at_least = body.get("minimum_should_match")
    needed = required(at_least, len(should)) if at_least is not None and should else None
    if needed == 0 and not must and not filters:
        must = [(MUST, queries.constant(queries.everything(), 0.0))]
    if needed is not None and needed > len(should):
        return queries.nothing()
    return _boosted(queries, queries.boolean([*must, *filters, *must_not, *should], needed or None), body)


def _compiled(queries: Queries, body: Body, key: str) -> list[Query]:
    given = body.get(key) or []
    return [compile_query(queries, each) for each in ([given] if isinstance(given, dict) else given)]


def _constant_score(queries: Queries, body: Body) -> Query:
    _only(body, "constant_score", "filter")
    return queries.constant(compile_query(queries, body.get("filter")), float(body.get("boost", 1.0)))


def _dis_max(queries: Queries, body: Body) -> Query:
    _only(body, "dis_max", "queries", "tie_breaker")
    made = [compile_query(queries, each) for each in body.get("queries", [])]
    return _boosted(queries, queries.best_of(made, float(body.get("tie_breaker", 0.0))), body)


_HANDLERS: dict[str, Callable[[Queries, Body], Query]] = {
    "match_all": _match_all,
    "match_none": _match_none,
    "term": _term,
    "terms": _terms,
    "ids": _ids,
    "exists": _exists,
    "prefix": _prefix,
    "wildcard": _wildcard,
    "regexp": _regexp,
    "fuzzy": _fuzzy,
    "range": _range,
    "match": _match,
    "match_phrase": _match_phrase,
    "match_phrase_prefix": _match_phrase_prefix,
    "multi_match": _multi_match,
    "query_string": query_string,
    "bool": _bool,
    "constant_score": _constant_score,
    "dis_max": _dis_max,
}
