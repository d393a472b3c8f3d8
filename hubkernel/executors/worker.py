"""The main loop of a worker process: take work from the pipe, run it in the main thread, report.

A worker lives no longer than its hub: when the pipe ends, it ends itself and all processes that it started.
"""

from __future__ import annotations

import contextlib
import faulthandler
import io
import logging
import os
import queue
import signal
import sys
import threading
from multiprocessing.connection import Connection
from typing import Any

from hubkernel.executors.base import CancelledWork
from hubkernel.executors.garbage import Garbage
from hubkernel.executors.logs import WorkerLogHandler
from hubkernel.executors.reports import Outbox, Progress, Ticker
from hubkernel.executors.wire import dump_error, dump_result, load_call

Surroundings = tuple[list[str], dict[str, str]]
"""The hub's ``sys.path`` and environment when the work was submitted."""


_serving = False


def in_worker() -> bool:
    """Whether this process is a worker: one that runs work, and nothing of the hub."""
    return _serving


def serve(connection: Connection) -> None:
    """Run the work that arrives, until the pipe ends. Never returns."""
    global _serving  # noqa: PLW0603 - it is this process that serves
    _serving = True
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C in a kernel reaches the whole process group
    with contextlib.suppress(AttributeError, OSError, ValueError):
        faulthandler.enable()
    _Server(connection).run()


def adopt(surroundings: Surroundings) -> None:
    """Make this process's import path and environment those of the hub."""
    path, environment = surroundings
    sys.path[:] = path
    for name in os.environ.keys() - environment.keys():
        del os.environ[name]
    os.environ.update(environment)


class _Server:
    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._sending = threading.Lock()
        self._work: queue.SimpleQueue[tuple[int, bytes, Surroundings | None]] = queue.SimpleQueue()
        self._cancelled: set[int] = set()
        self._ticker = Ticker("hubkernel-reports")
        self._garbage = Garbage()
        self._log = WorkerLogHandler()
        logging.getLogger().addHandler(self._log)
        logging.getLogger().setLevel(logging.INFO)

    def run(self) -> None:
        threading.Thread(target=self._read, name="hubkernel-pipe", daemon=True).start()
        while True:
            number, payload, surroundings = self._work.get()
            self._send(("taken", number))
            if surroundings is not None:
                adopt(surroundings)
            self._garbage.begin()
            answer = self._run(number, payload)
            self._send(answer)
            del answer
            self._cancelled.discard(number)
            self._garbage.end()

    def _read(self) -> None:
        try:
            while True:
                message = self._connection.recv()
                if message[0] == "cancel":
                    self._cancelled.add(message[1])
                else:
                    self._work.put(message[1:])
        except (EOFError, OSError):
            end()

    def _send(self, message: tuple[Any, ...]) -> None:
        try:
            with self._sending:
                self._connection.send(message)
        except OSError:
            end()

    def _run(self, number: int, payload: bytes) -> tuple[Any, ...]:
        box = Outbox(self._ticker, lambda progress, lines: self._report(number, progress, lines))
        worker = self._log.worker = _Worker(number, self._cancelled, box)
        try:
            with _Output(worker) as output, contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                function, args, kwargs = load_call(payload)
                result = function(worker, *args, **kwargs)
                return ("done", number, dump_result(result, function))
        except BaseException as error:
            return ("failed", number, *dump_error(error))
        finally:
            self._log.worker = None
            box.flush()

    def _report(self, number: int, progress: Progress | None, lines: list[str]) -> None:
        self._send(("report", number, progress, lines))


class _Worker:
    def __init__(self, number: int, cancelled: set[int], box: Outbox) -> None:
        self._number, self._cancelled, self._box = number, cancelled, box

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self.check()
        self._box.progress(done, total, message)

    def log(self, message: str) -> None:
        self._box.line(str(message))

    def check(self) -> None:
        if self._number in self._cancelled:
            raise CancelledWork("cancelled")


class _Output(io.TextIOBase):
    """What the work prints goes to its job's log, line by line."""

    def __init__(self, worker: _Worker) -> None:
        self._worker = worker
        self._rest = ""

    def writable(self) -> bool:
        return True

    def write(self, text: str) -> int:
        *lines, self._rest = (self._rest + text).split("\n")
        for line in lines:
            self._worker.log(line)
        return len(text)

    def close(self) -> None:
        if self._rest:
            self._worker.log(self._rest)
            self._rest = ""
        super().close()


def end() -> None:
    """End this process at once, and those it started."""
    if hasattr(os, "killpg") and os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
