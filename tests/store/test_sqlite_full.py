"""A full disk: one clear error, and nothing that was committed is lost."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from hubkernel.store import StoreFullError, open_state, open_store

FILLER = "x" * 2000


def documents(count: int) -> list[dict[str, Any]]:
    return [{"_id": f"{number:05}", "filler": FILLER} for number in range(count)]


def test_a_part_that_meets_the_limit(tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/store?max_pages=40")
    writer = store.writer()
    with writer.part() as part:
        part.write(documents(100))
    writer.seal()
    writer.commit("genes")
    writer = store.writer()
    with pytest.raises(StoreFullError, match=r"no space left for .*\.part") as caught, writer.part() as part:
        part.write(documents(10_000))
    assert isinstance(caught.value, OSError)
    writer.abort()
    assert list(store["genes"].find()) == documents(100)
    assert store.sweep() == []
    assert len(list((tmp_path / "store").glob("*.part"))) == 0
    store.close()


def test_what_was_flushed_before_the_limit_can_be_sealed(tmp_path: Path) -> None:
    store = open_store(f"sqlite://{tmp_path}/store?max_pages=60")
    writer = store.writer()
    part = writer.part()
    part.write(documents(100))
    part.flush()
    with pytest.raises(StoreFullError):
        part.write({"_id": f"more{number}", "filler": FILLER} for number in range(10_000))
    assert writer.seal().documents == 100
    writer.commit("genes")
    assert list(store["genes"].find()) == documents(100)
    store.close()


def test_sealing_that_meets_the_limit(tmp_path: Path) -> None:
    roomy, tight = (open_store(f"sqlite://{tmp_path}/store{limit}") for limit in ("", "?max_pages=30"))
    writer = roomy.writer()
    with writer.part(0) as part:
        part.write(documents(100))
    writer.seal()
    writer.commit("genes")
    writer = tight.writer()
    for number in range(2):
        with writer.part(number) as part:
            part.write({"_id": f"{number}{place}", "filler": FILLER} for place in range(150))
    with pytest.raises(StoreFullError):
        writer.seal()
    writer.abort()
    assert tight.names() == ["genes"]
    assert roomy["genes"].count() == len(list(roomy["genes"].scan())) == 100
    roomy.close()
    tight.close()


def test_state_that_meets_the_limit(tmp_path: Path) -> None:
    state = open_state(f"sqlite://{tmp_path}/state.db?max_pages=50")
    jobs = state["jobs"]
    with pytest.raises(StoreFullError, match=r"state\.db"):
        for number in range(1000):
            jobs.insert_one({"_id": number, "log": FILLER})
    written = jobs.count()
    assert 0 < written < 1000
    with pytest.raises(StoreFullError):
        jobs.update_many({}, {"$set": {"more": FILLER}})
    assert [job["_id"] for job in jobs.find({"more": {"$exists": False}})] == list(range(written))
    jobs.delete_many({"_id": {"$gte": written // 2}})
    jobs.insert_one({"_id": "again", "log": FILLER})
    state.close()


LIMITED = """
import resource, sys
from hubkernel.store import StoreFullError, open_state, open_store
store, state = open_store(sys.argv[1]), open_state(sys.argv[2])

def limit(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def load(name, count):
    writer = store.writer()
    try:
        with writer.part() as part:
            part.write({"_id": f"{n:05}", "filler": "x" * 2000} for n in range(count))
        writer.seal()
        writer.commit(name)
    finally:
        writer.abort()

def full(action, *args):
    try:
        action(*args)
    except StoreFullError:
        return
    raise AssertionError(f"{action} was not refused")

load("genes", 200)
state["jobs"].insert_one({"_id": 1})
limit(1 << 20)
full(load, "genes", 2000)
full(lambda: [state["jobs"].insert_one({"_id": f"{n}", "log": "x" * 100_000}) for n in range(100)])
kept = state["jobs"].count()
limit(resource.RLIM_INFINITY)
assert [d["_id"] for d in store["genes"].find()] == [f"{n:05}" for n in range(200)]
assert state["jobs"].count() == kept and state["jobs"].find_one({"_id": 1})
load("genes", 300)
state["jobs"].insert_one({"_id": 2})
assert store["genes"].count() == 300 and store.sweep() == []
print("fine")
"""


def test_a_limit_of_the_file_size(tmp_path: Path) -> None:
    """RLIMIT_FSIZE stands for a quota: SQLite reports it as a failing disk."""
    urls = [f"sqlite://{tmp_path}/store", f"sqlite://{tmp_path}/state.db"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *urls], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.stdout, done.stderr) == ("fine\n", "")
