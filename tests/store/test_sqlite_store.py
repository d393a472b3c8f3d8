"""What is SQLite's own in the embedded document store: files, order on disk, forks, other processes, damage."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from hubkernel.store import (
    CollectionWriter,
    DocumentStore,
    Duplicate,
    NoSuchCollectionError,
    StoreError,
    open_store,
)
from hubkernel.store.sqlite.connection import Location, Pool, connect_immutable


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "the store"


@pytest.fixture
def store(folder: Path) -> Iterator[DocumentStore]:
    opened = open_store(f"sqlite://{folder}")
    yield opened
    opened.close()


def load(store: DocumentStore, name: str, documents: list[dict[str, Any]]) -> None:
    writer = store.writer()
    with writer.part() as part:
        part.write(documents)
    writer.seal()
    writer.commit(name)


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"_id": f"d{number:05}", "n": number} for number in range(count)]


def data_files(folder: Path) -> list[str]:
    return sorted(path.suffix for path in folder.iterdir() if not path.name.startswith("catalog"))


def rows_on_disk(folder: Path) -> list[str]:
    (path,) = [path for path in folder.glob("*.db") if path.name != "catalog.db"]
    with sqlite3.connect(path) as conn:
        found = [doc_id for (doc_id,) in conn.execute("SELECT id FROM documents ORDER BY seq")]
    conn.close()
    return found


@pytest.mark.parametrize("url", ["sqlite:folder", "sqlite://host/x", "sqlite://", "sqlite:///", "file:///x"])
def test_a_url_must_name_an_absolute_path(url: str) -> None:
    with pytest.raises(ValueError, match="absolute/path"):
        Location.parse(url)


def test_a_url_is_taken_literally(tmp_path: Path) -> None:
    odd = tmp_path / "100%25 #1 ?x=2 b\u00e4r"
    store = open_store(f"sqlite://{odd}?max_pages=5000")
    load(store, "a", numbered(3))
    assert store["a"].count() == len(list(store["a"].scan())) == 3
    store.close()
    assert (odd / "catalog.db").exists()
    assert Location.parse(f"sqlite://{odd}?max_pages=5000") == Location(odd, 5000)


def test_a_fourth_slash_names_the_same_folder(store: DocumentStore, folder: Path) -> None:
    load(store, "c", [{"_id": "a"}])
    other = open_store(f"sqlite:///{folder}")
    assert [id for id, _ in other["c"].scan()] == ["a"]
    other.close()


def test_a_committed_collection_is_one_file(store: DocumentStore, folder: Path) -> None:
    writer = store.writer()
    for number in range(3):
        with writer.part(number) as part:
            part.write([{"_id": f"{number}-{place:04}"} for place in range(500)])
    assert data_files(folder) == [".lock", ".part", ".part", ".part"]
    writer.seal()
    assert data_files(folder) == [".db", ".lock"]
    writer.commit("a")
    assert data_files(folder) == [".db"]
    store.drop("a")
    assert data_files(folder) == []


def test_sorted_parts_stay_where_they_are_and_read_in_order(store: DocumentStore, folder: Path) -> None:
    writer = store.writer()
    for number in range(4):
        with writer.part(number) as part:
            part.write([{"_id": f"{place:05}"} for place in range(number, 4000, 4)])
    writer.seal()
    writer.commit("a")
    assert rows_on_disk(folder)[:3] == ["00000", "00004", "00008"]
    assert [doc_id for doc_id, _ in store["a"].scan()] == [f"{place:05}" for place in range(4000)]


def test_documents_out_of_order_are_written_in_order(store: DocumentStore, folder: Path) -> None:
    documents = numbered(3000)
    random.Random(3).shuffle(documents)
    load(store, "a", documents)
    assert rows_on_disk(folder) == [document["_id"] for document in numbered(3000)]
    assert data_files(folder) == [".db"]


def test_many_duplicates_leave_no_holes(store: DocumentStore) -> None:
    filler = "x" * 1000
    sizes = {}
    for name, copies in (("once", 1), ("often", 10)):
        writer = store.writer()
        for number in range(copies):
            with writer.part(number) as part:
                part.write([{"_id": f"{place:05}", "filler": filler} for place in range(1000)])
        assert writer.seal(Duplicate.LAST).documents == 1000
        writer.commit(name)
        sizes[name] = store[name].size()
    assert sizes["often"] == sizes["once"]


def test_order_is_by_utf8_bytes(store: DocumentStore) -> None:
    ids = ["a", "B", "\u00e9", "z\0z", "z", "\uffff", "\U0001f600", "a\0", "a b"]
    load(store, "a", [{"_id": doc_id} for doc_id in ids])
    assert [doc_id for doc_id, _ in store["a"].scan()] == sorted(ids, key=str.encode)
    assert all(store["a"].get(doc_id) == {"_id": doc_id} for doc_id in ids)
    assert [doc_id for doc_id, _ in store["a"].scan("z", "z\0zz")] == ["z", "z\0z"]


def test_filters_on_ids_read_those_documents_only(store: DocumentStore, monkeypatch: pytest.MonkeyPatch) -> None:
    load(store, "a", numbered(1000))
    decoded: list[bytes] = []
    from hubkernel.store.sqlite import collection

    real = collection.decode
    monkeypatch.setattr(collection, "decode", lambda data: decoded.append(data) or real(data))
    for filter, expected in [
        ({"_id": "d00005"}, 1),
        ({"_id": {"$in": ["d00005", "d00001", "nothing", 5]}}, 2),
        ({"_id": {"$gte": "d00990"}, "n": {"$lt": 995}}, 5),
        ({"_id": {"$gt": "d00001", "$lte": "d00004"}}, 3),
    ]:
        decoded.clear()
        assert len(list(store["a"].find(filter))) == expected
        assert len(decoded) <= 10
    assert store["a"].count({"_id": {"$lt": "d00100"}}) == 100
    assert len(decoded) <= 10
    assert [document["n"] for document in store["a"].find(sort=[("_id", -1), ("n", 1)], limit=2)] == [999, 998]
    assert len(decoded) <= 12


def test_an_iterator_outlives_drop_and_swap(store: DocumentStore, folder: Path) -> None:
    load(store, "a", numbered(5000))
    rows = store["a"].scan()
    next(rows)
    collection = store["a"]
    load(store, "a", numbered(3))
    store.drop("a")
    assert data_files(folder) == []
    assert len(list(rows)) == 4999
    for ask in (collection.count, lambda: list(collection.scan()), lambda: collection.get("x"), collection.size):
        with pytest.raises(NoSuchCollectionError, match="'a'"):
            ask()


def test_readers_never_fail_while_a_collection_is_swapped(store: DocumentStore) -> None:
    """Each read sees one whole version, whatever another process or thread commits meanwhile."""
    load(store, "a", [{"_id": f"{place:03}", "v": 0} for place in range(200)])
    done = threading.Event()
    problems: list[object] = []

    def read() -> None:
        mine = open_store(store.url)
        try:
            while not done.is_set():
                versions = {document["v"] for document in mine["a"].find()}
                if len(versions) != 1:
                    problems.append(versions)
        except Exception as error:
            problems.append(error)
        finally:
            mine.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for version in range(1, 30):
        load(store, "a", [{"_id": f"{place:03}", "v": version} for place in range(200)])
    done.set()
    for reader in readers:
        reader.join()
    assert problems == []


def test_a_forked_child_uses_connections_of_its_own(store: DocumentStore) -> None:
    load(store, "a", numbered(100))
    assert store["a"].count() == 100
    writer = store.writer()
    child = os.fork()
    if child == 0:
        fine = store["a"].get("d00005") == {"_id": "d00005", "n": 5}
        with store.join(writer.token).part(1) as part:
            part.write([{"_id": "from the child"}])
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    with writer.part(0) as part:
        part.write([{"_id": "from the parent"}])
    writer.seal()
    writer.commit("b")
    assert [doc_id for doc_id, _ in store["b"].scan()] == ["from the child", "from the parent"]
    assert store["a"].count() == 100


def test_a_child_takes_no_connection_from_its_parent(store: DocumentStore, folder: Path) -> None:
    catalog = folder / "catalog.db"
    pool = Pool(connect_immutable)
    with pool.use(catalog) as idle:
        pass
    child = os.fork()
    if child == 0:
        with pool.use(catalog) as own:
            os._exit(0 if own is not idle else 1)
    assert os.waitpid(child, 0)[1] == 0
    with pool.use(catalog) as again:
        assert again is idle
    pool.close()


def test_a_child_does_not_keep_a_dead_writer_alive(store: DocumentStore, folder: Path) -> None:
    code = (
        "import os, sys, time; from hubkernel.store import open_store\n"
        "writer = open_store(sys.argv[1]).writer()\n"
        "with writer.part() as part: part.write([{'_id': 'a'}])\n"
        "if os.fork() == 0:\n"
        "    print('forked', flush=True); sys.stdin.read(); os._exit(0)\n"
        "os.kill(os.getpid(), 9)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code, store.url], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as dead:
        assert dead.stdout is not None and dead.stdout.readline() == "forked\n"
        dead.wait()
        assert len(store.sweep()) == 1
        assert data_files(folder) == []


def test_one_process_at_a_time_writes_a_part(store: DocumentStore) -> None:
    writer = store.writer()
    first = writer.part(0)
    first.write([{"_id": "a"}])
    second = store.join(writer.token).part(0)
    with pytest.raises(StoreError, match="another process"):
        second.write([{"_id": "b"}])
    first.close()
    writer.seal()
    writer.commit("a")
    assert store["a"].count() == 1


def test_sweep_removes_files_without_a_name(store: DocumentStore, folder: Path) -> None:
    """A process that is killed between a drop's commit and the unlinking leaves a file that nobody names."""
    load(store, "kept", numbered(5))
    (kept,) = [path for path in folder.glob("*.db") if path.name != "catalog.db"]
    orphan = "0" * 32
    (folder / f"{orphan}.db").write_bytes(kept.read_bytes())
    assert store.sweep() == [orphan]
    assert store.sweep() == []
    assert store["kept"].count() == 5


def test_a_sweep_meets_new_writers(store: DocumentStore) -> None:
    """Writers that begin, write and commit while another thread sweeps without a pause lose nothing."""
    done = threading.Event()
    swept: list[str] = []

    def sweep() -> None:
        mine = open_store(store.url)
        while not done.is_set():
            swept.extend(mine.sweep())
        mine.close()

    sweeper = threading.Thread(target=sweep)
    sweeper.start()
    try:
        for place in range(40):
            load(store, f"c{place}", numbered(20))
    finally:
        done.set()
        sweeper.join()
    assert [len(list(store[name].scan())) for name in store.names()] == [20] * 40
    assert swept == []


def test_a_damaged_file_is_named(store: DocumentStore, folder: Path) -> None:
    load(store, "a", numbered(5000))
    (path,) = [path for path in folder.glob("*.db") if path.name != "catalog.db"]
    path.write_bytes(b"no database at all" * 1000)
    with pytest.raises(StoreError, match=f"{path.name} is damaged"):
        list(store["a"].scan())


def test_a_lost_file_is_named(store: DocumentStore, folder: Path) -> None:
    load(store, "a", numbered(5))
    for path in folder.glob("*.db"):
        if path.name != "catalog.db":
            path.unlink()
    with pytest.raises(NoSuchCollectionError, match="the file of collection 'a' is gone"):
        store["a"].get("d00001")


def test_the_pool_keeps_few_connections_and_none_to_what_is_gone(store: DocumentStore, folder: Path) -> None:
    load(store, "a", numbered(5))
    (path,) = [path for path in folder.glob("*.db") if path.name != "catalog.db"]
    pool = Pool(connect_immutable)
    with pool.use(path) as first, pool.use(path) as second:
        assert first is not second
    with pool.use(path) as again:
        assert again in (first, second)
        store.drop("a")
    with pool.use(path) as left, pytest.raises(FileNotFoundError), pool.use(path):
        pass
    assert left in (first, second)
    pool.close()


@pytest.mark.service
def test_memory_stays_flat(store: DocumentStore) -> None:
    """Writing and reading 60 MB of documents takes a small part of that in memory."""
    code = (
        "import resource, sys; from hubkernel.store import open_store\n"
        "store = open_store(sys.argv[1])\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10\n"
        "def load(name, count):\n"
        "    writer = store.writer()\n"
        "    with writer.part() as part:\n"
        "        part.write({'_id': f'{n * 7919 % 60013:05}', 'x': 'y' * 1000} for n in range(count))\n"
        "    writer.seal('last'); writer.commit(name)\n"
        "    assert sum(1 for _ in store[name].find()) == sum(1 for _ in store[name].hashes())\n"
        "load('small', 2000); before = peak(); load('big', 60000); print(peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, store.url], check=True, capture_output=True, text=True, timeout=100
    )
    assert int(done.stdout) < 40


def test_a_writer_is_used_from_two_processes_by_token(store: DocumentStore) -> None:
    writer: CollectionWriter = store.writer()
    assert len(writer.token) < 100
    with closing(open_store(store.url)) as other:
        joined = other.join(writer.token)
        with pytest.raises(StoreError, match="joined"):
            joined.seal()
        joined.abort()
    with writer.part() as part:
        part.write([{"_id": "a"}])
    assert writer.seal().documents == 1
    writer.abort()
