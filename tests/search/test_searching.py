"""Pages, order, scrolls, what of a document is shown, aggregations."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import BadRequestError, NotFoundError, helpers

from tests.search.conftest import Bench
from tests.search.samples import DOCUMENTS


def order(bench: Bench, sort: Any, **options: Any) -> list[str]:
    answer = bench.es.search(index=bench.genes, sort=sort, size=100, **options)
    return [hit["_id"] for hit in answer["hits"]["hits"]]


def test_shape_of_an_answer(bench: Bench) -> None:
    answer = bench.es.search(index=bench.genes)
    assert answer["hits"]["total"] == {"value": 6, "relation": "eq"}
    assert answer["timed_out"] is False
    assert answer["_shards"]["failed"] == 0
    hit = answer["hits"]["hits"][0]
    assert hit["_index"] == bench.genes
    assert hit["_score"] == 1.0 == answer["hits"]["max_score"]
    assert hit["_source"] == DOCUMENTS[hit["_id"]]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ([{"score": "desc"}], ["7157", "12566", "1018", "1017", "AK123:x/y z", "empty"]),
        ([{"score": "asc"}], ["AK123:x/y z", "1017", "1018", "12566", "7157", "empty"]),
        ([{"score": {"order": "asc", "missing": "_first"}}], ["empty", "AK123:x/y z", "1017", "1018", "12566", "7157"]),
        ([{"symbol": "asc"}, {"taxid": "desc"}], ["12566", "1017", "1018", "AK123:x/y z", "7157", "empty"]),
        (["symbol", {"taxid": "asc"}], ["1017", "12566", "1018", "AK123:x/y z", "7157", "empty"]),
        ("taxid:desc,score:asc", ["12566", "AK123:x/y z", "1017", "1018", "7157", "empty"]),
        ([{"date": "asc"}], ["7157", "12566", "1017", "1018"]),
        ([{"pseudo": "desc"}], ["AK123:x/y z"]),
        ([{"name.raw": "desc"}], ["7157", "AK123:x/y z", "1018"]),
    ],
)
def test_sort(bench: Bench, sort: Any, first: list[str]) -> None:
    assert order(bench, sort)[: len(first)] == first


def test_sort_takes_the_smallest_or_largest_of_several_values(bench: Bench) -> None:
    exists = {"exists": {"field": "genomic_pos.start"}}
    assert order(bench, [{"genomic_pos.start": "asc"}], query=exists) == ["1018", "7157", "1017", "12566"]
    assert order(bench, [{"genomic_pos.start": "desc"}], query=exists) == ["12566", "1018", "1017", "7157"]
    smallest = [{"genomic_pos.start": {"order": "desc", "mode": "min"}}]
    assert order(bench, smallest, query=exists) == ["12566", "1017", "7157", "1018"]


def test_sort_values_are_given(bench: Bench) -> None:
    hits = bench.es.search(index=bench.genes, sort=[{"score": "desc"}, {"symbol": "asc"}], size=1)["hits"]["hits"]
    assert hits[0]["sort"] == [9.5, "tp53"]
    assert hits[0]["_score"] is None
    dates = bench.es.search(index=bench.genes, sort=[{"date": "asc"}], size=1)["hits"]["hits"]
    assert dates[0]["sort"] == [1654041600000]


@pytest.mark.parametrize("sort", [[{"name": "asc"}], [{"nosuch": "asc"}], [{"score": "up"}], [{"nodv": "asc"}]])
def test_sorts_that_cannot_be(bench: Bench, sort: Any) -> None:
    with pytest.raises(BadRequestError):
        order(bench, sort)


def test_sort_by_an_unmapped_field_that_may_be(bench: Bench) -> None:
    assert len(order(bench, [{"nosuch": {"order": "asc", "unmapped_type": "long"}}])) == 6


def test_sort_by_score_or_as_written(bench: Bench) -> None:
    kinase = {"match": {"name": "kinase"}}
    assert sorted(order(bench, ["_score"], query=kinase)) == ["1017", "1018", "12566"]
    assert order(bench, ["_doc"]) == list(DOCUMENTS)


def test_pages(bench: Bench) -> None:
    pages = [
        [hit["_id"] for hit in bench.es.search(index=bench.genes, sort="score:asc", from_=at, size=4)["hits"]["hits"]]
        for at in (0, 4, 8)
    ]
    assert pages == [["AK123:x/y z", "1017", "1018", "12566"], ["7157", "empty"], []]


def test_a_page_too_deep_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequestError):
        bench.es.search(index=bench.genes, from_=9_999, size=10)


def test_no_hits_but_a_total(bench: Bench) -> None:
    answer = bench.es.search(index=bench.genes, size=0)
    assert (answer["hits"]["hits"], answer["hits"]["total"]["value"]) == ([], 6)
    assert bench.es.search(index=bench.genes, size=0, rest_total_hits_as_int=True)["hits"]["total"] == 6
    assert "total" not in bench.es.search(index=bench.genes, size=0, track_total_hits=False)["hits"]


def test_search_after(bench: Bench) -> None:
    sort = [{"taxid": "desc"}, {"score": "asc"}]
    first = bench.es.search(index=bench.genes, sort=sort, size=2)["hits"]["hits"]
    rest = bench.es.search(index=bench.genes, sort=sort, size=10, search_after=first[-1]["sort"])["hits"]["hits"]
    assert [hit["_id"] for hit in first] == ["12566", "AK123:x/y z"]
    assert [hit["_id"] for hit in rest] == ["1017", "1018", "7157", "empty"]


def test_search_after_one_key(bench: Bench) -> None:
    first = bench.es.search(index=bench.genes, sort="score:desc", size=3)["hits"]["hits"]
    rest = bench.es.search(index=bench.genes, sort="score:desc", size=9, search_after=first[-1]["sort"])["hits"]["hits"]
    assert [hit["_id"] for hit in rest] == ["1017", "AK123:x/y z", "empty"]


def test_min_score(bench: Bench) -> None:
    query = {"bool": {"should": [{"constant_score": {"filter": {"term": {"symbol": "tp53"}}, "boost": 5}},
                                 {"term": {"taxid": 9606}}]}}  # fmt: skip
    assert bench.found(query, min_score=4) == ["7157"]


# --- scroll


def test_scroll(bench: Bench) -> None:
    answer = bench.es.search(index=bench.genes, scroll="1m", size=4, sort="score:asc")
    ids = [hit["_id"] for hit in answer["hits"]["hits"]]
    answer = bench.es.scroll(scroll_id=answer["_scroll_id"], scroll="1m")
    ids += [hit["_id"] for hit in answer["hits"]["hits"]]
    assert ids == ["AK123:x/y z", "1017", "1018", "12566", "7157", "empty"]
    assert answer["hits"]["total"]["value"] == 6
    assert bench.es.scroll(scroll_id=answer["_scroll_id"], scroll="1m")["hits"]["hits"] == []
    assert bench.es.clear_scroll(scroll_id=answer["_scroll_id"])["num_freed"] == 1
    with pytest.raises(NotFoundError):
        bench.es.scroll(scroll_id=answer["_scroll_id"], scroll="1m")


def test_scan_gives_every_document_once(bench: Bench) -> None:
    index = bench.index()
    helpers.bulk(bench.es, ({"_index": index, "_id": str(i), "n": i} for i in range(2_500)), refresh=True)
    ids = [hit["_id"] for hit in helpers.scan(bench.es, index=index, size=700)]
    assert (len(ids), len(set(ids))) == (2_500, 2_500)
    some = [
        hit["_source"]["n"] for hit in helpers.scan(bench.es, index=index, query={"query": {"range": {"n": {"lt": 5}}}})
    ]
    assert sorted(some) == [0, 1, 2, 3, 4]


def test_a_scroll_sees_the_time_of_its_beginning(bench: Bench) -> None:
    index = bench.copy()
    answer = bench.es.search(index=index, scroll="1m", size=3)
    helpers.bulk(bench.es, [{"_op_type": "delete", "_index": index, "_id": id} for id in DOCUMENTS], refresh=True)
    assert bench.es.count(index=index)["count"] == 0
    rest = bench.es.scroll(scroll_id=answer["_scroll_id"], scroll="1m")
    assert len(answer["hits"]["hits"]) + len(rest["hits"]["hits"]) == 6
    bench.es.clear_scroll(scroll_id=rest["_scroll_id"])


# --- _source


@pytest.mark.parametrize(
    ("source", "shown"),
    [
        (["symbol"], {"symbol": "CDK2"}),
        (["xref.*", "nosuch"], {"xref": {"hgnc": "1771", "omim": "116953"}}),
        (["xref"], {"xref": {"hgnc": "1771", "omim": "116953"}}),
        (["go.BP.id"], {"go": {"BP": [{"id": "GO:0000082"}, {"id": "GO:0006260"}]}}),
        (["*.hgnc"], {"xref": {"hgnc": "1771"}}),
        (
            {"includes": ["go.BP.*", "symbol"], "excludes": ["*.term", "go.BP.evidence"]},
            {"symbol": "CDK2", "go": {"BP": [{"id": "GO:0000082"}, {"id": "GO:0006260"}]}},
        ),
    ],
)
def test_source(bench: Bench, source: Any, shown: dict[str, Any]) -> None:
    ids = {"ids": {"values": ["1017"]}}
    assert bench.es.search(index=bench.genes, query=ids, source=source)["hits"]["hits"][0]["_source"] == shown


def test_no_source(bench: Bench) -> None:
    assert "_source" not in bench.es.search(index=bench.genes, source=False)["hits"]["hits"][0]


def test_excludes_alone(bench: Bench) -> None:
    ids = {"ids": {"values": ["7157"]}}
    hit = bench.es.search(index=bench.genes, query=ids, source={"excludes": ["xref", "genomic_pos.s*"]})["hits"][
        "hits"
    ][0]
    expected = {key: value for key, value in DOCUMENTS["7157"].items() if key not in ("xref", "genomic_pos")}
    assert hit["_source"] == {**expected, "genomic_pos": {"chr": "17", "end": 7687550}}


def test_version_and_sequence(bench: Bench) -> None:
    hit = bench.es.search(index=bench.genes, version=True, seq_no_primary_term=True)["hits"]["hits"][0]
    assert (hit["_version"], hit["_primary_term"]) == (1, 1)
    assert hit["_seq_no"] >= 0


@pytest.mark.since((7, 10), "fields of a search is younger")
def test_fields(bench: Bench) -> None:
    ids = {"ids": {"values": ["7157"]}}
    hit = bench.es.search(index=bench.genes, query=ids, fields=["xref.omim", "taxid"], source=False)["hits"]["hits"][0]
    assert hit["fields"] == {"xref.omim": ["191170", "151623"], "taxid": [9606]}


# --- several at once


def test_msearch(bench: Bench) -> None:
    searches: list[dict[str, Any]] = [
        {}, {"query": {"term": {"symbol": "tp53"}}}, {}, {"query": {"query_string": {"query": "symbol:(cdk2"}}},
        {"index": "nosuch"}, {},
    ]  # fmt: skip
    answers = bench.es.msearch(index=bench.genes, searches=searches)["responses"]
    assert [hit["_id"] for hit in answers[0]["hits"]["hits"]] == ["7157"]
    assert [answer["status"] for answer in answers] == [200, 400, 404]


def test_several_indices(bench: Bench) -> None:
    other = bench.index({"x": {"symbol": "TP53"}}, mappings={"properties": {"symbol": {"type": "keyword"}}})
    index = f"{bench.genes},{other}"
    assert bench.es.count(index=index)["count"] == 7
    assert bench.found({"prefix": {"symbol": "TP"}}, index) == ["7157", "x"]
    hits = bench.es.search(index=index, sort=[{"symbol": "asc"}], size=2)["hits"]["hits"]
    assert (hits[0]["_id"], hits[0]["_index"]) == ("x", other)


def test_no_such_index(bench: Bench) -> None:
    with pytest.raises(NotFoundError, match="index_not_found_exception"):
        bench.es.search(index="nosuch")
    assert bench.es.search(index="nosuch", ignore_unavailable=True)["hits"]["hits"] == []
    assert bench.es.search(index="nosuch*")["hits"]["hits"] == []


def test_unknown_keys_are_refused(bench: Bench) -> None:
    with pytest.raises(BadRequestError):
        bench.es.search(index=bench.genes, body={"quer": {}})
    with pytest.raises(BadRequestError):
        bench.es.perform_request("GET", f"/{bench.genes}/_search?sise=3", headers={"accept": "application/json"})


# --- aggregations


def aggregated(bench: Bench, aggs: dict[str, Any], **options: Any) -> Any:
    return bench.es.search(index=bench.genes, size=0, aggs=aggs, **options)["aggregations"]


def pairs(aggregation: Any) -> list[tuple[Any, int]]:
    return [(bucket["key"], bucket["doc_count"]) for bucket in aggregation["buckets"]]


def test_terms(bench: Bench) -> None:
    found = aggregated(bench, {"t": {"terms": {"field": "taxid", "size": 1}}})["t"]
    assert found == {
        "doc_count_error_upper_bound": 0, "sum_other_doc_count": 2, "buckets": [{"key": 9606, "doc_count": 4}],
    }  # fmt: skip


def test_terms_of_keywords(bench: Bench) -> None:
    aggs = {"s": {"terms": {"field": "symbol"}}, "c": {"terms": {"field": "genomic_pos.chr"}}}
    found = aggregated(bench, aggs)
    assert pairs(found["s"]) == [("cdk2", 2), ("cdk3", 1), ("pseudo1", 1), ("tp53", 1)]
    assert pairs(found["c"]) == [("17", 2), ("10", 1), ("12", 1), ("HG", 1)]


def test_terms_in_order_of_keys(bench: Bench) -> None:
    found = aggregated(bench, {"s": {"terms": {"field": "symbol", "order": {"_key": "desc"}, "size": 2}}})["s"]
    assert pairs(found) == [("tp53", 1), ("pseudo1", 1)]


def test_terms_of_booleans_and_dates(bench: Bench) -> None:
    found = aggregated(bench, {"p": {"terms": {"field": "pseudo"}}, "d": {"terms": {"field": "date"}}})
    assert found["p"]["buckets"][0] == {"key": 0, "key_as_string": "false", "doc_count": 4}
    assert found["d"]["buckets"][0] == {
        "key": 1654041600000, "key_as_string": "2022-06-01T00:00:00.000Z", "doc_count": 1,
    }  # fmt: skip


def test_terms_inside_of_terms(bench: Bench) -> None:
    aggs = {
        "t": {
            "terms": {"field": "taxid"},
            "aggs": {"s": {"terms": {"field": "symbol"}}, "m": {"max": {"field": "score"}}},
        }
    }
    bucket = aggregated(bench, aggs, query={"exists": {"field": "symbol"}})["t"]["buckets"][0]
    assert (bucket["key"], bucket["m"]["value"]) == (9606, 9.5)
    assert pairs(bucket["s"]) == [("cdk2", 1), ("cdk3", 1), ("pseudo1", 1), ("tp53", 1)]


def test_metrics(bench: Bench) -> None:
    kinds = ("min", "max", "sum", "avg", "value_count", "stats")
    aggs = {kind: {kind: {"field": "score"}} for kind in kinds}
    aggs["cardinality"] = {"cardinality": {"field": "symbol"}}
    found = aggregated(bench, aggs)
    values = {kind: found[kind]["value"] for kind in (*kinds[:5], "cardinality")}
    assert values == {"min": -1.0, "max": 9.5, "sum": 16.0, "avg": 3.2, "value_count": 5, "cardinality": 4}
    assert found["stats"] == {"count": 5, "min": -1.0, "max": 9.5, "avg": 3.2, "sum": 16.0}


def test_metrics_of_dates(bench: Bench) -> None:
    found = aggregated(bench, {"m": {"min": {"field": "date"}}})["m"]
    assert found == {"value": 1654041600000.0, "value_as_string": "2022-06-01T00:00:00.000Z"}


def test_filter_and_missing(bench: Bench) -> None:
    aggs = {
        "f": {"filter": {"term": {"taxid": 9606}}, "aggs": {"c": {"terms": {"field": "genomic_pos.chr", "size": 1}}}},
        "m": {"missing": {"field": "xref.hgnc"}},
    }
    found = aggregated(bench, aggs)
    assert (found["f"]["doc_count"], found["m"]["doc_count"]) == (4, 3)
    assert pairs(found["f"]["c"]) == [("17", 2)]


def test_aggregations_of_what_is_not_there(bench: Bench) -> None:
    found = aggregated(bench, {"t": {"terms": {"field": "nosuch"}}, "a": {"avg": {"field": "nosuch"}}})
    assert (found["t"]["buckets"], found["a"]["value"]) == ([], None)
    empty = aggregated(bench, {"t": {"terms": {"field": "symbol"}}}, query={"match_none": {}})
    assert empty["t"]["buckets"] == []


@pytest.mark.parametrize(
    "agg",
    [
        {"terms": {"field": "name"}},
        {"nope": {"field": "taxid"}},
        {"avg": {"field": "symbol"}},
        {"terms": {"feild": "x"}},
    ],
)
def test_aggregations_that_cannot_be(bench: Bench, agg: dict[str, Any]) -> None:
    with pytest.raises(BadRequestError):
        aggregated(bench, {"x": agg})


def test_a_post_filter_does_not_touch_aggregations(bench: Bench) -> None:
    answer = bench.es.search(
        index=bench.genes,
        query={"query_string": {"query": "taxid:9606"}},
        post_filter={"query_string": {"query": "symbol:tp53"}},
        aggs={"s": {"terms": {"field": "symbol"}}},
    )
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["7157"]
    assert len(answer["aggregations"]["s"]["buckets"]) == 4
