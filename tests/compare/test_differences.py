"""The comparison itself: that it finds what differs, and that what is allowed is what the docs say."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.compare import data
from tests.compare.differences import (
    ALLOWED,
    Allowed,
    canonical,
    differences,
    items_stayed_text,
    judged,
    last_item_only,
    list_was_lost,
    none_was_added,
    other_order,
    stayed_text,
    swept_in_part,
)
from tests.compare.sides import HERE

PAGE = Path(__file__).parents[2] / "docs" / "plugin-authors" / "compared.md"


@pytest.mark.parametrize(
    ("theirs", "ours", "path"),
    [
        ({"a": 1}, {"a": 1.0}, "a"),
        ({"a": 1}, {"a": True}, "a"),
        ({"a": "1"}, {"a": 1}, "a"),
        ({"a": {"b": [1, 2]}}, {"a": {"b": [2, 1]}}, "a.b"),
        ({"a": [{"b": 1}]}, {"a": [{"b": 2}]}, "a"),
        ({"a": None}, {}, "a"),
        ({}, {"a": ""}, "a"),
        ({"a": float("nan")}, {"a": None}, "a"),
    ],
)
def test_what_differs_is_found_at_its_path(theirs: Any, ours: Any, path: str) -> None:
    (found,) = differences({"x": theirs}, {"x": ours})
    assert (found.id, found.path) == ("x", path)


def test_a_missing_document_is_a_difference_and_equal_ones_are_none() -> None:
    same = {"x": {"a": [1, {"b": "é"}], "_id": "x"}}
    assert list(differences(same, {"x": {"_id": "x", "a": [1, {"b": "é"}]}})) == []
    (gone,) = differences(same, {})
    assert str(gone) == "'x' document\n    SDK : " + canonical(same["x"]) + "\n    ours: (nothing)"


def test_only_what_is_allowed_where_it_is_allowed_passes() -> None:
    entry = Allowed("order", "p", "docs", ("a.*",), "", "", other_order)
    theirs, ours = {"x": {"a": {"b": [1, 2]}, "c": [1, 2]}}, {"x": {"a": {"b": [2, 1]}, "c": [2, 1]}}
    bad, met = judged("docs", theirs, ours, [entry])
    assert ([item.path for item in bad], met) == (["c"], {"order"})
    bad, met = judged("others", theirs, ours, [entry])
    assert (len(bad), met) == (2, set())
    bad, met = judged("docs", theirs, {"x": {"a": {"b": [2, 3]}, "c": [1, 2]}}, [entry])
    assert ([item.path for item in bad], met) == (["a.b"], set())


@pytest.mark.parametrize(
    ("rule", "yes", "no"),
    [
        (list_was_lost, ({"x": 1}, [{"x": 1}, {"x": 2}]), ({"x": 3}, [{"x": 1}, {"x": 2}])),
        (none_was_added, ([1, None], 1), ([1, None], [1, 2])),
        (items_stayed_text, (["1", "2"], [1, 2]), (["1"], [1, 2])),
        (stayed_text, ([1000, 2], ["1_000", 2]), (1000, "1000")),
        (last_item_only, (2, [1, 2]), (1, [1, 2])),
        (swept_in_part({"-"}), (["a", "-"], "a"), (["a", "-"], ["a", "b"])),
    ],
)
def test_rules_hold_for_their_difference_only(rule: Any, yes: tuple[Any, Any], no: tuple[Any, Any]) -> None:
    assert rule(*yes)
    assert not rule(*no)


def test_the_page_names_every_allowed_difference_and_plugin() -> None:
    rows = [re.split(r"\s*\|\s*", line)[1:-1] for line in PAGE.read_text(encoding="utf-8").splitlines()]
    told = [row for row in rows if len(row) == 4 and row[0].startswith("`")]
    assert told == [[f"`{entry.id}`", f"`{entry.plugin}`", entry.what, entry.why] for entry in ALLOWED]
    plugins = sorted(row[0].strip("`") for row in rows if len(row) == 3 and row[0].startswith("`"))
    assert plugins == sorted(folder.name for folder in (HERE / "plugins").iterdir() if folder.is_dir())


def test_the_data_are_the_same_every_time() -> None:
    assert data.files() == data.files()
