"""Dates as Elasticsearch's ``strict_date_optional_time||epoch_millis`` reads them; kept as milliseconds since 1970."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Any

FORMATS = frozenset(
    [
        "strict_date_optional_time",
        "date_optional_time",
        "strict_date",
        "date",
        "epoch_millis",
        "strict_date_time",
        "date_time",
        "yyyy",
        "yyyy-MM",
        "yyyy-MM-dd",
        "yyyy-MM-dd'T'HH:mm:ss",
        "yyyy-MM-dd'T'HH:mm:ssZ",
    ]
) | {"yyyy-MM-dd HH:mm:ss"}
"""Formats of a mapping that the one parser below covers."""

_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d?)(?:-(?P<day>\d\d?)"
    r"(?:[T ](?P<hour>\d\d?)(?::(?P<minute>\d\d)(?::(?P<second>\d\d)(?:[.,](?P<fraction>\d+))?)?)?"
    r"(?P<zone>Z|[+-]\d\d:?\d\d)?)?)?)?"
)
_EPOCH = re.compile(r"-?\d{5,}")
_DETECTED = re.compile(r"\d{4}-\d\d-\d\d(?:[T ]\d\d.*)?")
_ORIGIN = datetime(1970, 1, 1, tzinfo=UTC)


def looks_like_date(text: str) -> bool:
    """Whether dynamic mapping makes a date field of this first value."""
    if not _DETECTED.fullmatch(text):
        return False
    try:
        to_millis(text)
    except ValueError:
        return False
    return True


def to_millis(value: Any, *, round_up: bool = False) -> int:
    """``ValueError`` if it is no date. ``round_up`` fills a missing time with the end of the day (upper bounds)."""
    if isinstance(value, bool):
        raise ValueError(f"failed to parse date field [{value}]")
    if isinstance(value, (int, float)):
        return int(value)
    text = str(value).strip()
    if _EPOCH.fullmatch(text):
        return int(text)
    match = _ISO.fullmatch(text)
    if match is None:
        raise ValueError(f"failed to parse date field [{value}] with format [strict_date_optional_time||epoch_millis]")
    return _millis(match, round_up)


def _millis(match: re.Match[str], round_up: bool) -> int:
    def part(name: str, low: int, high: int) -> int:
        text = match[name]
        return int(text) if text else high if round_up else low

    moment = datetime(
        int(match["year"]), int(match["month"] or 1), int(match["day"] or 1),
        part("hour", 0, 23), part("minute", 0, 59), part("second", 0, 59), tzinfo=UTC,
    )  # fmt: skip
    moment -= _offset(match["zone"])
    fraction = match["fraction"]
    extra = int((fraction + "00")[:3]) if fraction else 999 if round_up else 0
    return (moment - _ORIGIN) // timedelta(milliseconds=1) + extra


def _offset(zone: str | None) -> timedelta:
    if not zone or zone == "Z":
        return timedelta()
    size = timedelta(hours=int(zone[1:3]), minutes=int(zone[-2:]))
    return size if zone[0] == "+" else -size


def to_text(millis: float) -> str:
    """As in ``value_as_string`` and ``key_as_string``: ``2024-01-15T00:00:00.000Z``."""
    moment = _ORIGIN + timedelta(milliseconds=int(millis))
    return moment.strftime("%Y-%m-%dT%H:%M:%S.") + f"{moment.microsecond // 1000:03d}Z"
