"""Indices as a whole: create, mapping, settings, aliases, figures."""

from __future__ import annotations

from typing import Any

import pytest
from elasticsearch import BadRequestError, NotFoundError

from tests.search.conftest import Bench
from tests.search.samples import MAPPINGS


def properties(bench: Bench, index: str) -> Any:
    return bench.es.indices.get_mapping(index=index)[index]["mappings"]["properties"]


def test_info_and_health(bench: Bench) -> None:
    assert bench.es.info()["tagline"] == "You Know, for Search"
    assert bench.es.ping()
    assert bench.es.cluster.health()["status"] in ("green", "yellow")


def test_cat_indices(bench: Bench) -> None:
    (row,) = bench.es.cat.indices(index=bench.genes, format="json", bytes="b")
    assert (row["index"], row["docs.count"], row["status"]) == (bench.genes, "6", "open")
    assert int(row["store.size"]) > 0
    columns = bench.es.cat.indices(index=bench.genes, format="json", h="index,docs.count")
    assert columns.body == [{"index": bench.genes, "docs.count": "6"}]


def test_stats(bench: Bench) -> None:
    stats = bench.es.indices.stats(index=bench.genes)
    assert stats["indices"][bench.genes]["primaries"]["docs"]["count"] == 6
    assert stats["_all"]["primaries"]["store"]["size_in_bytes"] > 0


def test_exists(bench: Bench) -> None:
    assert bench.es.indices.exists(index=bench.genes)
    assert not bench.es.indices.exists(index="nosuch")


def test_create_twice(bench: Bench) -> None:
    with pytest.raises(BadRequestError, match="resource_already_exists_exception"):
        bench.es.indices.create(index=bench.genes)


@pytest.mark.parametrize("name", ["UPPER", "_low", "a b", "a#b", "-x", "a*"])
def test_bad_names(bench: Bench, name: str) -> None:
    with pytest.raises((BadRequestError, NotFoundError)):
        bench.es.indices.create(index=name)
    assert name not in bench.es.indices.get(index="*")


def test_the_mapping_comes_back_as_it_was_given(bench: Bench) -> None:
    mapping = bench.es.indices.get_mapping(index=bench.genes)[bench.genes]["mappings"]
    assert mapping["_meta"] == MAPPINGS["_meta"]
    assert mapping["dynamic"] == "false"
    for name in ("symbol", "name", "genomic_pos", "blob", "notes", "unsaid"):
        assert mapping["properties"][name] == MAPPINGS["properties"][name]


def test_settings_come_back_as_text(bench: Bench) -> None:
    settings = bench.es.indices.get_settings(index=bench.genes)[bench.genes]["settings"]["index"]
    assert settings["number_of_shards"] == "1"
    assert settings["provided_name"] == bench.genes
    assert settings["creation_date"].isdigit()
    assert settings["analysis"]["analyzer"]["whitespace_lowercase"]["tokenizer"] == "whitespace"
    assert set(bench.es.indices.get(index=bench.genes)[bench.genes]) == {"aliases", "mappings", "settings"}


def test_default_field_as_one_string(bench: Bench) -> None:
    settings = {"index": {"query": {"default_field": "a"}}}
    index = bench.index({"1": {"a": "x", "b": "y"}}, settings=settings)
    assert bench.found({"query_string": {"query": "x"}}, index) == ["1"]
    assert bench.found({"query_string": {"query": "y"}}, index) == []


BAD_BODIES: dict[str, dict[str, Any]] = {
    "unknown type": {"mappings": {"properties": {"a": {"type": "nope"}}}},
    "unknown analyzer": {"mappings": {"properties": {"a": {"type": "text", "analyzer": "nope"}}}},
    "unknown normalizer": {"mappings": {"properties": {"a": {"type": "keyword", "normalizer": "nope"}}}},
    "unknown parameter": {"mappings": {"properties": {"a": {"type": "keyword", "colour": "red"}}}},
    "unknown root key": {"mappings": {"propertiez": {}}},
    "property that is no object": {"mappings": {"properties": {"a": "keyword"}}},
    "unknown setting": {"settings": {"index": {"bogus_setting": 1}}},
    "bad codec": {"settings": {"index": {"codec": "meow"}}},
    "bad dynamic": {"mappings": {"dynamic": "perhaps"}},
    "alias to nothing": {"mappings": {"properties": {"a": {"type": "alias", "path": "b"}}}},
}


@pytest.mark.parametrize("case", BAD_BODIES)
def test_bad_bodies_leave_nothing_behind(bench: Bench, case: str) -> None:
    name = bench.name()
    with pytest.raises(BadRequestError):
        bench.es.indices.create(index=name, **BAD_BODIES[case])
    assert not bench.es.indices.exists(index=name)


def test_put_meta_replaces_meta_alone(bench: Bench) -> None:
    index = bench.copy()
    bench.es.indices.put_mapping(index=index, meta={"build_version": "2"})
    mapping = bench.es.indices.get_mapping(index=index)[index]["mappings"]
    assert mapping["_meta"] == {"build_version": "2"}
    assert "symbol" in mapping["properties"]
    assert bench.found({"term": {"symbol": "tp53"}}, index) == ["7157"]


def test_put_mapping_adds_fields(bench: Bench) -> None:
    index = bench.copy()
    bench.es.indices.put_mapping(index=index, properties={"new": {"type": "keyword"}})
    bench.es.index(index=index, id="n", document={"new": "v"}, refresh=True)
    assert bench.found({"term": {"new": "v"}}, index) == ["n"]
    assert bench.found({"term": {"symbol": "tp53"}}, index) == ["7157"]


def test_a_field_keeps_its_type(bench: Bench) -> None:
    index = bench.copy()
    with pytest.raises(BadRequestError, match="illegal_argument_exception"):
        bench.es.indices.put_mapping(index=index, properties={"taxid": {"type": "keyword"}})
    assert properties(bench, index)["taxid"]["type"] == "integer"


def test_put_settings(bench: Bench) -> None:
    index = bench.index()
    bench.es.indices.put_settings(index=index, settings={"index": {"refresh_interval": "-1"}})
    assert bench.es.indices.get_settings(index=index)[index]["settings"]["index"]["refresh_interval"] == "-1"
    with pytest.raises(BadRequestError):
        bench.es.indices.put_settings(index=index, settings={"index": {"number_of_shards": 3}})


# --- dynamic mapping


def test_dynamic_fields(bench: Bench) -> None:
    index = bench.index({"1": {"s": "abc", "i": 3, "f": 1.5, "b": True, "d": "2024-01-02", "o": {"k": "v"}, "n": None}})
    made = properties(bench, index)
    assert made["s"] == {"type": "text", "fields": {"keyword": {"type": "keyword", "ignore_above": 256}}}
    types = {name: made[name]["type"] for name in "ifbd"}
    assert types == {"i": "long", "f": "float", "b": "boolean", "d": "date"}
    assert made["o"]["properties"]["k"]["type"] == "text"
    assert "n" not in made
    assert bench.found({"term": {"o.k.keyword": "v"}}, index) == ["1"]


def test_new_fields_after_a_refresh(bench: Bench) -> None:
    index = bench.index({"1": {"a": "one"}})
    bench.fill(index, {"2": {"b": "two", "a": "again"}})
    assert bench.found({"match": {"b": "two"}}, index) == ["2"]
    assert bench.found({"match": {"a": "one"}}, index) == ["1"]


def test_dotted_names_are_objects(bench: Bench) -> None:
    index = bench.index({"1": {"a.b": 1}, "2": {"a": {"b": 2}}})
    assert properties(bench, index)["a"]["properties"]["b"]["type"] == "long"
    assert bench.found({"range": {"a.b": {"gte": 1}}}, index) == ["1", "2"]


def test_dynamic_templates(bench: Bench) -> None:
    template = {"match_mapping_type": "string", "mapping": {"type": "keyword", "copy_to": "all"}}
    mappings = {"dynamic_templates": [{"strings": template}], "properties": {"all": {"type": "text"}}}
    index = bench.index({"1": {"x": {"y": "Hello There"}, "n": 1}}, mappings=mappings)
    assert properties(bench, index)["x"]["properties"]["y"]["type"] == "keyword"
    assert properties(bench, index)["n"]["type"] == "long"
    assert bench.found({"match": {"all": "hello"}}, index) == ["1"]


def test_dynamic_templates_by_name(bench: Bench) -> None:
    templates = [
        {"ids": {"match": "*_id", "mapping": {"type": "keyword"}}},
        {"raw": {"path_match": "raw.*", "mapping": {"type": "{dynamic_type}", "index": True}}},
    ]
    index = bench.index({"1": {"a_id": 5, "raw": {"x": 7}}}, mappings={"dynamic_templates": templates})
    assert properties(bench, index)["a_id"]["type"] == "keyword"
    assert properties(bench, index)["raw"]["properties"]["x"]["type"] == "long"


def test_dynamic_templates_with_multi_fields_or_without_a_type(bench: Bench) -> None:
    mapping = {"type": "text", "fields": {"raw": {"type": "keyword"}, "{name}": {"type": "keyword", "ignore_above": 2}}}
    templates = [
        {"strings": {"match": "s*", "match_mapping_type": "string", "mapping": mapping}},
        {"empty": {"match": "e*", "mapping": {}}},
    ]
    index = bench.index({"1": {"s1": "Hello There", "e1": 7, "e2": "ab cd"}}, mappings={"dynamic_templates": templates})
    made = properties(bench, index)
    assert made["s1"]["fields"]["raw"] == {"type": "keyword"}
    assert (made["e1"]["type"], made["e2"]["type"]) == ("long", "text")
    assert bench.found({"term": {"s1.raw": "Hello There"}}, index) == bench.found({"match": {"s1": "there"}}, index)


def test_strict(bench: Bench) -> None:
    index = bench.index(mappings={"dynamic": "strict", "properties": {"a": {"type": "keyword"}}})
    with pytest.raises(BadRequestError, match="strict_dynamic_mapping_exception"):
        bench.es.index(index=index, id="1", document={"b": 1})


def test_numbers_with_rules(bench: Bench) -> None:
    mappings = {
        "properties": {
            "lenient": {"type": "integer", "ignore_malformed": True},
            "short": {"type": "keyword", "ignore_above": 3},
            "strict": {"type": "integer", "coerce": False},
        }
    }
    index = bench.index(
        {"1": {"lenient": "abc", "short": "abcd"}, "2": {"lenient": "5", "short": "abc"}}, mappings=mappings
    )
    assert bench.found({"exists": {"field": "lenient"}}, index) == ["2"]
    assert bench.found({"exists": {"field": "short"}}, index) == ["2"]
    with pytest.raises(BadRequestError):
        bench.es.index(index=index, id="3", document={"strict": "5"})


# --- aliases


def test_alias(bench: Bench) -> None:
    index, alias = bench.copy(), bench.name()
    bench.es.indices.put_alias(index=index, name=alias)
    assert list(bench.es.indices.get_alias(name=alias)) == [index]
    assert bench.es.indices.exists_alias(name=alias)
    assert bench.es.indices.exists(index=alias)
    assert bench.es.count(index=alias)["count"] == 6
    assert bench.es.get(index=alias, id="7157")["_index"] == index
    assert bench.es.indices.get(index=alias)[index]["aliases"] == {alias: {}}
    bench.es.indices.delete_alias(index=index, name=alias)
    with pytest.raises(NotFoundError):
        bench.es.indices.get_alias(name=alias)


def test_swap_of_an_alias(bench: Bench) -> None:
    old, new, alias = bench.index(), bench.index(), bench.name()
    bench.es.indices.put_alias(index=old, name=alias)
    remove, add = {"index": old, "alias": alias}, {"index": new, "alias": alias}
    bench.es.indices.update_aliases(actions=[{"remove": remove}, {"add": add}])
    assert list(bench.es.indices.get_alias(name=alias)) == [new]


def test_an_alias_takes_the_place_of_an_index(bench: Bench) -> None:
    old, new = bench.index(), bench.index({"1": {"a": 1}})
    bench.es.indices.update_aliases(actions=[{"remove_index": {"index": old}}, {"add": {"index": new, "alias": old}}])
    assert list(bench.es.indices.get_alias(name=old)) == [new]
    assert bench.es.count(index=old)["count"] == 1


def test_alias_actions_are_all_or_none(bench: Bench) -> None:
    one, alias = bench.index(), bench.name()
    with pytest.raises(NotFoundError):
        bench.es.indices.update_aliases(
            actions=[{"add": {"index": one, "alias": alias}}, {"add": {"index": "nosuch", "alias": alias}}]
        )
    assert not bench.es.indices.exists_alias(name=alias)


def test_an_alias_cannot_be_named_like_an_index(bench: Bench) -> None:
    one, two = bench.index(), bench.index()
    with pytest.raises(BadRequestError):
        bench.es.indices.put_alias(index=one, name=two)
    with pytest.raises(BadRequestError):
        alias = bench.name()
        bench.es.indices.put_alias(index=one, name=alias)
        bench.es.indices.create(index=alias)


def test_an_alias_of_two_is_read_only(bench: Bench) -> None:
    one, two, alias = bench.index({"1": {"a": 1}}), bench.index({"2": {"a": 1}}), bench.name()
    bench.es.indices.put_alias(index=[one, two], name=alias)
    assert {hit["_index"] for hit in bench.es.search(index=alias)["hits"]["hits"]} == {one, two}
    with pytest.raises(BadRequestError):
        bench.es.index(index=alias, id="3", document={})


def test_a_filtered_alias(bench: Bench) -> None:
    index, alias = bench.copy(), bench.name()
    bench.es.indices.put_alias(index=index, name=alias, filter={"term": {"taxid": 9606}})
    assert bench.es.count(index=alias)["count"] == 4
    assert bench.es.count(index=index)["count"] == 6
    assert bench.found({"match": {"name": "kinase"}}, alias) == ["1017", "1018"]


def test_an_alias_is_not_deleted_like_an_index(bench: Bench) -> None:
    index, alias = bench.index(), bench.name()
    bench.es.indices.put_alias(index=index, name=alias)
    with pytest.raises(BadRequestError):
        bench.es.indices.delete(index=alias)
    assert bench.es.indices.exists(index=index)
    bench.es.indices.delete_alias(index=index, name=alias)


def test_delete(bench: Bench) -> None:
    index = bench.copy()
    bench.es.indices.delete(index=index)
    assert not bench.es.indices.exists(index=index)
    with pytest.raises(NotFoundError, match="index_not_found_exception"):
        bench.es.indices.delete(index=index)
    bench.es.indices.delete(index=index, ignore_unavailable=True)


def test_refresh_flush_merge(bench: Bench) -> None:
    index = bench.copy()
    for call in (bench.es.indices.refresh, bench.es.indices.flush):
        assert call(index=index)["_shards"]["failed"] == 0
    assert bench.es.indices.forcemerge(index=index, max_num_segments=1)["_shards"]["failed"] == 0
    assert bench.es.count(index=index)["count"] == 6


def test_analyze(bench: Bench) -> None:
    def words(**given: Any) -> list[str]:
        return [token["token"] for token in bench.es.indices.analyze(**given)["tokens"]]

    assert words(index=bench.genes, analyzer="whitespace_lowercase", text="Foo-Bar BAZ") == ["foo-bar", "baz"]
    assert words(analyzer="standard", text="The G1/S Transition, p53-like") == [
        "the",
        "g1",
        "s",
        "transition",
        "p53",
        "like",
    ]
    assert words(analyzer="standard", text="don't HP:0000118 1.5 foo_bar") == [
        "don't",
        "hp",
        "0000118",
        "1.5",
        "foo_bar",
    ]
    assert words(analyzer="keyword", text="The G1") == ["The G1"]
    assert words(index=bench.genes, field="notes", text="A-b C") == ["a-b", "c"]
