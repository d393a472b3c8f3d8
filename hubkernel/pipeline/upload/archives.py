"""Earlier versions of a collection: how they are called, and which of them are kept."""

from __future__ import annotations

import re
from datetime import UTC, datetime

from hubkernel.pipeline.common import ALPHABET, random_letters
from hubkernel.store import DocumentStore

TICK = 40
"""Microseconds; a day has fewer ticks than six letters have values."""


def archive_name(collection: str) -> str:
    """``<collection>_archive_<YYYYMMDD>_<8 letters>``; the letters begin with the time of day, so names sort by age."""
    now = datetime.now(UTC)
    seconds = (now.hour * 60 + now.minute) * 60 + now.second
    clock = _base36((seconds * 1_000_000 + now.microsecond) // TICK, 6)
    return f"{collection}_archive_{now:%Y%m%d}_{clock}{random_letters(2)}"


def _base36(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits = ALPHABET[digit] + digits
    return digits


def archives(store: DocumentStore, collection: str) -> list[str]:
    """The archives of a collection, oldest first."""
    return _named(store, collection, r"_archive_\d{8}_[0-9a-z]{8}")


def prune_archives(store: DocumentStore, collection: str, keep: int) -> list[str]:
    """Drop all but the newest ``keep`` archives; returns what was dropped."""
    old = archives(store, collection)
    return _drop(store, old[: max(len(old) - keep, 0)])


def unchecked_name(collection: str) -> str:
    """Where a new version waits while its documents are checked."""
    return f"{collection}_unchecked_{random_letters(8)}"


def drop_unchecked(store: DocumentStore, collection: str) -> list[str]:
    """Drop what waited when its upload ended; returns the names."""
    return _drop(store, _named(store, collection, r"_unchecked_[0-9a-z]{8}"))


def preview_name(collection: str) -> str:
    """Where the first documents go if only these were asked for."""
    return f"{collection}_preview"


def _named(store: DocumentStore, collection: str, pattern: str) -> list[str]:
    matching = re.compile(re.escape(collection) + pattern)
    return sorted(name for name in store.names() if matching.fullmatch(name))


def _drop(store: DocumentStore, names: list[str]) -> list[str]:
    for name in names:
        store.drop(name)
    return names
