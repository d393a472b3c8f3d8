"""Progress while one waits for a job, and what an interrupt means then.

A *screen* shows one job: :class:`NotebookScreen` an output area that changes in place, :class:`TerminalScreen` one line
drawn over and over, :class:`PlainScreen` a line for the start and one for the end (a log file, a pipe).
"""

from __future__ import annotations

import sys
import threading
import uuid
from typing import TYPE_CHECKING, Any, Protocol, TextIO

from hubkernel import display
from hubkernel.api import JobCancelledError, JobFailedError, JobHandle

if TYPE_CHECKING:
    from IPython.core.interactiveshell import InteractiveShell

REDRAW = 0.25
"""Seconds between two drawings."""
GRACE = 2.0
"""Seconds in which a second interrupt cancels the job."""
CANCEL_WAIT = 10.0
"""Seconds for which a cancelled job is waited for."""


class WaitInterrupted(KeyboardInterrupt):
    """The user stopped waiting; the job was left alone."""

    def _render_traceback_(self) -> list[str]:
        return [str(self)]


class Screen(Protocol):
    """Where one job is shown."""

    def draw(self, job: JobHandle) -> None:
        """Show the job as it is now; the last call has its final state."""

    def say(self, text: str) -> None:
        """A line of its own."""

    def leave(self, job: JobHandle) -> None:
        """Nobody waits any more while the job goes on."""


def wait(job: JobHandle, screen: Screen) -> JobHandle:
    """Wait with progress until the job has ended well; returns it.

    Raises :class:`JobFailedError` or :class:`JobCancelledError`. An interrupt stops the waiting only
    (:class:`WaitInterrupted`); a second one within ``GRACE`` seconds cancels the job.
    """
    try:
        follow(job, screen)
    except KeyboardInterrupt:
        _interrupted(job, screen)
    return check(job)


def check(job: JobHandle) -> JobHandle:
    """The job, if it is done; otherwise the error that it ended with."""
    if job.state == "done":
        return job
    raise (JobFailedError if job.state == "failed" else JobCancelledError)(job.record)


def follow(job: JobHandle, screen: Screen, seconds: float | None = None) -> None:
    """Draw until the job ends or ``seconds`` have passed."""
    left = seconds
    screen.draw(job)
    while not job.finished and (left is None or left > 0):
        try:
            job.wait(REDRAW)
        except TimeoutError:
            left = None if left is None else left - REDRAW
        screen.draw(job)


def _interrupted(job: JobHandle, screen: Screen) -> None:
    try:  # around the message too: who reads it may interrupt before it is all written
        screen.say(
            f"Stopped waiting; job {job.id} goes on. Interrupt again within {GRACE:.0f} s to cancel it, "
            f"or later: hub.cancel({job.id})"
        )
        follow(job, screen, GRACE)
    except KeyboardInterrupt:
        cancel(job, screen)
        return
    if not job.finished:
        screen.leave(job)
    raise WaitInterrupted(f"Interrupted: job {job.id} {job.command} is {job.state}") from None


def cancel(job: JobHandle, screen: Screen) -> None:
    """Cancel, and wait a while for the end."""
    job.cancel()
    screen.say(f"Cancelling job {job.id} ...")
    follow(job, screen, CANCEL_WAIT)
    if not job.finished:
        screen.leave(job)


class Silent:
    """Shows nothing."""

    def draw(self, job: JobHandle) -> None:
        pass

    def say(self, text: str) -> None:
        pass

    def leave(self, job: JobHandle) -> None:
        pass


class TerminalScreen:
    """One line of a terminal."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._width = 0

    def draw(self, job: JobHandle) -> None:
        line = display.job_line(job)
        self.stream.write(f"\r{line}{' ' * (self._width - len(line))}")
        self._width = len(line)
        if job.finished:
            self._end_line()
        self.stream.flush()

    def say(self, text: str) -> None:
        self._end_line()
        self.stream.write(f"{text}\n")
        self.stream.flush()

    def leave(self, job: JobHandle) -> None:
        self._end_line()

    def _end_line(self) -> None:
        if self._width:
            self.stream.write("\n")
        self._width = 0


class PlainScreen:
    """Lines for the start and the end of a job."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream
        self._state = ""

    def draw(self, job: JobHandle) -> None:
        if (job.finished or not self._state) and job.state != self._state:
            self.say(display.job_line(job, 1000))
            self._state = job.state

    def say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)

    def leave(self, job: JobHandle) -> None:
        pass


class NotebookScreen:
    """An output of the cell, updated in place. After :meth:`leave` the hub's thread keeps it up to date."""

    def __init__(self, shell: InteractiveShell) -> None:
        self._publish = shell.display_pub.publish
        self._id: str | None = None
        self._last: display.Bundle = {}
        self._lock = threading.Lock()

    def draw(self, job: JobHandle) -> None:
        with self._lock:
            bundle = display.job_bundle(job)
            if bundle == self._last:
                return
            update, self._id, self._last = self._id is not None, self._id or f"hubkernel-{uuid.uuid4().hex}", bundle
            self._publish(bundle, transient={"display_id": self._id}, update=update)

    def say(self, text: str) -> None:
        print(text, flush=True)  # noqa: T201 - the cell's output is the screen

    def leave(self, job: JobHandle) -> None:
        """Called also for jobs that nobody ever waited for."""
        _left.add(job)

        def draw(changed: JobHandle) -> None:
            self.draw(changed)
            if changed.finished:
                stop()
                _left.discard(changed)

        stop = job.on_change(draw)
        draw(job)


_left: set[JobHandle] = set()
"""Jobs that run while their output stands in a notebook; held here since their hub holds them weakly."""


def is_kernel(shell: Any) -> bool:
    """Whether the shell's output goes to a notebook and not to a terminal."""
    return getattr(shell, "kernel", None) is not None


def screen_for(shell: InteractiveShell) -> Screen:
    """The screen for one more job of a shell."""
    if is_kernel(shell):
        return NotebookScreen(shell)
    return terminal(sys.stdout)


def terminal(stream: TextIO) -> Screen:
    """A screen on a stream, by what the stream is."""
    return TerminalScreen(stream) if stream.isatty() else PlainScreen(stream)


class Shower:
    """Makes a bare job at the end of a cell live, and says only one line of one that was followed in the same cell."""

    def __init__(self, shell: InteractiveShell) -> None:
        self.shell = shell
        self._followed: set[int] = set()

    def wait(self, job: JobHandle) -> JobHandle:
        """Wait as :func:`wait` does, on a screen of this shell."""
        self._followed.add(job.id)
        return wait(job, screen_for(self.shell))

    def note(self, job: JobHandle) -> None:
        """Say how a job that :meth:`wait` has shown has ended, to those who could not see it change."""
        if is_kernel(self.shell):
            self.shell.display_pub.publish(display.job_note(job))

    def register(self) -> None:
        formatter = self.shell.display_formatter
        formatter.mimebundle_formatter.for_type(JobHandle, self._bundle)
        formatter.ipython_display_formatter.for_type(JobHandle, self._show_live)
        self.shell.events.register("post_run_cell", self._cell_ended)

    def unregister(self) -> None:
        formatter = self.shell.display_formatter
        formatter.ipython_display_formatter.pop(JobHandle, None)
        self.shell.events.unregister("post_run_cell", self._cell_ended)

    def _cell_ended(self, _result: object = None) -> None:
        self._followed.clear()

    def _bundle(self, job: JobHandle) -> display.Bundle:
        return display.job_brief(job) if job.id in self._followed else display.job_bundle(job)

    def _show_live(self, job: JobHandle) -> None:
        """IPython asks this first; ``NotImplementedError`` hands the job on to :meth:`_bundle`."""
        if job.finished or not is_kernel(self.shell):
            raise NotImplementedError
        NotebookScreen(self.shell).leave(job)
