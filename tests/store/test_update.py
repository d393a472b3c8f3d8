"""The update operators, without any store. What it says is what mongod says: conformance/test_same_answers.py."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from hubkernel.store import UnsupportedQueryError, UpdateError
from hubkernel.store.update import Replacement, Update, seed


@pytest.mark.parametrize(
    ("before", "update", "after"),
    [
        ({"a": 1}, {"$set": {"a": 2}}, {"a": 2}),
        ({}, {"$set": {"a.b.c": 2}}, {"a": {"b": {"c": 2}}}),
        ({"b": {"x": 1}}, {"$set": {"b.c": 2}}, {"b": {"x": 1, "c": 2}}),
        ({"a": [1, {"b": 2}]}, {"$set": {"a.1.b": 3}}, {"a": [1, {"b": 3}]}),
        ({"a": [1]}, {"$set": {"a.3": 4}}, {"a": [1, None, None, 4]}),
        ({}, {"$set": {"a.0": 4}}, {"a": {"0": 4}}),
        ({"a": 1, "b": 2}, {"$unset": {"a": ""}}, {"b": 2}),
        ({"a": {"b": 1, "c": 2}}, {"$unset": {"a.b": 1, "x.y": 1, "a.c.d": 1}}, {"a": {"c": 2}}),
        ({"a": [1, 2]}, {"$unset": {"a.0": 1}}, {"a": [None, 2]}),
        ({"n": 1}, {"$inc": {"n": 2, "m.k": 5}}, {"n": 3, "m": {"k": 5}}),
        ({"n": 1}, {"$inc": {"n": 0.5}}, {"n": 1.5}),
        ({}, {"$push": {"a": 1}}, {"a": [1]}),
        ({"a": [1]}, {"$push": {"a": [2]}}, {"a": [1, [2]]}),
        ({"a": [1]}, {"$push": {"a": {"$each": [2, 3]}}}, {"a": [1, 2, 3]}),
        ({"a": [1]}, {"$addToSet": {"a": {"$each": [1.0, 2, 2, True]}}}, {"a": [1, 2, True]}),
        ({"a": [{"x": 1}]}, {"$addToSet": {"a": {"x": 1}}}, {"a": [{"x": 1}]}),
        ({"a": [1, 2, 1]}, {"$pull": {"a": 1}}, {"a": [2]}),
        ({"a": [1, 2, 3]}, {"$pull": {"a": {"$gte": 2}}}, {"a": [1]}),
        ({"a": [{"x": 1, "y": 2}, {"x": 2}]}, {"$pull": {"a": {"x": 1}}}, {"a": [{"x": 2}]}),
        ({}, {"$pull": {"a.b": 1}}, {}),
        ({"a": 1}, {"$setOnInsert": {"a": 2}}, {"a": 1}),
        ({"a": 1}, {"$set": {}}, {"a": 1}),
    ],
)
def test_update(before: dict[str, Any], update: dict[str, Any], after: dict[str, Any]) -> None:
    assert Update(update).apply(deepcopy(before)) == after


@pytest.mark.parametrize(
    ("before", "update"),
    [
        ({"n": "a"}, {"$inc": {"n": 1}}),
        ({"n": True}, {"$inc": {"n": 1}}),
        ({"n": None}, {"$inc": {"n": 1}}),
        ({"a": 1}, {"$push": {"a": 1}}),
        ({"a": None}, {"$push": {"a": 1}}),
        ({"a": 1}, {"$addToSet": {"a": 1}}),
        ({"a": 1}, {"$pull": {"a": 1}}),
        ({"a": "s"}, {"$pull": {"a.b": 1}}),
        ({"a": 1}, {"$set": {"a.b": 1}}),
        ({"a": [1]}, {"$set": {"a.b": 1}}),
        ({"_id": 1}, {"$set": {"_id": 2}}),
        ({"_id": 1}, {"$unset": {"_id": 1}}),
    ],
)
def test_an_update_that_does_not_fit(before: dict[str, Any], update: dict[str, Any]) -> None:
    with pytest.raises(UpdateError):
        Update(update).apply(deepcopy(before))


@pytest.mark.parametrize(
    "update",
    [
        {},
        {"a": 1},
        {"$rename": {"a": "b"}},
        {"$set": 5},
        {"$set": {"": 1}},
        {"$set": {"a.$.b": 1}},
        {"$set": {"a.$[]": 1}},
        {"$set": {"a..b": 1}},
        {"$inc": {"a": "1"}},
        {"$inc": {"a": True}},
        {"$push": {"a": {"$each": 5}}},
        {"$push": {"a": {"$each": [1], "$slice": 2}}},
        {"$addToSet": {"a": {"$each": [1], "$x": 2}}},
        {"$pull": {"a": {"$near": 1}}},
        {"$set": {"a": 1}, "$inc": {"a": 1}},
        {"$set": {"a": 1, "a.b": 2}},
        {"$set": {"a": object()}},
    ],
)
def test_outside_of_the_subset_is_one_error(update: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedQueryError):
        Update(update)


def test_one_update_shares_no_value_between_documents() -> None:
    update = Update({"$set": {"a": []}})
    first, second = update.apply({}), update.apply({})
    first["a"].append(1)
    assert second == {"a": []}


def test_what_an_upsert_starts_from() -> None:
    filter = {"_id": 7, "a.b": {"$eq": 1}, "n": {"$gt": 5}, "$and": [{"c": 3}, {"d": {"$in": [4]}}], "$or": [{}, {}]}
    assert seed(filter) == {"_id": 7, "a": {"b": 1}, "c": 3, "d": 4}
    update = Update({"$set": {"a.c": 2}, "$setOnInsert": {"made": True}})
    assert update.insert({"_id": 7, "a.b": 1}) == {"_id": 7, "a": {"b": 1, "c": 2}, "made": True}


def test_a_replacement_keeps_the_id() -> None:
    assert Replacement({"b": 2}).apply({"_id": 1, "a": 1}) == {"_id": 1, "b": 2}
    assert Replacement({"b": 2}).insert({"_id": 1, "a": 1}) == {"_id": 1, "b": 2}
    with pytest.raises(UpdateError):
        Replacement({"_id": 2}).apply({"_id": 1})
    with pytest.raises(UnsupportedQueryError):
        Replacement({"$set": {"a": 1}})
