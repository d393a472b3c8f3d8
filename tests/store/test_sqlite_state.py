"""What is SQLite's own in the embedded state store."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import closing
from itertools import chain
from pathlib import Path

import pytest

from hubkernel.store import StateStore, StoreError, open_state


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    opened = open_state(f"sqlite://{tmp_path}/run/state.db")
    yield opened
    opened.close()


def test_every_commit_reaches_the_disk(state: StateStore, tmp_path: Path) -> None:
    state["jobs"].insert_one({"_id": 1})
    from hubkernel.store.sqlite.state import SQLiteState

    assert isinstance(state, SQLiteState)
    with state.connection() as conn:
        assert conn.execute("PRAGMA synchronous").fetchone() == (2,)
        assert conn.execute("PRAGMA journal_mode").fetchone() == ("wal",)


def test_a_string_and_an_int_are_two_ids(state: StateStore) -> None:
    jobs = state["jobs"]
    jobs.insert_one({"_id": 1, "kind": "int"})
    jobs.insert_one({"_id": "1", "kind": "str"})
    assert [jobs.find_one({"_id": doc_id}) for doc_id in (1, "1", 1.0)] == [
        {"_id": 1, "kind": "int"},
        {"_id": "1", "kind": "str"},
        {"_id": 1, "kind": "int"},
    ]
    assert jobs.count({"_id": True}) == 0


def test_a_filter_on_ids_reads_those_documents_only(state: StateStore, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubkernel.store.sqlite import state as module

    jobs = state["jobs"]
    for number in range(50):
        jobs.insert_one({"_id": number})
    decoded: list[bytes] = []
    real = module.decode
    monkeypatch.setattr(module, "decode", lambda data: decoded.append(data) or real(data))
    assert jobs.find({"_id": {"$in": [7, 5, "x", None, 7]}}) == [{"_id": 5}, {"_id": 7}]
    assert len(decoded) == 2


def test_ids_rise_across_processes_and_restarts(state: StateStore) -> None:
    code = (
        "import sys; from hubkernel.store import open_state\n"
        "jobs = open_state(sys.argv[1])['jobs']\n"
        "print(*[jobs.next_id() for _ in range(50)])"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, state.url], stdout=subprocess.PIPE, text=True) for _ in range(3)
    ]
    given = [[int(number) for number in child.communicate(timeout=60)[0].split()] for child in children]
    assert sorted(chain(*given)) == list(range(1, 151))
    assert all(numbers == sorted(numbers) for numbers in given)
    state.close()
    with closing(open_state(state.url)) as again:
        assert again["jobs"].next_id() == 151
        assert again["builds"].next_id() == 1


def test_many_openers_at_once(tmp_path: Path) -> None:
    """The first ones to come set the file up together; none of them finds it locked or half made."""
    url = f"sqlite://{tmp_path}/new/state.db"
    code = (
        "import sys; from hubkernel.store import open_state\n"
        "sys.stdin.readline(); open_state(sys.argv[1])['jobs'].insert_one({'_id': int(sys.argv[2])})"
    )
    children = [
        subprocess.Popen([sys.executable, "-c", code, url, str(number)], stdin=subprocess.PIPE, text=True)
        for number in range(4)
    ]
    for child in children:
        child.communicate("go\n", timeout=60)
    assert [child.returncode for child in children] == [0] * 4
    state = open_state(url)
    assert sorted(job["_id"] for job in state["jobs"].find()) == list(range(4))
    state.close()


def test_a_forked_child_writes_with_a_connection_of_its_own(state: StateStore) -> None:
    jobs = state["jobs"]
    jobs.insert_one({"_id": 0})
    child = os.fork()
    if child == 0:
        for number in range(20):
            jobs.insert_one({"_id": f"child{number}"})
        os._exit(0)
    for number in range(20):
        jobs.insert_one({"_id": f"parent{number}"})
    assert os.waitpid(child, 0)[1] == 0
    assert jobs.count() == 41


def test_a_waiting_write_is_not_lost(state: StateStore) -> None:
    """A writer that finds the file locked waits its turn."""
    state["jobs"].insert_one({"_id": 1, "n": 0})
    threads = [
        threading.Thread(target=lambda: [state["jobs"].update_one({"_id": 1}, {"$inc": {"n": 1}}) for _ in range(50)])
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert state["jobs"].find_one() == {"_id": 1, "n": 200}


def test_a_failed_change_of_many_changes_none(state: StateStore) -> None:
    jobs = state["jobs"]
    for number, n in enumerate([1, 2, "three", 4]):
        jobs.insert_one({"_id": number, "n": n})
    with pytest.raises(StoreError, match="needs a number at 'n'"):
        jobs.update_many({}, {"$inc": {"n": 1}})
    assert [job["n"] for job in jobs.find()] == [1, 2, "three", 4]
    jobs.insert_one({"_id": 9})
    assert jobs.count() == 5


def test_what_is_no_state_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"no database at all, " * 100)
    with pytest.raises(StoreError, match=r"state\.db is damaged"):
        open_state(f"sqlite://{tmp_path}/state.db")


def test_the_file_is_sound_after_use(state: StateStore, tmp_path: Path) -> None:
    for number in range(100):
        state["jobs"].insert_one({"_id": number, "log": ["x" * number]})
        state["jobs"].update_one({"_id": number // 2}, {"$push": {"log": "y" * 100}})
    state.close()
    conn = sqlite3.connect(tmp_path / "run" / "state.db")
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.close()
