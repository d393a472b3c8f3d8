"""What is MongoDB's alone: where things lie, half-done swaps, owners on other machines, other tools, lost servers."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import count
from typing import Any

import pytest
from pymongo import MongoClient
from pymongo.database import Database
from pymongo.errors import OperationFailure

from hubkernel.store import (
    CollectionExistsError,
    DocumentTooLargeError,
    Duplicate,
    NoSuchCollectionError,
    StoreError,
    StoreFullError,
    open_state,
    open_store,
)
from hubkernel.store.mongo import MongoStore, catalog, owner, writer
from hubkernel.store.mongo.catalog import Catalog
from tests.store.conformance.conftest import at_database
from tests.store.conformance.helpers import ids, load, numbered

pytestmark = pytest.mark.service
OTHER_MACHINE = {"machine": "another:1", "host": "elsewhere", "pid": 1, "started": 1.0}


@pytest.fixture
def url(mongod_url: str) -> Iterator[str]:
    name = f"hk_{uuid.uuid4().hex}"
    yield at_database(mongod_url, name)
    with MongoClient(mongod_url) as client:
        client.drop_database(name)


@pytest.fixture
def store(url: str) -> Iterator[MongoStore]:
    opened = MongoStore(url)
    yield opened
    opened.close()


@pytest.fixture
def db(url: str) -> Iterator[Database[dict[str, Any]]]:
    """The database as other tools see it."""
    with MongoClient[dict[str, Any]](url) as client:
        yield client.get_default_database()


def dead() -> dict[str, Any]:
    """A process of this machine that is no more."""
    return owner.me() | {"started": 1.0}


def own_names(db: Database[dict[str, Any]]) -> list[str]:
    return sorted(name for name in db.list_collection_names() if not name.startswith("hubkernel."))


def test_other_tools_find_the_documents_under_their_name_as_they_were(
    store: MongoStore, db: Database[dict[str, Any]]
) -> None:
    load(store, "genes", [{"_id": "b", "n": [1, {"x": None}]}, {"_id": "a"}])
    load(store, "genes", [{"_id": "c"}], archive="old")
    assert list(db["old"].find(sort=[("_id", 1)])) == [{"_id": "a"}, {"_id": "b", "n": [1, {"x": None}]}]
    assert list(db["genes"].find()) == [{"_id": "c"}]
    assert own_names(db) == ["genes", "old"]


def test_documents_and_state_share_a_database(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    state = open_state(store.url)
    state["src_dump"].insert_one({"_id": "hpo"})
    load(store, "genes", numbered(2))
    assert (store.names(), state.names()) == (["genes"], ["src_dump"])
    assert list(db["src_dump"].find()) == [{"_id": "hpo"}]
    state.close()


def test_what_another_tool_has_is_never_replaced(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    db["theirs"].insert_one({"_id": "precious"})
    load(store, "ours", numbered(2))
    with pytest.raises(CollectionExistsError, match="'theirs' that is not this store's"):
        load(store, "theirs", [])
    with pytest.raises(CollectionExistsError, match="'theirs'"):
        store.rename("ours", "theirs", replace=True)
    with pytest.raises(CollectionExistsError, match="'theirs'"):
        load(store, "ours", [], archive="theirs")
    store.drop("theirs")
    assert list(db["theirs"].find()) == [{"_id": "precious"}]
    assert (store.names(), store["ours"].count()) == (["ours"], 2)


@pytest.mark.parametrize("name", ["a$b", "system.x", "hubkernel.catalog", "nul\0", "x" * 300, ".a", "a."])
def test_names_that_mongodb_cannot_have(store: MongoStore, name: str) -> None:
    with pytest.raises(ValueError, match="name"):
        load(store, name, [])
    load(store, "fine", [])
    with pytest.raises(ValueError, match="name"):
        store.rename("fine", name)
    assert store.names() == ["fine"]


class CrashError(BaseException):
    """Ends a commit as abruptly as can be within one process."""


def crash(*arguments: object) -> bool:
    raise CrashError


def swap(store: MongoStore) -> None:
    load(store, "genes", [{"_id": "new"}])


def swap_and_archive(store: MongoStore) -> None:
    load(store, "genes", [{"_id": "new"}], archive="old")


def rename_over(store: MongoStore) -> None:
    store.rename("other", "genes", replace=True)


def drop(store: MongoStore) -> None:
    store.drop("genes")


AFTER: list[tuple[Callable[[MongoStore], None], dict[str, list[str]]]] = [
    (swap, {"genes": ["new"], "other": ["new"]}),
    (swap_and_archive, {"genes": ["new"], "old": ["v1"], "other": ["new"]}),
    (rename_over, {"genes": ["new"]}),
    (drop, {"other": ["new"]}),
]


@pytest.mark.parametrize("moves", [None, 0, 1])
@pytest.mark.parametrize(("change", "expected"), AFTER)
def test_a_change_of_names_is_whole_wherever_it_is_cut_off(
    store: MongoStore,
    db: Database[dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    change: Callable[[MongoStore], None],
    expected: dict[str, list[str]],
    moves: int | None,
) -> None:
    """Cut off before the places follow the names, or after so many renames; readers see no difference."""
    load(store, "genes", [{"_id": "v1"}])
    load(store, "other", [{"_id": "new"}])
    reader = MongoStore(store.url)
    handle = reader["genes"]
    with monkeypatch.context() as patch:
        if moves is None:
            patch.setattr(Catalog, "_settle", crash)
        else:
            move, done = Catalog._move, count()
            patch.setattr(Catalog, "_move", lambda *args: move(*args) if next(done) < moves else crash())
        with suppress(CrashError):
            change(store)
    assert {name: ids(reader[name]) for name in reader.names()} == expected
    assert {name: [row[0] for row in reader[name].hashes()] for name in reader.names()} == expected
    if "genes" in expected:
        assert handle.get(expected["genes"][0]) is not None
    reopened = MongoStore(store.url)
    assert own_names(db) == sorted(expected)
    assert {name: [document["_id"] for document in db[name].find()] for name in own_names(db)} == expected
    assert {name: ids(reader[name]) for name in reader.names()} == expected
    reopened.close()
    reader.close()


def test_a_scan_reads_on_when_the_server_ends_its_cursor(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    load(store, "many", ({"_id": f"{number:05}", "pad": "x" * 9000} for number in range(6000)))
    rows = store["many"].scan()
    seen = [next(rows)[0]]
    found = iter(store["many"].find({"pad": {"$exists": True}}, ["_id", "pad"], skip=10, limit=5000))
    first = next(found)["_id"]
    idle = [{"$currentOp": {"idleCursors": True}}, {"$match": {"ns": f"{db.name}.many", "type": "idleCursor"}}]
    cursors = [op["cursor"]["cursorId"] for op in db.client.admin.aggregate(idle)]
    assert len(cursors) == 2
    db.command("killCursors", "many", cursors=cursors)
    seen += (doc_id for doc_id, _ in rows)
    assert seen == [f"{number:05}" for number in range(6000)]
    rest = [document["_id"] for document in found]
    assert [first, *rest] == [f"{number:05}" for number in range(10, 5010)]


@pytest.fixture
def reader(store: MongoStore) -> Iterator[MongoStore]:
    opened = MongoStore(store.url)
    yield opened
    opened.close()


@pytest.fixture
def late(reader: MongoStore, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """``late(change, ...)`` is done when the reader next knows where to read, and has not yet read."""
    raw = reader._connection.raw

    def arrange(change: Callable[..., object], *arguments: Any) -> None:
        def change_first(name: str) -> Any:
            monkeypatch.setattr(reader._connection, "raw", raw)
            change(*arguments)
            return raw(name)

        monkeypatch.setattr(reader._connection, "raw", change_first)

    return arrange


def test_a_swap_between_looking_up_and_reading(
    store: MongoStore, reader: MongoStore, late: Callable[..., None]
) -> None:
    load(store, "genes", [{"_id": "old"}])
    late(load, store, "genes", [{"_id": "1"}])
    assert [doc_id for doc_id, _ in reader["genes"].scan()] == ["1"]
    late(load, store, "genes", [{"_id": "2"}])
    assert reader["genes"].get("2") == {"_id": "2"}
    late(load, store, "genes", [{"_id": "3"}])
    with pytest.raises(StoreError, match="replaced or dropped"):
        list(reader["genes"].get_many(["2", "3"]))


def test_a_swap_that_is_half_done_when_it_is_read(
    store: MongoStore, reader: MongoStore, late: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The old documents have gone to the archive, the new ones have not yet come to the name."""
    move, done = Catalog._move, count()

    def cut_off() -> None:
        with monkeypatch.context() as patch, suppress(CrashError):
            patch.setattr(Catalog, "_move", lambda *args: move(*args) if next(done) < 1 else crash())
            swap_and_archive(store)

    load(store, "genes", [{"_id": "v1"}])
    late(cut_off)
    assert reader["genes"].get("new") == {"_id": "new"}


@pytest.mark.parametrize(
    "read",
    [
        lambda genes: genes.get("1"),
        lambda genes: list(genes.scan()),
        lambda genes: list(genes.find({"_id": "1"}, sort=[("n", 1)])),
    ],
)
def test_a_rename_between_looking_up_and_reading_does_not_look_like_emptiness(
    store: MongoStore, reader: MongoStore, late: Callable[..., None], read: Callable[[Any], Any]
) -> None:
    load(store, "genes", [{"_id": "1"}])
    late(store.rename, "genes", "moved")
    with pytest.raises(NoSuchCollectionError, match="'genes'"):
        read(reader["genes"])


def test_what_another_tool_makes_meanwhile_is_not_replaced(
    store: MongoStore, db: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def not_looking(self: Catalog, book: object, name: str) -> None:
        db[name].insert_one({"_id": "theirs"})

    monkeypatch.setattr(Catalog, "_must_be_free", not_looking)
    load(store, "genes", [{"_id": "ours"}])
    assert ids(store["genes"]) == ["ours"]
    assert [document["_id"] for document in db["genes"].find()] == ["theirs"]
    db["genes"].rename("out of the way")
    MongoStore(store.url).close()
    assert [document["_id"] for document in db["genes"].find()] == ["ours"]


def test_the_lock_of_a_dead_process_is_taken_over(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    load(store, "genes", numbered(1))
    far = time.time() + 3600
    lock = {"owner": dead(), "nonce": "n", "until": catalog_time(far)}
    db["hubkernel.catalog"].update_one({}, {"$set": {"lock": lock}})
    store.rename("genes", "renamed")
    lock = {"owner": OTHER_MACHINE, "nonce": "n", "until": catalog_time(time.time() - 1)}
    db["hubkernel.catalog"].update_one({}, {"$set": {"lock": lock}})
    store.rename("renamed", "again")
    assert store.names() == ["again"]
    assert "lock" not in (db["hubkernel.catalog"].find_one() or {})


def catalog_time(seconds: float) -> Any:
    return datetime.fromtimestamp(seconds, UTC)


def test_the_lock_of_a_living_process_is_waited_for(
    store: MongoStore, db: Database[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    load(store, "genes", numbered(1))
    monkeypatch.setattr(catalog, "LOCK_SECONDS", 0.1)
    lock = {"owner": OTHER_MACHINE, "nonce": "n", "until": catalog_time(time.time() + 3600)}
    db["hubkernel.catalog"].update_one({}, {"$set": {"lock": lock}})
    with pytest.raises(StoreError, match="another process"):
        store.rename("genes", "renamed")
    assert store.names() == ["genes"]


def test_whoever_lost_the_lock_changes_nothing(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    load(store, "genes", numbered(1))
    with pytest.raises(StoreError, match="try again"), store._catalog.change() as book:
        db["hubkernel.catalog"].update_one({}, {"$set": {"lock.nonce": "somebody else"}})
        book.get("genes").name = "renamed"
    assert store.names() == ["genes"]


def test_writers_on_other_machines_live_by_their_heartbeat(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    load(store, "genes", numbered(1))
    tokens = []
    for silent_for in (0, writer.SILENT_MS / 1000 + 60):
        one = store.writer()
        with one.part() as part:
            part.write(numbered(5))
        beat = catalog_time(time.time() - silent_for)
        db["hubkernel.writers"].update_one({"_id": one.token}, {"$set": {"owner": OTHER_MACHINE, "beat": beat}})
        tokens.append(one.token)
        one._stop.set()
    assert store.sweep() == [tokens[1]]
    assert [name for name in db.list_collection_names() if tokens[1] in name] == []
    assert store["genes"].count() == 1


def test_a_swept_writer_cannot_commit(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    one = store.writer()
    with one.part() as part:
        part.write(numbered(5))
    one.seal()
    db["hubkernel.writers"].update_one({"_id": one.token}, {"$set": {"owner": dead()}})
    assert store.sweep() == [one.token]
    with pytest.raises(StoreError, match="swept"):
        one.commit("genes")
    assert store.names() == []


def test_a_part_that_was_never_closed_is_named(store: MongoStore) -> None:
    one = store.writer()
    store.join(one.token).part(3)
    with pytest.raises(StoreError, match="not closed: 3"):
        one.seal()
    one.abort()


def test_documents_that_the_server_lost_are_missed(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    one = store.writer()
    with one.part() as part:
        part.write([*numbered(5), *numbered(2)])
    db[f"hubkernel.new.{one.token}"].delete_one({"_id": "n000003"})
    with pytest.raises(StoreError, match="lost 1 documents"):
        one.seal(Duplicate.LAST)
    one.abort()
    assert store.names() == []


def test_what_another_tool_dropped_is_said(store: MongoStore, db: Database[dict[str, Any]]) -> None:
    load(store, "genes", numbered(3))
    db["genes"].drop()
    with pytest.raises(NoSuchCollectionError, match="another tool has dropped it"):
        store["genes"]
    load(store, "genes", numbered(2))
    assert store["genes"].count() == 2


@pytest.mark.parametrize("archive", [None, "old"])
def test_a_restored_backup_can_be_swapped(store: MongoStore, db: Database[dict[str, Any]], archive: str | None) -> None:
    """``mongorestore`` gives every collection a new identity."""
    load(store, "genes", numbered(3))
    copies = list(db["genes"].find())
    db["genes"].drop()
    db["genes"].insert_many(copies)
    assert list(store["genes"].find()) == numbered(3)
    load(store, "genes", numbered(1), archive=archive)
    assert store["genes"].count() == len(list(db["genes"].find())) == 1
    assert own_names(db) == store.names() == (["genes", "old"] if archive else ["genes"])
    assert archive is None or len(list(store[archive].scan())) == 3


def test_urls_options_do_not_weaken_the_store(url: str) -> None:
    joint = "&" if "?" in url else "?"
    weak = open_state(f"{url}{joint}w=0&readPreference=secondaryPreferred")
    weak["x"].insert_one({"_id": 1})
    assert weak["x"].update_one({"_id": 1}, {"$set": {"n": 1}}) == 1
    assert weak["x"].find() == [{"_id": 1, "n": 1}]
    weak.close()


@pytest.mark.parametrize("open_url", [open_store, open_state])
def test_a_server_that_does_not_answer_is_named_without_its_password(open_url: Callable[[str], Any]) -> None:
    started = time.monotonic()
    with pytest.raises(StoreError, match=re.escape("127.0.0.1:1/genes does not answer")) as caught:
        open_url("mongodb://user:secret@127.0.0.1:1/genes?serverSelectionTimeoutMS=200")
    assert time.monotonic() - started < 10
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("code", "kind", "text"),
    [
        (14031, StoreFullError, "disk is full"),
        (13, StoreError, "check user, password and rights"),
        (17419, DocumentTooLargeError, "16 MiB"),
        (11601, StoreError, "operation was interrupted"),
    ],
)
def test_errors_of_the_server_become_one_line(store: MongoStore, code: int, kind: type[StoreError], text: str) -> None:
    with pytest.raises(kind, match=text) as caught, store._connection.translated():
        raise OperationFailure("operation was interrupted, full error: {'ok': 0}", code)
    assert "full error" not in str(caught.value)
    assert type(caught.value) is kind


@pytest.mark.parametrize("bad", ["mongodb://127.0.0.1", "mongodb://", "mongodb://a:b:c/x"])
def test_bad_urls(bad: str) -> None:
    with pytest.raises(ValueError, match="MongoDB url"):
        open_store(bad)
