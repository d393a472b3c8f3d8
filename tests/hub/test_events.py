from __future__ import annotations

import asyncio
import threading

import pytest

from hubkernel.hub.events import ENTITIES, EventBus
from hubkernel.store import StateStore


def test_events_are_numbered_and_replayed() -> None:
    bus = EventBus()
    for number in range(3):
        bus.publish("source", f"s{number}", "update")
    assert [event.seq for event in bus.since(0)] == [1, 2, 3]
    assert [event.id for event in bus.since(2)] == ["s2"]
    assert bus.since(3) == []


def test_a_reader_from_too_far_back_is_told_of_the_gap() -> None:
    bus = EventBus(capacity=3)
    for number in range(10):
        bus.publish("source", number)
    notice, *rest = bus.since(2)
    assert (notice.entity, notice.op, notice.data) == ("bus", "gap", {"after": 2, "first": 8})
    assert [event.seq for event in rest] == [8, 9, 10]


def test_a_number_of_another_process_is_a_gap_too() -> None:
    bus = EventBus()
    bus.publish("source", "x")
    assert [event.op for event in bus.since(500)] == ["gap", ""]


def test_a_subscription_begins_with_what_comes_next() -> None:
    bus = EventBus()
    bus.publish("source", "before")
    with bus.subscribe() as subscription:
        bus.publish("source", "after")
        assert [event.id for event in subscription.pending()] == ["after"]
        assert subscription.get(timeout=0.01) is None


def test_a_slow_reader_costs_nothing_and_learns_what_it_missed() -> None:
    bus = EventBus(capacity=5)
    subscription = bus.subscribe()
    for number in range(100):
        bus.publish("source", number)
    events = subscription.pending()
    assert [event.seq for event in events[1:]] == [96, 97, 98, 99, 100]
    assert events[0].op == "gap"
    assert len(subscription._ready) == 0


def test_publishing_from_threads_loses_and_repeats_nothing() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    threads = [threading.Thread(target=lambda: [bus.publish("job", i) for i in range(200)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    seen = [event.seq for _ in range(800) if (event := subscription.get(timeout=10)) is not None]
    for thread in threads:
        thread.join()
    assert seen == list(range(1, 801))


def test_close_ends_a_waiting_reader() -> None:
    subscription = EventBus().subscribe()
    threading.Timer(0.05, subscription.close).start()
    assert list(subscription) == []


def test_reading_from_a_loop() -> None:
    bus = EventBus()

    async def read() -> list[int]:
        subscription = bus.subscribe(since=0)
        seen = []
        async for event in subscription:
            seen.append(event.seq)
            if event.seq == 1:
                threading.Thread(target=bus.publish, args=("source", "second")).start()
            if event.seq == 2:
                subscription.close()
        return seen

    bus.publish("source", "first")
    assert asyncio.run(asyncio.wait_for(read(), 10)) == [1, 2]
    assert not bus._wakers


@pytest.mark.parametrize("collection", sorted(ENTITIES))
def test_exactly_one_event_a_change_after_the_commit(state: StateStore, collection: str) -> None:
    bus = EventBus()
    bus.watch(state)
    sources = state.collection(collection)
    sources.replace_one({"_id": "x"}, {"_id": "x", "a": 1}, upsert=True)
    sources.update_one({"_id": "x"}, {"$set": {"a": 2}})
    sources.delete_one({"_id": "x"})
    sources.delete_one({"_id": "x"})
    events = bus.since(0)
    assert [(event.entity, event.id) for event in events] == [(ENTITIES[collection], "x")] * 3
    assert (events[0].data is not None) == (collection == "event")


def test_other_collections_are_silent(state: StateStore) -> None:
    bus = EventBus()
    bus.watch(state)
    state.collection("job").insert_one({"_id": 1})
    assert bus.last == 0


def test_the_end_of_the_hub_ends_all_readers_after_what_there_is() -> None:
    bus = EventBus()
    subscription = bus.subscribe()
    bus.publish("source", "last")
    waiting = bus.subscribe()
    threading.Timer(0.05, bus.close).start()
    assert list(waiting) == []
    assert [event.id for event in subscription] == ["last"]

    async def read() -> list[int]:
        return [event.seq async for event in bus.subscribe(since=0)]

    assert asyncio.run(asyncio.wait_for(read(), 10)) == [1]
