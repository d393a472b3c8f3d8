"""The filter language, without any store. What it says is what mongod says: conformance/test_same_answers.py."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any

import pytest
from bson import Int64

from hubkernel.store import UnsupportedQueryError
from hubkernel.store.order import arrange, compile_sort, sort_key
from hubkernel.store.projection import compile_projection
from hubkernel.store.query import compile_filter, wanted_ids

DATE = datetime(2024, 1, 2, 3, 4, 5, tzinfo=UTC)


@pytest.mark.parametrize(
    ("filter", "document", "expected"),
    [
        # equality: numbers are one type, booleans another, null is also what is missing
        ({"n": 1}, {"n": 1.0}, True),
        ({"n": 1}, {"n": Int64(1)}, True),
        ({"n": 1}, {"n": True}, False),
        ({"n": True}, {"n": 1}, False),
        ({"n": 0}, {"n": False}, False),
        ({"n": None}, {"n": None}, True),
        ({"n": None}, {}, True),
        ({"n": None}, {"n": 0}, False),
        ({"n": ""}, {"n": None}, False),
        ({"n": {"a": 1, "b": 2}}, {"n": {"a": 1, "b": 2}}, True),
        ({"n": {"a": 1, "b": 2}}, {"n": {"b": 2, "a": 1}}, False),
        ({"n": {"a": 1}}, {"n": {"a": 1, "b": 2}}, False),
        ({"n": DATE}, {"n": DATE.replace(tzinfo=None)}, True),
        ({"n": float("nan")}, {"n": float("nan")}, True),
        # arrays: an element or the whole
        ({"n": 1}, {"n": [0, 1]}, True),
        ({"n": [0, 1]}, {"n": [0, 1]}, True),
        ({"n": [0, 1]}, {"n": [[0, 1], 2]}, True),
        ({"n": [1, 0]}, {"n": [0, 1]}, False),
        ({"n": [1]}, {"n": 1}, False),
        ({"n": None}, {"n": [1, None]}, True),
        # dotted paths, through arrays, by position
        ({"a.b": 1}, {"a": {"b": 1}}, True),
        ({"a.b": 1}, {"a": [{"b": 0}, {"b": 1}]}, True),
        ({"a.b": 1}, {"a": [{"b": [0, 1]}]}, True),
        ({"a.b": None}, {"a": [{"b": 1}, {}]}, True),
        ({"a.b": None}, {"a": [1, 2]}, False),
        ({"a.b": None}, {"a": 1}, True),
        ({"a.0": 5}, {"a": [5, 6]}, True),
        ({"a.1": 5}, {"a": [5, 6]}, False),
        ({"a.0": 5}, {"a": {"0": 5}}, True),
        ({"a.1.b": 5}, {"a": [0, {"b": 5}]}, True),
        ({"a.01": 5}, {"a": [0, 5]}, False),
        # comparisons stay within a type
        ({"n": {"$gt": 1}}, {"n": 2}, True),
        ({"n": {"$gt": 1}}, {"n": 1}, False),
        ({"n": {"$gte": 1}}, {"n": 1.0}, True),
        ({"n": {"$lt": "b"}}, {"n": "a"}, True),
        ({"n": {"$gt": 1}}, {"n": "2"}, False),
        ({"n": {"$gt": 0}}, {"n": True}, False),
        ({"n": {"$lt": 5}}, {}, False),
        ({"n": {"$lte": None}}, {}, True),
        ({"n": {"$lt": None}}, {"n": None}, False),
        ({"n": {"$gt": 1, "$lt": 3}}, {"n": [0, 5]}, True),
        ({"n": {"$lt": 5}}, {"n": float("nan")}, False),
        ({"n": {"$gte": float("nan")}}, {"n": float("nan")}, True),
        ({"n": {"$gt": DATE}}, {"n": DATE.replace(year=2025)}, True),
        ({"n": {"$gt": [1, 2]}}, {"n": [1, 3]}, True),
        # sets
        ({"n": {"$in": [1, "a"]}}, {"n": "a"}, True),
        ({"n": {"$in": [1]}}, {"n": True}, False),
        ({"n": {"$in": [None]}}, {}, True),
        ({"n": {"$in": [re.compile("^a")]}}, {"n": "abc"}, True),
        ({"n": {"$in": []}}, {"n": 1}, False),
        ({"n": {"$nin": [1]}}, {}, True),
        ({"n": {"$nin": [1]}}, {"n": [1, 2]}, False),
        ({"n": {"$ne": 1}}, {"n": [1, 2]}, False),
        ({"n": {"$ne": 1}}, {}, True),
        ({"n": {"$all": [1, 2]}}, {"n": [3, 2, 1]}, True),
        ({"n": {"$all": [1, 4]}}, {"n": [3, 2, 1]}, False),
        ({"n": {"$all": [1]}}, {"n": 1}, True),
        ({"n": {"$all": []}}, {"n": []}, False),
        ({"n": {"$size": 2}}, {"n": [1, 2]}, True),
        ({"n": {"$size": 1}}, {"n": "a"}, False),
        # existence
        ({"n": {"$exists": True}}, {"n": None}, True),
        ({"n": {"$exists": False}}, {"n": None}, False),
        ({"a.b": {"$exists": False}}, {"a": [1]}, True),
        ({"n": {"$exists": 0}}, {}, True),
        # patterns
        ({"n": {"$regex": "^a", "$options": "i"}}, {"n": "Abc"}, True),
        ({"n": re.compile("C", re.IGNORECASE)}, {"n": ["x", "abc"]}, True),
        ({"n": {"$regex": "1"}}, {"n": 1}, False),
        ({"n": {"$not": re.compile("a")}}, {"n": "b"}, True),
        # several conditions on one element
        ({"n": {"$elemMatch": {"$gt": 1, "$lt": 3}}}, {"n": [0, 5]}, False),
        ({"n": {"$elemMatch": {"$gt": 1, "$lt": 3}}}, {"n": [0, 2]}, True),
        ({"n": {"$elemMatch": {"a": 1, "b": 2}}}, {"n": [{"a": 1}, {"b": 2}]}, False),
        ({"n": {"$elemMatch": {"a": 1}}}, {"n": {"a": 1}}, False),
        ({"n": {"$all": [{"$elemMatch": {"a": 1}}, {"$elemMatch": {"a": 2}}]}}, {"n": [{"a": 1}, {"a": 2}]}, True),
        # logic
        ({"$or": [{"a": 1}, {"b": 1}]}, {"b": 1}, True),
        ({"$and": [{"a": 1}, {"b": 1}]}, {"b": 1}, False),
        ({"$nor": [{"a": 1}, {"b": 1}]}, {"c": 1}, True),
        ({"n": {"$not": {"$gt": 1}}}, {}, True),
        ({"a": 1, "b": 1}, {"a": 1, "b": 2}, False),
        ({}, {"a": 1}, True),
        (None, {"a": 1}, True),
    ],
)
def test_filter(filter: Any, document: dict[str, Any], expected: bool) -> None:
    assert compile_filter(filter)(document) is expected


@pytest.mark.parametrize(
    "filter",
    [
        {"$where": "1"},
        {"n": {"$near": [1, 2]}},
        {"n": {"$gt": 1, "x": 2}},
        {"n": {"$in": 5}},
        {"n": {"$in": [{"$gt": 1}]}},
        {"n": {"$ne": re.compile("a")}},
        {"n": {"$gt": re.compile("a")}},
        {"n": {"$size": "2"}},
        {"n": {"$size": -1}},
        {"n": {"$all": 1}},
        {"n": {"$all": [{"$gt": 1}]}},
        {"n": {"$not": 5}},
        {"n": {"$elemMatch": 5}},
        {"n": {"$regex": "["}},
        {"n": {"$regex": 5}},
        {"n": {"$regex": "a", "$options": "q"}},
        {"n": {"$options": "i"}},
        {"$or": []},
        {"$or": {"a": 1}},
        {"$and": [1]},
        {"n": {1, 2}},
        {"n": object()},
        {1: 2},
    ],
)
def test_outside_of_the_subset_is_one_error(filter: Any) -> None:
    with pytest.raises(UnsupportedQueryError):
        compile_filter(filter)


def test_an_unknown_operator_is_named_with_the_known_ones() -> None:
    with pytest.raises(UnsupportedQueryError, match=r"'\$grater'.*\$gt \$gte"):
        compile_filter({"n": {"$grater": 1}})


def test_a_compiled_filter_does_not_follow_its_source() -> None:
    ids = ["a"]
    matches = compile_filter({"_id": {"$in": ids}})
    ids.append("b")
    assert not matches({"_id": "b"})


@pytest.mark.parametrize(
    ("filter", "ids", "start", "stop", "complete"),
    [
        ({"_id": "a"}, ["a"], None, None, True),
        ({"_id": "a", "n": 1}, ["a"], None, None, False),
        ({"_id": {"$eq": "a"}}, ["a"], None, None, True),
        ({"_id": {"$in": ["a", "b", "a"]}}, ["a", "b"], None, None, True),
        ({"_id": {"$in": ["a", re.compile("b")]}}, None, None, None, False),
        ({"_id": {"$gte": "a", "$lt": "c"}}, None, "a", "c", True),
        ({"_id": {"$gt": "a", "$lte": "c"}}, None, "a\0", "c\0", True),
        ({"_id": {"$gt": "a", "$ne": "b"}}, None, "a\0", None, False),
        ({"_id": {"$gt": 5}}, None, None, None, False),
        ({"_id": re.compile("^a")}, None, None, None, False),
        ({"n": 1}, None, None, None, False),
        (None, None, None, None, False),
    ],
)
def test_what_a_filter_says_of_ids(filter: Any, ids: Any, start: Any, stop: Any, complete: bool) -> None:
    wanted = wanted_ids(filter)
    assert (wanted.ids, wanted.start, wanted.stop, wanted.complete) == (ids, start, stop, complete)


def test_values_of_all_types_in_order() -> None:
    ordered = [None, float("nan"), float("-inf"), -1, 0.5, 1, 2**40, "", "a", "b", {}, {"a": 1}, {"a": 2}, {"b": 0}]
    ordered += [[], [0], b"", b"a", False, True, DATE, DATE.replace(year=2030)]
    keys = [sort_key(value) for value in ordered]
    assert keys == sorted(keys)
    assert len(set(map(str, keys))) == len(keys)


def test_sort_by_several_paths_and_directions() -> None:
    documents = [{"_id": n, "a": a, "b": {"c": c}} for n, (a, c) in enumerate([(1, 5), (2, 4), (1, 6), (None, 1)])]
    order = compile_sort([("a", -1), ("b.c", 1)])
    assert [document["_id"] for document in arrange(documents, order)] == [1, 0, 2, 3]
    assert [document["_id"] for document in arrange(documents, order, 1, 2)] == [0, 2]


def test_an_array_sorts_by_its_edge() -> None:
    documents = [{"_id": 0, "a": [3, 9]}, {"_id": 1, "a": 5}, {"_id": 2, "a": []}, {"_id": 3}]
    assert [d["_id"] for d in arrange(documents, compile_sort([("a", 1)]))] == [2, 3, 0, 1]
    assert [d["_id"] for d in arrange(documents, compile_sort([("a", -1)]))] == [0, 1, 3, 2]


@pytest.mark.parametrize("sort", [[("a", 2)], ["a"], [("a", "up")], [(1, 1)]])
def test_a_bad_sort(sort: Any) -> None:
    with pytest.raises(UnsupportedQueryError):
        compile_sort(sort)


DOCUMENT = {"_id": 1, "a": {"x": 1, "y": {"z": 2}}, "b": [{"x": 1, "y": 2}, 5, {"y": 3}], "c": 7}


@pytest.mark.parametrize(
    ("projection", "expected"),
    [
        (None, DOCUMENT),
        ({}, DOCUMENT),
        ([], {"_id": 1}),
        (["c"], {"_id": 1, "c": 7}),
        ({"c": 1, "_id": 0}, {"c": 7}),
        ({"a.y": 1}, {"_id": 1, "a": {"y": {"z": 2}}}),
        ({"b.x": 1}, {"_id": 1, "b": [{"x": 1}, {}]}),
        ({"c.x": 1}, {"_id": 1}),
        ({"a": 0, "b": 0}, {"_id": 1, "c": 7}),
        ({"b.x": 0, "a": False, "_id": False}, {"b": [{"y": 2}, 5, {"y": 3}], "c": 7}),
        ({"_id": 1}, {"_id": 1}),
        ({"_id": 0}, {name: value for name, value in DOCUMENT.items() if name != "_id"}),
    ],
)
def test_projection(projection: Any, expected: dict[str, Any]) -> None:
    assert compile_projection(projection)(DOCUMENT) == expected


@pytest.mark.parametrize(
    "projection",
    [
        {"a": 1, "b": 0},
        {"a": 1, "a.x": 1},
        {"a.x": 1, "a": 1},
        {"a.$": 1},
        {"a": {"$slice": 1}},
        {"a": 2},
        {"": 1},
        "a",
    ],
)
def test_a_bad_projection(projection: Any) -> None:
    with pytest.raises(UnsupportedQueryError):
        compile_projection(projection)
