"""Writers: parts, duplicates, commit, abort, sweep; the same outcome whatever the batches and parts."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hubkernel.store import (
    CollectionExistsError,
    CollectionWriter,
    DocumentStore,
    Duplicate,
    DuplicateIdError,
    InvalidDocumentError,
    StoreError,
    open_store,
)
from tests.store.conformance.helpers import ids, load, numbered


def join_values(documents: list[dict[str, Any]]) -> dict[str, Any]:
    return {"_id": documents[0]["_id"], "v": [value for document in documents for value in document["v"]]}


def test_nothing_is_visible_before_commit(store: DocumentStore) -> None:
    writer = store.writer()
    with writer.part() as part:
        part.write(numbered(2000))
        part.flush()
        assert store.names() == []
    writer.seal()
    assert store.names() == []
    writer.commit("genes")
    assert store.names() == ["genes"]
    assert store["genes"].count() == 2000


def test_a_swap_drops_or_archives_what_was_there(store: DocumentStore) -> None:
    load(store, "genes", [{"_id": "v1"}])
    load(store, "genes", [{"_id": "v2"}], archive="genes_old")
    assert (ids(store["genes"]), ids(store["genes_old"])) == (["v2"], ["v1"])
    assert list(store["genes_old"].hashes()) != list(store["genes"].hashes())
    load(store, "genes", [{"_id": "v3"}])
    assert store.names() == ["genes", "genes_old"]
    load(store, "new", [{"_id": "n"}], archive="not needed")
    assert store.names() == ["genes", "genes_old", "new"]


def test_a_name_tells_which_writer_made_it(store: DocumentStore) -> None:
    assert store.token("genes") is None
    first, second = store.writer(), store.writer()
    for writer in (first, second):
        writer.seal()
    assert store.token("genes") is None
    first.commit("genes")
    assert store.token("genes") == first.token
    second.commit("genes", archive="genes_old")
    assert (store.token("genes"), store.token("genes_old")) == (second.token, first.token)
    store.rename("genes", "kept")
    store.drop("genes_old")
    assert [store.token(name) for name in ("genes", "genes_old", "kept")] == [None, None, second.token]


def test_an_archive_that_exists_is_not_overwritten(store: DocumentStore) -> None:
    load(store, "genes", [{"_id": "v1"}])
    load(store, "taken", [{"_id": "t"}])
    writer = store.writer()
    writer.seal()
    with pytest.raises(CollectionExistsError, match="'taken'"):
        writer.commit("genes", archive="taken")
    assert (ids(store["genes"]), ids(store["taken"])) == (["v1"], ["t"])
    writer.commit("genes", archive="free")
    assert (ids(store["genes"]), ids(store["free"])) == ([], ["v1"])


def test_c90_restoring_an_archive_leaves_exactly_the_archive(store: DocumentStore) -> None:
    load(store, "genes", numbered(3))
    load(store, "genes", numbered(9), archive="backup")
    store.rename("backup", "genes", replace=True)
    assert store.names() == ["genes"]
    assert list(store["genes"].find()) == numbered(3)


def test_abort_leaves_nothing(store: DocumentStore) -> None:
    load(store, "genes", [{"_id": "old"}])
    writer = store.writer()
    part = writer.part()
    part.write(numbered(10))
    writer.abort()
    writer.abort()
    with pytest.raises(StoreError):
        part.write(numbered(1))
    with pytest.raises(StoreError):
        writer.commit("genes")
    with pytest.raises(StoreError, match="ended"):
        store.join(writer.token)
    assert ids(store["genes"]) == ["old"]
    assert store.sweep() == []


def test_abort_after_commit_does_nothing(store: DocumentStore) -> None:
    writer = store.writer()
    writer.seal()
    writer.commit("genes")
    writer.abort()
    assert store.names() == ["genes"]


def test_the_order_of_steps_is_kept(store: DocumentStore) -> None:
    writer = store.writer()
    part = writer.part()
    with pytest.raises(StoreError, match="closed"):
        writer.seal()
    part.close()
    part.close()
    with pytest.raises(StoreError, match="closed"):
        part.write([{"_id": "a"}])
    with pytest.raises(StoreError, match="seal"):
        writer.commit("genes")
    with pytest.raises(ValueError, match="fold"):
        writer.seal(Duplicate.MERGE)
    with pytest.raises(ValueError, match="-1"):
        writer.part(-1)
    writer.seal()
    with pytest.raises(StoreError):
        writer.seal()
    with pytest.raises(StoreError, match="sealed"):
        writer.part(1)
    with pytest.raises(StoreError):
        store.join(writer.token).commit("genes")
    writer.commit("genes")
    assert store["genes"].count() == 0


@pytest.mark.parametrize("before", [1, 1500])
def test_a_part_that_ends_in_an_error_keeps_what_was_flushed(store: DocumentStore, before: int) -> None:
    writer = store.writer()
    with pytest.raises(RuntimeError, match="parser"), writer.part() as part:
        part.write([{"_id": "twice", "n": 0}])
        part.write(numbered(before))
        part.flush()
        part.write([{"_id": f"lost{number}"} for number in range(2500)])
        part.write([{"_id": "twice", "n": 1}])
        raise RuntimeError("the parser failed")
    report = writer.seal()
    writer.commit("genes")
    assert report.received == before + 1
    assert list(store["genes"].find()) == [*numbered(before), {"_id": "twice", "n": 0}]


def test_what_an_error_discards_may_be_written_by_another_part(store: DocumentStore) -> None:
    writer = store.writer()
    first, second = writer.part(0), writer.part(1)
    first.write([{"_id": f"{number:04}", "by": 0} for number in range(1500)])
    second.write([{"_id": f"{number:04}", "by": 1} for number in range(1500)])
    second.flush()
    first.__exit__(ValueError, ValueError(), None)
    second.close()
    report = writer.seal()
    writer.commit("genes")
    assert (report.received, report.documents) == (1500, 1500)
    assert {document["by"] for document in store["genes"].find()} == {1}


def test_a_generator_that_raises_keeps_the_old_data(store: DocumentStore) -> None:
    load(store, "genes", [{"_id": "old"}])

    def parser() -> Iterator[dict[str, Any]]:
        yield from numbered(1000)
        raise RuntimeError("line 1000")

    writer = store.writer()
    with pytest.raises(RuntimeError, match="line 1000"), writer.part() as part:
        part.write(parser())
    writer.abort()
    assert ids(store["genes"]) == ["old"]


def test_write_returns_how_many_and_streams(store: DocumentStore) -> None:
    writer = store.writer()
    with writer.part() as part:
        assert part.write([]) == 0
        assert part.write(iter(numbered(2500))) == 2500
        assert part.write({"_id": f"x{number}"} for number in range(3)) == 3
    assert writer.seal().received == 2503
    writer.abort()


def test_a_part_can_be_opened_again_and_goes_on(store: DocumentStore) -> None:
    writer = store.writer()
    with writer.part(3) as part:
        part.write([{"_id": "a", "v": [1]}])
    with writer.part(3) as part:
        part.write([{"_id": "a", "v": [2]}])
    with writer.part(1) as part:
        part.write([{"_id": "a", "v": [0]}])
    writer.seal(Duplicate.MERGE, fold=join_values)
    writer.commit("genes")
    assert store["genes"].get("a") == {"_id": "a", "v": [0, 1, 2]}


def test_another_process_writes_a_part(store: DocumentStore) -> None:
    writer = store.writer()
    code = (
        "import sys; from hubkernel.store import open_store\n"
        "with open_store(sys.argv[1]).join(sys.argv[2]).part(1) as part: part.write([{'_id': 'a', 'v': [2]}])"
    )
    subprocess.run([sys.executable, "-c", code, store.url, writer.token], check=True, timeout=60)
    with writer.part(0) as part:
        part.write([{"_id": "a", "v": [1]}])
    writer.seal(Duplicate.MERGE, fold=join_values)
    writer.commit("genes")
    assert store["genes"].get("a") == {"_id": "a", "v": [1, 2]}


def test_join_takes_no_unknown_token(store: DocumentStore) -> None:
    with pytest.raises(StoreError, match="ended"):
        store.join("0" * 32)


# The same documents, cut into parts and calls in different ways: ids that come 1 to 5 times, in a fixed random order.
DOCUMENTS = [
    {"_id": f"{number:03}", "v": [place]}
    for place, number in enumerate(random.Random(7).choices(range(300), k=900))
]  # fmt: skip


def whole(writer: CollectionWriter) -> None:
    with writer.part() as part:
        part.write(DOCUMENTS)


def one_by_one(writer: CollectionWriter) -> None:
    with writer.part(5) as part:
        for document in DOCUMENTS:
            part.write([document])


def flushed_often(writer: CollectionWriter) -> None:
    with writer.part(5) as part:
        for start in range(0, len(DOCUMENTS), 70):
            part.write(DOCUMENTS[start : start + 70])
            part.flush()


def many_parts_backwards(writer: CollectionWriter) -> None:
    for number in reversed(range(9)):
        with writer.part(number) as part:
            part.write(DOCUMENTS[number * 100 : number * 100 + 100])


def parts_in_turn(writer: CollectionWriter) -> None:
    parts = [writer.part(number) for number in (0, 3, 7)]
    for step in range(10):
        for place, part in enumerate(parts):
            start = place * 300 + step * 30
            part.write(DOCUMENTS[start : start + 30])
            part.flush()
    for part in parts:
        part.close()


WAYS = [whole, one_by_one, flushed_often, many_parts_backwards, parts_in_turn]


def folded(pick: Callable[[list[int]], list[int]]) -> list[dict[str, Any]]:
    found: dict[str, list[int]] = {}
    for document in DOCUMENTS:
        found.setdefault(document["_id"], []).extend(document["v"])
    return [{"_id": doc_id, "v": pick(values)} for doc_id, values in sorted(found.items())]


EXPECTED = {
    Duplicate.IGNORE: folded(lambda values: values[:1]),
    Duplicate.LAST: folded(lambda values: values[-1:]),
    Duplicate.MERGE: folded(lambda values: values),
}


@pytest.mark.parametrize("policy", list(EXPECTED))
@pytest.mark.parametrize("write", WAYS)
def test_duplicates_are_settled_by_the_order_of_documents_alone(
    store: DocumentStore, policy: Duplicate, write: Callable[[CollectionWriter], None]
) -> None:
    writer = store.writer()
    write(writer)
    report = writer.seal(policy, fold=join_values)
    writer.commit("genes")
    expected = EXPECTED[policy]
    assert list(store["genes"].find()) == expected
    assert (report.received, report.documents, report.duplicates) == (900, len(expected), 900 - len(expected))
    assert [doc_id for doc_id, _ in store["genes"].hashes()] == [document["_id"] for document in expected]
    assert report.bytes == sum(len(data) for _, data in store["genes"].scan())


@pytest.mark.parametrize("write", WAYS)
def test_c91_duplicates_are_an_error_unless_a_policy_says_otherwise(
    store: DocumentStore, write: Callable[[CollectionWriter], None]
) -> None:
    writer = store.writer()
    write(writer)
    with pytest.raises(DuplicateIdError) as caught:
        writer.seal()
    distinct = EXPECTED[Duplicate.MERGE]
    twice = [document["_id"] for document in distinct if len(document["v"]) > 1]
    assert caught.value.count == 900 - len(distinct)
    assert caught.value.ids == tuple(twice[:10])
    assert repr(twice[0]) in str(caught.value)
    assert "policy" in str(caught.value)
    writer.abort()
    assert store.names() == []
    assert store.sweep() == []


def test_a_fold_sees_each_id_once_and_may_not_change_it(store: DocumentStore) -> None:
    def fold(documents: list[dict[str, Any]]) -> dict[str, Any]:
        assert len(documents) == 2
        return {"_id": "other", "v": 1}

    writer = store.writer()
    with writer.part() as part:
        part.write([{"_id": "a"}, {"_id": "b"}, {"_id": "a"}])
    with pytest.raises(InvalidDocumentError, match="'other'"):
        writer.seal(Duplicate.MERGE, fold=fold)
    writer.abort()


def test_a_fold_that_makes_a_bad_document_is_an_error(store: DocumentStore) -> None:
    writer = store.writer()
    with writer.part() as part:
        part.write([{"_id": "a"}, {"_id": "a"}])
    with pytest.raises(InvalidDocumentError, match="nan"):
        writer.seal(Duplicate.MERGE, fold=lambda documents: {"_id": "a", "x": float("nan")})
    writer.abort()


def test_progress_is_told_and_may_stop_the_sealing(store: DocumentStore) -> None:
    class StopError(Exception):
        pass

    def stop(done: int, total: int) -> None:
        raise StopError

    told: list[tuple[int, int]] = []
    for progress in (lambda done, total: told.append((done, total)), stop):
        writer = store.writer()
        with writer.part() as part:
            part.write(numbered(3000))
        if progress is stop:
            with pytest.raises(StopError):
                writer.seal(progress=progress)
            writer.abort()
        else:
            writer.seal(progress=progress)
            writer.commit("genes")
    assert told[-1] == (3000, 3000)
    assert store.names() == ["genes"]
    assert store.sweep() == []


def test_sweep_spares_living_writers(store: DocumentStore) -> None:
    load(store, "genes", [{"_id": "kept"}])
    writer = store.writer()
    with writer.part() as part:
        part.write(numbered(10))
    other = open_store(store.url)
    assert store.sweep() == other.sweep() == []
    other.close()
    writer.seal()
    assert store.sweep() == []
    writer.commit("more")
    assert store.sweep() == []
    assert (ids(store["genes"]), store["more"].count()) == (["kept"], 10)


def test_sweep_takes_a_writer_that_was_forgotten(store: DocumentStore) -> None:
    writer = store.writer()
    token = writer.token
    with writer.part() as part:
        part.write(numbered(10))
    del writer, part
    assert store.sweep() == [token]
    assert store.sweep() == []
