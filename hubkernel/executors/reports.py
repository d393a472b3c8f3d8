"""Progress and log of running work, thinned out: at most ten messages a second, the last one always."""

from __future__ import annotations

import threading
from collections.abc import Callable

Progress = tuple[float, float | None, str]
Send = Callable[[Progress | None, list[str]], None]
"""Takes the newest progress (or None) and the new log lines. Called by one thread at a time."""

INTERVAL = 0.1
MAX_LINES = 1000
"""Log lines between two messages; what is over is counted and dropped."""


class Outbox:
    """Where one piece of work puts its reports; cheap, and never blocks on the reader."""

    def __init__(self, ticker: Ticker, send: Send) -> None:
        self._ticker, self._send = ticker, send
        self._lock = threading.Lock()
        self._sending = threading.Lock()
        self._progress: Progress | None = None
        self._lines: list[str] = []
        self._dropped = 0

    def progress(self, done: float, total: float | None, message: str) -> None:
        with self._lock:
            fresh = self._progress is None and not self._lines
            self._progress = (done, total, message)
        if fresh:
            self._ticker.mark(self)

    def line(self, message: str) -> None:
        with self._lock:
            fresh = self._progress is None and not self._lines
            if len(self._lines) < MAX_LINES:
                self._lines.append(message)
            else:
                self._dropped += 1
        if fresh:
            self._ticker.mark(self)

    def flush(self) -> None:
        """Send what there is, now."""
        with self._sending:
            with self._lock:
                progress, lines, dropped = self._progress, self._lines, self._dropped
                self._progress, self._lines, self._dropped = None, [], 0
            if dropped:
                lines.append(f"... {dropped} lines dropped: more than {MAX_LINES} in {INTERVAL} s")
            if progress is not None or lines:
                self._send(progress, lines)


class Ticker:
    """The thread that empties outboxes; it sleeps while there is nothing to send."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._lock = threading.Lock()
        self._marked: set[Outbox] = set()
        self._wake = threading.Event()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def mark(self, box: Outbox) -> None:
        with self._lock:
            self._marked.add(box)
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name=self._name, daemon=True)
                self._thread.start()
        self._wake.set()

    def close(self) -> None:
        self._stop.set()
        self._wake.set()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._wake.wait()
            self._wake.clear()
            with self._lock:
                marked, self._marked = self._marked, set()
            for box in marked:
                box.flush()
            self._stop.wait(INTERVAL)
