"""Indexing builds, and asking what was indexed."""

from __future__ import annotations

import asyncio
import os
import sqlite3
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.jobs import context as job_context
from hubkernel.jobs.context import JobContext
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.index import (
    IndexBusyError,
    IndexingError,
    IndexManager,
    NoSuchBuildError,
    NoSuchEnvironmentError,
    NoSuchIndexError,
    SearchError,
)
from hubkernel.pipeline.index.mapping import index_body
from hubkernel.pipeline.index.query import escape_prefixes
from hubkernel.pipeline.index.shapes import Shapes
from hubkernel.search.table import DocumentTable
from hubkernel.store import open_state

TERMS: list[dict[str, Any]] = [
    {
        "_id": "HP:0001250",
        "name": "Seizure",
        "definition": "A sudden event of the brain",
        "genes": [{"symbol": "SCN1A"}],
    },
    {"_id": "HP:0002373", "name": "Febrile seizure", "definition": "It comes with fever", "level": 3},
    {"_id": "HP:0001627", "name": "Abnormal heart", "parents": ["HP:0001250"], "level": 2},
]


class Hub:
    def __init__(self, root: Path) -> None:
        state = open_state(f"sqlite://{root}/state.db")
        self.context = PipelineContext(root, state, f"sqlite://{root}/store", f"embedded://{root}/search", None)  # type: ignore[arg-type]
        self.manager = IndexManager(self.context)

    def collection(self, name: str, documents: list[dict[str, Any]]) -> None:
        writer = self.context.store.writer()
        with writer.part() as part:
            part.write(documents)
        writer.seal()
        writer.commit(name)

    def build(self, name: str, documents: list[dict[str, Any]] = TERMS, **fields: Any) -> None:
        self.collection(name, documents)
        meta = {"biothing_type": "phenotype", "build_version": "1"}
        build = {"_id": name, "_meta": meta, "build_config": {"name": name}, **fields}
        self.context.state["src_build"].replace_one({"_id": name}, build, upsert=True)

    def index(self, build: str, env: str = "localhub", **options: Any) -> dict[str, Any]:
        return asyncio.run(self.manager.index(env, build, **options))

    def ids(self, index: str, q: str = "*", **options: Any) -> list[str]:
        return [hit["_id"] for hit in self.manager.search(index, q, **options)["hits"]]

    @property
    def client(self) -> Any:
        return self.manager.environments.client("localhub")

    def concrete(self) -> list[str]:
        return sorted(self.client.indices.get(index="*"))

    def record(self, build: str) -> dict[str, Any]:
        found = self.context.state["src_build"].find_one({"_id": build})
        return dict((found or {}).get("index", {}))


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    made = Hub(tmp_path)
    yield made
    made.manager.close()
    made.context.close()
    made.context.state.close()


# --- what one gets


def test_a_build_is_indexed_and_asked(hub: Hub) -> None:
    hub.build("hpo_build")
    answer = hub.index("hpo_build", index_name="hpo")
    assert (answer["index"], answer["count"], answer["environment"]) == ("hpo", 3, "localhub")
    assert hub.manager.document("hpo", "HP:0001250") == TERMS[0]
    assert hub.manager.document("hpo", "HP:9") is None
    found = hub.manager.search("hpo", "seizure")
    assert found["total"] == 2
    assert found["hits"][0] == {"_score": found["max_score"], **TERMS[0]}


@pytest.mark.parametrize(
    ("q", "expected"),
    [
        ("*", ["HP:0001250", "HP:0001627", "HP:0002373"]),
        ("", ["HP:0001250", "HP:0001627", "HP:0002373"]),
        ("fever", ["HP:0002373"]),
        ("seizure fever", ["HP:0002373"]),
        ("scn1a", ["HP:0001250"]),
        ("genes.symbol:SCN1A", ["HP:0001250"]),
        ("HP:0002373", ["HP:0002373"]),
        ("hp:0001250", ["HP:0001627"]),  # as a parent: fields that were found are in small letters, ids are not
        ("_id:HP\\:0002373", ["HP:0002373"]),
        ("level:[2 TO *]", ["HP:0001627", "HP:0002373"]),
        ("level:>2", ["HP:0002373"]),
        ("name:seiz*", ["HP:0001250", "HP:0002373"]),
        ('definition:"sudden event"', ["HP:0001250"]),
        ("_exists_:genes", ["HP:0001250"]),
        ("nothing", []),
    ],
)
def test_queries(hub: Hub, q: str, expected: list[str]) -> None:
    hub.build("b")
    hub.index("b")
    assert sorted(hub.ids("b", q)) == expected


def test_an_identifier_comes_first(hub: Hub) -> None:
    hub.build("b")
    hub.index("b")
    assert hub.ids("b", "HP:0001250") == ["HP:0001250", "HP:0001627"]


def test_pages_order_and_fields(hub: Hub) -> None:
    hub.build("b")
    hub.index("b")
    assert hub.ids("b", sort="-level", size=1) == ["HP:0002373"]
    assert hub.ids("b", sort="-level", size=1, start=1) == ["HP:0001627"]
    hits = hub.manager.search("b", "fever", fields="name,genes.symbol")["hits"]
    assert hits[0] | {"_score": 0} == {"_id": "HP:0002373", "_score": 0, "name": "Febrile seizure"}


def test_a_plain_collection_with_its_declared_mapping(hub: Hub) -> None:
    hub.collection("terms", TERMS)
    master = {"_id": "terms", "mapping": {"name": {"type": "keyword"}}, "src_meta": {"license": "MIT"}}
    hub.context.state["src_master"].insert_one(master)
    hub.index("terms")
    assert hub.ids("terms", "name:Seizure") == ["HP:0001250"]
    assert hub.ids("terms", "name:seizure") == []
    assert hub.ids("terms", "definition:fever") == ["HP:0002373"]
    (found,) = hub.manager.get_indexes_by_name()
    assert (found["index_name"], found["doc_type"], found["count"]) == ("terms", "terms", 3)


def test_a_linked_build_has_its_documents_elsewhere(hub: Hub) -> None:
    hub.collection("terms", TERMS)
    build = {"_id": "linked", "backend_url": ["src", "terms"], "_meta": {"biothing_type": "x"}}
    hub.context.state["src_build"].insert_one(build)
    assert hub.index("linked")["count"] == 3
    assert hub.record("linked")["linked"]["count"] == 3


def test_names_are_made_small(hub: Hub) -> None:
    hub.build("Big_Build")
    assert hub.index("Big_Build")["index"] == "big_build"


def test_some_ids(hub: Hub) -> None:
    hub.build("b")
    assert hub.index("b", ids=["HP:0001250", "HP:0001250", "HP:9"])["count"] == 1
    assert hub.ids("b") == ["HP:0001250"]


def test_an_empty_build(hub: Hub) -> None:
    hub.build("b", [])
    assert hub.index("b")["count"] == 0
    assert hub.ids("b", "x") == []


def test_ranges_looked_at_in_parallel_give_the_same(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = [{"_id": str(n), "n": n if n < 90 else n / 2, f"f{n % 7}": "a b", "w": f"w{n}"} for n in range(100)]
    hub.build("b", documents)
    hub.index("b", index_name="one")
    monkeypatch.setattr("hubkernel.pipeline.index.run._PARALLEL_FROM", 1)
    hub.index("b", index_name="two")
    mappings = [each["mappings"]["properties"] for each in hub.client.indices.get(index="one,two").values()]
    assert mappings[0] == mappings[1]
    assert mappings[0]["n"] == {"type": "double"}


# --- the record


def test_the_build_remembers_its_index(hub: Hub) -> None:
    hub.build("b")
    hub.index("b", index_name="a.b")
    record = hub.record("b")["a.b"]
    assert (record["count"], record["environment"]) == (3, "localhub")
    assert record["host"].startswith("embedded:///")
    assert record["index"] == hub.concrete()[0]
    assert hub.manager.index_info()["env"]["localhub"]["index"][0]["index"] == "a.b"


def test_another_build_takes_the_name_over(hub: Hub) -> None:
    hub.build("old")
    hub.build("new", TERMS[:1])
    hub.index("old", index_name="hpo")
    hub.index("old", index_name="kept")
    hub.index("new", index_name="hpo")
    assert hub.ids("hpo") == ["HP:0001250"]
    assert (list(hub.record("old")), list(hub.record("new"))) == (["kept"], ["hpo"])


def test_indices_by_name(hub: Hub) -> None:
    for number in range(3):
        hub.build(f"b{number}", TERMS[:number])
        hub.index(f"b{number}")
    hub.client.indices.create(index="foreign")
    found = hub.manager.get_indexes_by_name()
    assert {each["index_name"]: each["count"] for each in found} == {"b0": 0, "b1": 1, "b2": 2}
    assert [each["creation_date"] for each in found] == sorted((e["creation_date"] for e in found), reverse=True)
    assert [each["index_name"] for each in hub.manager.get_indexes_by_name("b1*")] == ["b1"]
    assert len(hub.manager.get_indexes_by_name(limit=2)) == 2
    live = hub.manager.index_info(remote=True)["env"]["localhub"]["index"]
    assert {each["index_name"] for each in live} == {"b0", "b1", "b2"}


# --- nothing is lost


def test_a_new_index_takes_the_place_of_the_old_one(hub: Hub) -> None:
    hub.build("b")
    hub.index("b")
    before = hub.concrete()
    hub.build("b", TERMS[:2])
    hub.index("b")
    assert len(hub.concrete()) == 1
    assert hub.concrete() != before
    assert len(hub.ids("b")) == 2


def test_a_refused_document_fails_the_job_and_harms_nothing(hub: Hub) -> None:
    hub.build("b", mapping={"level": {"type": "integer"}})
    hub.index("b")
    before, record = hub.concrete(), hub.record("b")
    bad = [{"_id": f"bad{n}", "level": "high"} for n in range(8)]
    hub.build("b", [*TERMS, *bad], mapping={"level": {"type": "integer"}}, index=record)
    with pytest.raises(IndexingError, match=r"8 document.*'bad0'.*and 3 more.*level") as caught:
        hub.index("b")
    assert caught.value.ids == tuple(f"bad{n}" for n in range(8))
    assert (hub.concrete(), hub.record("b")) == (before, record)
    assert len(hub.ids("b")) == 3


def test_a_full_disk_is_one_clear_error_and_harms_nothing(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.build("b")
    hub.index("b")
    before, record = hub.concrete(), hub.record("b")
    connect = DocumentTable._connect

    def nearly_full(path: Path) -> sqlite3.Connection:
        connection = connect(path)
        connection.execute("pragma max_page_count=20")
        return connection

    monkeypatch.setattr(DocumentTable, "_connect", staticmethod(nearly_full))
    hub.build("b", [{"_id": f"{n:05}", "text": os.urandom(500).hex()} for n in range(500)], index=record)
    with pytest.raises(IndexingError, match=r"b: no space left for the index .*what was served stays"):
        hub.index("b")
    assert (hub.concrete(), hub.record("b")) == (before, record)
    assert len(hub.ids("b")) == 3


def test_a_long_id_that_is_refused_is_shortened(hub: Hub) -> None:
    hub.build("b", [{"_id": "x" * 600}])
    with pytest.raises(IndexingError, match=r"refused by the index: 'x{77}\.\.\.'; the first"):
        hub.index("b")


def test_many_refused_documents_end_the_job_early(hub: Hub) -> None:
    bad = [{"_id": f"{n:05}", "level": "high"} for n in range(3_000)]
    hub.build("b", bad, mapping={"level": {"type": "integer"}})
    with pytest.raises(IndexingError) as caught:
        hub.index("b", batch_size=50)
    assert caught.value.count == 100
    assert hub.concrete() == []


def test_a_bad_mapping_is_one_clear_error(hub: Hub) -> None:
    hub.build("b", mapping={"level": {"type": "integre"}})
    with pytest.raises(IndexingError, match=r"'b' cannot be created.*integre.*level"):
        hub.index("b")
    assert hub.concrete() == []


def test_a_count_that_does_not_add_up_fails_the_job(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.build("b")
    hub.index("b")
    before = hub.concrete()
    monkeypatch.setattr("hubkernel.pipeline.index.run.load", lambda worker, work: 3)
    with pytest.raises(IndexingError, match=r"3 documents were sent .*the index has 0"):
        hub.index("b")
    assert hub.concrete() == before


class CancelledJob(JobContext):
    """A job that is cancelled at the first progress."""

    id = 1
    name = "index"

    def __init__(self) -> None:
        self.cancelled = False

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self.cancelled = True
        self.check()

    def log(self, message: str) -> None:
        pass

    def check(self) -> None:
        if self.cancelled:
            raise CancelledWork

    async def run(self, function: Any, /, *args: Any, where: Any = "", **options: Any) -> Any:
        return await asyncio.to_thread(function, self, *args)


def test_a_cancelled_job_leaves_the_old_index(hub: Hub) -> None:
    hub.build("b")
    hub.index("b")
    before = hub.concrete()

    async def cancelled() -> None:
        job_context._current.set(CancelledJob())
        await hub.manager.index("localhub", "b", batch_size=1)

    with pytest.raises(CancelledWork):
        asyncio.run(cancelled())
    assert hub.concrete() == before
    assert len(hub.ids("b")) == 3


def test_what_a_killed_job_left_is_removed(hub: Hub) -> None:
    hub.build("b")
    hub.build("b_20261231235959_0123456")
    for name in ("b_20261231235959_0123abcd", "b_other"):
        hub.client.indices.create(index=name)
    hub.index("b")
    assert [name for name in hub.concrete() if name.startswith("b_2026123")] == []
    assert "b_other" in hub.concrete()


def test_an_index_of_somebody_else_is_not_replaced(hub: Hub) -> None:
    hub.build("b")
    hub.client.indices.create(index="b")
    with pytest.raises(IndexingError, match="'b' that this hub did not make"):
        hub.index("b")
    hub.client.indices.put_alias(index="b", name="shared")
    hub.index("b", index_name="shared")
    assert "b" in hub.concrete()
    assert len(hub.ids("shared")) == 3


def test_the_same_index_twice_at_once(hub: Hub) -> None:
    hub.build("b")

    async def both() -> list[Any]:
        jobs = [hub.manager.index("localhub", "b") for _ in range(2)]
        return await asyncio.gather(*jobs, return_exceptions=True)

    first, second = asyncio.run(both())
    assert first["count"] == 3
    assert isinstance(second, IndexBusyError)
    assert len(hub.concrete()) == 1


# --- bad input


def test_unknown_names(hub: Hub) -> None:
    hub.build("hpo_build")
    hub.index("hpo_build", index_name="hpo")
    with pytest.raises(NoSuchEnvironmentError, match="no index environment 'localhup'; did you mean 'localhub'"):
        hub.index("hpo_build", env="localhup")
    with pytest.raises(NoSuchBuildError, match="no build or collection 'hpo_biuld'; did you mean 'hpo_build'"):
        hub.index("hpo_biuld")
    for ask in (lambda: hub.ids("hpoo"), lambda: hub.manager.document("hpoo", "1")):
        with pytest.raises(NoSuchIndexError, match="no index 'hpoo'; did you mean 'hpo'"):
            ask()


def test_a_bad_query(hub: Hub) -> None:
    hub.build("b")
    hub.index("b")
    with pytest.raises(SearchError, match=r"'name:\(x' cannot be run: .*a '\)' is missing") as caught:
        hub.ids("b", "name:(x")
    assert caught.value.__suppress_context__  # the reader sees one error, not also that of the engine
    with pytest.raises(SearchError, match="sort"):
        hub.ids("b", sort="nosuch")


# --- environments


def test_environments(hub: Hub, tmp_path: Path) -> None:
    env = {"other": {"host": f"embedded://{tmp_path}/other"}, "far": {"host": "http://me:secret@127.0.0.1:1"}}
    manager = IndexManager(hub.context, config={"env": env})
    hub.build("b")
    asyncio.run(manager.index("other", "b"))
    assert manager.search("b")["total"] == 3
    info = manager.index_info()["env"]
    assert {name: each["host"] for name, each in info.items()} == {
        "localhub": hub.context.search_url, "other": f"embedded://{tmp_path}/other", "far": "http://127.0.0.1:1",
    }  # fmt: skip
    assert "secret" not in str(info)
    assert [each["environment"]["name"] for each in manager.get_indexes_by_name(env_name="other")] == ["other"]
    manager.close()


@pytest.mark.parametrize(
    ("env", "where"),
    [({"x": {}}, "env.x.host"), ({"x": {"host": "h", "port": 1}}, "env.x.port"), ({"x": {"host": 1}}, "env.x.host")],
)
def test_a_bad_environment_is_named(hub: Hub, env: dict[str, Any], where: str) -> None:
    with pytest.raises(ValueError, match=where):
        IndexManager(hub.context, config={"env": env})


# --- shapes and mappings


def shapes(*documents: dict[str, Any], skip: tuple[str, ...] = ()) -> Shapes:
    made = Shapes(skip)
    for document in documents:
        made.read(document)
    return made


def test_types_of_fields() -> None:
    found = shapes(
        {"_id": "1", "i": 1, "f": 1, "b": True, "d": datetime(2024, 1, 1, tzinfo=UTC), "w": "word", "t": "two words",
         "o": {"x": [1, {"y": 2}]}, "m": 1, "huge": 1 << 70, "n": None, "skipped": 1, "bytes": b"x"},
        {"_id": "2", "f": 1.5, "m": "text", "o": {"x": []}},
        skip=("skipped",),
    )  # fmt: skip
    properties = found.properties()
    types = {name: each.get("type") for name, each in properties.items()}
    assert types == {
        "i": "long", "f": "double", "b": "boolean", "d": "date", "w": "keyword", "t": "text", "o": None,
        "m": "keyword", "huge": "keyword", "bytes": "keyword",
    }  # fmt: skip
    assert properties["o"] == {"properties": {"x": {"type": "object", "enabled": False}}}
    assert found.mixed() == ["o.x"]


def test_shapes_add_up() -> None:
    documents = [{"_id": str(n), "a": [n, "x y", None][n % 3], "b": {"c": n}} for n in range(9)]
    whole, parts = shapes(*documents), Shapes()
    for start in range(0, 9, 2):
        parts.add(shapes(*documents[start : start + 2]))
    assert parts.properties() == whole.properties()


def test_documents_of_mixed_shapes_are_kept_and_said(hub: Hub) -> None:
    documents = [{"_id": "1", "a": {"b": 1}, "c": "x"}, {"_id": "2", "a": "text", "c": 5}]
    hub.build("b", documents)
    hub.index("b")
    assert [hub.manager.document("b", id) for id in "12"] == documents
    assert hub.ids("b", "c:5") == ["2"]


def test_values_that_json_does_not_have(hub: Hub) -> None:
    hub.build("b", [{"_id": "1", "when": datetime(2024, 5, 1, 12, tzinfo=UTC), "raw": b"\x00\xff"}])
    hub.index("b")
    assert hub.ids("b", "when:[2024-05-01 TO 2024-05-02]") == ["1"]
    assert hub.manager.document("b", "1") == {"_id": "1", "when": "2024-05-01T12:00:00", "raw": "AP8="}


def test_declared_copies_are_left_alone() -> None:
    declared = {"name": {"type": "text"}, "symbol": {"type": "keyword", "copy_to": ["all"]}}
    body = index_body(declared, {}, {"v": 1}, {})
    assert body["mappings"]["properties"] == {"all": {"type": "text"}, **declared}
    assert body["settings"]["index"]["query"]["default_field"] == ["_id", "all"]
    assert body["mappings"]["_meta"] == {"v": 1}


def test_without_copies_every_text_is_looked_in() -> None:
    declared = {"name": {"type": "text"}, "x": {"properties": {"y": {"type": "text", "copy_to": "z"}}}}
    body = index_body(declared, {"id": {"type": "keyword"}}, {}, {})
    properties = body["mappings"]["properties"]
    assert (properties["name"]["copy_to"], properties["x"]["properties"]["y"]["copy_to"]) == (["all"], ["z", "all"])
    assert body["settings"]["index"]["query"]["default_field"] == ["_id^100", "name^3", "all", "id"]
    assert declared == {"name": {"type": "text"}, "x": {"properties": {"y": {"type": "text", "copy_to": "z"}}}}


def test_the_recipe_sets_the_index() -> None:
    recipe = {"num_shards": 3, "num_replicas": 2, "extra_index_settings": {"codec": "best_compression"}}
    settings = index_body({}, {}, {}, recipe)["settings"]["index"]
    assert (settings["number_of_shards"], settings["number_of_replicas"], settings["codec"]) == (
        3,
        2,
        "best_compression",
    )
    many = index_body({}, {f"f{n}": {"type": "long"} for n in range(600)}, {}, {})["settings"]["index"]
    assert many["mapping"]["total_fields"]["limit"] >= 1_200


@pytest.mark.parametrize(
    ("q", "escaped"),
    [
        ("HP:0001250", "HP\\:0001250"),
        ("name:x AND HP:1", "name:x AND HP\\:1"),
        ('name:"HP:1"', 'name:"HP:1"'),
        ("name:/HP:1/", "name:/HP:1/"),
        ("genes.symbol:X", "genes.symbol:X"),
        ("HP\\:1", "HP\\:1"),
        ("_exists_:name", "_exists_:name"),
        ("(OMIM:1 OR HP:2)", "(OMIM\\:1 OR HP\\:2)"),
        ("typo:[1 TO 2]", "typo:[1 TO 2]"),
    ],
)
def test_identifiers_are_no_fields(q: str, escaped: str) -> None:
    assert escape_prefixes(q, {"name", "genes", "_exists_"}) == escaped
