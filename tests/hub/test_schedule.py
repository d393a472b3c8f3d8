from __future__ import annotations

import asyncio
import functools
import threading
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from typing import Any

import pytest
from cronsim import CronSim

from hubkernel.hub.loop import LoopThread
from hubkernel.hub.schedule import HubCron, JobRenderer, ScheduleError, check_cron, get_schedule


class K:
    def m(self) -> None: ...

    @classmethod
    def c(cls) -> None: ...

    def __call__(self) -> None: ...


def f(*args: Any, **kwargs: Any) -> None: ...


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    """A loop that does not run, so that its clock is all that passes."""
    new = asyncio.new_event_loop()
    yield new
    new.close()


def timer(loop: asyncio.AbstractEventLoop, callback: Callable[..., Any], seconds: float = 9.2) -> asyncio.TimerHandle:
    return loop.call_at(loop.time() + seconds, callback)


def test_core_c73_what_is_called_is_shown(loop: asyncio.AbstractEventLoop) -> None:
    k = K()
    shown = {
        f: "f",
        (lambda: None): "<lambda>",
        k.m: "K.m",
        K.c: "K.c",
        print: "print",
        k: "K",
        functools.partial(f, 1, x=2): "f(1, x=2)",
        functools.partial(k.m): "K.m()",
        functools.partial(functools.partial(f, "a"), b="c"): "f('a', b='c')",
    }
    for callback, text in shown.items():
        assert JobRenderer().render(timer(loop, callback)) == f"{text} {{run in 00h:00m:09s}}"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (57493, "15h:58m:13s"),
        (90061, "1 day(s) 01h:01m:01s"),
        (86400, "1 day(s) 00h:00m:00s"),
        (200000, "2 day(s) 07h:33m:20s"),
        (-5, "now"),
        (0, "now"),
    ],
)
def test_core_c73_how_long_until_it_runs(loop: asyncio.AbstractEventLoop, seconds: int, text: str) -> None:
    assert JobRenderer().render_strdelta(timer(loop, f, seconds + 0.2)) == text


def test_core_c73_overdue_is_now(loop: asyncio.AbstractEventLoop) -> None:
    assert JobRenderer().render(timer(loop, f, -5)) == "f {run now}"


def test_core_c73_crons() -> None:
    hub = LoopThread()
    try:
        crons = [
            HubCron("0 9 * * *", f, loop=hub.loop),
            HubCron("*/5 * * * *", f, ("a",), {"x": 1}, loop=hub.loop),
            HubCron("* * * * * */10", K().m, loop=hub.loop),
        ]
        hub.run(asyncio.sleep(0))
        renderer = JobRenderer()
        assert [renderer.render_cron(cron) for cron in crons] == [
            "f [0 9 * * *]",
            "f('a', x=1) [*/5 * * * *]",
            "K.m [* * * * * */10]",
        ]
        info = renderer.cron_and_strdelta_info(crons[0].handle)
        assert info["cron"] == "0 9 * * *"
        assert renderer.render(crons[0].handle) == f"f [0 9 * * *] {{run in {info['strdelta']}}}"
        assert "K.m [* * * * * */10] {run " in get_schedule(hub.loop)
    finally:
        hub.close()


def test_core_c73_each_form_can_be_changed(loop: asyncio.AbstractEventLoop) -> None:
    class Loud(JobRenderer):
        def render_func(self, f: Any) -> str:
            return super().render_func(f).upper()

    assert Loud().render(timer(loop, functools.partial(f, 1))).startswith("F(1) ")


def test_core_c74_lines_are_sorted_and_nothing_raises(loop: asyncio.AbstractEventLoop) -> None:
    class Hostile:
        def __call__(self) -> None: ...

        def __getattribute__(self, name: str) -> Any:
            raise RuntimeError("do not look at me")

    timer(loop, K().m, 300)
    timer(loop, print, 100)
    timer(loop, Hostile(), 200)
    timer(loop, f, 50).cancel()
    first, second, third = get_schedule(loop).splitlines()
    assert first == "print {run in 00h:01m:40s}"
    assert "cannot be shown" in second
    assert third == "K.m {run in 00h:05m:00s}"


def test_core_c74_from_any_thread() -> None:
    hub = LoopThread()
    try:
        hub.loop.call_soon_threadsafe(hub.loop.call_later, 100, f)
        hub.run(asyncio.sleep(0))
        seen: list[str] = []
        thread = threading.Thread(target=lambda: seen.append(get_schedule(hub.loop)))
        thread.start()
        thread.join()
        assert seen == ["f {run in 00h:01m:40s}"]
    finally:
        hub.close()


def test_an_empty_or_foreign_loop_has_no_schedule(loop: asyncio.AbstractEventLoop) -> None:
    assert get_schedule(loop) == ""
    assert get_schedule(object()) == ""  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("* * * * * */10", [10, 20, 30]),
        ("* * * * *", [60, 120, 180]),
        ("*/5 * * * *", [300, 600, 900]),
        ("0 1 * * *", [3600, 3600 + 86400, 3600 + 2 * 86400]),
    ],
)
def test_seconds_come_last(spec: str, expected: list[int]) -> None:
    midnight = datetime(2026, 3, 2)  # noqa: DTZ001 - wall clock
    runs = CronSim(check_cron(spec), midnight)
    assert [(next(runs) - midnight).total_seconds() for _ in expected] == expected


@pytest.mark.parametrize("spec", ["", "* * *", "a * * * *", "61 * * * *", "* * * * * * *", "* * * * * 99"])
def test_a_wrong_cron_is_refused_at_once(spec: str) -> None:
    with pytest.raises(ScheduleError, match="cron"):
        check_cron(spec)


def make_cron(hub: LoopThread, func: Callable[..., Any], errors: list[str] | None = None) -> HubCron:
    def on_error(what: str, error: BaseException) -> None:
        (errors if errors is not None else []).append(f"{what}: {error}")

    return HubCron("0 0 1 1 *", func, loop=hub.loop, on_error=on_error)


def test_runs_do_not_overlap() -> None:
    hub = LoopThread()
    started: list[asyncio.Event] = []

    async def slow() -> None:
        release = asyncio.Event()
        started.append(release)
        await release.wait()

    async def drive(cron: HubCron) -> None:
        cron.call_func()
        await asyncio.sleep(0)
        cron.call_func()
        await asyncio.sleep(0)
        assert (cron.runs, cron.skipped) == (1, 1)
        started[0].set()
        await asyncio.wait([cron._task])  # type: ignore[list-item]
        cron.call_func()
        await asyncio.sleep(0)
        assert (cron.runs, cron.skipped) == (2, 1)

    try:
        hub.run(drive(make_cron(hub, slow)))
    finally:
        hub.close()


def test_an_error_is_told_and_the_schedule_goes_on(caplog: pytest.LogCaptureFixture) -> None:
    hub = LoopThread()
    errors: list[str] = []

    def bad() -> None:
        raise ValueError("no luck")

    async def drive(cron: HubCron) -> None:
        for _ in range(2):
            cron.call_func()
            await asyncio.wait([cron._task])  # type: ignore[list-item]

    try:
        hub.run(drive(make_cron(hub, bad, errors)))
    finally:
        hub.close()
    assert errors == ["bad [0 0 1 1 *]: no luck"] * 2
    assert "no luck" in caplog.text


def test_the_next_run_is_counted_from_the_wall_clock(monkeypatch: pytest.MonkeyPatch) -> None:
    hub = LoopThread()
    try:
        cron = HubCron("* * * * *", f, loop=hub.loop)
        hub.run(asyncio.sleep(0))
        base = datetime(2026, 3, 2, 12, 0, 30).timestamp()  # noqa: DTZ001
        clock = [base]
        monkeypatch.setattr(time, "time", lambda: clock[0])
        cron._last_due = 0.0

        def wait() -> int:
            return round(cron.get_next() - hub.loop.time())

        assert wait() == 30
        clock[0] = base + 29.999  # fired a little early: the same minute is not run twice
        assert wait() == 60
        clock[0] = base + 3600  # set forward by an hour
        assert wait() == 30
        clock[0] = base - 7200  # set back by hours: begins anew instead of waiting for the old time
        assert wait() == 30
    finally:
        hub.close()


def test_a_real_cron_runs_every_second_and_stops() -> None:
    hub = LoopThread()
    ran = threading.Semaphore(0)
    try:
        cron = HubCron("* * * * * *", ran.release, loop=hub.loop)
        assert ran.acquire(timeout=5)
        assert ran.acquire(timeout=5)
        cron.cancel()
        hub.run(asyncio.sleep(0))
        assert cron.handle is None
    finally:
        hub.close()
