"""Writers whose process has died, or that let go: what was finished is not written again."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from hubkernel.store import CollectionWriter, DocumentStore, Duplicate, StoreError
from tests.store.conformance.helpers import load, numbered
from tests.store.conformance.test_writers import join_values

DIES = """
import os, sys
from hubkernel.store import open_store
store = open_store(sys.argv[1])
writer = store.writer(base=sys.argv[2] or None)
def documents(part, count):
    return [{"_id": f"{n:04}", "v": [part]} for n in range(part * 500, part * 500 + count)]
with writer.part(0) as part:
    part.write(documents(0, 1000))
with writer.part(2) as part:
    part.write(documents(2, 1000))
unfinished = writer.part(1)
unfinished.write(documents(1, 1000))
if sys.argv[3] == "flushed":
    unfinished.flush()
    unfinished.write(documents(5, 1100))
print(writer.token, flush=True)
os.kill(os.getpid(), 9)
"""


def documents(part: int, count: int = 1000) -> list[dict[str, Any]]:
    return [{"_id": f"{number:04}", "v": [part]} for number in range(part * 500, part * 500 + count)]


def died(store: DocumentStore, base: str = "", how: str = "") -> str:
    """Returns the token of a writer of parts 0 and 2, and half of part 1, that was killed."""
    command = [sys.executable, "-c", DIES, store.url, base, how]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False, timeout=60)
    assert done.returncode == -9
    return done.stdout.strip()


def finish(store: DocumentStore, writer: CollectionWriter) -> None:
    """Write part 1 and compare with an upload in one go."""
    with writer.part(1) as part:
        part.write(documents(1))
    assert writer.seal(Duplicate.MERGE, fold=join_values).received == 3000
    writer.commit("genes")
    whole = store.writer()
    for number in range(3):
        with whole.part(number) as part:
            part.write(documents(number))
    whole.seal(Duplicate.MERGE, fold=join_values)
    whole.commit("whole")
    assert list(store["genes"].scan()) == list(store["whole"].scan())
    assert store.sweep() == []


@pytest.mark.parametrize("how", ["", "flushed"])
def test_what_was_finished_before_a_kill_is_there(store: DocumentStore, how: str) -> None:
    token = died(store, how=how)
    assert store.sweep(keep=[token]) == []
    writer = store.resume(token)
    assert (writer.token, writer.finished()) == (token, {0: 1000, 2: 1000})
    assert store.sweep() == []
    finish(store, writer)


def test_a_writer_that_let_go_is_resumed_with_its_base(store: DocumentStore) -> None:
    load(store, "genes", documents(0, 700))
    writer = store.writer(base="genes")
    for number in (0, 2):
        with writer.part(number) as part:
            part.write(documents(number))
    lost = writer.part(1)
    lost.write([{"_id": "lost"}])
    writer.leave()
    with pytest.raises(StoreError):
        writer.seal()
    writer = store.resume(writer.token, base="genes")
    finish(store, writer)


def test_a_writer_at_work_is_not_resumed(store: DocumentStore) -> None:
    writer = store.writer()
    with pytest.raises(StoreError, match="is at work"):
        store.resume(writer.token)
    with writer.part() as part:
        part.write(numbered(3))
    assert writer.seal().documents == 3
    writer.abort()
    with pytest.raises(StoreError, match="ended"):
        store.resume(writer.token)


def test_a_writer_that_was_left_is_swept_in_the_end(store: DocumentStore) -> None:
    writer = store.writer()
    with writer.part() as part:
        part.write(numbered(3))
    writer.leave()
    assert store.sweep(keep={writer.token}) == []
    assert store.sweep() == [writer.token]
    with pytest.raises(StoreError, match="ended"):
        store.resume(writer.token)


@pytest.mark.parametrize("before", [True, False])
def test_a_writer_whose_base_was_replaced_is_not_resumed(store: DocumentStore, before: bool) -> None:
    if before:
        load(store, "genes", numbered(3))
    writer = store.writer(base="genes")
    with writer.part() as part:
        part.write(numbered(3))
    writer.leave()
    load(store, "genes", numbered(3))
    with pytest.raises(StoreError, match="was replaced"):
        store.resume(writer.token, base="genes")
    assert store.sweep() == [writer.token]


def test_a_writer_that_was_being_sealed_is_not_resumed(store: DocumentStore) -> None:
    writer = store.writer()
    with writer.part() as part:
        part.write(numbered(3))
    writer.seal()
    writer.leave()
    with pytest.raises(StoreError, match="was being sealed"):
        store.resume(writer.token)
    assert store.sweep() == [writer.token]
