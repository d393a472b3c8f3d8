"""Documents: bulk, get, mget, update, delete, conflicts."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import BadRequestError, ConflictError, NotFoundError, helpers

from tests.search.conftest import Bench
from tests.search.samples import DOCUMENTS


def bulk(bench: Bench, actions: list[dict[str, Any]]) -> tuple[int, list[dict[str, Any]]]:
    done, errors = helpers.bulk(bench.es, actions, raise_on_error=False, refresh=True)
    assert isinstance(errors, list)
    return done, errors


def test_bulk(bench: Bench) -> None:
    index = bench.index()
    assert bulk(bench, [{"_index": index, "_id": str(i), "a": i} for i in range(1_200)]) == (1_200, [])
    assert bench.es.count(index=index)["count"] == 1_200


def test_bulk_with_unicode_line_separators(bench: Bench) -> None:
    index = bench.index()
    text = "one\u2028two\x85three\r\nfour"
    assert bulk(bench, [{"_index": index, "_id": "1", "a": text}]) == (1, [])
    assert bench.es.get(index=index, id="1")["_source"] == {"a": text}


def test_create_does_not_overwrite(bench: Bench) -> None:
    index = bench.copy()
    done, errors = bulk(bench, [
        {"_op_type": "create", "_index": index, "_id": "1017", "symbol": "X"},
        {"_op_type": "create", "_index": index, "_id": "new", "symbol": "X"},
    ])  # fmt: skip
    assert done == 1
    assert errors[0]["create"]["status"] == 409
    assert errors[0]["create"]["error"]["type"] == "version_conflict_engine_exception"
    assert bench.es.get(index=index, id="1017")["_source"]["symbol"] == "CDK2"


def test_updates(bench: Bench) -> None:
    index = bench.copy()
    done, errors = bulk(bench, [
        {"_op_type": "update", "_index": index, "_id": "1017", "doc": {"xref": {"new": 1}}},
        {"_op_type": "update", "_index": index, "_id": "missing", "doc": {"a": 1}},
        {"_op_type": "update", "_index": index, "_id": "made", "doc": {"a": 1}, "doc_as_upsert": True},
    ])  # fmt: skip
    assert done == 2
    assert (errors[0]["update"]["status"], errors[0]["update"]["error"]["type"]) == (404, "document_missing_exception")
    assert bench.es.get(index=index, id="1017")["_source"]["xref"] == {"hgnc": "1771", "omim": "116953", "new": 1}
    assert bench.es.get(index=index, id="made")["_source"] == {"a": 1}


def test_an_update_that_changes_nothing(bench: Bench) -> None:
    index = bench.copy()
    assert bench.es.update(index=index, id="7157", doc={"symbol": "TP53"})["result"] == "noop"
    assert bench.es.update(index=index, id="7157", doc={"symbol": "P53"})["result"] == "updated"
    bench.es.indices.refresh(index=index)
    assert bench.found({"term": {"symbol": "p53"}}, index) == ["7157"]
    assert bench.found({"term": {"symbol": "tp53"}}, index) == []


def test_deletes(bench: Bench) -> None:
    index = bench.copy()
    done, errors = bulk(bench, [
        {"_op_type": "delete", "_index": index, "_id": "1017"}, {"_op_type": "delete", "_index": index, "_id": "zz"},
    ])  # fmt: skip
    assert (done, errors[0]["delete"]["result"]) == (1, "not_found")
    assert bench.es.count(index=index)["count"] == 5
    assert bench.found({"term": {"symbol": "cdk2"}}, index) == ["12566"]


def test_a_bad_document_fails_alone(bench: Bench) -> None:
    index = bench.copy()
    done, errors = bulk(bench, [
        {"_index": index, "_id": "b1", "taxid": "notanumber"}, {"_index": index, "_id": "b2", "taxid": "77"},
        {"_index": index, "_id": "b3", "taxid": 1 << 40}, {"_index": index, "_id": "b4", "genomic_pos": "scalar"},
        {"_index": index, "_id": "b5", "symbol": {"an": "object"}}, {"_index": index, "_id": "b6", "pseudo": "maybe"},
        {"_index": index, "_id": "b7", "date": "yesterday"},
    ])  # fmt: skip
    assert done == 1
    assert [error["index"]["_id"] for error in errors] == ["b1", "b3", "b4", "b5", "b6", "b7"]
    assert {error["index"]["status"] for error in errors} == {400}
    assert "taxid" in errors[0]["index"]["error"]["reason"]
    assert bench.found({"term": {"taxid": 77}}, index) == ["b2"]


def test_one_bulk_for_several_indices(bench: Bench) -> None:
    one, two = bench.index(), bench.index()
    actions = [{"_index": index, "_id": id, "a": id} for id in "123" for index in (one, two)]
    assert bulk(bench, actions) == (6, [])
    assert [bench.es.count(index=index)["count"] for index in (one, two)] == [3, 3]


def test_the_last_of_a_bulk_wins(bench: Bench) -> None:
    index = bench.index()
    actions: list[dict[str, Any]] = [{"_index": index, "_id": "1", "a": n} for n in range(5)]
    actions += [{"_op_type": "delete", "_index": index, "_id": "1"}, {"_index": index, "_id": "1", "a": 9}]
    bulk(bench, actions)
    assert bench.es.get(index=index, id="1")["_source"] == {"a": 9}
    assert bench.found({"match_all": {}}, index) == ["1"]
    assert bench.found({"term": {"a": 9}}, index) == ["1"]
    assert bench.found({"range": {"a": {"lt": 9}}}, index) == []


def test_versions(bench: Bench) -> None:
    index = bench.index()
    first = bench.es.index(index=index, id="v", document={"a": 1})
    second = bench.es.index(index=index, id="v", document={"a": 2})
    assert (first["result"], first["_version"]) == ("created", 1)
    assert (second["result"], second["_version"]) == ("updated", 2)
    assert second["_seq_no"] > first["_seq_no"]
    with pytest.raises(ConflictError):
        bench.es.index(index=index, id="v", document={}, if_seq_no=first["_seq_no"], if_primary_term=1)
    with pytest.raises(ConflictError):
        bench.es.create(index=index, id="v", document={})


def test_get(bench: Bench) -> None:
    found = bench.es.get(index=bench.genes, id="1017")
    assert found["_source"] == DOCUMENTS["1017"]
    assert list(found["_source"]) == list(DOCUMENTS["1017"])
    assert found["_source"]["bignum"] == 9007199254740993
    assert bench.es.get(index=bench.genes, id="AK123:x/y z")["_source"]["symbol"] == "PSEUDO1"
    assert bench.es.get_source(index=bench.genes, id="7157")["symbol"] == "TP53"
    assert bench.es.exists(index=bench.genes, id="1017")
    assert not bench.es.exists(index=bench.genes, id="nope")
    for call in (bench.es.get, bench.es.get_source):
        with pytest.raises(NotFoundError):
            call(index=bench.genes, id="nope")


def test_get_a_part(bench: Bench) -> None:
    found = bench.es.get(index=bench.genes, id="1017", source_includes="xref.*,symbol", source_excludes="xref.omim")
    assert found["_source"] == {"symbol": "CDK2", "xref": {"hgnc": "1771"}}


def test_mget(bench: Bench) -> None:
    docs = bench.es.mget(index=bench.genes, ids=["1017", "nope", "7157"])["docs"]
    assert [doc["found"] for doc in docs] == [True, False, True]
    assert docs[2]["_source"]["symbol"] == "TP53"


def test_get_is_up_to_date_and_search_is_not(bench: Bench) -> None:
    index = bench.index(settings={"refresh_interval": "-1"})
    bench.es.index(index=index, id="1", document={"a": 1})
    assert bench.es.count(index=index)["count"] == 0
    assert bench.es.get(index=index, id="1")["found"]
    bench.es.indices.refresh(index=index)
    assert bench.es.count(index=index)["count"] == 1


def test_long_ids(bench: Bench) -> None:
    index = bench.index()
    bench.es.index(index=index, id="x" * 512, document={})
    with pytest.raises(BadRequestError):
        bench.es.index(index=index, id="x" * 513, document={})


def test_ids_and_indices_are_made(bench: Bench) -> None:
    index = bench.name()
    made = bench.es.index(index=index, document={"a": 1}, refresh=True)
    assert bench.es.get(index=index, id=made["_id"])["_source"] == {"a": 1}


def test_malformed_bulk(bench: Bench) -> None:
    index = bench.index()
    for line in ('{"nope": {}}', '{"index": {"colour": 1}}'):
        with pytest.raises(BadRequestError):
            bench.es.bulk(index=index, operations=[line, "{}"])
    assert bench.es.count(index=index)["count"] == 0
