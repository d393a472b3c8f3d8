"""Handlers of searches: search, msearch, count, scroll, validate."""

from __future__ import annotations

from typing import Any

import orjson

from hubkernel.search.api_indices import named
from hubkernel.search.dsl import compile_query
from hubkernel.search.errors import ApiError, illegal
from hubkernel.search.queries import Queries
from hubkernel.search.rest import ROUTER, Call
from hubkernel.search.search import count as run_count
from hubkernel.search.search import next_page
from hubkernel.search.search import search as run_search

_WHICH = ("ignore_unavailable", "allow_no_indices", "expand_wildcards", "preference", "ignore_throttled")
_URI = ("q", "df", "default_operator", "lenient", "analyze_wildcard")
_SEARCH = (
    *_WHICH, *_URI, "from", "size", "sort", "_source", "_source_includes", "_source_excludes", "scroll", "version",
    "seq_no_primary_term", "track_total_hits", "rest_total_hits_as_int", "search_type", "request_cache", "typed_keys",
    "allow_partial_search_results", "batched_reduce_size", "ccs_minimize_roundtrips", "track_scores", "stored_fields",
)  # fmt: skip


@ROUTER.add("GET|POST", "(?:/{index})?/_search", *_SEARCH)
def search(call: Call) -> Any:
    return run_search(call.engine, call.index, call.object(), call.params)


@ROUTER.add("GET|POST", "(?:/{index})?/_count", *_WHICH, *_URI, "min_score")
def count(call: Call) -> Any:
    return run_count(call.engine, call.index, call.object(), call.params)


@ROUTER.add(
    "GET|POST", "(?:/{index})?/_msearch", "max_concurrent_searches", "rest_total_hits_as_int", "typed_keys", *_WHICH
)
def msearch(call: Call) -> Any:
    lines = [line for line in call.raw.split(b"\n") if line.strip()]
    if len(lines) % 2:
        raise illegal("a multi search needs pairs of lines: a header and a body")
    pairs = zip(lines[::2], lines[1::2], strict=True)
    return {"took": 0, "responses": [_one(call, header, body) for header, body in pairs]}


def _one(call: Call, header: bytes, body: bytes) -> dict[str, Any]:
    try:
        head, asked = orjson.loads(header), orjson.loads(body)
        index = head.get("index", call.index)
        expression = ",".join(index) if isinstance(index, list) else index
        return {**run_search(call.engine, expression, asked, call.params), "status": 200}
    except orjson.JSONDecodeError as error:
        return ApiError(400, "parse_exception", f"a line is no JSON: {error}").body()
    except ApiError as error:
        return error.body()


@ROUTER.add("GET|POST", "/_search/scroll(?:/{scroll_id})?", "scroll", "scroll_id", "rest_total_hits_as_int")
def scroll(call: Call) -> Any:
    body = call.object("scroll", "scroll_id")
    id = body.get("scroll_id") or call.params.get("scroll_id") or call.path.get("scroll_id")
    if not id:
        raise illegal("scroll_id is missing")
    return next_page(call.engine, id, body.get("scroll") or call.params.get("scroll"))


@ROUTER.add("DELETE", "/_search/scroll(?:/{scroll_id})?", "scroll_id")
def clear_scroll(call: Call) -> Any:
    given = call.object("scroll_id").get("scroll_id") or call.path.get("scroll_id") or call.params.get("scroll_id")
    ids = given.split(",") if isinstance(given, str) else list(given or [])
    if not ids:
        raise illegal("scroll_id is missing")
    freed = call.engine.scrolls.clear_all() if ids == ["_all"] else call.engine.scrolls.clear(ids)
    if not freed:
        call.status = 404
    return {"succeeded": True, "num_freed": freed}


@ROUTER.add("GET|POST", "(?:/{index})?/_validate/query", "explain", *_WHICH, *_URI)
def validate(call: Call) -> Any:
    query = {"query_string": {"query": call.params["q"]}} if "q" in call.params else call.object("query").get("query")
    indices = named(call)
    answer = {"_shards": {"total": len(indices), "successful": len(indices), "failed": 0}, "valid": True}
    try:
        for index in indices:
            compile_query(Queries(index.view), query)
    except ApiError as error:
        return {**answer, "valid": False, "error": str(error)}
    return answer
