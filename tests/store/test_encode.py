"""Canonical bytes, and every document that is refused."""

from __future__ import annotations

import math
import struct
from datetime import UTC, datetime
from typing import Any

import bson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from hubkernel.store import DocumentTooLargeError, InvalidDocumentError
from hubkernel.store.encode import MAX_BYTES, content_hash, decode, encode, encode_rows, encode_state

NAN, INF = math.nan, math.inf
LOOPED: dict[str, Any] = {"_id": "a"}
LOOPED["self"] = LOOPED


def test_id_comes_first_and_the_rest_keeps_its_order() -> None:
    doc_id, data = encode({"b": 1, "_id": "x", "a": 2})
    assert doc_id == "x"
    assert list(bson.decode(data)) == ["_id", "b", "a"]
    assert encode({"_id": "x", "b": 1, "a": 2})[1] == data
    assert encode({"_id": "x", "a": 2, "b": 1})[1] != data


def test_rows_are_numbered_hashed_and_equal_to_encode() -> None:
    documents = [{"_id": f"d{n}", "n": n, "x": n / 7} for n in range(100)]
    rows = list(encode_rows(documents, 1 << 40))
    assert [row[0] for row in rows] == list(range(1 << 40, (1 << 40) + 100))
    assert [(row[1], row[3]) for row in rows] == list(map(encode, documents))
    assert all(row[2] == content_hash(row[3]) and len(row[2]) == 16 for row in rows)


def test_dates_come_back_as_dates() -> None:
    moment = datetime(2024, 5, 6, 7, 8, 9, 123000, tzinfo=UTC)
    assert decode(encode({"_id": "a", "at": moment})[1])["at"] == moment.replace(tzinfo=None)


def test_a_date_beyond_the_calendar_does_not_make_a_document_unreadable() -> None:
    data = bson.encode({"_id": "a", "at": bson.datetime_ms.DatetimeMS(2**60)})
    assert int(decode(data)["at"]) == 2**60


BAD = [
    ({"n": 1}, "no _id .its fields: n."),
    ({}, "no _id .its fields: none."),
    ({"_id": 5}, "_id must be a string, not 5"),
    ({"_id": None}, "_id must be a string, not None"),
    ({"_id": b"a"}, "_id must be a string"),
    ({"_id": ""}, "_id is empty"),
    (["_id"], r"is \['_id'\] .list.; a document is a dict"),
    (None, "is None"),
    ({"_id": "a", "x": NAN}, "x is nan"),
    ({"_id": "a", "x": {"y": [1, {"z": INF}]}}, "x.y.1.z is inf"),
    ({"_id": "a", "x": (1, -INF)}, "x.1 is -inf"),
    ({"_id": "a", "x": {"y": {1, 2}}}, "x.y is {1, 2} .set., which BSON cannot hold"),
    ({"_id": "a", "x": 2**63}, "x is 9223372036854775808 .int.: beyond 64 bits"),
    ({"_id": "a", "x": "\ud800"}, "x is '.ud800'"),
    ({"_id": "\ud800"}, "_id is '.ud800'"),
    ({"_id": "a", "x": {5: 1}}, "x has the key 5 .int."),
    ({"_id": "a", "x\0y": 1}, "it has the key 'x.x00y'"),
    (LOOPED, "nested too deeply"),
]


@pytest.mark.parametrize(("document", "message"), BAD)
def test_a_bad_document_is_refused_with_its_place(document: Any, message: str) -> None:
    with pytest.raises(InvalidDocumentError, match=message) as single:
        encode(document)
    assert single.value.position is None
    with pytest.raises(InvalidDocumentError, match=f"^document 2.*{message}") as within:
        list(encode_rows([{"_id": "ok"}, {"_id": "fine"}, document], 500))
    assert within.value.position == 2
    expected = document.get("_id") if isinstance(document, dict) else None
    assert within.value.doc_id == expected
    str(within.value).encode()


def test_the_limit_is_16_mib_exactly() -> None:
    room = MAX_BYTES - len(encode({"_id": "a", "x": ""})[1])
    assert len(encode({"_id": "a", "x": "x" * room})[1]) == MAX_BYTES
    big = {"_id": "a", "x": "x" * (room + 1)}
    with pytest.raises(DocumentTooLargeError, match="16,777,217 bytes"):
        encode(big)
    with pytest.raises(DocumentTooLargeError, match="document 0"):
        list(encode_rows([big], 0))


def test_an_error_of_the_source_passes_through() -> None:
    def source() -> Any:
        yield {"_id": "a"}
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        list(encode_rows(source(), 0))


@given(
    st.recursive(
        st.floats() | st.integers(-(2**63), 2**63 - 1) | st.text(max_size=5) | st.binary(max_size=12) | st.booleans(),
        lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
        max_leaves=12,
    )
)
def test_exactly_what_holds_a_number_without_json_is_refused(value: Any) -> None:
    document = {"_id": "x", "value": value}
    if _finite(value):
        assert bson.decode(next(encode_rows([document], 0))[3]) == bson.decode(bson.encode(document))
    else:
        with pytest.raises(InvalidDocumentError):
            list(encode_rows([document], 0))


def _finite(value: Any) -> bool:
    if isinstance(value, float):
        return math.isfinite(value)
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(_finite, inner))


def test_bytes_that_look_like_nan_are_no_nan() -> None:
    """The fast check works on bytes; a blob may contain what a NaN looks like."""
    lookalike = b"\x01n\x00" + struct.pack("<d", NAN)
    assert encode({"_id": "a", "blob": lookalike})[0] == "a"
    assert next(encode_rows([{"_id": "a", "blob": lookalike}], 0))[1] == "a"


def test_state_takes_int_ids_and_nan() -> None:
    assert encode_state({"_id": 5, "x": NAN})[0] == 5
    for bad in ({"_id": True}, {"_id": 1.5}, {"_id": ""}, {"x": 1}, {"_id": 2**64}, {"_id": "a", "x": object()}):
        with pytest.raises(InvalidDocumentError):
            encode_state(bad)
