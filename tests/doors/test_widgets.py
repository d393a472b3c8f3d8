"""Widgets without a front end: what they hold is what a front end would show."""

from __future__ import annotations

import asyncio
import functools
import threading

from hubkernel.api import LocalHub
from hubkernel.widgets import Dashboard, JobBar
from tests.doors.fake import FakeServer


def test_a_bar_follows_its_job_to_the_end(api: LocalHub, server: FakeServer) -> None:
    job = api.call("dump", "<x>")
    bar = JobBar(job)
    moved = threading.Event()
    job.on_change(lambda job: moved.set())
    server.jobs.move(1, done=1, total=2, message="half")
    assert moved.wait(5)
    assert bar.bar.value == 0.5
    assert "running · 50%" in bar.text.value
    assert "half" in bar.text.value
    assert "<x>" not in bar.label.value
    assert not bar.button.disabled
    server.jobs.move(1, state="failed", error="404")
    job.wait(5)
    assert (bar.bar.bar_style, bar.button.disabled) == ("danger", True)
    assert bar.text.value.startswith("failed")


def test_the_button_cancels(api: LocalHub, server: FakeServer) -> None:
    bar = JobBar(api.call("dump", "x"))
    bar.button.click()
    assert bar.job.wait(5).state == "cancelled"


def test_the_dashboard_shows_new_jobs_by_itself(api: LocalHub, server: FakeServer) -> None:
    board = Dashboard(api)
    assert board.table.value == "<em>no jobs</em>"
    changed = threading.Event()
    board.table.observe(lambda change: changed.set(), "value")
    job = api.call("dump", "x")
    assert changed.wait(5)
    assert "dump(src=&#x27;x&#x27;)" in board.table.value
    board.refresh()
    assert [bar.job for bar in board.running.children] == [job]
    server.jobs.move(1, state="done")
    job.wait(5)
    board.refresh()
    assert board.running.children == ()
    board.close()


def test_the_dashboard_shows_timers_as_the_hub_renders_them(api: LocalHub, server: FakeServer) -> None:
    def nightly(source: str, force: bool = False) -> None: ...

    async def soon() -> asyncio.TimerHandle:
        return server.loop.call_later(90_061, functools.partial(nightly, "<x>", force=True))

    timer = asyncio.run_coroutine_threadsafe(soon(), server.loop).result(5)
    board = Dashboard(api)
    assert "nightly(&#x27;&lt;x&gt;&#x27;, force=True) {run in 1 day(s) 01h:01m:" in board.timers.value
    server.loop.call_soon_threadsafe(timer.cancel)
    wait = asyncio.run_coroutine_threadsafe(asyncio.sleep(0), server.loop)
    wait.result(5)
    board.refresh()
    assert "nightly" not in board.timers.value
    board.close()
