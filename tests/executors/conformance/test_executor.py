"""What every executor does. A new one joins by adding its url to ``EXECUTORS``."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import wait
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork, Executor, RemoteError, open_executor
from hubkernel.executors.reports import INTERVAL
from tests.executors import works

EXECUTORS = {
    "process": "process://?workers=2&grace=10",
    "spawn": "process://?workers=2&grace=10&start=spawn",
    "thread": "thread://?workers=2&grace=10",
}
SECONDS = 30


@pytest.fixture(params=EXECUTORS, scope="module")
def executor(request: pytest.FixtureRequest) -> Iterator[Executor]:
    opened = open_executor(EXECUTORS[request.param])
    yield opened
    opened.close(force=True)


@pytest.fixture(params=EXECUTORS)
def own(request: pytest.FixtureRequest) -> Iterator[Executor]:
    """One to be closed by the test."""
    opened = open_executor(EXECUTORS[request.param])
    yield opened
    opened.close(force=True)


class Begun:
    """A log callback that can be waited for."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self._seen = threading.Event()

    def __call__(self, line: str) -> None:
        self.lines.append(line)
        self._seen.set()

    def wait(self) -> None:
        assert self._seen.wait(SECONDS), "the work never began"


def test_gives_the_result_of_the_function(executor: Executor) -> None:
    assert executor.submit(works.add, 2, right=3).future.result(SECONDS) == 5


def test_runs_many(executor: Executor) -> None:
    handles = [executor.submit(works.add, number) for number in range(200)]
    assert [handle.future.result(SECONDS) for handle in handles] == list(range(200))


def test_raises_the_error_of_the_function_with_the_line_that_raised_it(executor: Executor) -> None:
    import traceback

    error = executor.submit(works.boom, "thing").future.exception(SECONDS)
    assert isinstance(error, KeyError)
    assert error.args == ("thing",)
    text = "".join(traceback.format_exception(error))
    assert "works.py" in text
    assert "raise KeyError(message)" in text


@pytest.mark.parametrize(("kind", "name"), [("exit", "SystemExit: 3"), ("interrupt", "Keyboard"), ("stop", "StopIter")])
def test_an_exception_that_would_end_the_hub_becomes_an_error(executor: Executor, kind: str, name: str) -> None:
    error = executor.submit(works.leave, kind).future.exception(SECONDS)
    assert isinstance(error, RemoteError)
    assert str(error).startswith(name)
    assert executor.submit(works.add, 1).future.result(SECONDS) == 1


def test_runs_as_many_at_once_as_it_has_workers_and_queues_the_rest(executor: Executor, tmp_path: Path) -> None:
    gates = [tmp_path / "1", tmp_path / "2"]
    begun = [Begun(), Begun()]
    running = [executor.submit(works.hold, gate, on_log=seen) for gate, seen in zip(gates, begun, strict=True)]
    for seen in begun:
        seen.wait()
    queued = executor.submit(works.add, 1)
    assert all(handle.worker is not None for handle in running)
    assert queued.worker is None
    gates[0].touch()
    assert queued.future.result(SECONDS) == 1
    assert not running[1].future.done()
    gates[1].touch()
    running[1].future.result(SECONDS)


def test_reports_are_thinned_out_but_the_last_always_comes(executor: Executor) -> None:
    seen: list[tuple[float, float | None, str]] = []
    began = time.monotonic()
    handle = executor.submit(works.report, 200_000, on_progress=lambda *report: seen.append(report))
    handle.future.result(SECONDS)
    assert seen[-1] == (200_000, 200_000, "number 200000")
    assert len(seen) <= (time.monotonic() - began) / INTERVAL + 3
    assert [report[0] for report in seen] == sorted(report[0] for report in seen)


def test_log_lines_come_in_order_before_the_result(executor: Executor) -> None:
    lines: list[str] = []
    executor.submit(works.talk, 300, on_log=lines.append).future.result(SECONDS)
    assert lines == [f"line {number}" for number in range(300)]


def test_a_flood_of_log_lines_is_cut_and_says_so(executor: Executor) -> None:
    lines: list[str] = []
    executor.submit(works.talk, 50_000, on_log=lines.append).future.result(SECONDS)
    assert len(lines) < 50_000
    assert any("lines dropped" in line for line in lines)


def test_log_lines_of_threads_of_the_work(executor: Executor, tmp_path: Path) -> None:
    lines: list[str] = []
    executor.submit(works.threads, tmp_path, on_log=lines.append).future.result(SECONDS)
    assert sorted(lines) == sorted(f"thread {number}" for number in range(20))


def test_cancel_stops_cooperative_work_and_nothing_else(executor: Executor, tmp_path: Path) -> None:
    gate, begun, other = tmp_path / "gate", Begun(), Begun()
    neighbour = executor.submit(works.hold, gate, on_log=other)
    handle = executor.submit(works.hold, tmp_path / "never", on_log=begun)
    begun.wait()
    other.wait()
    began = time.monotonic()
    handle.cancel()
    assert isinstance(handle.future.exception(SECONDS), CancelledWork)
    assert time.monotonic() - began < 5, "it waited for the grace period although the work was cooperative"
    assert not neighbour.future.done()
    gate.touch()
    assert isinstance(neighbour.future.result(SECONDS), int)


def test_cancelled_work_that_still_waits_is_never_run(executor: Executor, tmp_path: Path) -> None:
    gate, marker = tmp_path / "gate", tmp_path / "marker"
    running = [executor.submit(works.hold, gate) for _ in range(2)]
    queued = executor.submit(works.touch, marker)
    queued.cancel()
    assert isinstance(queued.future.exception(SECONDS), CancelledWork)
    gate.touch()
    wait([handle.future for handle in running], SECONDS)
    assert executor.submit(works.add, 1).future.result(SECONDS) == 1
    assert not marker.exists()


def test_cancel_after_the_end_and_twice_does_nothing(executor: Executor) -> None:
    handle = executor.submit(works.add, 1)
    assert handle.future.result(SECONDS) == 1
    handle.cancel()
    handle.cancel()
    assert handle.future.result(SECONDS) == 1
    assert executor.submit(works.add, 2).future.result(SECONDS) == 2


def test_cancel_at_any_moment_settles_the_work_and_harms_no_other(executor: Executor) -> None:
    for number in range(60):
        handle = executor.submit(works.add, number)
        time.sleep(number * 1e-5)  # not to wait for anything: to meet different moments
        handle.cancel()
        after = executor.submit(works.add, number)
        error = handle.future.exception(SECONDS)
        assert error is None or isinstance(error, CancelledWork)
        assert after.future.result(SECONDS) == number


def test_who_stops_waiting_does_not_end_the_work(executor: Executor, tmp_path: Path) -> None:
    begun, gate = Begun(), tmp_path / "gate"
    handle = executor.submit(works.hold, gate, on_log=begun)
    begun.wait()
    assert not handle.future.cancel()
    gate.touch()
    assert isinstance(handle.future.result(SECONDS), int)


def test_a_callback_that_fails_does_not_fail_the_work(executor: Executor, caplog: pytest.LogCaptureFixture) -> None:
    def fails(line: str) -> None:
        raise RuntimeError("in a callback")

    executor.submit(works.talk, 1, on_log=fails).future.result(SECONDS)
    assert "in a callback" in caplog.text


def test_works_again_after_it_gave_back_its_memory(executor: Executor) -> None:
    assert executor.submit(works.add, 1).future.result(SECONDS) == 1
    executor.trim()
    assert executor.submit(works.add, 2).future.result(SECONDS) == 2


def test_close_waits_for_queued_and_running_work_and_takes_no_more(own: Executor, tmp_path: Path) -> None:
    begun, gate = Begun(), tmp_path / "gate"
    handles = [own.submit(works.hold, gate, on_log=begun), *(own.submit(works.add, number) for number in range(5))]
    begun.wait()
    closing = threading.Thread(target=own.close)
    closing.start()
    _until(lambda: _refuses(own))
    assert not handles[0].future.done()
    gate.touch()
    closing.join(SECONDS)
    assert not closing.is_alive()
    assert all(handle.future.done() and handle.future.exception() is None for handle in handles)
    own.close()


def test_close_by_force_ends_everything_soon(own: Executor, tmp_path: Path) -> None:
    begun = Begun()
    running = own.submit(works.hold, tmp_path / "never", on_log=begun)
    begun.wait()
    queued = [own.submit(works.hold, tmp_path / "never") for _ in range(3)]
    began = time.monotonic()
    own.close(force=True)
    assert time.monotonic() - began < 5
    for handle in (running, *queued):
        assert isinstance(handle.future.exception(SECONDS), CancelledWork)
    assert own.processes() == []
    assert _refuses(own)


def _refuses(executor: Executor) -> bool:
    try:
        executor.submit(works.add, 1)
    except RuntimeError as error:
        assert "is closed" in str(error)
        return True
    return False


def _until(condition: Callable[[], Any]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.001)
