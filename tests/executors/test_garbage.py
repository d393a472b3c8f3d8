"""The rule by which a worker looks for garbage, on a memory that the test dictates."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from hubkernel.executors import garbage
from hubkernel.executors.garbage import GROWTH, Garbage

Look = Callable[[int, int], float]


@pytest.fixture
def collected() -> list[int]:
    """Resident memory at each look for garbage."""
    return []


@pytest.fixture
def look(monkeypatch: pytest.MonkeyPatch, collected: list[int]) -> Look:
    """``look(before, after)``: apply the rule with so much memory resident; ``after`` is what a collection leaves."""
    memory = {"now": 0, "after": 0}

    def collect() -> None:
        collected.append(memory["now"])
        memory["now"] = memory["after"]

    clock = iter(range(1000))
    monkeypatch.setattr(garbage, "gc", SimpleNamespace(collect=collect, disable=lambda: None, freeze=lambda: None))
    monkeypatch.setattr(garbage, "resident", lambda: memory["now"])
    monkeypatch.setattr(garbage.time, "thread_time", lambda: next(clock))
    monkeypatch.setattr(threading.Thread, "start", lambda self: None)
    rule = Garbage()
    collected.clear()

    def look(before: int, after: int) -> float:
        memory.update(now=before, after=after)
        return rule._collect_if_grown()

    return look


def test_memory_that_grew_little_is_left_alone(look: Look, collected: list[int]) -> None:
    assert look(GROWTH - 1, 0) == 0
    assert collected == []


def test_garbage_is_freed_and_costs_no_rest(look: Look, collected: list[int]) -> None:
    assert [look(GROWTH, 0), look(3 * GROWTH, GROWTH)] == [0, 0]
    assert collected == [GROWTH, 3 * GROWTH]


def test_a_look_in_vain_is_rested_from_and_raises_the_bar(look: Look, collected: list[int]) -> None:
    assert look(2 * GROWTH, 2 * GROWTH) == 1
    assert look(3 * GROWTH - 1, 0) == 0
    assert look(3 * GROWTH, 2 * GROWTH) == 0
    assert collected == [2 * GROWTH, 3 * GROWTH]
