"""The hub's databases as plugins know them, on every backend."""

from __future__ import annotations

import logging
import pickle
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymongo
import pytest
from pymongo import MongoClient

from hubkernel.pipeline import facade
from hubkernel.pipeline.facade import Database, UnsupportedCallError
from hubkernel.pipeline.feeders import doc_feeder, id_feeder
from hubkernel.pipeline.surroundings import NoSurroundingsError, Surroundings, current, enter
from hubkernel.store import UnsupportedQueryError, open_state, open_store

DOCS: list[dict[str, Any]] = [
    {"_id": f"{n:02}", "n": n, "even": n % 2 == 0, "tags": ["a", "b"] if n < 2 else "c"} for n in range(10)
]


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.service)])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    if request.param == "sqlite":
        yield f"sqlite://{tmp_path}/store"
        return
    server, _, options = request.getfixturevalue("mongod_url").partition("/?")
    name = f"hk_{uuid.uuid4().hex}"
    yield f"{server.rstrip('/')}/{name}?{options}"
    with MongoClient(request.getfixturevalue("mongod_url")) as client:
        client.drop_database(name)


@pytest.fixture
def db(store_url: str) -> Iterator[Database]:
    store = open_store(store_url)
    writer = store.writer()
    with writer.part() as part:
        part.write(DOCS)
    writer.seal()
    writer.commit("numbers")
    store.close()
    database = facade.open_source_db(store_url)
    yield database
    database.close()


def test_a_collection_is_found_by_item_attribute_and_name(db: Database) -> None:
    assert (
        db["numbers"].count_documents({}) == db.numbers.count() == db.get_collection("numbers").count_documents() == 10
    )
    assert db.list_collection_names() == ["numbers"]


def test_finding(db: Database) -> None:
    col = db["numbers"]
    assert list(col.find()) == DOCS
    assert [d["n"] for d in col.find({"even": True}, {"n": 1}, no_cursor_timeout=True)] == [0, 2, 4, 6, 8]
    assert list(col.find(projection=["n"]).sort("n", -1).skip(1).limit(2)) == [
        {"_id": "08", "n": 8},
        {"_id": "07", "n": 7},
    ]
    assert [d["_id"] for d in col.find().sort([("even", 1), ("n", -1)])[:2]] == ["09", "07"]
    assert col.find()[3]["n"] == 3
    assert col.find_one("04") == col.find_one({"n": 4}) == DOCS[4]
    assert col.find_one({"n": {"$gt": 99}}) is None
    assert col.count_documents({"n": {"$gte": 5}}, skip=1, limit=3) == 3
    assert col.find({"even": True}).count() == 5
    assert col.distinct("tags") == ["a", "b", "c"]
    assert col.estimated_document_count() == 10


def test_a_cursor_ends_rewinds_and_cannot_be_changed_once_begun(db: Database) -> None:
    with db["numbers"].find().limit(1) as cursor:
        assert next(cursor)["n"] == 0
        with pytest.raises(RuntimeError, match="has begun"):
            cursor.sort("n")
        assert list(cursor) == []
        assert len(list(cursor.rewind())) == 1


def test_feeders(db: Database) -> None:
    col, calls = db["numbers"], []
    assert list(doc_feeder(col)) == DOCS
    batches = list(doc_feeder(col, step=4, s=1, e=8, inbatch=True, batch_callback=lambda at, _: calls.append(at)))
    assert [[d["n"] for d in batch] for batch in batches] == [[1, 2, 3, 4], [5, 6, 7]]
    assert calls == [5, 8]
    assert list(doc_feeder(col, query={"n": 3}, fields=["n"])) == [{"_id": "03", "n": 3}]
    assert list(doc_feeder(col, s=3, e=3)) == []
    assert [len(ids) for ids in id_feeder(col, batch_size=6)] == [6, 4]
    assert next(id_feeder(col, build_cache=False)) == [d["_id"] for d in DOCS]


def test_a_collection_that_is_not_there_reads_as_empty_and_is_named(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        col = db["number"]
        assert (col.count_documents({}), col.find_one(), list(col.find()), list(id_feeder(col))) == (0, None, [], [])
    assert "did you mean 'numbers'" in caplog.text


@pytest.mark.parametrize("call", ["insert_one", "update_many", "bulk_write", "drop", "delete_many"])
def test_nothing_can_be_changed(db: Database, call: str) -> None:
    with pytest.raises(UnsupportedCallError, match=f"{call}: a collection of documents is not changed from a plugin"):
        getattr(db["numbers"], call)({})
    assert not hasattr(db["numbers"], "update")


def test_what_is_not_answered_says_so(db: Database) -> None:
    with pytest.raises(UnsupportedCallError, match=r"numbers\.aggregate is not answered"):
        db["numbers"].aggregate([])
    with pytest.raises(TypeError, match="find takes no 'projectio'; did you mean 'projection'"):
        db["numbers"].find(projectio={})
    with pytest.raises(UnsupportedQueryError, match=r"\$where"):
        db["numbers"].find_one({"$where": "1"})
    with pytest.raises(UnsupportedCallError, match="'text'"):
        db["numbers"].create_index([("n", "text")])


def test_indexes_have_the_names_that_pymongo_gives_them(db: Database) -> None:
    assert db["numbers"].create_index([("n", 1), ("tags", pymongo.DESCENDING)]) == "n_1_tags_-1"
    assert db["numbers"].create_indexes([pymongo.IndexModel("n", name="mine")]) == ["mine"]
    assert db["numbers"].find_one({"n": 7})["_id"] == "07"


def test_surroundings_are_those_of_the_step_also_in_its_threads(db: Database, store_url: str, tmp_path: Path) -> None:
    state_url = f"sqlite://{tmp_path}/state.db"
    with pytest.raises(NoSurroundingsError, match="no hub here"):
        current()
    here = pickle.loads(pickle.dumps(Surroundings(store_url, state_url, "/a", "/l", {"X": 1})))
    with enter(here):
        found: list[Any] = []
        thread = threading.Thread(target=lambda: found.append(facade.source_db()["numbers"].count()))
        thread.start()
        thread.join()
        assert found == [10]
        assert facade.source_db() is db
    with pytest.raises(NoSurroundingsError):
        facade.hub_db()
    assert store_url not in repr(here)


def test_the_hubs_state_is_read_only_and_opened_anew_after_a_step(tmp_path: Path) -> None:
    url = f"sqlite://{tmp_path}/state.db"
    state = open_state(url)
    state["src_dump"].insert_one({"_id": "x", "download": {"release": "1"}})
    state.close()
    for _ in range(2):
        with enter(Surroundings(f"sqlite://{tmp_path}/store", url, "", "")):
            src_dump = facade.hub_db()["src_dump"]
            assert src_dump.find_one({"_id": "x"})["download"]["release"] == "1"
            assert facade.hub_db().list_collection_names() == ["src_dump"]
            assert next(id_feeder(src_dump)) == ["x"]
            with pytest.raises(UnsupportedCallError, match="the hub writes it"):
                src_dump.update_one({"_id": "x"}, {"$set": {"a": 1}})
    assert pickle.loads(pickle.dumps(src_dump)).database is src_dump.database
    facade.open_hub_db(url).close()
