"""The life of a job as a pure state machine: ``step(life, event)`` gives the next life and what is to be done.

No IO, no clock, no threads: the manager does what the instructions say, in their order.

``created → queued → running → done | failed | cancelled | interrupted``. Once a cancel is asked for, a job that has
not ended can only end as ``cancelled``. Nothing leads out of a terminal state, except that an interrupted job which
declares itself idempotent may be queued again.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any


class State(StrEnum):
    CREATED = "created"
    QUEUED = "queued"
    """Waits for admission."""
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    INTERRUPTED = "interrupted"
    """Its hub ended first."""


TERMINAL = frozenset({State.DONE, State.FAILED, State.CANCELLED, State.INTERRUPTED})
UNFINISHED = frozenset(State) - TERMINAL


class IllegalEventError(Exception):
    """An event that cannot happen in this state: an error of the caller, never of a job."""


# Events. ``at`` is in seconds since the epoch.


@dataclass(frozen=True, slots=True)
class Wait:
    """The job has to wait before it may start."""

    at: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Start:
    at: float


@dataclass(frozen=True, slots=True)
class Succeed:
    at: float
    result: Any = None


@dataclass(frozen=True, slots=True)
class Fail:
    at: float
    error: str
    traceback: str = ""


@dataclass(frozen=True, slots=True)
class Cancel:
    """Someone asks for the end."""

    at: float


@dataclass(frozen=True, slots=True)
class Stopped:
    """The job's code has ended because it was told to."""

    at: float


@dataclass(frozen=True, slots=True)
class Interrupt:
    """The hub ends, or has ended, before the job."""

    at: float
    reason: str


@dataclass(frozen=True, slots=True)
class Requeue:
    at: float


Event = Wait | Start | Succeed | Fail | Cancel | Stopped | Interrupt | Requeue


# Instructions.


@dataclass(frozen=True, slots=True)
class Journal:
    """Make these fields of the job's record durable."""

    changes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Publish:
    """Tell the world. Always after a :class:`Journal`, once for each."""


@dataclass(frozen=True, slots=True)
class Settle:
    """Give the job's future its outcome: the job has ended."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Cancel the job's code and its work."""


Instruction = Journal | Publish | Settle | Stop


@dataclass(frozen=True, slots=True)
class Life:
    """Where a job stands, and how it got there."""

    state: State = State.CREATED
    cancelling: bool = False
    idempotent: bool = False
    story: tuple[tuple[str, float], ...] = field(default=())
    """``(state, time)`` of each transition, in order."""

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL


Outcome = tuple[Life, tuple[Instruction, ...]]


def born(at: float, *, idempotent: bool = False) -> Life:
    """The life of a job that was just created."""
    return Life(idempotent=idempotent, story=((State.CREATED.value, at),))


def step(life: Life, event: Event) -> Outcome:
    """Raises :class:`IllegalEventError` where ``event`` cannot happen; in a terminal state it is ignored."""
    if isinstance(event, Requeue):
        return _requeue(life, event)
    if life.ended:
        return life, ()
    if isinstance(event, Cancel):
        return replace(life, cancelling=True), (Stop(),)
    if life.cancelling:
        return _end(life, State.CANCELLED, event.at, error="cancelled")
    return _advance(life, event)


def _advance(life: Life, event: Event) -> Outcome:
    running = life.state is State.RUNNING
    match event:
        case Wait(at, reason) if not running:
            return _move(life, State.QUEUED, at, message=reason)
        case Start(at) if not running:
            return _move(life, State.RUNNING, at, started=at, message="")
        case Succeed(at, result) if running:
            return _end(life, State.DONE, at, result=result)
        case Fail(at, error, traceback):
            return _end(life, State.FAILED, at, error=error, traceback=traceback)
        case Stopped(at):
            return _end(life, State.CANCELLED, at, error="cancelled")
        case Interrupt(at, reason):
            life, instructions = _end(life, State.INTERRUPTED, at, error=reason)
            return life, (Stop(), *instructions)
    raise IllegalEventError(f"{type(event).__name__} cannot happen to a job that is {life.state}")


def _requeue(life: Life, event: Requeue) -> Outcome:
    if life.state is not State.INTERRUPTED:
        raise IllegalEventError(f"only an interrupted job can be queued again, this one is {life.state}")
    if not life.idempotent:
        raise IllegalEventError("the job is not idempotent: running it again may do its work twice; start a new one")
    fresh = replace(life, cancelling=False)
    return _move(fresh, State.QUEUED, event.at, started=None, finished=None, error=None, message="")


def _move(life: Life, state: State, at: float, **changes: Any) -> Outcome:
    if state is life.state:
        return life, (Journal(changes), Publish())
    life = replace(life, state=state, story=(*life.story, (state.value, at)))
    changes = {"state": state.value, "story": [list(entry) for entry in life.story], **changes}
    return life, (Journal(changes), Publish())


def _end(life: Life, state: State, at: float, **changes: Any) -> Outcome:
    life, (journal, publish) = _move(life, state, at, finished=at, **changes)
    return life, (journal, Settle(), publish)
