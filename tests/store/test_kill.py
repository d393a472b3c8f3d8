"""``kill -9`` at any moment, not only between steps: what was acknowledged stays, what was not leaves no trace."""

from __future__ import annotations

import random
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from hubkernel.store import Collection, StateStore, open_state, open_store
from hubkernel.store.encode import content_hash

WORK = """
import itertools, sys
from hubkernel.store import open_state, open_store
store, state = open_store(sys.argv[1]), open_state(sys.argv[2])
first = int(sys.argv[3])
for version in itertools.count(first):
    writer = store.writer()
    for number in range(2):
        with writer.part(number) as part:
            part.write({"_id": f"{n * 7 % 1009:04}-{number}", "version": version, "x": "y" * 500} for n in range(600))
    writer.seal("last")
    writer.commit("live")
    print(f"committed {version}", flush=True)
    state["log"].insert_one({"_id": version})
    state["now"].update_one({"_id": "live"}, {"$set": {"version": version}}, upsert=True)
    print(f"noted {version}", flush=True)
"""


def work_until_killed(urls: list[str], first: int, seconds: float) -> dict[str, int]:
    """Kill the worker so long after it said its first word; returns the last version of each word it said."""
    said = {"committed": first - 1, "noted": first - 1}
    command = [sys.executable, "-c", WORK, *urls, str(first)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        killer = threading.Timer(seconds, worker.kill)
        for line in worker.stdout:
            if not killer.is_alive() and killer.ident is None:
                killer.start()
            word, version = line.split()
            said[word] = int(version)
        killer.join()
    assert worker.returncode == -9
    return said


def version_of(live: Collection) -> int:
    """The one version that all documents have; the file and its hashes are sound."""
    documents = list(live.find())
    assert len(documents) == live.count() == 1200
    assert list(live.hashes()) == [(doc_id, content_hash(data)) for doc_id, data in live.scan()]
    (version,) = {document["version"] for document in documents}
    return int(version)


def check_state(state: StateStore, noted: int) -> None:
    assert state["log"].count({"_id": {"$lte": noted}}) == noted
    now = state["now"].find_one({"_id": "live"})
    assert now is not None
    assert now["version"] in (noted, noted + 1)


PART = """
import os, sys
from hubkernel.store import open_store
part = open_store(sys.argv[1]).join(sys.argv[2]).part(int(sys.argv[3]))

def documents(first, count):
    for n in range(first, first + count):
        yield {"_id": f"{n:06}", "x": "y" * 1000}

def until_killed():
    # More than SQLite keeps in memory, so that rows of the open transaction are in the file already.
    yield from documents(100, 30_000)
    os.kill(os.getpid(), 9)

part.write(documents(0, 100))
part.flush()
part.write(until_killed())
"""


@pytest.mark.parametrize("number", [0, 1])
@pytest.mark.service
def test_a_killed_part_is_what_was_flushed(tmp_path: Path, number: int) -> None:
    """The worker of one part dies; its writer lives and may seal what was acknowledged."""
    store = open_store(f"sqlite://{tmp_path}/store")
    writer = store.writer()
    with writer.part(0) as part:
        part.write([])
    worker = subprocess.run([sys.executable, "-c", PART, store.url, writer.token, str(number)], check=False)
    assert worker.returncode == -9
    assert any(path.stat().st_size > 1 << 23 for path in (tmp_path / "store").glob("*.part"))
    report = writer.seal()
    writer.commit("genes")
    assert (report.received, report.documents) == (100, 100)
    assert list(store["genes"].find()) == [{"_id": f"{n:06}", "x": "y" * 1000} for n in range(100)]
    (file,) = [path for path in (tmp_path / "store").glob("*.db") if path.name != "catalog.db"]
    conn = sqlite3.connect(file)
    assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    conn.close()
    store.close()


@pytest.mark.timeout(100)
@pytest.mark.service
def test_nothing_acknowledged_is_lost(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    urls = [f"sqlite://{folder}", f"sqlite://{tmp_path}/state.db"]
    moments = random.Random(5)
    last = 0
    for _ in range(8):
        said = work_until_killed(urls, last + 1, moments.uniform(0.0, 0.15))
        store, state = open_store(urls[0]), open_state(urls[1])
        live = version_of(store["live"])
        assert live in (said["committed"], said["committed"] + 1)
        check_state(state, said["noted"])
        store.sweep()
        assert [path.suffix for path in folder.iterdir() if not path.name.startswith("catalog")] == [".db"]
        assert version_of(store["live"]) == live
        for version in range(said["noted"] + 1, live + 1):
            if not state["log"].count({"_id": version}):
                state["log"].insert_one({"_id": version})
        state["now"].update_one({"_id": "live"}, {"$set": {"version": live}}, upsert=True)
        last = live
        store.close()
        state.close()
    for path in (tmp_path / "state.db", *folder.glob("*.db")):
        conn = sqlite3.connect(path)
        assert conn.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        conn.close()
