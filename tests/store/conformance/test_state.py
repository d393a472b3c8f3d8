"""Hub state: MongoDB's dialect, the same answers, refusals and notices everywhere."""

from __future__ import annotations

import logging
import re
import threading
from collections.abc import Callable
from typing import Any

import bson
import pytest

from hubkernel.store import (
    DocumentTooLargeError,
    DuplicateIdError,
    InvalidDocumentError,
    StateCollection,
    StateStore,
    UnsupportedQueryError,
    UpdateError,
    open_state,
)
from tests.store.conformance.helpers import naive

SAMPLE: list[dict[str, Any]] = [
    {"_id": "a", "n": 1, "tags": ["x", "y"], "at": naive(2024, 1, 1), "sub": {"k": 1, "list": [{"v": 1}, {"v": 5}]}},
    {"_id": "b", "n": 2.0, "tags": [], "name": "Beta", "sub": {"k": None}},
    {"_id": "c", "n": None, "tags": ["y"], "name": "gamma"},
    {"_id": "d", "flag": True, "tags": [["x"]], "at": naive(2025, 1, 1)},
    {"_id": "e", "n": "2", "flag": False, "name": "Épsilon"},
    {"_id": 7, "n": -3, "sub": [{"k": 1}, {"k": 9}]},
]


@pytest.fixture
def sample(docs: StateCollection) -> StateCollection:
    for document in SAMPLE:
        docs.insert_one(document)
    return docs


def found(docs: StateCollection, filter: dict[str, Any]) -> list[Any]:
    return [document["_id"] for document in docs.find(filter)]


@pytest.mark.parametrize(
    ("filter", "expected"),
    [
        ({}, ["a", "b", "c", "d", "e", 7]),
        ({"_id": "b"}, ["b"]),
        ({"_id": 7}, [7]),
        ({"_id": 7.0}, [7]),
        ({"_id": {"$in": [7, "e", "a"]}}, ["a", "e", 7]),
        ({"_id": {"$gt": "b", "$lte": "d"}}, ["c", "d"]),
        ({"n": 1}, ["a"]),
        ({"n": 2}, ["b"]),
        ({"n": None}, ["c", "d"]),
        ({"flag": True}, ["d"]),
        ({"flag": False}, ["e"]),
        ({"n": True}, []),
        ({"at": naive(2024, 1, 1)}, ["a"]),
        ({"tags": "x"}, ["a"]),
        ({"tags": ["x"]}, ["d"]),
        ({"tags": ["x", "y"]}, ["a"]),
        ({"tags": []}, ["b"]),
        ({"sub.k": 1}, ["a", 7]),
        ({"sub.list.v": 5}, ["a"]),
        ({"sub.list.1.v": 5}, ["a"]),
        ({"sub.list.0.v": 5}, []),
        ({"sub": {"k": None}}, ["b"]),
        ({"sub.k": None}, ["b", "c", "d", "e"]),
        ({"n": {"$eq": 1}}, ["a"]),
        ({"n": {"$ne": 1}}, ["b", "c", "d", "e", 7]),
        ({"n": {"$gt": 0}}, ["a", "b"]),
        ({"n": {"$gte": 2}}, ["b"]),
        ({"n": {"$lt": 2}}, ["a", 7]),
        ({"n": {"$lte": 2, "$gt": -5}}, ["a", "b", 7]),
        ({"n": {"$gte": "1"}}, ["e"]),
        ({"n": {"$gte": None}}, ["c", "d"]),
        ({"at": {"$lt": naive(2025, 1, 1)}}, ["a"]),
        ({"n": {"$in": [1, "2", None]}}, ["a", "c", "d", "e"]),
        ({"n": {"$nin": [1, "2", None]}}, ["b", 7]),
        ({"name": {"$in": [re.compile("^B"), "gamma"]}}, ["b", "c"]),
        ({"n": {"$exists": True}}, ["a", "b", "c", "e", 7]),
        ({"n": {"$exists": False}}, ["d"]),
        ({"n": {"$exists": 0}}, ["d"]),
        ({"$and": [{"n": {"$gt": 0}}, {"tags": "y"}]}, ["a"]),
        ({"$or": [{"n": 1}, {"flag": True}]}, ["a", "d"]),
        ({"$nor": [{"n": 1}, {"flag": True}]}, ["b", "c", "e", 7]),
        ({"n": {"$not": {"$gt": 0}}}, ["c", "d", "e", 7]),
        ({"name": {"$not": re.compile("a$")}}, ["a", "d", "e", 7]),
        ({"name": {"$regex": "^g"}}, ["c"]),
        ({"name": {"$regex": "^b", "$options": "i"}}, ["b"]),
        ({"name": re.compile("ÉPS", re.IGNORECASE)}, ["e"]),
        ({"tags": {"$size": 2}}, ["a"]),
        ({"tags": {"$size": 0}}, ["b"]),
        ({"tags": {"$all": ["y", "x"]}}, ["a"]),
        ({"tags": {"$all": []}}, []),
        ({"sub.list": {"$elemMatch": {"v": {"$gt": 2, "$lt": 9}}}}, ["a"]),
        ({"sub.list": {"$elemMatch": {"v": {"$gt": 1, "$lt": 5}}}}, []),
        ({"tags": {"$elemMatch": {"$eq": "y"}}}, ["a", "c"]),
        ({"sub": {"$elemMatch": {"k": 9}}}, [7]),
    ],
)
def test_filters(sample: StateCollection, filter: dict[str, Any], expected: list[Any]) -> None:
    assert found(sample, filter) == expected
    assert sample.count(filter) == len(expected)
    first = sample.find_one(filter)
    assert (first and first["_id"]) == (expected[0] if expected else None)


START = {"_id": 1, "n": 5, "f": 0.5, "list": [1, 2, 2], "docs": [{"k": 1}, {"k": 2}], "sub": {"x": 1, "y": 2}, "s": "t"}


@pytest.mark.parametrize(
    ("update", "changes"),
    [
        ({"$set": {"sub.y": 3}}, {"sub": {"x": 1, "y": 3}}),
        ({"$set": {"new.deep.er": 1}}, {"new": {"deep": {"er": 1}}}),
        ({"$set": {"list.1": 9}}, {"list": [1, 9, 2]}),
        ({"$set": {"list.4": 9}}, {"list": [1, 2, 2, None, 9]}),
        ({"$set": {"docs.0.k": 9}}, {"docs": [{"k": 9}, {"k": 2}]}),
        ({"$set": {"s": None, "n": "five"}}, {"s": None, "n": "five"}),
        ({"$set": {"_id": 1}}, {}),
        ({"$unset": {"sub.x": "", "nope.x": ""}}, {"sub": {"y": 2}}),
        ({"$unset": {"list.0": ""}}, {"list": [None, 2, 2]}),
        ({"$inc": {"n": -2, "sub.x": 10, "fresh": 1}}, {"n": 3, "sub": {"x": 11, "y": 2}, "fresh": 1}),
        ({"$inc": {"n": 0.5, "f": 1}}, {"n": 5.5, "f": 1.5}),
        ({"$push": {"list": [3]}}, {"list": [1, 2, 2, [3]]}),
        ({"$push": {"list": {"$each": [3, 4]}, "fresh": "x"}}, {"list": [1, 2, 2, 3, 4], "fresh": ["x"]}),
        ({"$addToSet": {"list": 2.0}}, {}),
        ({"$addToSet": {"list": {"$each": [2, 3, 3]}}}, {"list": [1, 2, 2, 3]}),
        ({"$addToSet": {"docs": {"k": 2}}}, {}),
        ({"$pull": {"list": 2}}, {"list": [1]}),
        ({"$pull": {"list": {"$gte": 2}}}, {"list": [1]}),
        ({"$pull": {"docs": {"k": 1}}}, {"docs": [{"k": 2}]}),
        ({"$pull": {"nope": 1}}, {}),
        ({"$setOnInsert": {"n": 99}}, {}),
        ({"$set": {"s": 1}, "$inc": {"n": 1}, "$push": {"list": 0}}, {"s": 1, "n": 6, "list": [1, 2, 2, 0]}),
    ],
)
def test_updates(docs: StateCollection, update: dict[str, Any], changes: dict[str, Any]) -> None:
    docs.insert_one(START)
    assert docs.update_one({"_id": 1}, update) == 1
    expected = START | changes
    assert docs.find_one({"_id": 1}) == expected
    assert docs.update_many({"_id": 1}, {"$set": {"done": True}}) == 1


@pytest.mark.parametrize(
    "update",
    [
        {"$inc": {"s": 1}},
        {"$push": {"n": 1}},
        {"$addToSet": {"n": 1}},
        {"$pull": {"n": 1}},
        {"$set": {"n.x": 1}},
        {"$set": {"list.x": 1}},
        {"$set": {"_id": 2}},
        {"$unset": {"_id": ""}},
    ],
)
def test_an_update_that_does_not_fit_changes_nothing(docs: StateCollection, update: dict[str, Any]) -> None:
    docs.insert_one(START)
    for change in (docs.update_one, docs.update_many):
        with pytest.raises(UpdateError) as caught:
            change({"_id": 1}, update)
        assert "\n" not in str(caught.value)
    assert docs.find() == [START]


def test_update_many_is_all_or_nothing(docs: StateCollection) -> None:
    for document in ({"_id": 1, "n": 1}, {"_id": 2, "n": "text"}, {"_id": 3, "n": 3}):
        docs.insert_one(document)
    with pytest.raises(UpdateError):
        docs.update_many({}, {"$inc": {"n": 1}})
    assert [document["n"] for document in docs.find()] == [1, "text", 3]


@pytest.mark.parametrize(
    "filter",
    [
        {"$where": "true"},
        {"n": {"$type": "int"}},
        {"n": {"$mod": [2, 0]}},
        {"n": {"$near": 1}},
        {"$or": []},
        {"$and": {"n": 1}},
        {"n": {"$in": "x"}},
        {"n": {"$not": 1}},
        {"n": {"$size": "2"}},
        {"name": {"$regex": "["}},
        {"name": {"$regex": "a", "$options": "q"}},
        {"n": object()},
    ],
)
def test_filters_outside_of_the_subset(sample: StateCollection, filter: dict[str, Any]) -> None:
    calls: list[Callable[[], Any]] = [
        lambda: sample.find(filter),
        lambda: sample.find_one(filter),
        lambda: sample.count(filter),
        lambda: sample.update_one(filter, {"$set": {"x": 1}}),
        lambda: sample.update_many(filter, {"$set": {"x": 1}}),
        lambda: sample.replace_one(filter, {"x": 1}),
        lambda: sample.delete_one(filter),
        lambda: sample.delete_many(filter),
    ]
    for call in calls:
        with pytest.raises(UnsupportedQueryError):
            call()
    assert sample.find() == SAMPLE


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"n": 1},
        {"$rename": {"n": "m"}},
        {"$set": 5},
        {"$inc": {"n": "1"}},
        {"$push": {"tags": {"$each": [1], "$slice": 2}}},
        {"$set": {"n": 1}, "$inc": {"n": 1}},
        {"$set": {"sub": 1, "sub.k": 1}},
        {"$set": {"$n": 1}},
        {"$set": {"a..b": 1}},
        [{"$set": {"n": 1}}],
    ],
)
def test_updates_outside_of_the_subset(sample: StateCollection, update: Any) -> None:
    for change in (sample.update_one, sample.update_many):
        with pytest.raises(UnsupportedQueryError):
            change({"_id": "a"}, update)
    assert sample.find() == SAMPLE


def test_a_replacement_has_no_operators(sample: StateCollection) -> None:
    with pytest.raises(UnsupportedQueryError):
        sample.replace_one({"_id": "a"}, {"$set": {"n": 1}})
    assert sample.find() == SAMPLE


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        (None, SAMPLE[0]),
        ({}, SAMPLE[0]),
        (["n"], {"_id": "a", "n": 1}),
        ([], {"_id": "a"}),
        ({"sub.k": 1}, {"_id": "a", "sub": {"k": 1}}),
        ({"sub.list.v": 1, "_id": 0}, {"sub": {"list": [{"v": 1}, {"v": 5}]}}),
        ({"tags": 0, "sub": 0, "at": 0}, {"_id": "a", "n": 1}),
        ({"tags": 0, "sub.list": 0, "at": 0, "_id": 0}, {"n": 1, "sub": {"k": 1}}),
        ({"_id": 1}, {"_id": "a"}),
        ({"_id": 0}, {name: value for name, value in SAMPLE[0].items() if name != "_id"}),
        ({"nope": 1}, {"_id": "a"}),
    ],
)
def test_projections(sample: StateCollection, projection: Any, expected: dict[str, Any]) -> None:
    assert sample.find({"_id": "a"}, projection) == [expected]
    assert sample.find_one({"tags": "x"}, projection) == expected
    assert sample.find({"tags": "x"}, projection, sort=[("n", 1)]) == [expected]


@pytest.mark.parametrize("projection", [{"n": 1, "m": 0}, {"n": "$x"}, {"n": {"$meta": 1}}, "n", {"a": 1, "a.b": 1}])
def test_projections_outside_of_the_subset(sample: StateCollection, projection: Any) -> None:
    with pytest.raises(UnsupportedQueryError):
        sample.find({}, projection)


def test_order_is_insertion_unless_sorted(docs: StateCollection) -> None:
    for doc_id, n in ((5, 1), ("x", 1), (1, 2), (3, 1), ("b", None)):
        docs.insert_one({"_id": doc_id, "n": n})
    docs.update_one({"_id": "x"}, {"$set": {"grown": "z" * 5000}})

    def ids(**query: Any) -> list[Any]:
        return [document["_id"] for document in docs.find(**query)]

    assert ids() == [5, "x", 1, 3, "b"]
    assert ids(filter={"n": 1}) == [5, "x", 3]
    assert ids(filter={"_id": {"$in": ["b", 1, 5]}}) == [5, 1, "b"]
    assert ids(skip=1, limit=2) == ["x", 1]
    assert ids(sort=[("_id", 1)]) == [1, 3, 5, "b", "x"]
    assert ids(sort=[("_id", -1)], limit=2) == ["x", "b"]
    assert ids(sort=[("n", 1)]) == ["b", 5, "x", 3, 1]
    assert ids(sort=[("n", -1)], skip=1, limit=2) == [5, "x"]
    assert ids(sort=[("n", 1), ("_id", -1)]) == ["b", "x", 5, 3, 1]
    assert docs.find_one(sort=[("n", -1)])["_id"] == 1  # type: ignore[index]
    docs.update_one({"n": 1}, {"$set": {"first": True}})
    docs.delete_one({"n": 1})
    assert ids() == ["x", 1, 3, "b"]


@pytest.mark.parametrize("window", [{"limit": -1}, {"skip": -1}, {"sort": [("n", 0)]}, {"sort": ["n"]}])
def test_bad_windows_are_refused(docs: StateCollection, window: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedQueryError):
        docs.find(**window)


def test_core_c77_the_language_of_every_backend(docs: StateCollection) -> None:
    for number in (10, 9, 100, 1):
        docs.insert_one({"_id": number, "sub": {"keep": 1}, "list": [1]})
    assert docs.update_one({"_id": 9}, {"$set": {"sub.deep.er": 2}}) == 1
    assert docs.update_one({"_id": 9}, {"$unset": {"list": 1}}) == 1
    assert docs.update_one({"_id": 10}, {"$push": {"list": 2}}) == 1
    assert docs.update_one({"_id": 10}, {"$addToSet": {"list": 2}}) == 1
    assert docs.update_one({"_id": 10}, {"$pull": {"list": 1}}) == 1
    assert docs.update_one({"_id": 11}, {"$set": {"made.by": "upsert"}}, upsert=True) == 1
    assert docs.find_one({"_id": 9}) == {"_id": 9, "sub": {"keep": 1, "deep": {"er": 2}}}
    assert docs.find_one({"_id": 10}, {"list": 1}) == {"_id": 10, "list": [2]}
    assert docs.find_one({"_id": 11}) == {"_id": 11, "made": {"by": "upsert"}}
    assert found(docs, {"list": {"$exists": False}}) == [9, 11]
    assert found(docs, {"_id": {"$in": [1, 100, 5]}}) == [100, 1]
    assert [document["_id"] for document in docs.find(sort=[("_id", 1)])] == [1, 9, 10, 11, 100]


def test_build_c89_no_match_dates_and_dotted_set(docs: StateCollection) -> None:
    assert docs.find_one({"n": 1}) is None
    docs.insert_one({"_id": "a", "b": {"x": 1}, "at": naive(2024, 5, 6, 7, 8, 9, 123456)})
    docs.update_one({"_id": "a"}, {"$set": {"b.c": 2, "end": naive(2024, 5, 6)}})
    assert docs.find_one({"at": {"$lt": naive(2025, 1, 1)}}) == {
        "_id": "a", "b": {"x": 1, "c": 2}, "at": naive(2024, 5, 6, 7, 8, 9, 123000), "end": naive(2024, 5, 6)
    }  # fmt: skip


def test_build_c90_all_matches_or_one(docs: StateCollection) -> None:
    for number in range(6):
        docs.insert_one({"_id": number, "even": number % 2 == 0})
    assert docs.update_one({"even": True}, {"$set": {"one": 1}}) == 1
    assert docs.update_many({"even": True}, {"$set": {"all": 1}}) == 3
    assert docs.update_many({"even": 5}, {"$set": {"all": 1}}) == 0
    assert (docs.count({"one": 1}), docs.count({"all": 1})) == (1, 3)
    assert docs.delete_one({"even": True}) == 1
    assert docs.delete_many({"even": True}) == 2
    assert docs.delete_one({"even": True}) == docs.delete_many({"even": True}) == 0
    assert found(docs, {}) == [1, 3, 5]
    assert docs.delete_many({}) == 3


def test_build_c91_an_id_is_there_once(docs: StateCollection) -> None:
    docs.insert_one({"_id": "a", "n": 1})
    with pytest.raises(DuplicateIdError, match="'a'") as caught:
        docs.insert_one({"_id": "a", "n": 2})
    assert (caught.value.ids, caught.value.count) == (("a",), 1)
    docs.insert_one({"_id": 1})
    docs.insert_one({"_id": "1"})
    with pytest.raises(DuplicateIdError):
        docs.update_one({"n": 5}, {"$set": {"_id": "a"}}, upsert=True)
    assert docs.find_one({"_id": "a"}) == {"_id": "a", "n": 1}
    assert docs.count() == 3


@pytest.mark.parametrize("doc_id", [None, True, 1.5, ["a"], {"a": 1}, "", bson.ObjectId("0" * 24), b"a"])
def test_an_id_is_a_string_or_an_int(docs: StateCollection, doc_id: Any) -> None:
    with pytest.raises(InvalidDocumentError, match="_id"):
        docs.insert_one({"_id": doc_id})
    assert docs.find() == []


def test_bad_documents_are_refused(docs: StateCollection) -> None:
    with pytest.raises(InvalidDocumentError, match="_id"):
        docs.insert_one({"n": 1})
    with pytest.raises(InvalidDocumentError, match="n is "):
        docs.insert_one({"_id": 1, "n": object()})
    with pytest.raises(DocumentTooLargeError, match="16"):
        docs.insert_one({"_id": 1, "n": b"." * 2**24})
    docs.insert_one({"_id": 1, "n": b"." * (2**24 - 100)})
    with pytest.raises(DocumentTooLargeError, match="16"):
        docs.update_one({"_id": 1}, {"$set": {"m": b"." * 100}})
    assert docs.count({"m": {"$exists": True}}) == 0


def test_upserts(docs: StateCollection) -> None:
    insert = {"$set": {"n": 1}, "$setOnInsert": {"made": True}}
    assert docs.update_one({"_id": "a", "kind": "x", "k": {"$gt": 5}, "sub.y": 2}, insert, upsert=True) == 1
    assert docs.find_one({"_id": "a"}) == {"_id": "a", "kind": "x", "sub": {"y": 2}, "n": 1, "made": True}
    assert docs.update_one({"_id": "a"}, {"$set": {"n": 2}, "$setOnInsert": {"made": False}}, upsert=True) == 1
    assert docs.find_one({"_id": "a"}, ["n", "made"]) == {"_id": "a", "n": 2, "made": True}
    assert docs.update_one({"_id": "b"}, {"$set": {"n": 2}}) == 0
    assert docs.update_one({"kind": "none"}, {"$set": {"_id": "from update"}}, upsert=True) == 1
    for upsert in (docs.update_one, docs.replace_one):
        content = {"$set": {"n": 1}} if upsert == docs.update_one else {"n": 1}
        with pytest.raises(InvalidDocumentError, match="_id"):
            upsert({"kind": "no id"}, content, upsert=True)
    assert found(docs, {}) == ["a", "from update"]


def test_replacing(docs: StateCollection) -> None:
    docs.insert_one({"_id": "a", "n": 1, "m": 1})
    assert docs.replace_one({"n": 1}, {"n": 2}) == 1
    assert docs.replace_one({"_id": "a"}, {"z": 1, "_id": "a"}) == 1
    assert docs.find() == [{"_id": "a", "z": 1}]
    assert docs.replace_one({"_id": "b"}, {"n": 3}) == 0
    assert docs.replace_one({"_id": "b"}, {"n": 3}, upsert=True) == 1
    assert docs.replace_one({"n": 99}, {"_id": "c"}, upsert=True) == 1
    with pytest.raises(UpdateError, match="_id"):
        docs.replace_one({"_id": "a"}, {"_id": "other"})
    assert docs.find() == [{"_id": "a", "z": 1}, {"_id": "b", "n": 3}, {"_id": "c"}]


def test_what_is_returned_is_a_copy(docs: StateCollection) -> None:
    document = {"_id": 1, "list": [1]}
    docs.insert_one(document)
    document["list"].append(2)  # type: ignore[attr-defined]
    docs.find_one({"_id": 1})["list"].append(3)  # type: ignore[index]
    assert docs.find() == [{"_id": 1, "list": [1]}]
    assert type(docs.find()[0]) is dict


def test_next_id_only_rises(state: StateStore) -> None:
    assert [state["jobs"].next_id() for _ in range(3)] == [1, 2, 3]
    state["jobs"].delete_many({})
    assert state["builds"].next_id() == 1
    again = open_state(state.url)
    assert again["jobs"].next_id() == 4
    again.close()
    assert state["jobs"].find() == []
    assert "jobs" not in state.names()


def test_next_id_is_never_given_twice(state: StateStore) -> None:
    given: list[int] = []

    def take() -> None:
        given.extend([state["jobs"].next_id() for _ in range(20)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(given) == list(range(1, 81))


def test_concurrent_updates_are_not_lost(state: StateStore) -> None:
    state["jobs"].insert_one({"_id": 1, "n": 0, "log": []})

    def work(worker: int) -> None:
        for step in range(20):
            state["jobs"].update_one({"_id": 1}, {"$inc": {"n": 1}, "$push": {"log": [worker, step]}})
            state["jobs"].update_one({"_id": "shared"}, {"$inc": {"n": 1}}, upsert=True)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    document = state["jobs"].find_one({"_id": 1})
    assert document is not None
    assert document["n"] == len(document["log"]) == 80
    for worker in range(4):
        assert [step for who, step in document["log"] if who == worker] == list(range(20))
    assert state["jobs"].find_one({"_id": "shared"}) == {"_id": "shared", "n": 80}


def test_names_and_reopening(state: StateStore) -> None:
    assert state.names() == []
    state["b"].insert_one({"_id": 1})
    state["a"].insert_one({"_id": 1})
    again = open_state(state.url)
    assert again.names() == ["a", "b"]
    assert again.collection("a").name == "a"
    assert again["a"].find() == [{"_id": 1}]
    again.close()
    state["a"].delete_many({})
    assert state.names() == ["b"]
    with pytest.raises(ValueError, match="name"):
        state.collection("")


def test_changes_are_told_once_after_the_commit(state: StateStore) -> None:
    told: list[tuple[str, str, Any, Any]] = []

    def listen(collection: str, operation: str, doc_id: Any, document: Any) -> None:
        if document is not None:
            assert open_again["job"].find_one({"_id": doc_id}) == document
        told.append((collection, operation, doc_id, document))

    open_again = open_state(state.url)
    state.on_change = listen
    jobs = state["job"]
    jobs.insert_one({"n": 1, "_id": 1})
    jobs.update_one({"n": 1}, {"$set": {"n": 2}})
    jobs.update_one({"_id": 5}, {"$set": {"n": 2}})
    jobs.update_one({"_id": 5}, {"$set": {"n": 5}}, upsert=True)
    jobs.replace_one({"_id": 5}, {"m": 1})
    jobs.replace_one({"_id": 6}, {"m": 1}, upsert=True)
    jobs.update_many({"m": 1}, {"$set": {"m": 2}})
    jobs.update_many({"m": 1}, {"$set": {"m": 2}})
    jobs.delete_one({"n": 2})
    jobs.delete_many({})
    jobs.delete_many({})
    jobs.next_id()
    with pytest.raises(InvalidDocumentError):
        jobs.insert_one({})
    assert told == [
        ("job", "insert", 1, {"_id": 1, "n": 1}),
        ("job", "update", 1, {"_id": 1, "n": 2}),
        ("job", "insert", 5, {"_id": 5, "n": 5}),
        ("job", "replace", 5, {"_id": 5, "m": 1}),
        ("job", "insert", 6, {"_id": 6, "m": 1}),
        ("job", "update", None, None),
        ("job", "delete", 1, None),
        ("job", "delete", None, None),
    ]
    open_again.close()


def test_an_error_of_the_listener_does_not_fail_the_write(state: StateStore, caplog: pytest.LogCaptureFixture) -> None:
    def fail(*change: Any) -> None:
        raise RuntimeError("listener is broken")

    state.on_change = fail
    with caplog.at_level(logging.ERROR):
        state["job"].insert_one({"_id": 1})
    assert state["job"].count() == 1
    assert "insert of job 1" in caplog.text
    assert "listener is broken" in caplog.text
