"""``query_string``, the language in which people and BioThings APIs ask."""

from __future__ import annotations

import pytest
from elasticsearch import BadRequestError

from tests.search.conftest import Bench

ALL = ["1017", "1018", "12566", "7157", "AK123:x/y z", "empty"]

CASES = {
    "keyword, normalised": ("symbol:cdk2", ["1017", "12566"]),
    "keyword, normalised in the query": ("symbol:CDK2", ["1017", "12566"]),
    "alias": ("gene:CDK2", ["1017", "12566"]),
    "number": ("taxid:9606", ["1017", "1018", "7157", "AK123:x/y z"]),
    "dotted": ("xref.hgnc:1771", ["1017"]),
    "dotted, in a list": ("xref.omim:151623", ["7157"]),
    "word": ("name:kinase", ["1017", "1018", "12566"]),
    "two clauses": ("name:kinase taxid:9606", ["1017", "1018"]),
    "phrase": ('name:"dependent kinase 3"', ["1018"]),
    "phrase in the wrong order": ('name:"kinase dependent"', []),
    "phrase with slop": ('name:"cyclin kinase"~2', ["1017", "1018", "12566"]),
    "group of a field": ("name:(tumor OR cyclin)", ["1017", "1018", "12566", "7157"]),
    "AND NOT": ("taxid:9606 AND NOT symbol:TP53 AND pseudo:false", ["1017", "1018"]),
    "plus and minus": ("+taxid:9606 -name:kinase", ["7157", "AK123:x/y z"]),
    "exclamation mark": ("taxid:9606 AND !name:kinase", ["7157", "AK123:x/y z"]),
    "symbols for operators": ("(symbol:TP53 || symbol:CDK3) && taxid:9606", ["1018", "7157"]),
    "AND binds its neighbours": ("symbol:TP53 OR name:kinase AND taxid:10090", ["12566"]),
    "only a NOT": ("NOT taxid:9606", ["12566", "empty"]),
    "_exists_": ("_exists_:xref.hgnc", ["1017", "1018", "7157"]),
    "_exists_ of an object": ("_exists_:genomic_pos", ["1017", "1018", "12566", "7157"]),
    "NOT _exists_": ("NOT _exists_:xref AND taxid:9606", ["AK123:x/y z"]),
    "_exists_ of nothing": ("_exists_:unmapped", []),
    "_exists_ of a disabled object": ("_exists_:blob", []),
    "_exists_ of an alias": ("_exists_:gene", ["1017", "1018", "12566", "7157", "AK123:x/y z"]),
    "_exists_ of a null with a value": ("_exists_:unsaid", ["1018"]),
    "a null's value": ("unsaid:none", ["1018"]),
    "wildcard at the end": ("symbol:cdk*", ["1017", "1018", "12566"]),
    "wildcard, normalised": ("symbol:CDK*", ["1017", "1018", "12566"]),
    "wildcard for one character": ("symbol:cdk?", ["1017", "1018", "12566"]),
    "wildcard at the beginning": ("symbol:*53", ["7157"]),
    "wildcard inside": ("symbol:c*2", ["1017", "12566"]),
    "wildcard on words": ("name:kin*", ["1017", "1018", "12566"]),
    "escaped wildcard": ("symbol:cdk\\*", []),
    "field:*": ("xref.omim:*", ["1017", "1018", "7157"]),
    "wildcard in a field name": ("xref.\\*:1771", ["1017"]),
    "range": ("genomic_pos.start:[55000000 TO 56000000]", ["1017"]),
    "range without an end": ("genomic_pos.start:{55966769 TO 76000906]", ["1018"]),
    "open range": ("genomic_pos.start:[100000000 TO *]", ["12566"]),
    "open range, excluded": ("genomic_pos.start:{100000000 TO *}", ["12566"]),
    "at least": ("score:>=3.5", ["12566", "7157"]),
    "more than": ("score:>3.5", ["7157"]),
    "less than": ("score:<0", ["AK123:x/y z"]),
    "range of fractions": ("score:[\\-2 TO 2]", ["1017", "AK123:x/y z"]),
    "fractions around integers": ("taxid:[9605.5 TO 9606.5]", ["1017", "1018", "7157", "AK123:x/y z"]),
    "range of dates": ("date:[2024-01-01 TO 2024-12-31]", ["1017", "1018"]),
    "the end of a day": ("date:[2024-01-15 TO 2024-01-15]", ["1017"]),
    "a date": ("date:2024-01-15", ["1017"]),
    "a date has no range in a day": ("date:2024-02-20", ["1018"]),
    "dates after": ("date:>2024-01-15", ["1018"]),
    "range of keywords": ("symbol:[cdk2 TO cdk3]", ["1017", "1018", "12566"]),
    "range of keywords, excluded": ("symbol:{cdk2 TO *}", ["1018", "7157", "AK123:x/y z"]),
    "big integer": ("bignum:9007199254740993", ["1017"]),
    "big integer, one off": ("bignum:9007199254740992", []),
    "boolean": ("pseudo:true", ["AK123:x/y z"]),
    "negative number": ("genomic_pos.strand:\\-1", ["1018", "12566", "7157"]),
    "objects in lists are flat": ("genomic_pos.chr:HG AND genomic_pos.start:76000906", ["1018"]),
    "escaped colon": ("go.BP.id:GO\\:0006260", ["1017", "1018"]),
    "quoted keyword": ('go.BP.id:"GO:0006260"', ["1017", "1018"]),
    "copied words": ("all:replication", ["1017", "1018"]),
    "copied keyword": ("all:tp53", ["7157"]),
    "_id": ("_id:1017", ["1017"]),
    "_id, quoted": ('_id:"AK123:x/y z"', ["AK123:x/y z"]),
    "several _id": ("_id:(1017 OR 7157)", ["1017", "7157"]),
    "a word anywhere": ("replication", ["1017", "1018"]),
    "an id anywhere": ("1017", ["1017"]),
    "words anywhere": ("cyclin CDK3", ["1018"]),
    "multi-field": ('name.raw:"tumor protein p53"', ["7157"]),
    "whitespace analyzer": ("notes:foo-bar", ["1017"]),
    "whitespace analyzer, part of a word": ("notes:foo", []),
    "analyzer without a tokenizer": ('legacy:"hello world"', ["1017"]),
    "no doc values": ("nodv:x1", ["1017"]),
    "unmapped": ("unmapped.deep:val", []),
    "disabled object": ("blob.a:1", []),
    "fuzzy": ("symbol:cdl2~1", ["1017", "12566"]),
    "regular expression": ("symbol:/cdk[23]/", ["1017", "1018", "12566"]),
    "boost": ("symbol:cdk2^3 OR symbol:tp53", ["1017", "12566", "7157"]),
    "*:*": ("*:*", ALL),
    "*": ("*", ALL),
    "text for a number": ("taxid:abc", []),
    "text for a number or else": ("taxid:abc OR symbol:tp53", ["7157"]),
    "escaped parentheses": ("name:\\(alpha\\)", ["AK123:x/y z"]),
    "escaped slash": ("go.BP.term:G1\\/S", ["1017"]),
    "nested groups": ("((symbol:tp53) OR (symbol:cdk3 AND (taxid:9606)))", ["1018", "7157"]),
    "out of range for the type": ("genomic_pos.strand:4000", []),
}  # fmt: skip


@pytest.mark.parametrize("case", CASES)
def test_finds(bench: Bench, case: str) -> None:
    text, expected = CASES[case]
    assert bench.asked(text) == sorted(expected)


def test_or_is_the_default_operator(bench: Bench) -> None:
    body = {"query": "name:tumor name:kinase"}
    assert bench.found({"query_string": body}) == ["1017", "1018", "12566", "7157"]


def test_fields_and_default_field(bench: Bench) -> None:
    assert bench.asked("replication", fields=["go.BP.term"]) == ["1017", "1018"]
    assert bench.asked("tumor", default_field="name") == ["7157"]
    assert bench.asked("replication", default_field="name") == []


def test_a_clause_without_words_is_left_out(bench: Bench) -> None:
    assert bench.asked('name:tumor name:"()"') == ["7157"]


@pytest.mark.since((8, 0), "the clause was dropped, and everything found that matches the rest")
def test_an_unmapped_field_matches_nothing(bench: Bench) -> None:
    assert bench.asked("symbol:tp53 AND nosuch:1") == []


@pytest.mark.parametrize(
    "text", ["symbol:(cdk2", "symbol:cdk2)", "a AND OR", "AND a", "a AND", 'name:"open', "score:[1 2]", "name:/x", "a:"]
)
def test_a_syntax_error_is_refused_even_if_lenient(bench: Bench, text: str) -> None:
    with pytest.raises(BadRequestError, match="search_phase_execution_exception"):
        bench.asked(text)


def test_a_value_of_the_wrong_type_is_refused(bench: Bench) -> None:
    with pytest.raises(BadRequestError):
        bench.asked("taxid:abc", lenient=False)


def test_uri_search(bench: Bench) -> None:
    answer = bench.es.search(index=bench.genes, q="symbol:cdk2", sort="taxid:desc")
    assert [hit["_id"] for hit in answer["hits"]["hits"]] == ["12566", "1017"]
    assert bench.es.count(index=bench.genes, q="symbol:cdk2")["count"] == 2


def test_validate_query(bench: Bench) -> None:
    check = bench.es.indices.validate_query
    assert check(index=bench.genes, q="symbol:cdk2")["valid"] is True
    assert check(index=bench.genes, query={"query_string": {"query": "a AND ("}})["valid"] is False


def test_everywhere_without_a_default_field(bench: Bench) -> None:
    index = bench.index({"1": {"a": "alpha", "n": 5}, "2": {"b": "alpha beta", "n": 6}})
    assert bench.found({"query_string": {"query": "alpha"}}, index) == ["1", "2"]
    assert bench.found({"query_string": {"query": "beta"}}, index) == ["2"]
    assert bench.found({"query_string": {"query": "6"}}, index) == ["2"]


def test_a_rare_word_scores_higher(bench: Bench) -> None:
    body = {"query": "tumor OR cyclin", "default_field": "name"}
    hits = bench.es.search(index=bench.genes, query={"query_string": body})["hits"]["hits"]
    assert hits[0]["_id"] == "7157"
    assert hits[0]["_score"] > hits[1]["_score"] > 0


def test_boosts_change_the_order(bench: Bench) -> None:
    def first(text: str) -> str:
        hits = bench.es.search(index=bench.genes, query={"query_string": {"query": text}})["hits"]["hits"]
        return str(hits[0]["_id"])

    assert first("symbol:cdk3^20 OR symbol:tp53") == "1018"
    assert first("symbol:cdk3 OR symbol:tp53^20") == "7157"
