"""Work on BSON bytes gives what the same work on dicts gives."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Any

import bson
import pytest
from bson import Binary, Code, DBRef, Decimal128, Int64, MaxKey, MinKey, ObjectId, Regex, Timestamp
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.store import DocumentTooLargeError, raw
from hubkernel.store.encode import encode

EVERY_TYPE: dict[str, Any] = {
    "_id": "x",
    "double": 1.5,
    "string": "h\u00e9\0llo",
    "object": {"a": {"b": 1}},
    "array": [1, [2], "x"],
    "binary": b"ab\0c",
    "subtype": Binary(b"ab", 128),
    "object_id": ObjectId(),
    "true": True,
    "date": datetime.fromisoformat("2024-01-02"),
    "null": None,
    "regex": Regex("a/b", "im"),
    "code": Code("f()"),
    "scoped": Code("f()", {"x": 1}),
    "int": 5,
    "timestamp": Timestamp(1, 2),
    "long": Int64(5),
    "decimal": Decimal128("1.5"),
    "ref": DBRef("c", 1),
    "min": MinKey(),
    "max": MaxKey(),
    "pattern": re.compile("x"),
    "": "empty name",
    "\u00fc.b$": 1,
}
DEPRECATED = (
    b"\x06undefined\x00" + b"\x0csymbolic\x00\x02\x00\x00\x00a\x00" + b"o" * 12 + b"\x0esym\x00\x02\x00\x00\x00a\x00"
)


def test_every_type_is_delimited() -> None:
    data = bson.encode(EVERY_TYPE)
    found = list(raw.elements(data))
    assert [name.decode() for name, _, _ in found] == list(EVERY_TYPE) == raw.fields(data)
    for (_, start, stop), (name, value) in zip(found, EVERY_TYPE.items(), strict=True):
        assert data[start:stop] == bson.encode({name: value})[4:-1]


def test_deprecated_types_are_delimited() -> None:
    data = (len(DEPRECATED) + 5).to_bytes(4, "little") + DEPRECATED + b"\0"
    assert raw.fields(data) == ["undefined", "symbolic", "sym"]


def test_merge_is_the_union_of_dicts() -> None:
    documents = [
        {"_id": "a", "x": 1, "y": {"z": 1}},
        {"_id": "other", "y": {"w": 2}, "n": [1]},
        {"q": None, "x": 3, "_id": "third"},
    ]
    merged = raw.merge([encode(document)[1] for document in documents])
    expected = {**documents[0], **documents[1], **documents[2], "_id": "a"}
    assert merged == encode(expected)[1]
    assert list(bson.decode(merged)) == ["_id", "x", "y", "n", "q"]


def test_one_document_is_itself() -> None:
    data = encode({"_id": "a", "x": 1})[1]
    assert raw.merge([data]) is data


_numbers = st.integers(-(2**63), 2**63 - 1) | st.floats(allow_nan=False, allow_infinity=False)
_values = st.none() | st.booleans() | st.text(max_size=8) | _numbers
_documents = st.dictionaries(st.sampled_from([*"abcde", "\u00e4"]), st.lists(_values, max_size=3) | _values, max_size=6)


@given(st.lists(_documents, min_size=1, max_size=5))
def test_merge_of_any_documents(documents: list[dict[str, Any]]) -> None:
    documents = [{"_id": f"d{n}", **document} for n, document in enumerate(documents)]
    union: dict[str, Any] = {}
    for document in documents:
        union.update(document)
    union["_id"] = "d0"
    assert raw.merge([encode(document)[1] for document in documents]) == encode(union)[1]


def test_join_puts_the_id_first() -> None:
    elements = {name: bson.encode({name: 1})[4:-1] for name in ("b", "_id", "a")}
    joined = raw.join({name.encode(): element for name, element in elements.items()})
    assert list(bson.decode(joined)) == ["_id", "b", "a"]
    assert bson.decode(raw.join({})) == {}


def test_a_merge_over_the_limit() -> None:
    half = "x" * (9 << 20)
    with pytest.raises(DocumentTooLargeError, match="merged document"):
        raw.merge([encode({"_id": "a", name: half})[1] for name in "xy"])


GOOD = bson.encode({"_id": "a", "b": "text"})


@pytest.mark.parametrize(
    "data", [b"", b"\x05\0\0\0", GOOD[:-1], GOOD + b"\0", GOOD[:-1] + b"\1", GOOD.replace(b"\x02b", b"\x42b")]
)
def test_what_is_no_document_is_refused(data: bytes) -> None:
    with pytest.raises(ValueError, match="not a BSON document"):
        list(raw.elements(data))


def test_a_value_longer_than_its_document_is_refused() -> None:
    data = bytearray(GOOD)
    data[GOOD.index(b"b\0") + 2] = 100
    with pytest.raises(ValueError, match="runs over its end"):
        list(raw.elements(bytes(data)))
