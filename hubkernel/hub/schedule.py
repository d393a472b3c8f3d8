"""Timers of the hub loop: crons that neither overlap nor hide errors, and how they are shown."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import inspect
import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from typing import Any

import aiocron
from cronsim import CronSim

from hubkernel.pipeline.common import cron_expression

log = logging.getLogger(__name__)

DAY = 86400
CLOCK_JUMP = 60
"""A clock that is set back by more seconds than this starts the count anew."""


class ScheduleError(ValueError):
    """A cron expression is wrong."""


def check_cron(spec: str) -> str:
    """``spec`` in the order of :mod:`cronsim`. Five fields are minute, hour, day, month, weekday; a sixth, last, is
    seconds, as in ``* * * * * */10``: every ten seconds. Raises :class:`ScheduleError`.
    """
    try:
        return cron_expression(spec)
    except ValueError as error:
        raise ScheduleError(str(error)) from None


def iso(moment: float | None, precision: str = "seconds") -> str | None:
    """Seconds since the epoch as ISO 8601, in UTC."""
    return None if moment is None else datetime.fromtimestamp(moment, UTC).isoformat(timespec=precision)


class HubCron(aiocron.Cron):  # type: ignore[misc]
    """Calls ``func`` on the hub loop by a cron of 5 or 6 fields (seconds last), in the time zone ``tz`` or local time.

    A run that still goes on when the next is due makes that one be skipped, with a warning and ``on_skip``. An error is
    logged and given to ``on_error``; the schedule goes on. Each next time is counted from the wall clock, so that a
    clock that is set forward or back shifts nothing for good. May be made and stopped from any thread.
    """

    def __init__(
        self,
        spec: str,
        func: Callable[..., Any],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
        *,
        loop: asyncio.AbstractEventLoop,
        on_error: Callable[[str, BaseException], None] | None = None,
        on_skip: Callable[[str], object] | None = None,
        tz: tzinfo | None = None,
        start: bool = True,
    ) -> None:
        self.expression = check_cron(spec)
        self.on_skip = on_skip
        self.on_error = on_error
        self.runs = 0
        self.skipped = 0
        self._task: asyncio.Task[None] | None = None
        self._last_due = 0.0
        super().__init__(spec, func=func, args=args, kwargs=kwargs, start=False, loop=loop, tz=tz)
        if start:
            self.resume()

    def initialize(self) -> None:
        """Called when it starts. Nothing is kept from before; see :meth:`get_next`."""
        self._last_due = 0.0

    def get_next(self) -> float:
        """Loop time of the next run."""
        now = time.time()
        begin = now if self._last_due - now > CLOCK_JUMP else max(now, self._last_due)
        self._last_due = self.due_after(begin)
        return float(self.loop.time() + (self._last_due - now))

    def call_func(self, *args: Any, **kwargs: Any) -> None:
        """Called by the loop when a run is due."""
        if self.running:
            self.skipped += 1
            log.warning("%s is still running: the run that is due now is skipped", self)
            if self.on_skip is not None:
                self.on_skip(str(self))
            return
        # In a context of its own: whoever made the schedule is not the cause of what it starts.
        self._task = self.loop.create_task(self._run(*args, **kwargs), context=contextvars.Context())

    @property
    def running(self) -> bool:
        return self._task is not None and not self._task.done()

    @property
    def next_run(self) -> float | None:
        """When it is due next, in seconds since the epoch; None while it is stopped."""
        return self._last_due if self.handle is not None else None

    def due_after(self, moment: float) -> float:
        """The first time after ``moment`` at which it is due; both in seconds since the epoch."""
        return float(next(CronSim(self.expression, datetime.fromtimestamp(moment, self.tz))).timestamp())

    def resume(self) -> None:
        """Run by the clock (again), from any thread."""
        self.loop.call_soon_threadsafe(self.start)

    async def _run(self, *args: Any, **kwargs: Any) -> None:
        self.runs += 1
        try:
            await self.cron(*args, **kwargs)
        except Exception as error:
            log.exception("%s failed", self)
            if self.on_error is not None:
                self.on_error(str(self), error)

    def cancel(self) -> None:
        """No further run, from any thread; one that goes on now is not disturbed."""
        self.loop.call_soon_threadsafe(self.stop)

    def __str__(self) -> str:
        return JobRenderer().render_cron(self)


class JobRenderer:
    """Shows a timer of an asyncio loop in words. Each kind of callable has its method, for subclasses to change."""

    def render(self, job: asyncio.TimerHandle) -> str:
        """``f(1, x=2) {run in 00h:00m:09s}``; a cron shows its expression: ``f [0 9 * * *] {run in 15h:58m:13s}``."""
        callback = getattr(job, "_callback", None)
        cron = _cron_of(callback)
        text = self.render_cron(cron) if cron is not None else self._render_callable(_with_arguments(job))
        delta = self.render_strdelta(job)
        return f"{text} {{run now}}" if delta == "now" else f"{text} {{run in {delta}}}"

    def _render_callable(self, function: Any) -> str:
        if isinstance(function, functools.partial):
            return self.render_partial(function)
        if inspect.ismethod(function):
            return self.render_method(function)
        if getattr(function, "__name__", "") == "<lambda>":
            return self.render_lambda(function)
        return self.render_func(function)

    def render_partial(self, p: functools.partial[Any]) -> str:
        """Function and all arguments, also the named ones."""
        arguments = [repr(arg) for arg in p.args] + [f"{name}={value!r}" for name, value in p.keywords.items()]
        return f"{self._render_callable(p.func)}({', '.join(arguments)})"

    def render_cron(self, c: Any) -> str:
        return f"{self._render_callable(c.func)} [{c.spec}]"

    def render_func(self, f: Any) -> str:
        """A function, a builtin, a class, or the class of an instance that can be called."""
        return str(getattr(f, "__name__", None) or type(f).__name__)

    def render_lambda(self, l: Any) -> str:  # noqa: E741 - the name of the seed
        return str(l.__name__)

    def render_method(self, m: Any) -> str:
        """``K.m``, for a method of an instance as for one of the class."""
        owner = m.__self__ if inspect.isclass(m.__self__) else type(m.__self__)
        return f"{owner.__name__}.{m.__name__}"

    def render_strdelta(self, job: asyncio.TimerHandle) -> str:
        """Time until the run: ``HHh:MMm:SSs``, from a day on with ``N day(s)`` before it; ``now`` if it is due."""
        loop = getattr(job, "_loop", None)
        seconds = round(job.when() - (loop.time() if loop is not None else time.monotonic()))
        if seconds <= 0:
            return "now"
        days, rest = divmod(seconds, DAY)
        clock = f"{rest // 3600:02}h:{rest // 60 % 60:02}m:{rest % 60:02}s"
        return f"{days} day(s) {clock}" if days else clock

    def cron_and_strdelta_info(self, job: asyncio.TimerHandle) -> dict[str, str | None]:
        """``{"cron": expression or None, "strdelta": time until the run}``."""
        cron = _cron_of(getattr(job, "_callback", None))
        return {"cron": None if cron is None else cron.spec, "strdelta": self.render_strdelta(job)}


def get_schedule(loop: asyncio.AbstractEventLoop) -> str:
    """The timers of ``loop``, soonest first, one a line. Never raises; may be called from any thread."""
    renderer = JobRenderer()
    timers = [timer for timer in list(getattr(loop, "_scheduled", ())) if not timer.cancelled()]
    return "\n".join(_rendered(renderer, timer) for timer in sorted(timers, key=lambda timer: timer.when()))


def _rendered(renderer: JobRenderer, timer: asyncio.TimerHandle) -> str:
    try:
        return renderer.render(timer)
    except Exception as error:
        log.debug("a timer cannot be shown", exc_info=True)
        return f"a timer that cannot be shown ({type(error).__name__}: {error})"


def _cron_of(callback: Any) -> Any:
    """The cron whose next run a timer is, or None."""
    owner = getattr(callback, "__self__", None)
    return owner if isinstance(owner, aiocron.Cron) else None


def _with_arguments(job: asyncio.TimerHandle) -> Any:
    callback, args = getattr(job, "_callback", None), getattr(job, "_args", None)
    return functools.partial(callback, *args) if args and callable(callback) else callback
