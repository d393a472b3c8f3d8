"""Worker processes: how they are reused, ended and replaced, and what travels to and from them."""

from __future__ import annotations

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from hubkernel.executors import CancelledWork, NotSendableError, RemoteError, WorkerDied
from hubkernel.executors.launch import WorkerProcess
from hubkernel.executors.process import ProcessExecutor
from tests.executors import works
from tests.executors.conformance.test_executor import SECONDS, Begun

Make = Callable[..., ProcessExecutor]
pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="asks for signals and process groups")


@pytest.fixture
def make() -> Iterator[Make]:
    made: list[ProcessExecutor] = []

    def open_(**options: object) -> ProcessExecutor:
        made.append(ProcessExecutor(**{"workers": 2, "grace": 0.1, **options}))  # type: ignore[arg-type]
        return made[-1]

    yield open_
    for executor in made:
        executor.close(force=True)


def gone(*pids: int) -> bool:
    """Wait until none of these processes is left."""
    living = []
    for pid in pids:
        try:
            process = psutil.Process(pid)
            if process.status() != psutil.STATUS_ZOMBIE:
                living.append(process)
        except psutil.NoSuchProcess:
            continue
    return not psutil.wait_procs(living, SECONDS)[1]


def test_starts_nothing_before_there_is_work(make: Make) -> None:
    assert make().processes() == []


def test_reuses_its_process(make: Make) -> None:
    executor = make(workers=1)
    pids = {executor.submit(works.pid).future.result(SECONDS) for _ in range(5)}
    assert pids == set(executor.processes())


def test_replaces_a_process_after_max_tasks(make: Make) -> None:
    executor = make(workers=1, max_tasks=2)
    pids = [executor.submit(works.pid).future.result(SECONDS) for _ in range(4)]
    assert pids[0] == pids[1] != pids[2] == pids[3]


@pytest.mark.parametrize("start", ["forkserver", "spawn"])
def test_a_killed_worker_fails_its_own_work_only(make: Make, start: str, tmp_path: Path) -> None:
    executor = make(start=start)
    begun, gate = Begun(), tmp_path / "gate"
    neighbour = executor.submit(works.hold, gate, on_log=begun)
    begun.wait()
    victim = executor.submit(works.kill_me)
    error = victim.future.exception(SECONDS)
    assert isinstance(error, WorkerDied)
    assert "SIGKILL" in str(error)
    assert "works.kill_me" in str(error)
    assert str(victim.worker) in str(error)
    assert executor.submit(works.add, 1).future.result(SECONDS) == 1
    assert not neighbour.future.done()
    gate.touch()
    assert neighbour.future.result(SECONDS) == neighbour.worker


def test_a_worker_that_exits_is_told_apart_from_one_that_is_killed(make: Make) -> None:
    error = make().submit(works.exit_now, 3).future.exception(SECONDS)
    assert isinstance(error, WorkerDied)
    assert "exited with status 3" in str(error)


def test_a_worker_killed_while_idle_costs_no_work(make: Make) -> None:
    executor = make(workers=1)
    pid = executor.submit(works.pid).future.result(SECONDS)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert executor.submit(works.pid).future.result(SECONDS) != pid


@pytest.mark.service
def test_work_outlives_the_death_of_the_fork_server(make: Make) -> None:
    executor = make(workers=1)
    pid = executor.submit(works.pid).future.result(SECONDS)
    server = psutil.Process(pid).ppid()
    os.kill(server, signal.SIGKILL)
    os.kill(pid, signal.SIGKILL)
    assert gone(pid)
    assert executor.submit(works.add, 1).future.result(SECONDS) == 1


def test_running_work_outlives_the_death_of_the_fork_server(make: Make, tmp_path: Path) -> None:
    executor = make(workers=1)
    begun, gate = Begun(), tmp_path / "gate"
    handle = executor.submit(works.hold, gate, on_log=begun)
    begun.wait()
    assert isinstance(handle.worker, int)
    server = psutil.Process(handle.worker).ppid()
    os.kill(server, signal.SIGKILL)
    assert gone(server)
    gate.touch()
    assert handle.future.result(SECONDS) == handle.worker
    assert executor.submit(works.add, 1).future.result(SECONDS) == 1


def test_workers_that_die_before_they_take_work_are_replaced_but_not_for_ever(
    make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    executor = make(workers=1)
    launched: list[int] = []
    start = executor._launcher.start

    def still_born() -> WorkerProcess:
        process = start()
        launched.append(process.pid)
        if len(launched) <= deaths:
            os.kill(process.pid, signal.SIGKILL)
        return process

    monkeypatch.setattr(executor._launcher, "start", still_born)
    deaths = 2
    assert executor.submit(works.add, 1).future.result(SECONDS) == 1
    executor = make(workers=1)
    start, deaths = executor._launcher.start, 10
    launched.clear()
    monkeypatch.setattr(executor._launcher, "start", still_born)
    error = executor.submit(works.add, 1).future.exception(SECONDS)
    assert isinstance(error, WorkerDied)
    assert "3 worker processes in a row died before they took tests.executors.works.add" in str(error)


def test_work_that_ignores_its_cancel_is_killed_after_the_grace_period(make: Make, tmp_path: Path) -> None:
    executor = make()
    begun, other, gate = Begun(), Begun(), tmp_path / "gate"
    neighbour = executor.submit(works.hold, gate, on_log=other)
    stubborn = executor.submit(works.endless, on_log=begun)
    begun.wait()
    other.wait()
    pid = stubborn.worker
    stubborn.cancel()
    assert isinstance(stubborn.future.exception(SECONDS), CancelledWork)
    assert isinstance(pid, int)
    assert gone(pid)
    gate.touch()
    assert neighbour.future.result(SECONDS) == neighbour.worker


def test_processes_that_the_work_started_end_with_it(make: Make) -> None:
    executor = make(workers=1)
    begun = Begun()
    handle = executor.submit(works.endless_with_child, on_log=begun)
    begun.wait()
    handle.cancel()
    assert isinstance(handle.future.exception(SECONDS), CancelledWork)
    assert gone(int(begun.lines[0]))


def test_processes_left_by_ended_work_end_with_the_executor(make: Make) -> None:
    executor = make(workers=1)
    child = executor.submit(works.child_then_result).future.result(SECONDS)
    assert psutil.pid_exists(child)
    executor.close()
    assert gone(child)


@pytest.mark.service
def test_processes_of_a_worker_that_ended_by_itself_end_too(make: Make, tmp_path: Path) -> None:
    error = make().submit(works.leave_child, tmp_path / "pid").future.exception(SECONDS)
    assert isinstance(error, WorkerDied)
    assert gone(int((tmp_path / "pid").read_text()))


def test_work_that_is_cancelled_while_its_worker_starts_is_stopped(
    make: Make, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    executor = make(workers=1)
    start, starting, cancelled = executor._launcher.start, threading.Event(), threading.Event()

    def slow() -> WorkerProcess:
        starting.set()
        assert cancelled.wait(SECONDS)
        return start()

    monkeypatch.setattr(executor._launcher, "start", slow)
    handle = executor.submit(works.hold, tmp_path / "never")
    assert starting.wait(SECONDS)
    handle.cancel()
    cancelled.set()
    assert isinstance(handle.future.exception(SECONDS), CancelledWork)


def test_cancelled_work_is_not_given_to_another_worker(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = make(workers=1)
    start, launched = executor._launcher.start, []
    submitted = threading.Event()

    def still_born() -> WorkerProcess:
        process = start()
        launched.append(process.pid)
        os.kill(process.pid, signal.SIGKILL)
        assert submitted.wait(SECONDS)
        handle.cancel()
        return process

    monkeypatch.setattr(executor._launcher, "start", still_born)
    handle = executor.submit(works.add, 1)
    submitted.set()
    assert isinstance(handle.future.exception(SECONDS), CancelledWork)
    assert len(launched) == 1


def test_close_leaves_no_process(make: Make) -> None:
    executor = make()
    pids = {executor.submit(works.pid).future.result(SECONDS) for _ in range(20)}
    server = psutil.Process(next(iter(pids))).ppid()
    executor.close()
    assert gone(server, *pids)
    assert executor.processes() == []


@pytest.mark.parametrize("start", ["forkserver", "spawn"])
def test_ctrl_c_does_not_reach_the_work(make: Make, start: str, tmp_path: Path) -> None:
    executor = make(workers=1, start=start)
    begun, gate = Begun(), tmp_path / "gate"
    handle = executor.submit(works.hold, gate, on_log=begun)
    begun.wait()
    assert isinstance(handle.worker, int)
    os.kill(handle.worker, signal.SIGINT)
    gate.touch()
    assert handle.future.result(SECONDS) == handle.worker


def test_workers_are_not_in_the_process_group_of_the_hub(make: Make) -> None:
    pid = make().submit(works.pid).future.result(SECONDS)
    assert os.getpgid(pid) == pid


def test_what_cannot_be_sent_is_refused_at_once(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = make()
    with pytest.raises(NotSendableError, match="importable module"):
        executor.submit(lambda worker: 1)
    with pytest.raises(NotSendableError, match=r"works\.add or its arguments"):
        executor.submit(works.add, threading.Lock())
    monkeypatch.setattr(works.add, "__module__", "__main__")
    with pytest.raises(NotSendableError, match="not in a notebook cell"):
        executor.submit(works.add, 1)
    assert executor.processes() == []


def test_a_result_that_cannot_be_sent_back_is_a_clear_error(make: Make) -> None:
    error = make().submit(works.no_pickle).future.exception(SECONDS)
    assert isinstance(error, RemoteError)
    assert "the result of tests.executors.works.no_pickle, of type lock" in str(error)


def test_an_error_that_does_not_load_again_keeps_its_name_and_its_traceback(make: Make) -> None:
    error = make().submit(works.odd).future.exception(SECONDS)
    assert isinstance(error, RemoteError)
    assert str(error) == "OddError: bad row in line 7"
    assert 'raise OddError("bad row", 7)' in str(error.__cause__)


def test_the_remote_traceback_shows_the_chain_of_causes(make: Make) -> None:
    error = make().submit(works.chained).future.exception(SECONDS)
    assert isinstance(error, RuntimeError)
    text = str(error.__cause__)
    assert text.index("ValueError: invalid literal") < text.index("RuntimeError: outer")


def test_a_function_that_workers_cannot_import_is_a_clear_error(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "vanishing.py").write_text("def work(worker): return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import vanishing  # type: ignore[import-not-found]

    shutil.rmtree(tmp_path / "__pycache__", ignore_errors=True)
    (tmp_path / "vanishing.py").unlink()
    error = make().submit(vanishing.work).future.exception(SECONDS)
    assert isinstance(error, RemoteError)
    assert "No module named 'vanishing'" in str(error)


def test_what_the_work_prints_is_its_log(make: Make) -> None:
    lines: list[str] = []
    make().submit(works.prints, on_log=lines.append).future.result(SECONDS)
    assert lines == ["one", "two and more", "no newline"]


def test_workers_see_the_environment_and_import_path_of_the_hub(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = make(workers=1)
    assert executor.submit(works.environment, "HUB_TEST").future.result(SECONDS)[0] is None
    monkeypatch.setenv("HUB_TEST", "later")
    monkeypatch.syspath_prepend("/nowhere/at/all")
    value, path = executor.submit(works.environment, "HUB_TEST").future.result(SECONDS)
    assert value == "later"
    assert path[0] == "/nowhere/at/all"
    monkeypatch.delenv("HUB_TEST")
    assert executor.submit(works.environment, "HUB_TEST").future.result(SECONDS)[0] is None


def test_the_cyclic_collector_is_off_and_what_was_imported_is_frozen(make: Make) -> None:
    enabled, frozen = make(preload=("json",)).submit(works.collector).future.result(SECONDS)
    assert not enabled
    assert frozen > 1000


def test_garbage_is_freed_while_work_runs_although_the_collector_is_off(make: Make) -> None:
    handle = make().submit(works.freed_cycles, 4)
    assert handle.future.result(2 * SECONDS) >= 4, "nothing frees it, or the work would have come to its end"


def test_workers_find_what_most_work_needs_imported(make: Make) -> None:
    preloaded = make().submit(works.imported).future.result(SECONDS)
    assert {"hubkernel.store.sqlite", "orjson", "pydantic"} <= preloaded
    assert "pydantic" not in make(preload=("json",)).submit(works.imported).future.result(SECONDS)


def test_preloaded_modules_that_do_not_exist_are_ignored(make: Make) -> None:
    assert make(preload=("no_such_module", "json")).submit(works.add, 1).future.result(SECONDS) == 1


def test_an_unknown_start_method_is_refused() -> None:
    with pytest.raises(ValueError, match="start='fork' is not available"):
        ProcessExecutor(start="fork")
