"""Aggregations: tantivy's answers are shaped like Elasticsearch's; here is what it takes to make them the same."""

from __future__ import annotations

from typing import Any

from hubkernel.search.dates import to_text
from hubkernel.search.dsl import compile_query
from hubkernel.search.errors import illegal, parsing_error, unsupported
from hubkernel.search.fields import Field, Kind
from hubkernel.search.queries import MUST, MUST_NOT, Queries, Query

Spec = dict[str, Any]

_METRICS = frozenset(("min", "max", "sum", "avg", "stats", "value_count", "cardinality"))
_NUMBERS_ONLY = frozenset(("min", "max", "sum", "avg", "stats"))
_TERMS_KEYS = frozenset(
    ["field", "size", "order", "min_doc_count", "missing", "shard_size", "show_term_doc_count_error"]
)
_EXACT = 1 << 20
"""Buckets looked at before the best are taken: enough to make counts exact."""
_MAX_BUCKETS = 65_536


def aggregate(queries: Queries, query: Query, specs: Spec) -> dict[str, Any]:
    """The ``aggregations`` of an answer, for the documents that match ``query``."""
    return {name: _one(queries, query, name, spec) for name, spec in specs.items()}


def _one(queries: Queries, query: Query, name: str, spec: Spec) -> dict[str, Any]:
    kind, body, inner = _parts(name, spec)
    if kind == "filter":
        matching = queries.boolean([(MUST, query), (MUST, compile_query(queries, body))])
        return _bucket(queries, matching, inner)
    if kind == "missing":
        without = queries.boolean([(MUST, query), (MUST_NOT, queries.exists(_field_name(name, kind, body)))])
        return _bucket(queries, without, inner)
    translated = _translated(queries, name, spec)
    if translated is None:
        return _empty(kind)
    answer = queries.view.searcher.aggregate(query, {name: translated})[name]
    return _shaped(queries, name, spec, answer)


def _parts(name: str, spec: Spec) -> tuple[str, Spec, Spec]:
    if not isinstance(spec, dict):
        raise parsing_error(f"aggregation [{name}] must be an object")
    inner = spec.get("aggs", spec.get("aggregations")) or {}
    kinds = [key for key in spec if key not in ("aggs", "aggregations", "meta")]
    if len(kinds) != 1:
        raise parsing_error(f"aggregation [{name}] must have exactly one type, found {kinds}")
    kind = kinds[0]
    if kind not in _METRICS | {"terms", "filter", "missing"}:
        raise unsupported(f"[{kind}] aggregations", f"known: {sorted(_METRICS | {'terms', 'filter', 'missing'})}")
    if inner and kind in _METRICS:
        raise parsing_error(f"aggregation [{name}] of type [{kind}] cannot accept sub-aggregations")
    return kind, spec[kind], inner


def _bucket(queries: Queries, query: Query, inner: Spec) -> dict[str, Any]:
    count = queries.view.searcher.search(query, 1).count
    return {"doc_count": count, **aggregate(queries, query, inner)}


def _field_name(name: str, kind: str, body: Spec) -> str:
    if "field" not in body:
        raise unsupported(f"aggregation [{name}] of type [{kind}] without a field")
    return str(body["field"])


def _translated(queries: Queries, name: str, spec: Spec) -> Spec | None:
    """For tantivy; None if the field is not mapped."""
    kind, body, inner = _parts(name, spec)
    if kind in ("filter", "missing"):
        raise unsupported(f"[{kind}] inside of another aggregation ([{name}])")
    field = queries.columns(_field_name(name, kind, body), "aggregations")
    if field is None:
        return None
    if kind in _NUMBERS_ONLY and field.kind is Kind.KEYWORD:
        raise illegal(f"Field [{field.path}] of type [{field.type}] is not supported for aggregation [{kind}]")
    if kind != "terms":
        if unknown := set(body) - {"field", "precision_threshold"}:
            raise unsupported(f"{sorted(unknown)} in aggregation [{name}]")
        return {kind: {"field": field.path}}
    made: Spec = {"terms": _terms(name, body, field)}
    sub = {key: each for key, value in inner.items() if (each := _translated(queries, key, value)) is not None}
    return {**made, "aggs": sub} if sub else made


def _terms(name: str, body: Spec, field: Field) -> Spec:
    if unknown := set(body) - _TERMS_KEYS:
        raise unsupported(f"{sorted(unknown)} in aggregation [{name}]")
    size = int(body.get("size", 10))
    if not 0 < size <= _MAX_BUCKETS:
        raise illegal(f"[size] of aggregation [{name}] must be between 1 and {_MAX_BUCKETS}, it is {size}")
    if int(body.get("min_doc_count", 1)) < 1:
        raise unsupported(f"min_doc_count 0 in aggregation [{name}]")
    made: Spec = {"field": field.path, "size": size, "segment_size": _EXACT, "order": _order(name, body)}
    if "min_doc_count" in body:
        made["min_doc_count"] = int(body["min_doc_count"])
    if "missing" in body:
        made["missing"] = field.convert(body["missing"])
    return made


def _order(name: str, body: Spec) -> dict[str, str]:
    order = body.get("order", {"_count": "desc"})
    if isinstance(order, list):
        order = order[0] if len(order) == 1 else {}
    if not isinstance(order, dict) or len(order) != 1 or next(iter(order)) not in ("_count", "_key"):
        raise unsupported(f"order [{body['order']}] in aggregation [{name}]", "use _count or _key")
    return order


def _empty(kind: str) -> dict[str, Any]:
    if kind == "terms":
        return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": 0, "buckets": []}
    if kind == "stats":
        return {"count": 0, "min": None, "max": None, "avg": None, "sum": 0.0}
    return {"value": 0 if kind in ("value_count", "cardinality", "sum") else None}


def _shaped(queries: Queries, name: str, spec: Spec, answer: dict[str, Any]) -> dict[str, Any]:
    kind, body, inner = _parts(name, spec)
    field = queries.columns(str(body["field"]), "aggregations")
    assert field is not None
    if kind == "terms":
        return _shaped_terms(queries, field, body, inner, answer)
    if kind in ("cardinality", "value_count"):
        return {"value": int(answer["value"])}
    if field.kind is Kind.DATE:
        texts = {f"{key}_as_string": to_text(value) for key, value in answer.items()
                 if key in ("value", "min", "max", "avg") and value is not None}  # fmt: skip
        return {**answer, **texts}
    return answer


def _shaped_terms(queries: Queries, field: Field, body: Spec, inner: Spec, answer: dict[str, Any]) -> dict[str, Any]:
    buckets = [_shaped_bucket(queries, field, inner, bucket) for bucket in answer["buckets"]]
    if next(iter(_order("", body))) == "_count":
        upward = _order("", body)["_count"] == "asc"
        buckets.sort(key=lambda bucket: (bucket["doc_count"] if upward else -bucket["doc_count"], bucket["key"]))
    other = answer.get("sum_other_doc_count", 0)
    return {"doc_count_error_upper_bound": 0, "sum_other_doc_count": other, "buckets": buckets}


def _shaped_bucket(queries: Queries, field: Field, inner: Spec, bucket: dict[str, Any]) -> dict[str, Any]:
    key = bucket["key"]
    shaped: dict[str, Any] = {"key": int(key) if field.kind in (Kind.INTEGER, Kind.BOOLEAN, Kind.DATE) else key}
    if field.kind is Kind.BOOLEAN:
        shaped["key_as_string"] = "true" if key else "false"
    elif field.kind is Kind.DATE:
        shaped["key_as_string"] = to_text(key)
    shaped["doc_count"] = bucket["doc_count"]
    for name, spec in inner.items():
        shaped[name] = _shaped(queries, name, spec, bucket[name]) if name in bucket else _empty(_parts(name, spec)[0])
    return shaped
