"""What is kept of a job: its record, and the plain values that a record can hold."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import PurePath
from typing import Any

from hubkernel.jobs.masking import hide
from hubkernel.jobs.state import TERMINAL, Life, State

MAX_TEXT = 10_000
MAX_RESULT = 1_000_000
"""Characters of a result's repr; larger results belong into a store."""
_INT64 = 1 << 63


@dataclass
class JobRecord:
    """One job, as it is in the journal. Times are in seconds since the epoch."""

    id: int
    name: str
    args: list[Any] = field(default_factory=list)
    kwargs: dict[str, Any] = field(default_factory=dict)
    command: str = ""
    """What was asked for: ``dump(src='x',force=True)``."""
    state: str = State.CREATED.value
    created: float = 0.0
    started: float | None = None
    finished: float | None = None
    done: float = 0
    total: float | None = None
    message: str = ""
    log: list[str] = field(default_factory=list)
    """The newest lines."""
    error: str | None = None
    """One line, or None."""
    traceback: str | None = None
    """Full text, with the worker's part."""
    result: Any = None
    """The job's value if it is plain JSON, else its repr."""
    category: str = ""
    source: str = ""
    door: str = ""
    user: str = ""
    cause: dict[str, Any] = field(default_factory=dict)
    """Why there is this job: ``jobs`` (ids of those it follows), ``schedule``, ``trigger``; empty if someone asked."""
    idempotent: bool = False
    """May be run again after it was interrupted."""
    owner: str = ""
    """The hub process that ran it."""
    story: list[list[Any]] = field(default_factory=list)
    """``[state, time]`` of each transition, in order."""

    @property
    def ended(self) -> bool:
        return self.state in TERMINAL

    @property
    def life(self) -> Life:
        """Where the state machine goes on from here."""
        story = tuple((str(state), float(at)) for state, at in self.story)
        return Life(State(self.state), idempotent=self.idempotent, story=story)

    def copy(self) -> JobRecord:
        """As it is now; what comes later does not change the copy."""
        return replace(self, log=list(self.log), story=list(self.story))

    def to_dict(self) -> dict[str, Any]:
        """Everything, as plain JSON."""
        return asdict(self)

    def to_document(self) -> dict[str, Any]:
        """As it stands in the journal."""
        document = self.to_dict()
        return {"_id": document.pop("id"), **document}

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> JobRecord:
        """Fields that this version does not know are left out."""
        known = {item.name for item in fields(cls)}
        return cls(id=document["_id"], **{key: value for key, value in document.items() if key in known})


def clean(text: str, limit: int = MAX_TEXT) -> str:
    """Text that every store and every terminal can take: valid Unicode, not endless, nothing that looks secret."""
    text = hide(text).encode("utf-8", "backslashreplace").decode("utf-8")
    return text if len(text) <= limit else f"{text[:limit]}... ({len(text) - limit} more characters)"


def plain(value: Any) -> Any:
    """``value`` as plain JSON, else its repr. Tuples become lists, dates and times ISO 8601 text, paths text."""
    try:
        found = _plain(value)
    except (TypeError, RecursionError):
        return shorten(value)
    return found if len(repr(found)) <= MAX_RESULT else shorten(value)


def shorten(value: Any) -> str:
    try:
        return clean(repr(value))
    except Exception as error:
        return f"<{type(value).__name__}, whose repr raised {type(error).__name__}>"


def _plain(value: Any) -> Any:
    match value:
        case None | bool():
            return value
        case str():
            return clean(value, MAX_RESULT)
        case int() if -_INT64 <= value < _INT64:
            return int(value)
        case float() if math.isfinite(value):
            return float(value)
        case date():
            return value.isoformat()
        case PurePath():
            return clean(str(value))
        case list() | tuple():
            return [_plain(item) for item in value]
        case dict() if all(isinstance(key, str) and "\0" not in key for key in value):
            return {clean(key): _plain(item) for key, item in value.items()}
    raise TypeError(type(value).__name__)
