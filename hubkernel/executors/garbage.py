"""When a worker process looks for cyclic garbage.

Python's collector rescans the documents that a parser or a merge holds again and again, which costs more than half of
the time of such work. In a worker it is therefore switched off while work runs, what the imports left is frozen, and
one explicit rule keeps memory flat: a few times a second the process's resident memory is read, and if it grew by more
than ``GROWTH`` since the last look for garbage, there is one. One that found little, because the work really holds
more, is followed by a rest of ``REST`` times its duration, so that looking in vain costs at most one part in ``REST``.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from pathlib import Path

GROWTH = 32 << 20
REST = 20
INTERVAL = 0.25
_STATM = Path("/proc/self/statm")


def resident() -> int:
    """Resident memory of this process in bytes."""
    try:
        pages = int(_STATM.read_bytes().split()[1])
    except OSError:
        import psutil

        return int(psutil.Process().memory_info().rss)
    return pages * os.sysconf("SC_PAGE_SIZE")


class Garbage:
    """Applies the rule while work runs. Collects on a thread of its own, so that work need not cooperate."""

    def __init__(self) -> None:
        gc.disable()
        gc.collect()
        gc.freeze()
        self._base = resident()
        self._working = threading.Event()
        threading.Thread(target=self._watch, name="hubkernel-garbage", daemon=True).start()

    def begin(self) -> None:
        self._working.set()

    def end(self) -> None:
        """The work has ended: what it left in cycles is freed if it is much."""
        self._working.clear()
        self._collect_if_grown()

    def _watch(self) -> None:
        while self._working.wait():
            time.sleep(INTERVAL)
            wasted = self._collect_if_grown()
            time.sleep(wasted * REST)

    def _collect_if_grown(self) -> float:
        """Seconds of processor time that were spent in vain."""
        grown = resident()
        if grown - self._base < GROWTH:
            return 0.0
        began = time.thread_time()
        gc.collect()
        self._base = resident()
        return 0.0 if grown - self._base >= GROWTH / 2 else time.thread_time() - began
