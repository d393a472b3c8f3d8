"""Scrolls: a search that is read page by page, from the point in time at which it began."""

from __future__ import annotations

import re
import threading
import time
import uuid
from array import array
from dataclasses import dataclass, field
from typing import Any

from hubkernel.search.errors import ApiError, illegal
from hubkernel.search.index import Index, View

_OPEN_LIMIT = 500
_UNITS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001, "micros": 1e-6, "nanos": 1e-9}


@dataclass
class Part:
    """One index of the search. ``target`` is what :mod:`hubkernel.search.search` needs to show its rows."""

    index: Index
    view: View
    """Pinned."""
    target: Any


@dataclass
class Scroll:
    """What was found, in order: for each hit its part, its row and its score. ``at`` is where the next page begins."""

    asked: Any
    """The request of the first page decides how hits look."""
    total: int
    parts: list[Part]
    order: array[int]
    seqs: array[int]
    scores: array[float]
    at: int
    expires: float = 0.0
    id: str = field(default_factory=lambda: uuid.uuid4().hex)
    lock: threading.Lock = field(default_factory=threading.Lock)


class Scrolls:
    """The open ones. Rows that a scroll may still need are kept by their index while it is open."""

    def __init__(self) -> None:
        self._open: dict[str, Scroll] = {}
        self._lock = threading.Lock()

    def add(self, scroll: Scroll, keep_alive: str) -> None:
        """From now on its views are unpinned here, when it is cleared or expires. 429 if there are too many."""
        self._expire()
        scroll.expires = time.monotonic() + seconds(keep_alive)
        with self._lock:
            if len(self._open) < _OPEN_LIMIT:
                self._open[scroll.id] = scroll
                return
        raise ApiError(
            429, "too_many_scroll_contexts_exception", f"more than {_OPEN_LIMIT} scrolls are open; clear some"
        )

    def get(self, id: str, keep_alive: str | None) -> Scroll:
        self._expire()
        with self._lock:
            scroll = self._open.get(id)
            if scroll is None:
                raise ApiError(404, "search_context_missing_exception", f"No search context found for id [{id}]")
            if keep_alive:
                scroll.expires = time.monotonic() + seconds(keep_alive)
            return scroll

    def clear(self, ids: list[str]) -> int:
        """How many there were."""
        with self._lock:
            gone = [scroll for id in ids if (scroll := self._open.pop(id, None)) is not None]
        for scroll in gone:
            _release(scroll)
        return len(gone)

    def clear_all(self) -> int:
        return self.clear(list(self._open))

    def clear_index(self, index: Index) -> None:
        self.clear([id for id, scroll in list(self._open.items()) if any(part.index is index for part in scroll.parts)])

    def _expire(self) -> None:
        now = time.monotonic()
        self.clear([id for id, scroll in list(self._open.items()) if scroll.expires < now])


def _release(scroll: Scroll) -> None:
    for part in scroll.parts:
        part.index.unpin(part.view)


def seconds(text: str) -> float:
    """``"5m"`` is 300.0; 400 if it is no duration."""
    match = re.fullmatch(r"(\d+)(d|h|ms|micros|nanos|m|s)", text)
    if match is None:
        raise illegal(f"failed to parse setting [scroll] with value [{text}] as a time value")
    return int(match[1]) * _UNITS[match[2]]
