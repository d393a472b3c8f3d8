"""``_search``: from a request to hits, over one or several indices."""

from __future__ import annotations

import time
from array import array
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import orjson
import tantivy

from hubkernel.search.aggs import aggregate
from hubkernel.search.dsl import compile_query
from hubkernel.search.engine import Engine
from hubkernel.search.errors import QueryError, illegal, parsing_error, unsupported
from hubkernel.search.index import Index
from hubkernel.search.queries import MUST, Queries, Query
from hubkernel.search.scrolls import Part, Scroll
from hubkernel.search.sorting import (
    DOC,
    SCORE,
    Key,
    KeyReader,
    column,
    column_values,
    comparer,
    converted_after,
    sort_keys,
)
from hubkernel.search.source import Show, shown
from hubkernel.search.table import Row

_KNOWN = frozenset(
    [
        "query",
        "from",
        "size",
        "sort",
        "aggs",
        "aggregations",
        "_source",
        "post_filter",
        "track_total_hits",
        "version",
        "seq_no_primary_term",
        "search_after",
        "min_score",
        "timeout",
        "track_scores",
        "fields",
        "stored_fields",
        "terminate_after",
        "ext",
        "stats",
    ]
)
_REFUSED = frozenset(
    [
        "highlight",
        "collapse",
        "rescore",
        "suggest",
        "script_fields",
        "runtime_mappings",
        "docvalue_fields",
        "indices_boost",
        "knn",
        "slice",
        "pit",
        "profile",
        "rank",
        "retriever",
        "explain",
    ]
)


@dataclass(slots=True)
class Hit:
    """One found row. ``keys``: its sort values, if they were needed."""

    part: int
    seq: int
    score: float
    keys: list[Any] | None = None


@dataclass
class Request:
    """A checked request."""

    body: dict[str, Any]
    params: Mapping[str, str]
    start: int
    size: int
    sort: list[Key]
    show: Show | None
    scroll: str | None
    min_score: float | None

    @property
    def by_score(self) -> bool:
        return not self.sort or any(key.field == SCORE for key in self.sort)


@dataclass
class Target:
    """One index in a search, at one point in time."""

    index: Index
    queries: Queries
    matching: Query
    """For hits; with the post filter."""
    aggregated: Query


def request(limit: int, body: dict[str, Any] | None, params: Mapping[str, str]) -> Request:
    """400 for a key that is not known or not supported, or for a page too deep."""
    body = dict(body or {})
    for key in body:
        if key in _REFUSED and body[key]:
            raise unsupported(f"[{key}] in a search")
        if key not in _KNOWN | _REFUSED:
            raise parsing_error(f"unknown key [{key}] in the search body")
    if "q" in params:
        body["query"] = {"query_string": _uri_query(params)}
    start = _number(body, params, "from", 0)
    size = _number(body, params, "size", 10)
    scroll = params.get("scroll")
    sort = sort_keys(body.get("sort", params.get("sort")))
    if scroll and start:
        raise illegal("using [from] is not allowed in a scroll context")
    if "search_after" in body and (not sort or start):
        raise illegal("[search_after] needs a [sort] and cannot be used with [from]")
    if start + size > limit:
        reason = f"Result window is too large, from + size must be less than or equal to: [{limit}]"
        raise QueryError("illegal_argument_exception", f"{reason} but was [{start + size}]; scroll or use search_after")
    min_score = body.get("min_score")
    return Request(body, params, start, size, sort, shown(body.get("_source"), params), scroll, min_score)


def _number(body: dict[str, Any], params: Mapping[str, str], name: str, default: int) -> int:
    given = params.get(name, body.get(name, default))
    try:
        number = int(given)
    except (TypeError, ValueError) as error:
        raise parsing_error(f"[{name}] must be a number, not [{given}]") from error
    if number < 0:
        raise illegal(f"[{name}] parameter cannot be negative, found [{number}]")
    return number


def _uri_query(params: Mapping[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {"query": params["q"]}
    for param, key in (("default_operator", "default_operator"), ("df", "default_field"), ("lenient", "lenient")):
        if param in params:
            body[key] = params[param]
    return body


def search(engine: Engine, expression: str | None, body: Any, params: Mapping[str, str]) -> dict[str, Any]:
    """The answer of ``_search``."""
    started = time.monotonic()
    indices = engine.resolve(expression, ignore_missing=params.get("ignore_unavailable") == "true")
    limit = min((int(index.settings.get("max_result_window", 10_000)) for index in indices), default=10_000)
    asked = request(limit, body, params)
    answer = _answer(engine, expression, indices, asked)
    return {"took": int((time.monotonic() - started) * 1000), **answer}


def count(engine: Engine, expression: str | None, body: Any, params: Mapping[str, str]) -> dict[str, Any]:
    """The answer of ``_count``."""
    body = {**(body or {}), "size": 0}
    if unknown := set(body) - {"query", "size"}:
        raise parsing_error(f"request does not support {sorted(unknown)}")
    answer = search(engine, expression, body, params)
    return {"count": answer["hits"]["total"]["value"], "_shards": answer["_shards"]}


def _answer(engine: Engine, expression: str | None, indices: list[Index], asked: Request) -> dict[str, Any]:
    with ExitStack() as pins:
        targets = [_target(engine, expression, index, asked, pins) for index in indices]
        if asked.scroll:
            answer = _begin_scroll(engine, targets, asked)
            pins.pop_all()  # the scroll unpins
            return answer
        return _one_page(targets, asked)


def _one_page(targets: list[Target], asked: Request) -> dict[str, Any]:
    total, hits = _find(targets, asked, asked.start + asked.size)
    page = hits[asked.start : asked.start + asked.size]
    answer = _shell(len(targets), asked, total, _shown_hits(targets, asked, page))
    if specs := asked.body.get("aggs", asked.body.get("aggregations")):
        if len(targets) > 1:
            raise unsupported("aggregations over several indices")
        answer["aggregations"] = aggregate(targets[0].queries, targets[0].aggregated, specs) if targets else {}
    return answer


def _target(engine: Engine, expression: str | None, index: Index, asked: Request, pins: ExitStack) -> Target:
    view = index.pin()
    pins.callback(index.unpin, view)
    queries = Queries(view)
    filters = [compile_query(queries, each) for each in engine.alias_filters(index, expression)]
    query = compile_query(queries, asked.body.get("query"))
    if filters:
        query = queries.boolean([(MUST, query), (MUST, queries.constant(queries.any_of(filters), 0.0))])
    matching = query
    if asked.body.get("post_filter"):
        after = queries.constant(compile_query(queries, asked.body["post_filter"]), 0.0)
        matching = queries.boolean([(MUST, query), (MUST, after)])
    return Target(index, queries, matching, query)


# --- finding


def _find(targets: list[Target], asked: Request, wanted: int) -> tuple[int, list[Hit]]:
    """``(total, hits)``: at least the best ``wanted`` ones, in order."""
    total = 0
    hits: list[Hit] = []
    for part, target in enumerate(targets):
        found, some = _find_in(part, target, asked, wanted, alone=len(targets) == 1)
        total += found
        hits += some
    after = asked.body.get("search_after")
    if asked.sort and (len(targets) > 1 or len(asked.sort) > 1 or after or (hits and hits[0].keys is not None)):
        order = comparer(asked.sort)
        hits.sort(key=lambda hit: order(hit.keys))
        if after and targets:
            border = order(converted_after(targets[0].queries, asked.sort, after))
            hits = [hit for hit in hits if order(hit.keys) > border]
    elif len(targets) > 1:
        hits.sort(key=lambda hit: -hit.score)
    if asked.min_score is not None:
        return total, [hit for hit in hits if hit.score >= asked.min_score]
    return total, hits


def _find_in(part: int, target: Target, asked: Request, wanted: int, *, alone: bool) -> tuple[int, list[Hit]]:
    searcher = target.queries.view.searcher
    keys = asked.sort
    direct = _direct(target, keys) if alone and "search_after" not in asked.body else None
    if not keys or (keys == [Key(SCORE, descending=True)] and alone):
        result = searcher.search(target.matching, max(1, wanted))
    elif direct is not None:
        result = _sorted_search(searcher, target.matching, max(1, wanted), direct, keys[0])
    else:
        result = searcher.search(target.matching, max(1, searcher.num_docs))
    scores, addresses = [score for score, _ in result.hits], [address for _, address in result.hits]
    seqs = searcher.fast_field_values("_seq", addresses) if addresses else []
    hits = [Hit(part, seq, score) for seq, score in zip(seqs, scores, strict=True)]
    if (keys and direct is None and keys != [Key(SCORE, descending=True)]) or (keys and not alone):
        _read_keys(target, keys, hits)
    return result.count, hits


def _direct(target: Target, keys: list[Key]) -> str | None:
    """The column that alone gives the order, if the search files can sort by it."""
    if len(keys) != 1 or keys[0].missing_first or keys[0].field == SCORE:
        return None
    if keys[0].field == DOC:
        return "_seq"
    field = column(target.queries, keys[0])
    # the first value of a document counts there, and values are in ascending order: right for the smallest one only
    upward = keys[0].mode != "max" and (not keys[0].descending or keys[0].mode == "min")
    if field is None or not (upward or _single_valued(target, field.path)):
        return None
    return field.path


def _single_valued(target: Target, path: str) -> bool:
    """Whether no document has two values: as many values as documents."""
    searcher, queries = target.queries.view.searcher, target.queries
    values = searcher.aggregate(queries.everything(), {"n": {"value_count": {"field": path}}})["n"]["value"]
    return bool(int(values) == searcher.search(queries.exists(path), 1).count)


def _sorted_search(searcher: Any, query: Query, wanted: int, path: str, key: Key) -> Any:
    order = tantivy.Order.Desc if key.descending else tantivy.Order.Asc
    result = searcher.search(query, wanted, order_by_field=path, order=order)
    return result


def _read_keys(target: Target, keys: list[Key], hits: list[Hit]) -> None:
    reader = KeyReader(target.queries, keys)
    rows = target.index.table.rows([hit.seq for hit in hits]) if reader.needs_source else {}
    for hit in hits:
        row = rows.get(hit.seq)
        hit.keys = reader.read(hit.seq, hit.score, row.source if row is not None else None)


# --- showing


def _shell(shards: int, asked: Request, total: int, hits: list[dict[str, Any]]) -> dict[str, Any]:
    scores = [hit["_score"] for hit in hits if hit["_score"] is not None]
    block: dict[str, Any] = {"total": {"value": total, "relation": "eq"}, "max_score": max(scores, default=None)}
    if asked.params.get("rest_total_hits_as_int") == "true":
        block["total"] = total
    if asked.params.get("track_total_hits", asked.body.get("track_total_hits")) in (False, "false"):
        del block["total"]
    block["hits"] = hits
    counts = {"total": shards, "successful": shards, "skipped": 0, "failed": 0}
    return {"timed_out": False, "_shards": counts, "hits": block}


def _shown_hits(targets: list[Target], asked: Request, page: list[Hit]) -> list[dict[str, Any]]:
    seqs = [[hit.seq for hit in page if hit.part == part] for part in range(len(targets))]
    rows = [target.index.table.rows(some) for target, some in zip(targets, seqs, strict=True)]
    readers = [KeyReader(target.queries, asked.sort) for target in targets]
    return [_shown_hit(targets[hit.part], asked, hit, rows[hit.part][hit.seq], readers[hit.part]) for hit in page]


def _shown_hit(target: Target, asked: Request, hit: Hit, row: Row, reader: KeyReader) -> dict[str, Any]:
    made: dict[str, Any] = {"_index": target.index.name, "_id": row.id, "_score": hit.score if asked.by_score else None}
    if _flag(asked, "version"):
        made["_version"] = row.version
    if _flag(asked, "seq_no_primary_term"):
        made["_seq_no"], made["_primary_term"] = row.seq - 1, 1
    if asked.show is not None:
        made["_source"] = asked.show(orjson.loads(row.source))
    if asked.body.get("fields"):
        made["fields"] = _fields(target, asked.body["fields"], row)
    if asked.sort:
        made["sort"] = hit.keys if hit.keys is not None else reader.read(hit.seq, hit.score, row.source)
    return made


def _flag(asked: Request, name: str) -> bool:
    return asked.params.get(name, asked.body.get(name)) in (True, "true")


def _fields(target: Target, wanted: Any, row: Row) -> dict[str, list[Any]]:
    document = orjson.loads(row.source)
    found: dict[str, list[Any]] = {}
    for each in wanted if isinstance(wanted, list) else [wanted]:
        pattern = each["field"] if isinstance(each, dict) else each
        for path in target.queries.mapping.expand(pattern):
            field = target.queries.mapping.resolve(path)
            if field is not None and (values := column_values(field, document)):
                found[path] = values
    return found


# --- scrolling


def _begin_scroll(engine: Engine, targets: list[Target], asked: Request) -> dict[str, Any]:
    if not asked.size:
        raise illegal("[size] cannot be [0] in a scroll context")
    if asked.body.get("aggs", asked.body.get("aggregations")):
        raise unsupported("aggregations in a scroll")
    everything = max((target.queries.view.searcher.num_docs for target in targets), default=0)
    total, hits = _find(targets, asked, everything)
    scroll = _made_scroll(targets, asked, total, hits)
    first = _shell(len(targets), asked, total, _shown_hits(targets, asked, hits[: asked.size]))
    assert asked.scroll is not None
    engine.scrolls.add(scroll, asked.scroll)
    return {"_scroll_id": scroll.id, **first}


def _made_scroll(targets: list[Target], asked: Request, total: int, hits: list[Hit]) -> Scroll:
    return Scroll(
        asked=asked,
        total=total,
        parts=[Part(target.index, target.queries.view, target) for target in targets],
        order=array("H", (hit.part for hit in hits)),
        seqs=array("q", (hit.seq for hit in hits)),
        scores=array("d", (hit.score if isinstance(hit.score, float) else 0.0 for hit in hits)),
        at=asked.size,
    )


def next_page(engine: Engine, id: str, keep_alive: str | None) -> dict[str, Any]:
    """The answer of ``_search/scroll``. 404 if the scroll is unknown or expired."""
    started = time.monotonic()
    scroll = engine.scrolls.get(id, keep_alive)
    asked: Request = scroll.asked
    targets: list[Target] = [part.target for part in scroll.parts]
    with scroll.lock:
        some = range(scroll.at, min(scroll.at + asked.size, len(scroll.seqs)))
        page = [Hit(scroll.order[i], scroll.seqs[i], scroll.scores[i]) for i in some]
        hits = _shown_hits(targets, asked, page)
        scroll.at += len(page)
    took = int((time.monotonic() - started) * 1000)
    return {"_scroll_id": scroll.id, "took": took, **_shell(len(targets), asked, scroll.total, hits)}
