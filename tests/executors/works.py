"""Work functions of the tests: workers import them by name."""

from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
import weakref
from pathlib import Path
from typing import Any

from hubkernel.executors import Worker


def add(worker: Worker, left: int, right: int = 0) -> int:
    return left + right


def boom(worker: Worker, message: str) -> None:
    raise KeyError(message)


def leave(worker: Worker, kind: str) -> None:
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "stop": StopIteration(1)}[kind]


def report(worker: Worker, times: int) -> None:
    for number in range(1, times + 1):
        worker.progress(number, times, f"number {number}")


def talk(worker: Worker, lines: int) -> None:
    for number in range(lines):
        worker.log(f"line {number}")


def touch(worker: Worker, path: Path) -> None:
    path.touch()


def hold(worker: Worker, gate: Path) -> int:
    """Say that it began, then run until ``gate`` exists or it is cancelled; gives its pid."""
    worker.log("begun")
    while not gate.exists():
        worker.check()
        time.sleep(0.005)
    return os.getpid()


def endless(worker: Worker) -> None:
    """Say that it began, and never look at the worker again."""
    worker.log("begun")
    while True:
        time.sleep(60)


def endless_with_child(worker: Worker) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    worker.log(str(child.pid))
    child.wait()


def child_then_result(worker: Worker) -> int:
    """Leaves a process behind that would live on."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


def imported(worker: Worker) -> set[str]:
    return set(sys.modules)


def leave_child(worker: Worker, path: Path) -> None:
    """Start a process that would live on, write its pid to ``path``, then end without a word."""
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    path.write_text(str(child.pid))
    os._exit(1)


def pid(worker: Worker) -> int:
    return os.getpid()


def kill_me(worker: Worker) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def exit_now(worker: Worker, status: int) -> None:
    os._exit(status)


def no_pickle(worker: Worker) -> Any:
    return threading.Lock()


class OddError(Exception):
    """Pickles, but does not load again: its constructor takes more than its message."""

    def __init__(self, message: str, line: int) -> None:
        super().__init__(f"{message} in line {line}")


def odd(worker: Worker) -> None:
    raise OddError("bad row", 7)


def chained(worker: Worker) -> None:
    try:
        int("x")
    except ValueError as error:
        raise RuntimeError("outer") from error


def prints(worker: Worker) -> None:
    print("one")
    print("two", end="")
    print(" and", "more", file=sys.stderr)
    sys.stdout.write("no newline")


def environment(worker: Worker, name: str) -> tuple[str | None, list[str]]:
    return os.environ.get(name), sys.path


def collector(worker: Worker) -> tuple[bool, int]:
    return gc.isenabled(), gc.get_freeze_count()


class Cycle:
    """A megabyte that only the cyclic collector frees."""

    def __init__(self) -> None:
        self.me = self
        self.load = bytearray(1 << 20)


def freed_cycles(worker: Worker, times: int) -> int:
    """Make garbage until the first piece of it is gone, so many times; returns the pieces made in all.

    It goes slowly on once there is plenty: on a busy machine the collector may come late, and what it took for the
    memory that the work needs may have been some of the garbage.
    """
    made = 0
    for _ in range(times):
        first = weakref.ref(Cycle())
        own = 1
        while first() is not None:
            Cycle()
            own += 1
            time.sleep(0.002 if own < 100 else 0.05)
            worker.check()
        made += own
    return made


def signals(worker: Worker) -> bool:
    return signal.getsignal(signal.SIGINT) is signal.SIG_IGN


def main_module(worker: Worker) -> str | None:
    return getattr(sys.modules["__main__"], "__file__", None)


def threads(worker: Worker, path: Path) -> None:
    """Log from several threads at once."""
    parts = [threading.Thread(target=worker.log, args=(f"thread {number}",)) for number in range(20)]
    for part in parts:
        part.start()
    for part in parts:
        part.join()
