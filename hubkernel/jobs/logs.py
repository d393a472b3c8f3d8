"""The log of each job as a file of its own: ``<id>.jsonl``, one JSON object a line, everything that the job said.

``{"time": seconds since the epoch, "level": "info", "from": "job" | a step | a logger, "message": text}``; the line of
a failure also has ``traceback``. One thread writes, so that nobody who logs waits for a disk; what cannot be written is
lost, said once in the hub's log, and fails no job.
"""

from __future__ import annotations

import json
import logging
import queue
import re
import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from hubkernel.jobs.masking import redact

log = logging.getLogger(__name__)

Entry = dict[str, Any]
MAX_BYTES = 10_000_000
DAY = 86400
_LEVEL = re.compile(r"(DEBUG|INFO|WARNING|ERROR|CRITICAL) (?=\S+: )")


class JobLogs:
    """The logs of all jobs, in ``folder``. Any thread may use it.

    ``max_bytes`` is what one job may have: beyond half of it the file becomes ``<id>.1.jsonl`` and a new one begins, so
    that the newest lines stay. ``clock`` gives seconds since the epoch.
    """

    def __init__(self, folder: Path, max_bytes: int = MAX_BYTES, clock: Callable[[], float] = time.time) -> None:
        self.folder, self._max_bytes, self._clock = folder, max_bytes, clock
        self._writes: queue.SimpleQueue[tuple[int, Entry] | threading.Event | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._broken = False

    def write(self, id: int, message: str, *, level: str = "info", origin: str = "job", **more: Any) -> None:
        """Never raises and never waits."""
        entry = {"time": self._clock(), "level": level, "from": origin, "message": message, **more}
        self._put((id, entry))

    def lines(self, id: int, lines: Iterable[str], origin: str) -> None:
        """What a step of the job printed or logged; ``WARNING some.logger: text`` has its level."""
        for line in lines:
            found = _LEVEL.match(line)
            self.write(id, line, level=found[1].lower() if found else "info", origin=origin)

    def _put(self, item: tuple[int, Entry] | threading.Event) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._main, name="hubkernel-job-logs", daemon=True)
                self._thread.start()
            self._writes.put(item)

    def flush(self, timeout: float = 5.0) -> None:
        """Return once all that was written before is in its file."""
        if self._thread is not None:
            written = threading.Event()
            self._put(written)
            written.wait(timeout)

    def close(self) -> None:
        """Return once everything is written."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._writes.put(None)
            if thread is not threading.current_thread():
                thread.join()

    # Writing.

    def _main(self) -> None:
        while True:
            items = [self._writes.get()]
            while not self._writes.empty():
                items.append(self._writes.get())
            batches: dict[int, list[str]] = {}
            for item in items:
                if isinstance(item, tuple):
                    batches.setdefault(item[0], []).append(_encoded(item[1]))
            for id, lines in batches.items():
                self._append(id, lines)
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()
            if None in items:
                return

    def _append(self, id: int, lines: list[str]) -> None:
        file = self._file(id)
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            if file.exists() and file.stat().st_size > self._max_bytes // 2:
                file.replace(self._older(id))
            with file.open("a", encoding="utf-8") as stream:
                stream.writelines(lines)
            self._broken = False
        except OSError as error:
            if not self._broken:
                log.error("logs of jobs cannot be written, and are lost until that is mended: %s", error)
            self._broken = True

    def _file(self, id: int) -> Path:
        return self.folder / f"{int(id)}.jsonl"

    def _older(self, id: int) -> Path:
        return self.folder / f"{int(id)}.1.jsonl"

    # Reading.

    def tail(self, id: int, count: int = 100) -> list[Entry] | None:
        """The newest ``count`` entries, oldest first; None if the job has no file (any more)."""
        self.flush()
        found: list[Entry] = []
        there = False
        for file in (self._file(id), self._older(id)):
            if len(found) < count and file.exists():
                there = True
                found = [*_decoded(_last_lines(file, count - len(found))), *found]
        return found if there else None

    def prune(self, days: float) -> int:
        """Remove the files that nothing was written to for ``days``; returns how many."""
        before = self._clock() - days * DAY
        old = [file for file in self.folder.glob("*.jsonl") if file.stat().st_mtime < before]
        for file in old:
            file.unlink(missing_ok=True)
        return len(old)


class NoLogs:
    """Keeps nothing."""

    def write(self, id: int, message: str, *, level: str = "info", origin: str = "job", **more: Any) -> None:
        """Nowhere."""

    def lines(self, id: int, lines: Iterable[str], origin: str) -> None:
        """Nowhere."""

    def tail(self, id: int, count: int = 100) -> list[Entry] | None:
        """There is no file."""
        return None

    def prune(self, days: float) -> int:
        return 0

    def close(self) -> None:
        """Nothing is open."""


def _encoded(entry: Entry) -> str:
    entry = {key: redact(value) if isinstance(value, str) else value for key, value in entry.items()}
    return json.dumps(entry, ensure_ascii=False, default=str) + "\n"


def _decoded(lines: Iterable[bytes]) -> list[Entry]:
    """A line that a crash cut off is left out."""
    entries = []
    for line in lines:
        try:
            entries.append(json.loads(line))
        except ValueError:
            continue
    return entries


def _last_lines(file: Path, count: int, block: int = 65536) -> list[bytes]:
    """Reads from the end, and no more than it needs."""
    with file.open("rb") as stream:
        position = stream.seek(0, 2)
        data = b""
        while position > 0 and data.count(b"\n") <= count:
            step = min(block, position)
            position -= step
            stream.seek(position)
            data = stream.read(step) + data
    return data.splitlines()[-count:] if count > 0 else []
