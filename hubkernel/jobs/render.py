"""Sizes, durations and tables as text."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from datetime import datetime

COLUMNS = (
    ("PID", 10, 10),
    ("SOURCE", 35, 25),
    ("CATEGORY", 10, 10),
    ("STEP", 20, 20),
    ("DESCRIPTION", 30, 30),
    ("MEM", 10, 10),
    ("CPU", 6, 6),
    ("STARTED_AT", 20, 20),
    ("DURATION", 10, 10),
)
"""Title, width, and the length from which on a value is cut to its tail."""


def timesofar(t0: float, t1: float | None = None) -> str:
    """The time from ``t0`` to ``t1`` (default: now), both in seconds: ``3.56s``, ``1m2.0s``, ``1h1m1.0s``."""
    seconds = round(float((time.time() if t1 is None else t1) - t0), 2)
    hours, rest = divmod(seconds, 3600)
    minutes, rest = divmod(rest, 60)
    parts = [f"{int(hours)}h" if hours else "", f"{int(minutes)}m" if minutes else "", f"{round(rest, 2)}s"]
    return "".join(parts)


def sizeof_fmt(size: float) -> str:
    """Bytes for people: ``0.0B``, ``1.5KiB``, ``976.6KiB``, ``5.0TiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB", "PiB"):
        if abs(round(size, 1)) < 1024:
            return f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}EiB"


def clock(at: float | None) -> str:
    """``2026/11/23 23:17:00`` in local time; empty for None."""
    return datetime.fromtimestamp(at).strftime("%Y/%m/%d %H:%M:%S") if at is not None else ""  # noqa: DTZ006 - for eyes


def table(rows: Iterable[Sequence[str]]) -> list[str]:
    """The lines of a table of work: its header, then ``rows``, with one value for each of :data:`COLUMNS`."""
    header = "|".join(f"{title:^{width}}" for title, width, _ in COLUMNS)
    return [header, *("|".join(_cells(row)) for row in rows)]


def _cells(row: Sequence[str]) -> list[str]:
    return [tail(value, cut).ljust(width) for value, (_, width, cut) in zip(row, COLUMNS, strict=True)]


def tail(value: str, length: int) -> str:
    """``value``, or ``...`` and its end, ``length`` characters in all."""
    value = " ".join(value.split())
    return value if len(value) <= length else "..." + value[3 - length :]
