"""``kill -9`` of the writing process, and of mongod, in the middle of every step."""

from __future__ import annotations

import subprocess
import sys
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from hubkernel.store import DocumentStore, open_state, open_store
from hubkernel.store.encode import content_hash
from tests.services import ServiceMissingError, missing
from tests.services.mongod import Mongod
from tests.store.conformance.conftest import at_database
from tests.store.conformance.writing import DOCUMENTS

STEPS = ["writing", "flushed", "sealing", "committing", "committed", "noted"]


def write_until(
    store_url: str, state_url: str, step: str, round_: int, kill: Callable[[], None] | None = None
) -> Counter[str]:
    """Kill the writing process (or what ``kill`` kills) when it says ``step``; returns what it had said, as counts."""
    command = [sys.executable, "-m", "tests.store.conformance.writing", store_url, state_url]
    said: Counter[str] = Counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=Path(__file__).parents[3]) as child:
        assert child.stdout is not None
        for line in child.stdout:
            word = line.split()[0]
            said[word] += 1
            if word == "lost":
                break
            if said[step] == round_ + 1 and word == step:
                (kill or child.kill)()
        child.kill()
    return said


def rounds(store: DocumentStore, name: str) -> set[int]:
    return {document["round"] for document in store[name].find({"round": {"$exists": True}})}


def check(store: DocumentStore, said: Counter[str]) -> None:
    """All that was acknowledged is there, and every collection is whole."""
    acknowledged = said["committed"] - 1
    (live,) = rounds(store, "live")
    assert live in (acknowledged, acknowledged + 1)
    for name in store.names():
        rows = list(store[name].scan())
        assert len(rows) == DOCUMENTS
        assert len(rounds(store, name)) == 1
        assert list(store[name].hashes()) == [(doc_id, content_hash(data)) for doc_id, data in rows]
    archives = {f"old{round_:03}" for round_ in range(3, acknowledged + 1, 3)}
    assert archives <= set(store.names()) <= archives | {"live", f"old{live:03}"}


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.service
def test_a_killed_writer_loses_nothing_acknowledged(
    store_url: str, state_url: str, step: str, backend: str, request: pytest.FixtureRequest
) -> None:
    said = write_until(store_url, state_url, step, round_=3 if step == "committing" else 1)
    store, state = open_store(store_url), open_state(state_url)
    check(store, said)
    done = state["jobs"].find({"done": True})
    assert len(done) >= said["noted"]
    assert len(store.sweep()) <= 1
    assert store.sweep() == []
    check(store, said)
    if backend == "mongo":
        check_collections(request.getfixturevalue("mongod_url"), store)
    store.close()
    state.close()


def check_collections(server: str, store: DocumentStore) -> None:
    """Every collection lies at its own name, and nothing else is left of dead writers."""
    database = store.url.partition("?")[0].rpartition("/")[2]
    with MongoClient(server) as client:
        names = client[database].list_collection_names()
    assert {name for name in names if not name.startswith("hubkernel.")} == {*store.names(), "jobs"}
    side = [name.rpartition(".")[0] for name in names if name.startswith("hubkernel.") and name.count(".") == 2]
    assert side == ["hubkernel.hash"] * len(store.names())


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Mongod]:
    """A mongod of the test's own, to be killed."""
    own = Mongod(tmp_path)
    try:
        own.start()
    except ServiceMissingError as error:
        missing(error)
    yield own
    own.stop()


@pytest.mark.service
def test_a_killed_mongod_loses_nothing_acknowledged(server: Mongod) -> None:
    for attempt, step in enumerate(["flushed", "committing", "committed"]):
        url = at_database(server.url, f"attempt{attempt}") + "&serverSelectionTimeoutMS=1000"
        said = write_until(url, url, step, round_=2, kill=server.kill)
        assert said["lost"] == 1
        server.start()
        store, state = open_store(url), open_state(url)
        check(store, said)
        assert state["jobs"].count({"done": True}) >= said["noted"]
        assert len(store.sweep()) <= 1
        check(store, said)
        check_collections(server.url, store)
        store.close()
        state.close()
