"""What waits for a client is bounded, and a loss is told."""

from __future__ import annotations

import asyncio

from hubkernel.compat.studio.outbox import Outbox


def test_messages_come_in_order_and_all_at_once() -> None:
    async def main() -> None:
        box = Outbox(10, lambda lost: [])
        box.put("a")
        box.put("b")
        assert await box.take(30) == ["a", "b"]
        assert len(box) == 0

    asyncio.run(main())


def test_a_full_box_is_emptied_and_says_what_was_lost() -> None:
    async def main() -> None:
        box = Outbox(5, lambda lost: [f"lost {lost}", "reload"])
        for number in range(7):
            box.put(str(number))
        assert await box.take(30) == ["lost 5", "reload", "5", "6"]

    asyncio.run(main())


def test_it_never_grows_beyond_its_limit() -> None:
    box = Outbox(50, lambda lost: ["lost"] * 9)
    for number in range(100_000):
        box.put(str(number))
        assert len(box) <= 50


def test_a_waiting_reader_is_woken() -> None:
    async def main() -> None:
        box = Outbox(3, lambda lost: [])
        reader = asyncio.create_task(box.take(30))
        await asyncio.sleep(0)
        box.put("a")
        assert await reader == ["a"]

    asyncio.run(main())


def test_nothing_comes_after_the_time() -> None:
    assert asyncio.run(Outbox(3, lambda lost: []).take(0.001)) == []


def test_a_closed_box_gives_what_it_had_and_takes_no_more() -> None:
    async def main() -> None:
        box = Outbox(3, lambda lost: [])
        box.put("a")
        box.close(3000, "Go away!")
        box.close(1000, "again")
        box.put("b")
        assert await box.take(30) == ["a"]
        assert await box.take(30) == []
        assert box.closed == (3000, "Go away!")

    asyncio.run(main())
