"""The query DSL, clause by clause; and what is refused."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import BadRequestError

from tests.search.conftest import Bench

KINASES = ["1017", "1018", "12566"]

CASES: dict[str, tuple[dict[str, Any], list[str]]] = {
    "match_none": ({"match_none": {}}, []),
    "term": ({"term": {"symbol": "TP53"}}, ["7157"]),
    "term, long form": ({"term": {"symbol": {"value": "TP53", "boost": 2}}}, ["7157"]),
    "term on a text is not analyzed": ({"term": {"name": "Tumor"}}, []),
    "term on a number as text": ({"term": {"taxid": "10090"}}, ["12566"]),
    "terms": ({"terms": {"symbol": ["tp53", "CDK3"]}}, ["1018", "7157"]),
    "terms of numbers": ({"terms": {"taxid": [10090, 1]}}, ["12566", "empty"]),
    "terms of ids": ({"terms": {"_id": ["1017", "zz"]}}, ["1017"]),
    "terms of dates": ({"terms": {"date": ["2022-06-01"]}}, ["7157"]),
    "terms of floats": ({"terms": {"score": [1.5, 9.5]}}, ["1017", "7157"]),
    "ids": ({"ids": {"values": ["1017", "zz"]}}, ["1017"]),
    "exists": ({"exists": {"field": "go.BP"}}, ["1017", "1018"]),
    "prefix": ({"prefix": {"symbol": "cdk"}}, KINASES),
    "wildcard": ({"wildcard": {"symbol": {"value": "*k2"}}}, ["1017", "12566"]),
    "wildcard, escaped": ({"wildcard": {"symbol": {"value": "cdk\\*"}}}, []),
    "regexp": ({"regexp": {"symbol": "cdk[3-9]"}}, ["1018"]),
    "fuzzy": ({"fuzzy": {"symbol": {"value": "tp54", "fuzziness": 1}}}, ["7157"]),
    "range": ({"range": {"taxid": {"gte": 10000}}}, ["12566"]),
    "range, both ends": ({"range": {"score": {"gt": 1.5, "lt": 9.5}}}, ["1018", "12566"]),
    "range of dates": ({"range": {"date": {"gte": "2024-01-01", "lt": "2024-02-01"}}}, ["1017"]),
    "match, any word": ({"match": {"name": "tumor kinase"}}, [*KINASES, "7157"]),
    "match, every word": ({"match": {"name": {"query": "cyclin 3", "operator": "and"}}}, ["1018"]),
    "match, most words": (
        {"match": {"name": {"query": "cyclin dependent 3", "minimum_should_match": 3}}}, ["1018"],
    ),
    "match, a share of the words": (
        {"match": {"name": {"query": "cyclin dependent three", "minimum_should_match": "67%"}}}, KINASES,
    ),
    "match on a keyword": ({"match": {"symbol": "CDK3"}}, ["1018"]),
    "match, fuzzy": ({"match": {"name": {"query": "tumer", "fuzziness": "AUTO"}}}, ["7157"]),
    "match without words": ({"match": {"name": "()"}}, []),
    "match_phrase": ({"match_phrase": {"name": "dependent kinase 3"}}, ["1018"]),
    "match_phrase_prefix": ({"match_phrase_prefix": {"name": "tumor prot"}}, ["7157"]),
    "multi_match of ids": (
        {"multi_match": {"query": "1017", "fields": ["_id", "taxid", "symbol"], "operator": "AND", "lenient": True}},
        ["1017"],
    ),
    "multi_match of symbols": (
        {"multi_match": {"query": "CDK2", "fields": ["_id", "taxid", "symbol"], "operator": "AND", "lenient": True}},
        ["1017", "12566"],
    ),
    "multi_match, wildcard": ({"multi_match": {"query": "1771", "fields": ["xref.*"]}}, ["1017"]),
    "multi_match, phrase": (
        {"multi_match": {"query": "protein p53", "fields": ["name", "symbol"], "type": "phrase"}}, ["7157"],
    ),
    "constant_score": ({"constant_score": {"filter": {"term": {"symbol": "tp53"}}}}, ["7157"]),
    "dis_max": (
        {"dis_max": {"queries": [{"term": {"symbol": "tp53"}}, {"term": {"taxid": 10090}}]}}, ["12566", "7157"],
    ),
    "bool": (
        {"bool": {
            "must": [{"match": {"name": "kinase"}}],
            "filter": [{"term": {"taxid": 9606}}],
            "must_not": [{"term": {"symbol": "CDK3"}}],
        }},
        ["1017"],
    ),
    "bool, some of several": (
        {"bool": {
            "should": [{"term": {"taxid": 9606}}, {"match": {"name": "kinase"}}, {"term": {"genomic_pos.strand": 1}}],
            "minimum_should_match": 2,
        }},
        ["1017", "1018"],
    ),
    "bool, should beside must is optional": (
        {"bool": {"must": {"term": {"taxid": 10090}}, "should": {"term": {"symbol": "tp53"}}}}, ["12566"],
    ),
    "bool, only must_not": (
        {"bool": {"must_not": [{"term": {"taxid": 9606}}]}}, ["12566", "empty"],
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_finds(bench: Bench, case: str) -> None:
    query, expected = CASES[case]
    assert bench.found(query) == sorted(expected)


REFUSED: dict[str, dict[str, Any]] = {
    "unknown clause": {"nope": {}},
    "two clauses": {"term": {"taxid": 1}, "match_all": {}},
    "unknown parameter of bool": {"bool": {"mustt": [{"match_all": {}}]}},
    "unknown parameter of match": {"match": {"name": {"query": "x", "oprator": "and"}}},
    "unknown parameter of query_string": {"query_string": {"query": "x", "fieldz": ["a"]}},
    "text for a number": {"term": {"taxid": "abc"}},
    "wildcard on a number": {"wildcard": {"taxid": "9*"}},
    "range without a field": {"range": {}},
    "bad regular expression": {"regexp": {"symbol": "["}},
}


@pytest.mark.parametrize("case", REFUSED)
def test_refuses(bench: Bench, case: str) -> None:
    with pytest.raises(BadRequestError):
        bench.found(REFUSED[case])


@pytest.mark.since((7, 10), "case_insensitive is younger")
@pytest.mark.parametrize(
    "query",
    [
        {"term": {"nodv": {"value": "X1", "case_insensitive": True}}},
        {"wildcard": {"nodv": {"value": "X*", "case_insensitive": True}}},
        {"prefix": {"nodv": {"value": "X", "case_insensitive": True}}},
        {"regexp": {"nodv": {"value": "X.", "case_insensitive": True}}},
    ],
)
def test_case_insensitive(bench: Bench, query: dict[str, Any]) -> None:
    assert bench.found(query) == ["1017"]


def test_filters_do_not_score(bench: Bench) -> None:
    query = {"bool": {"filter": [{"term": {"symbol": "tp53"}}]}}
    assert bench.es.search(index=bench.genes, query=query)["hits"]["hits"][0]["_score"] == 0.0
    scored = {"constant_score": {"filter": {"term": {"symbol": "tp53"}}, "boost": 3}}
    assert bench.es.search(index=bench.genes, query=scored)["hits"]["hits"][0]["_score"] == 3.0


EMBEDDED_REFUSES: dict[str, dict[str, Any]] = {
    "nested": {"query": {"nested": {"path": "go", "query": {"match_all": {}}}}},
    "script": {"query": {"script": {"script": "true"}}},
    "function_score": {"query": {"function_score": {"random_score": {}}}},
    "more_like_this": {"query": {"more_like_this": {"like": "x"}}},
    "highlight": {"highlight": {"fields": {"name": {}}}},
    "collapse": {"collapse": {"field": "taxid"}},
    "suggest": {"suggest": {"x": {"text": "a", "term": {"field": "name"}}}},
    "script_fields": {"script_fields": {"x": {"script": "1"}}},
    "date_histogram": {"aggs": {"x": {"date_histogram": {"field": "date", "calendar_interval": "year"}}}},
    "terms lookup": {"query": {"terms": {"symbol": {"index": "x", "id": "1", "path": "y"}}}},
}


@pytest.mark.parametrize("engine", ["embedded"], indirect=True)
@pytest.mark.parametrize("case", EMBEDDED_REFUSES)
def test_what_the_embedded_engine_cannot_do_is_refused_and_says_so(engine: Bench, case: str) -> None:
    with pytest.raises(BadRequestError, match="unsupported_operation_exception") as caught:
        engine.es.search(index=engine.genes, **EMBEDDED_REFUSES[case])
    assert "the embedded engine does not support" in str(caught.value.body)
