"""What a session is shown of jobs, as text."""

from __future__ import annotations

import re
import time
from collections.abc import Callable

from hubkernel.api import JobHandle
from hubkernel.jobs.render import timesofar

SECOND = 1.0
"""The least time between two lines about one running job where lines are not drawn over."""
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")


def printable(text: str) -> str:
    """``text`` without what a terminal would obey: data may hold anything."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", text)


def job_line(job: JobHandle) -> str:
    """``[7] RUN {1.4s} dump(src='x')`` with what it does; ``[7] OK {2.4s} dump(src='x'): finished [None]``."""
    record = job.record
    began = record.started or record.created
    state = "RUN" if not job.finished else "OK" if job.state == "done" else "ERR"
    head = f"[{job.id}] {state} {{{timesofar(began, record.finished)}}} {job.command}"
    if job.finished:
        return printable(f"{head}: finished {_results(job)}")
    share = "" if job.progress is None else f"{job.progress:.0%}"
    return printable(" ".join(part for part in (head, share, job.message) if part))


def _results(job: JobHandle) -> list[object]:
    if job.state != "done":
        return [job.error or job.state]
    result = job.record.result
    return result if isinstance(result, list) else [result]


class Progress:
    """Jobs that someone waits for, drawn through ``write``.

    With a ``width`` (of a terminal, asked for at each drawing) it is one line that is drawn over, else a line for each
    change, but not more than one a second. How a job ends is not said here.
    """

    def __init__(self, write: Callable[[str], None], width: Callable[[], int] | None = None) -> None:
        self._write, self._width = write, width
        self.job: JobHandle | None = None
        """The one that is waited for."""
        self._drawn = ""
        self._at = 0.0

    def draw(self, job: JobHandle) -> None:
        """Show a job as it is now. Called a few times a second."""
        self.job = job
        if self._width is not None:
            self._draw_over(job_line(job), self._width())
        elif self._is_news(job):
            self._drawn, self._at = self._news(job), time.monotonic()
            self._write(f"{job_line(job)}\n")

    def end(self) -> None:
        """Nobody waits any more; the terminal's line is free again."""
        if self._width is not None and self._drawn:
            self._write(f"\r{' ' * len(self._drawn)}\r")
        self.job, self._drawn, self._at = None, "", 0.0

    def _draw_over(self, line: str, width: int) -> None:
        line = " ".join(line.split())[: max(1, width - 1)]
        if line != self._drawn:
            self._write(f"\r{line}{' ' * (len(self._drawn) - len(line))}")
            self._drawn = line

    def _is_news(self, job: JobHandle) -> bool:
        return not job.finished and self._news(job) != self._drawn and time.monotonic() >= self._at + SECOND

    def _news(self, job: JobHandle) -> str:
        return f"{job.id} {job.state} {job.progress} {job.message}"
