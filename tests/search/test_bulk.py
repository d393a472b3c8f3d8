"""What makes indexing fast changes nothing: columns of values, text set apart by spaces, fields that appear late."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkernel.search.analysis import Analysis
from hubkernel.search.columns import columns
from hubkernel.search.fields import SHORT, Field
from hubkernel.search.files import SearchFiles
from hubkernel.search.flatten import Flattener

Open = Callable[..., Elasticsearch]
ANALYSIS = Analysis(
    {
        "analyzer": {
            "blanks": {"tokenizer": "whitespace", "filter": ["lowercase"]},
            "folded": {"tokenizer": "standard", "filter": ["lowercase", "asciifolding"]},
            "whole": {"tokenizer": "keyword", "filter": "lowercase"},
        }
    }
)
TEXTS = st.one_of(
    st.text(st.sampled_from("aB9_ .,:'-/\t\n\x0b\x0c\r\x1c\x00(é’·ßİ́٣")),
    st.text(),
    st.sampled_from(["GO:0006260", "3.14 e.g. 1,000 a.b:c's", "_1.2_", "a'b.c:d", "1:2 a:b", "x" * 300]),
)


@pytest.mark.parametrize("name", ["standard", "simple", "whitespace", "keyword", "blanks", "folded", "whole"])
@settings(max_examples=300, deadline=None)
@given(text=TEXTS)
def test_spaced_text_has_the_terms_that_queries_look_for(name: str, text: str) -> None:
    analyzer = ANALYSIS.analyzer(name)
    assert analyzer.indexing.analyze(analyzer.spaced(text)) == analyzer.engine.analyze(text)


DEFINITIONS: list[dict[str, Any]] = [
    {"type": "text"},
    {"type": "keyword"},
    {"type": "keyword", "ignore_above": 4},
    {"type": "keyword", "normalizer": "lowercase"},
    {"type": "byte"},
    {"type": "long"},
    {"type": "double"},
    {"type": "scaled_float", "scaling_factor": 10},
    {"type": "boolean"},
    {"type": "date"},
    {"type": "binary"},
]
COLUMNS = st.one_of(
    *(
        st.lists(values, min_size=1, max_size=5)
        for values in (
            st.text(max_size=6) | st.sampled_from(["x" * SHORT, "é" * (4 * SHORT), "2024-01-02", "7", "true"]),
            st.integers(-(1 << 70), 1 << 70) | st.integers(-130, 130),
            st.floats(),
            st.booleans(),
        )
    )
)


@pytest.mark.parametrize("definition", DEFINITIONS, ids=str)
@settings(max_examples=200, deadline=None)
@given(values=COLUMNS)
def test_a_column_gives_what_its_values_give_one_by_one(definition: dict[str, Any], values: list[Any]) -> None:
    field = Field("f", definition, ANALYSIS)
    column = columns(field).get(type(values[0]))
    made = column(list(values)) if column is not None else None
    if made is not None:
        single = [value for value in map(field.convert, values) if value is not None]
        assert [(type(value), value) for value in made] == [(type(value), value) for value in single]


def documents(count: int) -> list[dict[str, Any]]:
    return [{"_index": "a", "_id": str(n), "n": n, "t": f"word{n}", f"f{n % 7}": n} for n in range(count)]


def found(es: Elasticsearch, **query: Any) -> int:
    return int(es.count(index="a", query=query)["count"])


def test_fields_that_appear_in_the_first_documents_cost_no_second_reading(
    embedded: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []
    original = Flattener.read

    def counted(self: Flattener, source: Any, id: str) -> Any:
        read.append(id)
        return original(self, source, id)

    monkeypatch.setattr(Flattener, "read", counted)
    monkeypatch.setattr("hubkernel.search.index._SPILL_BYTES", 500)
    es = embedded()
    es.indices.create(index="a")
    helpers.bulk(es, documents(300), chunk_size=50, refresh=True)
    assert len(read) <= 300 + 9, "only a document that brings a new field is read twice"
    assert (found(es, match_all={}), found(es, term={"f6": 13}), found(es, match={"t": "word299"})) == (300, 1, 1)


def test_new_fields_in_files_that_nobody_has_seen_survive_the_end_of_the_process(
    embedded: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hubkernel.search.index._SPILL_BYTES", 500)
    monkeypatch.setattr("hubkernel.search.index._GROWING_BYTES", 500)
    es = embedded()
    es.indices.create(index="a")
    helpers.bulk(es, documents(100), chunk_size=50)
    assert found(es, match_all={}) == 0
    es.close()
    again = embedded()
    assert (found(again, match_all={}), found(again, term={"f6": 13})) == (100, 1)


def test_files_that_could_not_be_made_again_are_made_at_the_next_refresh(
    embedded: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    es = embedded()
    helpers.bulk(es, documents(20), refresh=True)
    helpers.bulk(es, [{"_index": "a", "_id": "new", "other": "field"}])
    with monkeypatch.context() as broken:
        broken.setattr(SearchFiles, "commit", lambda self: 1 / 0)
        with pytest.raises(Exception, match="ZeroDivisionError"):
            es.indices.refresh(index="a")
    assert found(es, match_all={}) == 20
    es.indices.refresh(index="a")
    assert (found(es, match_all={}), found(es, term={"other": "field"})) == (21, 1)
