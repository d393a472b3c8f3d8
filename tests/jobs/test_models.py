from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import PurePosixPath
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.jobs.models import JobRecord, clean, plain


class BadRepr:
    def __repr__(self) -> str:
        raise ValueError("no")


@pytest.mark.parametrize(
    ("value", "kept"),
    [
        (None, None),
        ({"a": [1, 2.5, True, "x"]}, {"a": [1, 2.5, True, "x"]}),
        ((1, (2,)), [1, [2]]),
        ({1, 2}, "{1, 2}"),
        ({1: "a"}, "{1: 'a'}"),
        ({"a": {1}}, "{'a': {1}}"),
        (float("nan"), "nan"),
        (1 << 70, str(1 << 70)),
        ({"a\0b": 1}, "{'a\\x00b': 1}"),
        ("\udc80", "\\udc80"),
        ({"at": datetime(2025, 1, 16, 12, tzinfo=UTC)}, {"at": "2025-01-16T12:00:00+00:00"}),
        ([date(2025, 1, 16), PurePosixPath("/a")], ["2025-01-16", "/a"]),
        (BadRepr(), "<BadRepr, whose repr raised ValueError>"),
    ],
)
def test_a_result_is_plain_json_or_its_repr(value: Any, kept: Any) -> None:
    assert plain(value) == kept


def test_a_result_that_is_too_large_or_too_deep_is_shortened() -> None:
    assert "more characters" in plain(list(range(1_000_000)))
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    assert isinstance(plain(deep), str)
    loop: list[Any] = []
    loop.append(loop)
    assert plain(loop) == "[[...]]"


ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary() | st.sets(st.integers()),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.integers(), inner) | st.tuples(inner),
)


@given(ANYTHING)
def test_every_kept_value_survives_json_and_the_store(value: Any) -> None:
    kept = plain(value)
    assert json.loads(json.dumps(kept, allow_nan=False)) == kept
    assert bson.decode(bson.encode({"kept": kept}))["kept"] == kept


def test_a_record_survives_the_journal_and_unknown_fields_of_a_later_version() -> None:
    record = JobRecord(7, "dump", args=["x"], kwargs={"force": True}, log=["a"], story=[["created", 1.0]])
    document = {**record.to_document(), "of_the_future": 1}
    assert document["_id"] == 7
    assert JobRecord.from_document(document) == record
    assert json.loads(json.dumps(record.to_dict())) == record.to_dict()


def test_text_is_cut_with_a_note() -> None:
    assert clean("x" * 20, 10) == "x" * 10 + "... (10 more characters)"
