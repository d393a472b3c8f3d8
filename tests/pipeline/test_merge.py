from __future__ import annotations

import copy
import pickle
from datetime import datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.pipeline import merge
from hubkernel.pipeline.merge import (
    MergeConflictError,
    MergeOptions,
    merge_documents,
    merge_struct,
    merge_values,
    same,
    upsert,
)

scalars = st.none() | st.booleans() | st.integers(0, 3) | st.sampled_from(["", "a", "b", 1.0, 2.5])
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("xyz"), inner, max_size=3),
    max_leaves=8,
)
documents = st.lists(
    st.dictionaries(st.sampled_from(["a", "b", "c"]), values, max_size=3).map(lambda doc: {"_id": "1", **doc}),
    min_size=1,
    max_size=5,
)


@pytest.mark.parametrize(
    ("first", "second", "expected"),
    [
        (1, 1, 1),
        (1, 2, [1, 2]),
        (1, None, [1, None]),
        (1, True, [1, True]),
        (1, 1.0, 1),
        ("ab", "ab", "ab"),
        ([1, 2], [2, 3], [1, 2, 3]),
        ([1], [2, 2], [1, 2, 2]),
        ([1], 1, [1]),
        ([1], 2, [1, 2]),
        (1, [2], [1, 2]),
        (1, [1, 2], [1, 2]),
        ([], 1, [1]),
        ([{"y": 2}], {"x": 1}, [{"y": 2}, {"x": 1}]),
        ({"x": 1}, [{"y": 2}], [{"x": 1}, {"y": 2}]),
        ({"x": 1}, [{"x": 1}], [{"x": 1}]),
        ({"x": 1}, {"x": 1}, {"x": 1}),
        ({"x": 1, "k": "v"}, {"x": 2, "y": [3]}, {"x": [1, 2], "k": "v", "y": [3]}),
    ],
)
def test_the_table_of_merge_struct(first: object, second: object, expected: object) -> None:
    result = merge_struct(first, second)
    assert same(result, expected), result


def test_build_c11_deep_merge_of_a_document() -> None:
    stored, new = {"a": 1, "n": {"x": 1}}, {"a": 10, "n": {"x": 9}, "k": [1]}
    assert merge_struct(stored, new) == {"a": [1, 10], "n": {"x": [1, 9]}, "k": [1]}


def test_build_c12_c13_an_object_and_a_list_keep_every_item() -> None:
    assert merge_struct({"a": {"x": 1}}, {"a": [{"y": 2}]}) == {"a": [{"x": 1}, {"y": 2}]}
    assert merge_struct({"a": [{"y": 2}]}, {"a": {"x": 1}}) == {"a": [{"y": 2}, {"x": 1}]}


def test_build_c14_object_against_value_is_a_named_conflict() -> None:
    with pytest.raises(MergeConflictError, match=r"'n\.a' is an object in one document and a number") as caught:
        merge_struct({"n": {"a": {"x": 1}}}, {"n": {"a": 5}})
    assert pickle.loads(pickle.dumps(caught.value)).path == "n.a"
    seen: list[str] = []
    kept = merge_documents(
        [{"a": {"x": 1}, "b": 5}, {"a": 5, "b": {"y": 1}}, {"a": {"x": 2}}],
        MergeOptions(on_conflict="first"),
        seen.append,
    )
    assert kept == {"a": {"x": [1, 2]}, "b": 5}
    assert sorted(seen) == ["a", "b"]


def test_build_c15_dates_are_values() -> None:
    day = datetime(2024, 1, 1)  # noqa: DTZ001 - what comes out of BSON has no zone
    assert merge_struct({"a": day}, {"a": day + timedelta(1)}) == {"a": [day, day + timedelta(1)]}


def test_build_c16_null_is_a_value_unless_ignored() -> None:
    assert merge_struct({"a": 1}, {"a": None}) == {"a": [1, None]}
    assert merge_struct({"a": None}, {"a": 1}, ignore_null=True) == {"a": 1}
    assert merge_struct({"a": None}, {"a": None}, ignore_null=True) == {"a": None}


def test_build_c17_aslistofdict() -> None:
    assert merge_struct({"a": {"i": 1}}, {"a": {"i": 2}}, aslistofdict="a") == {"a": [{"i": 1}, {"i": 2}]}
    assert merge_struct({"a": {"i": 1}}, {"a": {"i": 1}}, aslistofdict="a") == {"a": {"i": 1}}
    nested = merge_struct({"n": {"a": {"i": 1}}}, {"n": {"a": {"i": 2}}}, aslistofdict=["n.a"])
    assert nested == {"n": {"a": [{"i": 1}, {"i": 2}]}}


def test_build_c18_include_and_exclude() -> None:
    first, second = {"a": 1, "b": 1}, {"a": 2, "b": 2}
    assert merge_struct(first, second, include=["a"]) == {"a": [1, 2], "b": 1}
    assert merge_struct(first, second, exclude=["a"]) == {"a": 1, "b": [1, 2]}


def test_build_c19_an_included_key_may_be_missing_in_the_first() -> None:
    assert merge_struct({"b": 1}, {"a": 2, "b": 1}, include=["a"]) == {"b": 1, "a": 2}


def test_dataload_c51_c52_arrival_order_and_nothing_lost() -> None:
    assert merge_documents([{"_id": "1", "a": 1}, {"_id": "1", "a": 2}, {"_id": "1", "a": 2}]) == {
        "_id": "1",
        "a": [1, 2],
    }
    one, two, three = {"x": 1}, {"x": 2}, {"x": 3}
    assert merge_documents([{"rel": [one, two]}, {"rel": three}]) == {"rel": [one, two, three]}
    assert merge_documents([{"rel": one}, {"rel": [two, three]}]) == {"rel": [one, two, three]}


@given(documents)
def test_merging_all_at_once_is_merging_two_by_two(docs: list[dict[str, object]]) -> None:
    options = MergeOptions(on_conflict="first")
    before = copy.deepcopy(docs)
    folded = docs[0]
    for document in docs[1:]:
        folded = merge_documents([folded, document], options)
    assert same(merge_documents(docs, options), folded)
    assert same(docs, before)


@given(st.lists(values, min_size=1, max_size=6))
def test_long_lists_are_merged_like_short_ones(items: list[object]) -> None:
    results = []
    for threshold in (0, 1000):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(merge, "INDEX_FROM", threshold)
            results.append(merge_values([[], *([item] for item in items)]))
    assert same(*results)


def test_ten_thousand_duplicates_take_linear_time() -> None:
    merged = merge_documents([{"_id": "1", "a": {"n": number}} for number in range(10_000)])
    assert merged["a"]["n"] == list(range(10_000))


def test_upsert_is_shallow_and_reports_what_it_replaced() -> None:
    replaced: list[str] = []
    docs = [{"_id": "1", "n": {"x": 1}, "a": 1}, {"_id": "1", "n": {"y": 2}, "b": 1}]
    assert upsert(docs, replaced.append) == {"_id": "1", "n": {"y": 2}, "a": 1, "b": 1}
    assert replaced == ["n"]


def test_options_come_from_merger_kwargs() -> None:
    assert MergeOptions.of({"aslistofdict": "a", "include": None}) == MergeOptions(aslistofdict=frozenset("a"))
    with pytest.raises(ValueError, match=r"unknown merge option 'aslistofdicts'; did you mean 'aslistofdict'"):
        MergeOptions.of({"aslistofdicts": "a"})
    with pytest.raises(ValueError, match="on_conflict is 'error' or 'first'"):
        MergeOptions.of({"on_conflict": "last"})
    with pytest.raises(ValueError, match="a field name or a list of them, not 5"):
        MergeOptions.of({"exclude": 5})
