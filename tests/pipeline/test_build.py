from __future__ import annotations

import asyncio
import re
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.pipeline.build import (
    BuildError,
    BuildExistsError,
    MappingConflictError,
    NoSuchBuildError,
    NoSuchRecipeError,
    RecipeError,
    SourceChangedError,
    SourcesNotReadyError,
    builder,
    steps,
)
from tests.pipeline.hub_tools import Hub

S1 = [{"_id": "1", "a": 1, "n": {"x": 1}}, {"_id": "2", "a": 2}]
S2 = [{"_id": "1", "b": 1, "n": {"y": 2}}, {"_id": "3", "b": 3}]


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.close()


@pytest.fixture
def two(hub: Hub) -> Hub:
    hub.source("s1", S1)
    hub.source("s2", S2)
    return hub


def info(hub: Hub, build: str) -> dict[str, Any]:
    found = hub.builds.build_info(build)
    assert isinstance(found, dict)
    return found


def test_build_c01_without_roots_every_source_creates_documents(two: Hub) -> None:
    name = two.build("r", ["s1", "s2"])
    assert re.fullmatch(r"r_\d{8}_[0-9a-z]{8}", name)
    assert two.documents(name) == {"1": {"a": 1, "n": {"y": 2}, "b": 1}, "2": {"a": 2}, "3": {"b": 3}}
    build = info(two, name)
    assert build["_meta"]["stats"]["total"] == 3 == build["count"]
    assert build["merge_stats"] == {
        "s1": {"read": 2, "written": 2, "orphans": 0},
        "s2": {"read": 2, "written": 2, "orphans": 0},
    }
    assert build["merge_conflicts"] == [{"field": "n", "overwritten": "s1", "by": "s2", "count": 1, "ids": ["1"]}]


def test_build_c02_only_roots_create_documents_and_orphans_are_counted(two: Hub) -> None:
    name = two.build("r", ["s1", "s2"], ["s1"])
    assert two.documents(name) == {"1": {"a": 1, "n": {"y": 2}, "b": 1}, "2": {"a": 2}}
    assert info(two, name)["merge_stats"]["s2"] == {"read": 2, "written": 1, "orphans": 1}
    assert info(two, name)["_meta"]["src"]["s2"]["stats"] == {"s2": 1}


def test_build_c03_negated_roots_are_merged_first(two: Hub) -> None:
    name = two.build("r", ["s1", "s2"], ["!s1"])
    assert two.documents(name) == {"1": {"a": 1, "n": {"x": 1}, "b": 1}, "3": {"b": 3}}


@pytest.mark.parametrize(
    ("recipe", "fault"),
    [
        ({"roots": ["!s1", "s2"]}, "root: cannot mix roots and negated roots (!s1, s2)"),
        ({"roots": ["s9"]}, "root: there is no source 's9': there is s1, s2"),
        ({"roots": ["!s9"]}, "root: there is no source 's9'"),
        ({"sources": []}, "sources: is empty"),
        ({"sources": ["s1", "s2", "s1"]}, "sources: s1 more than once"),
        ({"doc_type": ""}, "doc_type: is empty"),
        ({"doc_type": 5}, "doc_type: Input should be a valid string"),
        ({"builder_class": "my.Builder"}, "builder_class: there is no builder class 'my.Builder'"),
        ({"params": {"build_version": "%Y.%m"}}, "build_version: '%Y.%m' has a '.'"),
        ({"params": {"merge_order": ["s3"]}}, "merge_order: there is no source 's3'"),
        ({"params": {"cold_collection": "x"}}, "cold_collection: this hub cannot do builds on a cold collection yet"),
        ({"params": {"_id": "x"}}, "params: _id cannot be set"),
        ({"name": "no way/"}, "name: 'no way/' is not a name"),
    ],
)
def test_build_c04_c05_c24_a_bad_recipe_is_refused_when_it_is_written(
    hub: Hub, recipe: dict[str, Any], fault: str
) -> None:
    given = {"name": "r", "doc_type": "thing", "sources": ["s1", "s2"], **recipe}
    with pytest.raises(RecipeError, match=re.escape(fault)):
        hub.builds.create_build_configuration(**given)
    assert hub.builds.build_config_info()["build_configs"] == {}


def test_all_faults_of_a_recipe_are_listed_at_once(hub: Hub) -> None:
    with pytest.raises(RecipeError) as caught:
        hub.builds.create_build_configuration("r", "", ["s1"], ["s2"])
    assert str(caught.value).count("\n") == 2


def test_build_c06_a_recipe_without_the_root_key_has_no_roots(two: Hub) -> None:
    recipe = {"_id": "r", "name": "r", "doc_type": "thing", "sources": ["s1", "s2"]}
    two.context.state["src_build_config"].insert_one(recipe)
    assert len(two.documents(two.merge("r"))) == 3


def test_build_c07_a_partial_merge_without_its_root_warns(two: Hub) -> None:
    two.build("r", ["s1", "s2"], ["s1"])
    name = two.merge("r", sources=["s2"])
    assert two.documents(name) == {}
    assert "none of the merged sources is a root: nothing can be created" in info(two, name)["warnings"]
    with pytest.raises(RecipeError, match="r: there is no source 's3': there is s1, s2"):
        two.merge("r", sources="s3")


@pytest.mark.parametrize("how", ["argument", "recipe"])
def test_build_c08_only_some_ids(two: Hub, how: str) -> None:
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"], params={"ids": ["1"]} if how == "recipe" else {})
    name = two.merge("r", ids=["1"]) if how == "argument" else two.merge("r")
    assert list(two.documents(name)) == ["1"]
    with pytest.raises(RecipeError, match="ids: it is empty"):
        two.merge("r", ids=[])


def test_build_c08b_an_empty_source_is_merged_as_nothing(two: Hub) -> None:
    two.source("s3", [])
    name = two.build("r", ["s1", "s3"])
    assert len(two.documents(name)) == 2
    assert info(two, name)["merge_stats"]["s3"] == {"read": 0, "written": 0, "orphans": 0}


def test_build_c10_a_build_under_an_existing_name_replaces_it(two: Hub) -> None:
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    assert two.merge("r", target_name="mine") == "mine"
    assert set(two.documents("mine")) == {"1", "2", "3"}
    two.source("s2", [{"_id": "1", "b": 5}])
    two.merge("r", target_name="mine")
    assert two.documents("mine") == {"1": {"a": 1, "n": {"x": 1}, "b": 5}, "2": {"a": 2}}
    assert two.builds.list_merge() == ["mine"]


def test_a_target_never_takes_the_name_of_something_else(two: Hub) -> None:
    two.build("other", ["s1"])
    (other,) = two.builds.list_merge("other")
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    for taken in ("s1", other):
        with pytest.raises(BuildExistsError, match=f"'{taken}' is not a build of r"):
            two.merge("r", target_name=taken)
    assert len(two.documents("s1")) == 2


def test_build_c11_c12_merge_struct_by_the_metadata_of_the_source(hub: Hub) -> None:
    hub.source("s1", [{"_id": "1", "a": 1, "n": {"x": 1}, "l": {"x": 1}}])
    deep = {"merger": "merge_struct"}
    hub.source("s2", [{"_id": "1", "a": 10, "n": {"x": 9}, "k": [1], "l": [{"y": 2}]}], __metadata__=deep)
    name = hub.build("r", ["s1", "s2"])
    merged = {"a": [1, 10], "n": {"x": [1, 9]}, "k": [1], "l": [{"x": 1}, {"y": 2}]}
    assert hub.documents(name) == {"1": merged}
    assert info(hub, name)["merge_conflicts"] == []


def test_policies_of_three_sources_are_followed_in_turn(hub: Hub) -> None:
    hub.source("s1", [{"_id": "1", "a": 1, "b": 1}])
    hub.source("s2", [{"_id": "1", "a": 2}], __metadata__={"merger": "merge_struct"})
    hub.source("s3", [{"_id": "1", "b": 3}])
    name = hub.build("r", ["s1", "s2", "s3"])
    assert hub.documents(name) == {"1": {"a": [1, 2], "b": 3}}
    (conflict,) = info(hub, name)["merge_conflicts"]
    assert (conflict["field"], conflict["by"]) == ("b", "s3")


def test_build_c14_a_conflict_fails_the_build_or_is_counted(hub: Hub) -> None:
    hub.source("s1", [{"_id": "gene1", "a": {"x": 1}}])
    options: dict[str, Any] = {"merger": "merge_struct"}
    hub.source("s2", [{"_id": "gene1", "a": 5}], __metadata__=options)
    hub.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    with pytest.raises(BuildError, match=r"document 'gene1' of s1 and s2: field 'a' is an object .* and a number"):
        hub.merge("r")
    options["merger_kwargs"] = {"on_conflict": "first"}
    hub.source("s2", [{"_id": "gene1", "a": 5}], __metadata__=options)
    name = hub.merge("r")
    assert hub.documents(name) == {"gene1": {"a": {"x": 1}}}
    (conflict,) = info(hub, name)["merge_conflicts"]
    assert conflict == {"field": "a", "overwritten": "s2", "by": "s1", "count": 1, "ids": ["gene1"]}


def test_documents_that_are_too_large_together_are_named(hub: Hub) -> None:
    for name in ("s1", "s2"):
        hub.source(name, [{"_id": "big", name: "x" * (9 << 20)}])
    hub.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    with pytest.raises(BuildError, match=r"document 'big' of s1 and s2 together: .* the limit is 16,777,216"):
        hub.merge("r")
    assert hub.leftovers() == []


def test_the_recipe_may_order_the_sources(two: Hub) -> None:
    name = two.build("r", ["s1", "s2"], merge_order=["s2", "s1"])
    assert two.documents(name)["1"]["n"] == {"x": 1}


def test_a_document_of_one_source_keeps_its_bytes(two: Hub) -> None:
    name = two.build("r", ["s1", "s2"])
    source, build = (dict(two.context.store[each].hashes()) for each in ("s1", name))
    assert build["2"] == source["2"] and build["1"] != source["1"]


def test_build_c25_two_builds_of_one_day_have_different_versions(two: Hub) -> None:
    two.builds.create_build_configuration("r", "thing", ["s1"], params={"build_version": "v1"})
    versions = [info(two, two.merge("r"))["_meta"]["build_version"] for _ in range(3)]
    assert versions == ["v1", "v1_2", "v1_3"]


def test_build_c26_an_error_in_a_worker_fails_the_build_and_leaves_no_half_collection(
    two: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*args: Any) -> None:
        raise RuntimeError("disk on fire")

    monkeypatch.setattr(steps, "merge_range", broken)
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    with pytest.raises(RuntimeError, match="disk on fire"):
        two.merge("r")
    (build,) = two.builds.build_info(status="failed")
    assert isinstance(build, dict)
    assert (build["status"], build["count"], build["jobs"][-1]["err"]) == ("failed", None, "disk on fire")
    assert sorted(two.context.store.names()) == ["s1", "s2"] and two.leftovers() == []
    two.builds.delete_merge(build["_id"])
    assert two.builds.build_info() == []


def test_a_cancelled_build_leaves_nothing(two: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    def cancelled(*args: Any) -> None:
        raise CancelledWork

    monkeypatch.setattr(steps, "merge_range", cancelled)
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    with pytest.raises(CancelledWork):
        two.merge("r")
    assert len(two.builds.build_info(status="canceled")) == 1
    assert sorted(two.context.store.names()) == ["s1", "s2"] and two.leftovers() == []


def test_a_failed_rebuild_leaves_the_build_it_would_have_replaced(two: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    two.merge("r", target_name="mine")
    before = info(two, "mine")
    monkeypatch.setattr(steps, "merge_range", lambda *args: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        two.merge("r", target_name="mine")
    after = info(two, "mine")
    assert (after["status"], after["count"], after["_meta"]) == ("failed", 3, before["_meta"])


def test_a_source_that_is_uploaded_during_the_build_is_noticed(two: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    merge_range = steps.merge_range

    def slow(*args: Any) -> Any:
        two.source("s2", [*S2, {"_id": "new"}])
        return merge_range(*args)

    monkeypatch.setattr(steps, "merge_range", slow)
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    with pytest.raises(SourceChangedError, match="s2 was uploaded anew during the build"):
        two.merge("r")
    assert not any(name.startswith("r_") for name in two.context.store.names())


def test_build_c27_a_source_without_mapping_is_said(hub: Hub) -> None:
    hub.source("s1", S1)
    build = info(hub, hub.build("r", ["s1"]))
    assert build["mapping"] == {}
    assert build["warnings"] == ["source s1 has no mapping: the index decides on the types of its fields"]


def mapped(hub: Hub, name: str, mapping: dict[str, Any]) -> None:
    hub.source(name, [{"_id": name}])
    hub.context.state["src_master"].update_one({"_id": name}, {"$set": {"mapping": mapping}})


def test_build_c28_mappings_are_united(hub: Hub) -> None:
    keyword = {"type": "keyword"}
    mapped(hub, "s1", {"k": keyword, "o": {"properties": {"x": keyword}}})
    mapped(hub, "s2", {"k": keyword, "o": {"properties": {"y": keyword}}, "z": {"type": "long"}})
    build = info(hub, hub.build("r", ["s1", "s2"]))
    expected = {"k": keyword, "o": {"properties": {"x": keyword, "y": keyword}}, "z": {"type": "long"}}
    assert build["mapping"] == expected and build["warnings"] == []


@pytest.mark.parametrize(
    ("first", "second", "field"),
    [
        ({"k": {"type": "keyword"}}, {"k": {"type": "text"}}, "k"),
        ({"o": {"properties": {"k": {"type": "long"}}}}, {"o": {"properties": {"k": {"type": "text"}}}}, "o.k"),
        ({"o": {"properties": {}}}, {"o": {"type": "text"}}, "o"),
        ({"o": {"properties": {}}}, {"o": {"type": "nested", "properties": {}}}, "o"),
    ],
)
def test_build_c28_conflicting_mappings_name_field_and_sources(
    hub: Hub, first: dict[str, Any], second: dict[str, Any], field: str
) -> None:
    mapped(hub, "s1", {"same": {"type": "long"}, **first})
    mapped(hub, "s2", {"same": {"type": "long"}, **second})
    hub.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    with pytest.raises(MappingConflictError, match=f"mappings of 's1' and 's2' do not agree on the field '{field}'"):
        hub.merge("r")
    assert hub.builds.build_info() == [] and hub.leftovers() == []


def test_build_c29_metadata_of_several_collections_of_a_source(hub: Hub) -> None:
    both = [{"name": name, "parser": "parser:load", "on_duplicates": "error"} for name in ("sub1", "sub2")]
    hub.plugin("main", uploaders=both, __metadata__={"url": "u"}, release="2024-03")
    hub.upload("main")
    masters = hub.context.state["src_master"]
    masters.update_one({"_id": "sub1"}, {"$set": {"src_meta.code": "c1", "src_meta.license": "L"}})
    masters.update_one({"_id": "sub2"}, {"$set": {"src_meta.code": "c2"}})
    source = info(hub, hub.build("r", ["sub1", "sub2"]))["_meta"]["src"]["main"]
    assert source.pop("upload_date") is not None
    assert source == {
        "url": "u",
        "code": {"sub1": "c1", "sub2": "c2"},
        "license": {"sub1": "L"},
        "version": "2024-03",
        "stats": {"sub1": 2, "sub2": 2},
    }
    hub.release("main", "2024-04")
    hub.upload("main.sub2")
    with pytest.raises(BuildError, match=r"sub1 has 2024-03, sub2 has 2024-04\): run upload\('main'\)"):
        hub.merge("r")


def test_build_c30_sources_that_are_not_ready_are_all_named(hub: Hub) -> None:
    hub.source("s1", S1)
    hub.plugin("s1", "def load(folder):\n    raise ValueError\n")
    with pytest.raises(Exception, match="ValueError"):
        hub.upload("s1")
    hub.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    with pytest.raises(SourcesNotReadyError) as caught:
        hub.merge("r")
    assert "the last upload of s1 is 'failed': run upload('s1')" in str(caught.value)
    assert "s2 has not been uploaded: run upload('s2')" in str(caught.value)
    assert hub.builds.build_info() == []
    hub.builds.update_build_configuration("r", sources=["s1"])
    assert len(hub.documents(hub.merge("r", force=True))) == 2


def test_build_c32_delete_takes_documents_and_record(two: Hub) -> None:
    name = two.build("r", ["s1", "s2"])
    two.builds.delete_merge(name)
    assert name not in two.context.store and two.builds.list_merge() == []
    with pytest.raises(NoSuchBuildError, match="there is no build"):
        two.builds.delete_merge(name)
    with pytest.raises(NoSuchBuildError):
        two.builds.delete_merge("s1")
    assert "s1" in two.context.store


def test_build_c33_an_update_keeps_what_is_not_passed(hub: Hub) -> None:
    params = {"autobuild": {"schedule": "0 1 * * *"}, "_meta": {"x": 1}, "num_shards": 3}
    hub.builds.create_build_configuration("r", "old", ["s1"], ["s1"], params=params)
    updated = hub.builds.update_build_configuration("r", doc_type="new", params={"num_shards": 5})
    stored = hub.builds.build_config_info()["build_configs"]["r"]["build_config"]
    assert stored == updated
    assert (stored["doc_type"], stored["root"], stored["num_shards"]) == ("new", ["s1"], 5)
    assert stored["autobuild"] == params["autobuild"] and stored["_meta"] == {"x": 1}
    with pytest.raises(RecipeError):
        hub.builds.update_build_configuration("r", sources=["s2"])
    assert hub.builds.build_config_info()["build_configs"]["r"]["build_config"] == stored


def test_recipes_are_created_once_and_deleted(two: Hub) -> None:
    name = two.build("recipe", ["s1"])
    with pytest.raises(BuildExistsError, match="Configuration named 'recipe' already exists"):
        two.builds.create_build_configuration("recipe", "thing", ["s2"])
    two.builds.delete_build_configuration("recipe")
    assert two.builds.list_merge() == [name]
    with pytest.raises(NoSuchRecipeError, match="there is no build configuration 'recipe': there is none yet"):
        two.merge("recipe")
    two.builds.create_build_configuration("recipes", "thing", ["s1"])
    with pytest.raises(NoSuchRecipeError, match="did you mean 'recipes'"):
        two.merge("recipe")
    two.builds.delete_build_configuration("recipe")
    assert list(two.builds.build_config_info()["build_configs"]) == ["recipes"]


def test_build_c34_the_recipes_own_meta_goes_over_the_computed_one(two: Hub) -> None:
    name = two.build("r", ["s1"], _meta={"biothing_type": "x", "foo": 1})
    meta = info(two, name)["_meta"]
    assert (meta["biothing_type"], meta["foo"], meta["stats"]) == ("x", 1, {"total": 2})


def test_build_meta_has_the_documented_shape(hub: Hub) -> None:
    hub.plugin("s1", release="2024-02", __metadata__={"url": "http://s1", "license": "CC0"})
    done = {"download.last_success": datetime(2024, 2, 3, tzinfo=UTC)}
    hub.context.state["src_dump"].update_one({"_id": "s1"}, {"$set": done})
    hub.upload("s1")
    meta = info(hub, hub.build("r", ["s1"]))["_meta"]
    assert datetime.fromisoformat(meta["build_date"]).tzinfo is not None
    assert set(meta) == {"biothing_type", "src", "stats", "build_version", "build_date"}
    source = meta["src"]["s1"]
    assert source["download_date"].date().isoformat() == "2024-02-03"
    assert {key: source[key] for key in ("version", "url", "license", "stats")} == {
        "version": "2024-02",
        "url": "http://s1",
        "license": "CC0",
        "stats": {"s1": 2},
    }


def test_the_record_of_a_build_has_its_steps(two: Hub) -> None:
    build = info(two, two.build("r", ["s1", "s2"]))
    assert [(job["step"], job["status"]) for job in build["jobs"]] == [
        ("merge", "success"),
        ("finalizing", "success"),
        ("metadata", "success"),
    ]
    assert build["build_config"]["name"] == "r" and build["target_name"] == build["_id"] == build["backend_url"]
    assert build["sources"] == ["s1", "s2"] and build["status"] == "success"


def test_build_info_lists_newest_first_and_picks_fields(two: Hub) -> None:
    first = two.build("r", ["s1"])
    second = two.merge("r")
    other = two.build("q", ["s2"])
    listed = two.builds.build_info()
    assert isinstance(listed, list)
    assert [build["_id"] for build in listed] == [other, second, first]
    assert all("mapping" not in build and "sources" not in build for build in listed)
    assert two.builds.list_merge("r") == [second, first]
    (only,) = two.builds.build_info(conf_name="q", fields=["count", "sources"])
    assert only == {"_id": other, "count": 2, "sources": ["s2"]}
    assert two.builds.build_info(only_archived=True) == []
    with pytest.raises(ValueError, match="status is 'done': use one of success"):
        two.builds.build_info(status="done")


def test_build_config_info_names_classes_and_broken_recipes(hub: Hub) -> None:
    hub.builds.create_build_configuration("r", "thing", ["s1"])
    hub.context.state["src_build_config"].insert_one({"_id": "old", "name": "old", "doc_type": "x", "sources": []})
    answer = hub.builds.build_config_info()
    assert "error" not in answer["build_configs"]["r"]
    assert "sources: is empty" in answer["build_configs"]["old"]["error"]
    (builder_class,) = answer["builder_classes"].values()
    assert builder_class["default"] is True and builder_class["desc"].startswith("Merges all sources")


def test_build_c36_whatsnew(two: Hub) -> None:
    build = two.build("r", ["s1"])
    assert two.builds.whatsnew("r")["r"]["sources"] == {} and two.builds.whatsnew() == {}
    two.release("s1", "2")
    news = two.builds.whatsnew()
    assert news["r"]["old_build"]["name"] == build
    assert news["r"]["sources"]["s1"]["old"] == {"version": "1"}
    assert news["r"]["sources"]["s1"]["new"] == {"version": "2", "downloaded_at": None, "uploaded": "1"}
    two.upload("s1")
    assert two.builds.whatsnew("r", old=build)["r"]["sources"]["s1"]["new"] == {"version": "2", "downloaded_at": None}
    two.release("s1", "3", status="failed")
    assert two.builds.whatsnew() == {}
    two.release("s1", "3")
    failed = {"$set": {"upload.jobs.s1.status": "failed"}}
    two.context.state["src_dump"].update_one({"_id": "s1"}, failed)
    assert two.builds.whatsnew() == {}


def test_build_c36_whatsnew_of_a_source_without_download(two: Hub) -> None:
    two.build("r", ["s1"])
    released = {"$unset": {"download": 1}, "$set": {"upload.jobs.s1.current.release": "7"}}
    two.context.state["src_dump"].update_one({"_id": "s1"}, released)
    assert two.builds.whatsnew()["r"]["sources"] == {"s1": {"old": {"version": "1"}, "new": {"version": "7"}}}


def test_build_c36_whatsnew_reports_changes_of_the_recipe(two: Hub) -> None:
    two.build("r", ["s1"])
    two.builds.update_build_configuration("r", sources=["s2"])
    sources = two.builds.whatsnew()["r"]["sources"]
    assert sources["s1"] == {"old": {"version": "1"}, "new": {}}
    assert sources["s2"]["old"] == {} and sources["s2"]["new"]["version"] == "1"
    two.builds.update_build_configuration("r", archived=True)
    assert two.builds.whatsnew() == {}


def test_build_c36_whatsnew_asked_of_what_is_not_there(two: Hub) -> None:
    two.builds.create_build_configuration("r", "thing", ["s1"])
    assert two.builds.whatsnew() == {}
    with pytest.raises(BuildError, match=r"r has not been built yet: run merge\('r'\)"):
        two.builds.whatsnew("r")
    two.merge("r")
    with pytest.raises(NoSuchBuildError, match="there is no build 'nothing'"):
        two.builds.whatsnew("r", old="nothing")
    with pytest.raises(NoSuchRecipeError):
        two.builds.whatsnew("q")


def test_many_ranges_give_the_same_build_as_one(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = {"s1": range(0, 300), "s2": range(100, 400), "s3": range(0, 600, 3)}
    for name, some in numbers.items():
        hub.source(name, [{"_id": f"é{number:04d}", name: number, "last": name} for number in some])
    hub.builds.create_build_configuration("r", "thing", list(numbers), ["s1", "s3"])
    one = hub.merge("r")
    monkeypatch.setattr(builder, "RANGE_SIZE", 100)
    monkeypatch.setattr(builder.os, "cpu_count", lambda: 4)
    many = hub.merge("r")
    assert list(hub.context.store[one].hashes()) == list(hub.context.store[many].hashes())
    assert info(hub, one)["merge_stats"] == info(hub, many)["merge_stats"]
    assert sum(conflict["count"] for conflict in info(hub, many)["merge_conflicts"]) == sum(
        conflict["count"] for conflict in info(hub, one)["merge_conflicts"]
    )
    assert info(hub, many)["merge_stats"]["s2"] == {"read": 300, "written": 234, "orphans": 66}


def test_two_builds_under_one_name_at_once(two: Hub) -> None:
    two.builds.create_build_configuration("r", "thing", ["s1", "s2"])

    async def both() -> list[Any]:
        work = [two.builds.merge("r", target_name="mine") for _ in range(2)]
        return await asyncio.gather(*work, return_exceptions=True)

    first, second = asyncio.run(both())
    assert first == "mine"
    assert isinstance(second, BuildError) and "mine is being built already" in str(second)
