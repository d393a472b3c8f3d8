"""The rows between two stages: each is taken once, and none is lost with its hub."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubkernel.pipeline.triggers import ATTEMPTS, Triggers
from hubkernel.store import StateStore, open_state


@pytest.fixture
def state(tmp_path: Path) -> Iterator[StateStore]:
    opened = open_state(f"sqlite:///{tmp_path}/state.db")
    yield opened
    opened.close()


def rows(triggers: Triggers) -> list[tuple[int, str]]:
    return [(row["_id"], row["state"]) for row in reversed(triggers.list())]


def test_a_row_is_taken_once(state: StateStore) -> None:
    first, second = Triggers(state, "a"), Triggers(state, "b")
    row = first.add("upload", "colors", cause=[7])
    assert (row["_id"], row["state"], row["cause"]) == (1, "pending", [7])
    assert (first.take(1), second.take(1), first.take(1)) == (True, False, False)
    first.started(1, 9)
    first.finish(1)
    assert rows(first) == [(1, "done")]
    assert first.list()[0]["job"] == 9


def test_what_waits_already_is_not_added_again(state: StateStore) -> None:
    triggers = Triggers(state, "a")
    assert triggers.add("upload", "x")["_id"] == triggers.add("upload", "x")["_id"] == 1
    assert triggers.add("index", "x")["_id"] == 2
    triggers.take(1)
    assert triggers.add("upload", "x")["_id"] == 3, "what came after it was taken is for another run"
    assert [row["_id"] for row in triggers.waiting("upload")] == [], "one run of a subject at a time"
    triggers.finish(1)
    assert [row["_id"] for row in triggers.waiting("upload")] == [3]


def job(id: int, state: str, error: str | None = None) -> Any:
    return SimpleNamespace(id=id, state=state, error=error)


@pytest.mark.parametrize(
    ("found", "state_then", "error"),
    [
        (None, "pending", "the hub ended before the work did"),
        (job(5, "interrupted"), "pending", "the hub ended before the work did"),
        (job(5, "done"), "done", None),
        (job(5, "failed", "no luck"), "failed", "no luck"),
        (job(5, "cancelled", "cancelled"), "failed", "cancelled"),
    ],
)
def test_a_dead_hubs_rows_are_settled(state: StateStore, found: Any, state_then: str, error: str | None) -> None:
    dead = Triggers(state, "dead")
    dead.add("upload", "x")
    dead.take(1)
    alive = Triggers(state, "alive")
    assert alive.recover(lambda id: found) == ([1] if state_then == "pending" else [])
    (row,) = alive.list()
    assert (row["state"], row["error"]) == (state_then, error)
    assert alive.recover(lambda id: found) == []


def test_work_that_kills_its_hub_is_given_up(state: StateStore) -> None:
    Triggers(state, "first").add("upload", "x")
    for number in range(ATTEMPTS):
        hub = Triggers(state, f"hub {number}")
        hub.recover(lambda id: None)
        assert hub.take(1)
    assert Triggers(state, "last").recover(lambda id: None) == []
    (row,) = Triggers(state, "last").list()
    assert (row["state"], row["attempts"]) == ("failed", ATTEMPTS)
    assert row["error"].startswith("given up after 3 attempts")


def test_two_that_ask_for_the_same_become_one(state: StateStore) -> None:
    dead = Triggers(state, "dead")
    dead.add("upload", "x")
    dead.take(1)
    dead.add("upload", "x")
    alive = Triggers(state, "alive")
    assert alive.recover(lambda id: None) == []
    assert rows(alive) == [(1, "failed"), (2, "pending")]


def test_only_the_newest_ended_rows_are_kept(state: StateStore) -> None:
    triggers = Triggers(state, "a")
    for number in range(5):
        triggers.add("upload", str(number))
    for id in (1, 2, 4):
        triggers.take(id)
        triggers.finish(id)
    assert triggers.prune(2) == 1
    assert rows(triggers) == [(2, "done"), (3, "pending"), (4, "done"), (5, "pending")]
    assert triggers.prune(2) == 0
