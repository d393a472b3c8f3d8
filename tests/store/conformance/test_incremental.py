"""Writers with a base: what comes of them is the same as without one, and they count the differences."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import pytest

from hubkernel.store import CollectionWriter, DocumentStore, Duplicate, InvalidDocumentError, StoreError, WriteReport
from tests.store.conformance.helpers import ids, load, numbered
from tests.store.conformance.test_writers import DOCUMENTS, WAYS, join_values

Documents = list[dict[str, Any]]


def again(
    store: DocumentStore, documents: Documents, policy: Duplicate = Duplicate.ERROR, parts: int = 1, **commit: Any
) -> WriteReport:
    """Load ``genes`` on the base of ``genes``."""
    writer = store.writer(base="genes")
    for number in range(parts):
        with writer.part(number) as part:
            part.write(documents[len(documents) * number // parts : len(documents) * (number + 1) // parts])
    report = writer.seal(policy, fold=join_values)
    writer.commit("genes", **commit)
    assert store.token("genes") == report.token
    return report


def counts(report: WriteReport) -> tuple[int | None, ...]:
    return report.added, report.changed, report.removed, report.unchanged


def shuffled(documents: Documents) -> Documents:
    return random.Random(3).sample(documents, len(documents))


def other(documents: Documents, *, every: int) -> Documents:
    return [{**one, "other": place} if place % every == 0 else one for place, one in enumerate(documents)]


def test_without_a_base_nothing_is_compared(store: DocumentStore) -> None:
    load(store, "genes", numbered(3))
    assert counts(load(store, "genes", numbered(3))) == (None, None, None, None)


def test_a_base_that_is_missing_is_like_an_empty_one(store: DocumentStore) -> None:
    assert counts(again(store, numbered(1500))) == (1500, 0, 0, 0)
    store.drop("genes")
    assert counts(again(store, [])) == (0, 0, 0, 0)
    assert store["genes"].count() == 0


@pytest.mark.parametrize("order", [list, shuffled, lambda documents: documents[::-1]])
def test_when_nothing_differs_the_base_stays(store: DocumentStore, order: Callable[[Documents], Documents]) -> None:
    load(store, "genes", numbered(1500))
    token = store.token("genes")
    report = again(store, order(numbered(1500)), parts=3, archive="old")
    assert counts(report) == (0, 0, 0, 1500)
    assert (report.same, report.received, report.documents) == (True, 1500, 1500)
    assert report.bytes == sum(len(data) for _, data in store["genes"].scan())
    assert (store.names(), store.token("genes")) == (["genes"], token)
    assert store.sweep() == []


NEXT: dict[str, tuple[Documents, tuple[int, int, int, int]]] = {
    "one": (other(numbered(2000), every=5000), (0, 1, 0, 1999)),
    "some": (other(numbered(2000), every=20), (0, 100, 0, 1900)),
    "most": (other(numbered(2000), every=1), (0, 2000, 0, 0)),
    "half": (other(numbered(2000), every=2), (0, 1000, 0, 1000)),
    "more": (numbered(2100), (100, 0, 0, 2000)),
    "less": (numbered(2000)[100:1900], (0, 0, 200, 1800)),
    "none": ([], (0, 0, 2000, 0)),
    "all new": ([{"_id": f"x{number}"} for number in range(10)], (10, 0, 2000, 0)),
    "in between": (other(numbered(2000), every=50)[7:] + [{"_id": f"n00{number}"} for number in range(90)], ()),
}  # type: ignore[dict-item]


@pytest.mark.parametrize("parts", [1, 3])
@pytest.mark.parametrize("order", [list, shuffled])
@pytest.mark.parametrize("name", list(NEXT))
def test_the_outcome_is_that_of_a_full_load(
    store: DocumentStore, name: str, order: Callable[[Documents], Documents], parts: int
) -> None:
    documents, expected = NEXT[name]
    load(store, "genes", numbered(2000))
    report = again(store, order(documents), parts=parts, archive="old")
    load(store, "full", documents)
    assert list(store["genes"].scan()) == list(store["full"].scan())
    assert list(store["genes"].hashes()) == list(store["full"].hashes())
    assert list(store["old"].find()) == numbered(2000)
    assert counts(report) == expected or not expected
    assert report.documents == store["genes"].count() == len(documents)
    assert report.bytes == sum(len(data) for _, data in store["full"].scan())


def test_a_collection_is_loaded_again_many_times(store: DocumentStore) -> None:
    documents = {one["_id"]: one for one in numbered(1200)}
    load(store, "genes", documents.values())
    chance = random.Random(11)
    for step in range(12):
        for doc_id in chance.sample(sorted(documents), 40):
            del documents[doc_id]
        for number in range(30):
            documents[f"n{chance.randrange(10**6):06}"] = {"_id": "", "step": step, "pad": "x" * number * 9}
        documents = {doc_id: {**one, "_id": doc_id} for doc_id, one in documents.items()}
        report = again(store, list(documents.values()))
        assert report.removed in range(35, 41)
        assert {one["_id"]: one for one in store["genes"].find()} == documents
        assert ids(store["genes"]) == sorted(documents)


@pytest.mark.parametrize("policy", [Duplicate.IGNORE, Duplicate.LAST, Duplicate.MERGE])
@pytest.mark.parametrize("write", WAYS)
def test_duplicates_settle_the_same_whatever_base_there_is(
    store: DocumentStore, policy: Duplicate, write: Callable[[CollectionWriter], None]
) -> None:
    bases: list[Documents] = [
        [],
        [one for one in DOCUMENTS if one["v"][0] % 3 == 0 and one["v"][0] < 250],
        list({one["_id"]: one for one in DOCUMENTS[::-1]}.values()),
        list({one["_id"]: one for one in DOCUMENTS}.values()),
    ]
    with_none = store.writer()
    write(with_none)
    plain = with_none.seal(policy, fold=join_values)
    with_none.commit("full")
    full = list(store["full"].scan())
    for base in bases:
        load(store, "genes", base, Duplicate.LAST)
        before = dict(store["genes"].scan())
        writer = store.writer(base="genes")
        write(writer)
        report = writer.seal(policy, fold=join_values)
        writer.commit("genes")
        assert list(store["genes"].scan()) == full
        unchanged = sum(before.get(doc_id) == data for doc_id, data in full)
        changed = sum(doc_id in before for doc_id, _ in full) - unchanged
        expected = (len(full) - changed - unchanged, changed, len(before) - changed - unchanged, unchanged)
        assert counts(report) == expected
        assert (report.received, report.duplicates, report.bytes) == (plain.received, plain.duplicates, plain.bytes)


def test_a_base_that_is_replaced_meanwhile(store: DocumentStore) -> None:
    load(store, "genes", numbered(1000))
    changed, same = store.writer(base="genes"), store.writer(base="genes")
    for writer, documents in ((changed, numbered(1001)), (same, numbered(1000))):
        with writer.part() as part:
            part.write(documents)
        writer.seal()
    load(store, "genes", [{"_id": "another"}])
    with pytest.raises(StoreError, match="replaced"):
        same.commit("genes")
    same.abort()
    assert ids(store["genes"]) == ["another"]
    changed.commit("genes")
    assert list(store["genes"].find()) == numbered(1001)


def test_a_writer_replaces_its_base_and_nothing_else(store: DocumentStore) -> None:
    load(store, "genes", numbered(3))
    writer = store.writer(base="genes")
    writer.seal()
    with pytest.raises(ValueError, match="'genes', not 'other'"):
        writer.commit("other")
    writer.abort()
    assert (store.names(), store["genes"].count()) == (["genes"], 3)


def test_a_bad_document_is_refused_with_a_base(store: DocumentStore) -> None:
    load(store, "genes", numbered(3))
    writer = store.writer(base="genes")
    with pytest.raises(InvalidDocumentError, match=r"document 1 .*x is nan"), writer.part() as part:
        part.write([*numbered(1), {"_id": "b", "x": float("nan")}])
    writer.abort()
    assert store.sweep() == []
