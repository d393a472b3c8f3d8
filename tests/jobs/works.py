"""Work of the jobs' tests that runs on executors."""

from __future__ import annotations

import logging
import os
import time
from pathlib import Path

from hubkernel.executors import Worker


def add(worker: Worker, left: int, right: int = 0) -> int:
    return left + right


def hold(worker: Worker, folder: Path, name: str = "work") -> int:
    """Leave the file ``<name>.begun``, run until ``<name>.gate`` exists; gives its pid. Leaves ``<name>.ended``."""
    (folder / f"{name}.begun").touch()
    try:
        while not (folder / f"{name}.gate").exists():
            worker.check()
            time.sleep(0.005)
    finally:
        (folder / f"{name}.ended").touch()
    return os.getpid()


def endless(worker: Worker, folder: Path, name: str = "work") -> None:
    """Leave the file ``<name>.begun``, then never look at the worker."""
    (folder / f"{name}.begun").touch()
    while True:
        time.sleep(60)


def deaf(worker: Worker, folder: Path, name: str = "work") -> None:
    """Leave the file ``<name>.begun``; ends with ``<name>.gate``, and at no cancel."""
    (folder / f"{name}.begun").touch()
    while not (folder / f"{name}.gate").exists():
        time.sleep(0.005)


def report(worker: Worker, times: int) -> str:
    for number in range(1, times + 1):
        worker.progress(number, times, f"row {number}")
    worker.log("all rows read")
    return "read"


def bad_row(worker: Worker, line: int) -> None:
    raise ValueError(f"no id\nin line {line}")


def die(worker: Worker) -> None:
    os._exit(9)


def plain_add(left: int, right: int = 0) -> int:
    """Takes no worker: for ``defer_to_*``."""
    return left + right


def plain_hold(folder: Path, name: str) -> int:
    (folder / f"{name}.begun").touch()
    while not (folder / f"{name}.gate").exists():
        time.sleep(0.005)
    return os.getpid()


def chatter(worker: Worker) -> None:
    """Says something in each way there is."""
    worker.log("said to the worker")
    print("printed")
    logging.getLogger("httpx").info("HTTP Request: POST https://somewhere")
    logging.getLogger("a.library").info("told its logger")
    logging.getLogger("a.library").warning("warned of %s", "something")
