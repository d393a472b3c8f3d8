"""Collections: written under cover, visible at once, read in order."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from hashlib import blake2b
from itertools import pairwise
from typing import Any

import bson
import pytest

from hubkernel.store import (
    CollectionExistsError,
    DocumentStore,
    DocumentTooLargeError,
    Duplicate,
    InvalidDocumentError,
    NoSuchCollectionError,
    StoreError,
    UnsupportedQueryError,
    open_store,
)
from tests.store.conformance.helpers import AWKWARD_IDS, ids, load, naive, numbered

LIMIT = 16 * 1024 * 1024


def test_an_empty_store_has_no_names(store: DocumentStore) -> None:
    assert store.names() == []
    assert "genes" not in store
    assert 5 not in store


def test_a_missing_collection_names_the_nearest(store: DocumentStore) -> None:
    load(store, "hpo_terms", [])
    with pytest.raises(NoSuchCollectionError, match=r"no collection 'hpo_term'.*did you mean 'hpo_terms'") as caught:
        store.collection("hpo_term")
    assert isinstance(caught.value, KeyError)
    with pytest.raises(NoSuchCollectionError):
        store["quite different"]


def test_what_is_written_can_be_read(store: DocumentStore) -> None:
    report = load(store, "genes", [{"_id": "b", "n": 1}, {"n": 2, "_id": "a", "x": {"y": [1, {"z": None}]}}])
    genes = store["genes"]
    assert (report.received, report.documents, report.duplicates) == (2, 2, 0)
    assert store.names() == ["genes"]
    assert "genes" in store
    assert genes.name == "genes"
    assert genes.count() == 2
    assert genes.get("a") == {"_id": "a", "n": 2, "x": {"y": [1, {"z": None}]}}
    assert list(genes.get("a") or {}) == ["_id", "n", "x"]
    assert genes.get("c") is None
    assert ids(genes) == ["a", "b"]
    assert genes.size() > 0


def test_another_opening_of_the_same_url_sees_the_same(store: DocumentStore) -> None:
    load(store, "genes", [{"_id": "a"}])
    other = open_store(store.url)
    assert other.names() == ["genes"]
    load(other, "genes", [{"_id": "b"}])
    other.close()
    assert ids(store["genes"]) == ["b"]


def test_bytes_are_the_sum_of_the_documents(store: DocumentStore) -> None:
    report = load(store, "genes", numbered(10))
    assert report.bytes == sum(len(data) for _, data in store["genes"].scan())


def test_an_empty_collection(store: DocumentStore) -> None:
    report = load(store, "nothing", [])
    nothing = store["nothing"]
    assert (report.documents, report.bytes) == (0, 0)
    assert (nothing.count(), nothing.count({"a": 1}), nothing.get("a")) == (0, 0, None)
    assert list(nothing.find()) == list(nothing.scan()) == list(nothing.hashes()) == list(nothing.get_many(["a"])) == []
    assert nothing.split(4) == [(None, None)]
    assert nothing.size() >= 0


def test_scan_gives_canonical_bytes_and_their_hashes_in_utf8_order(store: DocumentStore) -> None:
    load(store, "awkward", ({"n": place, "_id": doc_id} for place, doc_id in enumerate(AWKWARD_IDS)))
    awkward = store["awkward"]
    expected = sorted(AWKWARD_IDS, key=str.encode)
    rows = list(awkward.scan())
    assert [doc_id for doc_id, _ in rows] == expected
    assert ids(awkward) == expected
    for doc_id, data in rows:
        assert data == bson.encode({"_id": doc_id, "n": AWKWARD_IDS.index(doc_id)})
    assert list(awkward.hashes()) == [(doc_id, blake2b(data, digest_size=16).digest()) for doc_id, data in rows]


def test_a_document_with_every_type_keeps_its_bytes(store: DocumentStore) -> None:
    document = {
        "_id": "all",
        "none": None, "yes": True, "int": 1, "long": 2**40, "double": 1.0, "minus": -0.0, "text": "é\0😀",
        "bytes": b"\x00\xff", "date": naive(2024, 2, 29, 1, 2, 3, 4000), "oid": bson.ObjectId("0" * 24),
        "decimal": bson.Decimal128("1.50"), "list": [[], {}, [1, [2]]], "dotted.key": {"$ref": 1}, "": "empty key",
    }  # fmt: skip
    load(store, "types", [document])
    assert list(store["types"].scan()) == [("all", bson.encode(document))]
    assert store["types"].get("all") == document
    assert isinstance((store["types"].get("all") or {})["double"], float)


def test_write_encoded_takes_rows_as_they_are(store: DocumentStore) -> None:
    load(store, "first", numbered(5))
    rows = list(store["first"].scan())
    writer = store.writer()
    with writer.part() as part:
        assert part.write_encoded(rows[3:]) == 2
        assert part.write_encoded(rows[:3]) == 3
    writer.seal()
    writer.commit("second")
    assert list(store["second"].scan()) == rows
    assert list(store["second"].hashes()) == list(store["first"].hashes())


@pytest.mark.parametrize(
    ("start", "stop"), [(None, "a"), ("a", None), ("aa", "b"), ("é", "\uffff"), ("x", "x"), ("z", "a")]
)
def test_ranges_include_start_and_not_stop(store: DocumentStore, start: str | None, stop: str | None) -> None:
    load(store, "awkward", ({"_id": doc_id} for doc_id in AWKWARD_IDS))
    expected = [
        doc_id
        for doc_id in sorted(AWKWARD_IDS, key=str.encode)
        if (start is None or doc_id.encode() >= start.encode()) and (stop is None or doc_id.encode() < stop.encode())
    ]
    assert [doc_id for doc_id, _ in store["awkward"].scan(start, stop)] == expected
    assert [doc_id for doc_id, _ in store["awkward"].hashes(start, stop)] == expected


def test_hashes_of_a_range_that_crosses_thousands(store: DocumentStore) -> None:
    load(store, "many", numbered(3500))
    wanted = [f"n{number:06}" for number in range(1234, 2999)]
    assert [doc_id for doc_id, _ in store["many"].hashes("n001234", "n002999")] == wanted
    assert [doc_id for doc_id, _ in store["many"].scan("n001234", "n002999")] == wanted


@pytest.mark.parametrize(
    ("documents", "parts"), [(0, 3), (1, 3), (2, 3), (3, 3), (10, 1), (10, 4), (2500, 7), (2500, 2)]
)
def test_split_covers_the_collection_in_even_ranges(store: DocumentStore, documents: int, parts: int) -> None:
    load(store, "many", numbered(documents))
    many = store["many"]
    ranges = many.split(parts)
    assert 1 <= len(ranges) <= parts
    assert ranges[0][0] is None
    assert ranges[-1][1] is None
    assert all(before[1] == after[0] for before, after in pairwise(ranges))
    pieces = [[doc_id for doc_id, _ in many.scan(*bounds)] for bounds in ranges]
    assert [doc_id for piece in pieces for doc_id in piece] == [document["_id"] for document in numbered(documents)]
    assert max(map(len, pieces)) <= -(-documents // parts) + documents // 10 + 1


def test_split_into_no_parts_is_refused(store: DocumentStore) -> None:
    load(store, "many", numbered(3))
    with pytest.raises(ValueError, match="0 parts"):
        store["many"].split(0)


def test_get_many_keeps_the_asked_order_and_leaves_out_what_is_missing(store: DocumentStore) -> None:
    load(store, "many", numbered(1200))
    asked = [f"n{number:06}" for number in range(1500, -1, -1)]
    asked += ["n000003", "nope", "n000003"]
    found = [document["n"] for document in store["many"].get_many(iter(asked))]
    assert found == [*range(1199, -1, -1), 3, 3]


def test_get_many_is_lazy(store: DocumentStore) -> None:
    load(store, "many", numbered(2000))
    taken = []

    def asked() -> Any:
        for number in range(2000):
            taken.append(number)
            yield f"n{number:06}"

    assert next(store["many"].get_many(asked()))["n"] == 0
    assert len(taken) <= 1000


def test_find_by_id_order_filter_projection_skip_and_limit(store: DocumentStore) -> None:
    load(store, "many", reversed(numbered(50)))
    many = store["many"]
    assert ids(many, filter={"n": {"$lt": 3}}) == ["n000000", "n000001", "n000002"]
    assert list(many.find({"_id": "n000007"}, ["n"])) == [{"_id": "n000007", "n": 7}]
    assert list(many.find({"n": 7}, {"n": 1, "_id": 0})) == [{"n": 7}]
    assert list(many.find({"n": 7}, {"n": 0})) == [{"_id": "n000007"}]
    assert list(many.find({"n": 7}, {"_id": 0})) == [{"n": 7}]
    assert list(many.find({"n": 7}, [])) == [{"_id": "n000007"}]
    assert list(many.find({"n": 7}, {})) == [{"_id": "n000007", "n": 7}]
    assert [document["n"] for document in many.find(skip=5, limit=3)] == [5, 6, 7]
    assert [document["n"] for document in many.find({"n": {"$gte": 10}}, skip=1, limit=2)] == [11, 12]
    assert [document["n"] for document in many.find(sort=[("n", -1)], skip=1, limit=2)] == [48, 47]
    assert [document["n"] for document in many.find(sort=[("_id", -1)], limit=2)] == [49, 48]
    assert list(many.find(skip=100)) == []
    assert many.count({"n": {"$gte": 10}}) == 40
    assert many.count({}) == 50
    assert many.count({"_id": {"$gte": "n000010", "$lt": "n000012"}}) == 2


def test_sort_puts_types_in_bson_order_and_ties_by_id(store: DocumentStore) -> None:
    oid = bson.ObjectId("0" * 24)
    values: list[Any] = [
        naive(2020, 1, 1), True, False, b"x", [5], [], {"a": 1}, {}, "b", "", 2, 1.5, 1, None, oid,
    ]  # fmt: skip
    load(store, "types", ({"_id": f"{place:02}", "v": value} for place, value in enumerate(values)))
    load(store, "gap", [{"_id": "b", "v": 1}, {"_id": "a", "v": 1.0}, {"_id": "c"}, {"_id": "d", "v": None}])
    up = [document["v"] for document in store["types"].find(sort=[("v", 1)])]
    assert up == [
        [],
        None,
        1,
        1.5,
        2,
        [5],
        "",
        "b",
        {},
        {"a": 1},
        b"x",
        bson.ObjectId("0" * 24),
        False,
        True,
        values[0],
    ]
    assert ids(store["gap"], sort=[("v", 1)]) == ["c", "d", "a", "b"]
    assert ids(store["gap"], sort=[("v", -1)]) == ["a", "b", "c", "d"]
    assert ids(store["gap"], sort=[("v", -1), ("_id", -1)]) == ["b", "a", "d", "c"]


@pytest.mark.parametrize(
    "query",
    [
        {"filter": {"n": {"$where": "1"}}},
        {"filter": {"$text": {"$search": "x"}}},
        {"filter": {"n": {"$regex": "("}}},
        {"filter": {"n": {"$in": 5}}},
        {"projection": {"n": {"$slice": 1}}},
        {"projection": {"n": 1, "m": 0}},
        {"sort": [("n", 2)]},
        {"limit": -1},
        {"skip": -1},
    ],
)
def test_queries_outside_of_the_subset_are_refused_at_once(store: DocumentStore, query: dict[str, Any]) -> None:
    load(store, "many", numbered(1))
    with pytest.raises(UnsupportedQueryError):
        store["many"].find(**query)
    if "filter" in query:
        with pytest.raises(UnsupportedQueryError):
            store["many"].count(query["filter"])


@pytest.mark.parametrize(
    ("bad", "text"),
    [
        ({"n": 1}, "no _id"),
        ({"_id": 5}, "string"),
        ({"_id": None}, "string"),
        ({"_id": bson.ObjectId()}, "string"),
        ({"_id": ""}, "empty"),
        ({"_id": "bad", "a": [1, {"b": float("nan")}]}, r"a\.1\.b is nan"),
        ({"_id": "bad", "a": float("inf")}, "inf"),
        ({"_id": "bad", "a": object()}, "a is "),
        ({"_id": "bad", "a": {1: 2}}, "key 1"),
        ({"_id": "bad", "a": 2**63}, "64 bits"),
        (["_id"], "a dict"),
    ],
)
def test_a_bad_document_is_named_with_its_position(store: DocumentStore, bad: Any, text: str) -> None:
    load(store, "kept", [{"_id": "old"}])
    writer = store.writer()
    with pytest.raises(InvalidDocumentError, match=text) as caught, writer.part() as part:
        part.write([*numbered(3), bad, {"_id": "after"}])
    assert caught.value.position == 3
    assert "document 3" in str(caught.value)
    assert "\n" not in str(caught.value)
    writer.abort()
    assert ids(store["kept"]) == ["old"]


@pytest.mark.service
def test_a_document_of_16_mib_is_the_largest(store: DocumentStore) -> None:
    room = LIMIT - len(bson.encode({"_id": "big", "x": b""}))
    writer = store.writer()
    with pytest.raises(DocumentTooLargeError, match=r"16,777,217 bytes.*16,777,216") as caught, writer.part() as part:
        part.write([{"_id": "big", "x": b"." * (room + 1)}])
    assert (caught.value.position, caught.value.doc_id) == (0, "big")
    writer.abort()
    largest = {"_id": "big", "x": b"." * room}
    with pytest.raises(DocumentTooLargeError), store.writer().part() as part:
        part.write_encoded([("big", bson.encode(largest) + b"\0")])
    load(store, "big", [{"_id": "small"}, largest, largest, {"_id": "zz"}], Duplicate.LAST)
    assert store["big"].get("big") == largest
    assert [(doc_id, len(data) > 100) for doc_id, data in store["big"].scan()] == [
        ("big", True), ("small", False), ("zz", False)
    ]  # fmt: skip


def test_dates_come_back_as_naive_utc_with_milliseconds(store: DocumentStore) -> None:
    zone = timezone(timedelta(hours=2))
    load(store, "dates", [
        {"_id": "aware", "at": datetime(2024, 5, 6, 12, 30, tzinfo=zone)},
        {"_id": "naive", "at": naive(2024, 5, 6, 12, 30, 1, 123456)},
        {"_id": "utc", "at": datetime(1969, 12, 31, 23, 59, 59, 999000, tzinfo=UTC)},
    ])  # fmt: skip
    found = {document["_id"]: document["at"] for document in store["dates"].find()}
    assert found == {
        "aware": naive(2024, 5, 6, 10, 30),
        "naive": naive(2024, 5, 6, 12, 30, 1, 123000),
        "utc": naive(1969, 12, 31, 23, 59, 59, 999000),
    }
    assert ids(store["dates"], filter={"at": {"$gt": naive(2024, 5, 6, 11)}}) == ["naive"]


def test_rename_and_drop(store: DocumentStore) -> None:
    load(store, "a", [{"_id": "1"}])
    load(store, "b", [{"_id": "2"}])
    hashes = list(store["a"].hashes())
    with pytest.raises(CollectionExistsError, match="'b'"):
        store.rename("a", "b")
    with pytest.raises(NoSuchCollectionError, match="'nope'"):
        store.rename("nope", "c")
    store.rename("a", "a")
    store.rename("a", "c")
    assert store.names() == ["b", "c"]
    assert (ids(store["c"]), list(store["c"].hashes())) == (["1"], hashes)
    store.rename("c", "b", replace=True)
    assert store.names() == ["b"]
    assert ids(store["b"]) == ["1"]
    store.rename("b", "free", replace=True)
    store.drop("free")
    store.drop("free")
    assert store.names() == []


def test_rename_keeps_what_it_displaces(store: DocumentStore) -> None:
    load(store, "live", [{"_id": "new"}])
    load(store, "older", [{"_id": "old"}])
    tokens = store.token("live"), store.token("older")
    store.rename("older", "live", archive="kept")
    assert (ids(store["live"]), ids(store["kept"])) == (["old"], ["new"])
    assert (store.token("kept"), store.token("live")) == tokens
    load(store, "third", [{"_id": "3"}])
    with pytest.raises(CollectionExistsError, match="'kept'"):
        store.rename("third", "live", archive="kept")
    assert store.names() == ["kept", "live", "third"] and ids(store["live"]) == ["old"]
    store.rename("third", "fresh", archive="never")
    assert store.names() == ["fresh", "kept", "live"]


@pytest.mark.parametrize("name", ["with.dot", "with-dash", "with space", "é", "UPPER", "a" * 120])
def test_names_of_all_kinds(store: DocumentStore, name: str) -> None:
    load(store, name, [{"_id": "1"}])
    load(store, name, [{"_id": "2"}], archive=f"{name}_old")
    assert store.names() == sorted([name, f"{name}_old"])
    assert ids(store[name]) == ["2"]
    store.drop(name)
    assert store.names() == [f"{name}_old"]


def test_an_empty_name_is_refused(store: DocumentStore) -> None:
    load(store, "a", [])
    writer = store.writer()
    writer.seal()
    with pytest.raises(ValueError, match="name"):
        writer.commit("")
    with pytest.raises(ValueError, match="name"):
        store.rename("a", "")
    writer.commit("b")
    assert store.names() == ["a", "b"]


@pytest.mark.service
def test_an_iterator_never_mixes_two_states(store: DocumentStore) -> None:
    """SQLite reads on in the old state; MongoDB drops it, and says so."""
    load(store, "many", ({"_id": f"{number:05}", "pad": "old" * 3000} for number in range(4000)))
    rows = store["many"].scan()
    seen = [next(rows)]
    load(store, "many", ({"_id": f"{number:05}", "pad": "new"} for number in range(4000)))
    try:
        seen += rows
    except StoreError as error:
        assert "replaced or dropped" in str(error)
    else:
        assert len(seen) == 4000
    assert all(b"oldold" in data for _, data in seen)


def test_an_iterator_reads_on_over_a_rename(store: DocumentStore) -> None:
    load(store, "many", ({"_id": f"{number:05}", "pad": "x" * 9000} for number in range(4000)))
    rows = store["many"].scan()
    seen = [next(rows)[0]]
    store.rename("many", "renamed")
    seen += (doc_id for doc_id, _ in rows)
    assert seen == [f"{number:05}" for number in range(4000)]


def test_a_handle_reads_what_has_the_name_now(store: DocumentStore) -> None:
    load(store, "a", [{"_id": "1"}])
    handle = store["a"]
    load(store, "a", [{"_id": "2"}, {"_id": "3"}])
    assert (handle.count(), ids(handle), handle.get("1")) == (2, ["2", "3"], None)
    store.drop("a")
    with pytest.raises(NoSuchCollectionError):
        handle.count()
