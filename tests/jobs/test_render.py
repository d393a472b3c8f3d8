from __future__ import annotations

import time

import pytest

from hubkernel.jobs.render import COLUMNS, sizeof_fmt, table, tail, timesofar


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0.0B"),
        (1023, "1023.0B"),
        (1024, "1.0KiB"),
        (1536, "1.5KiB"),
        (1000000, "976.6KiB"),
        (1024**2 - 1, "1.0MiB"),
        (5 * 1024**4, "5.0TiB"),
        (-1536, "-1.5KiB"),
        (3 * 1024**6, "3.0EiB"),
    ],
)
def test_core_c76_sizes(size: int, text: str) -> None:
    assert sizeof_fmt(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0s"),
        (3.559, "3.56s"),
        (59.999, "1m0.0s"),
        (62, "1m2.0s"),
        (3600, "1h0.0s"),
        (3661, "1h1m1.0s"),
        (90061.5, "25h1m1.5s"),
    ],
)
def test_core_c76_durations_with_an_explicit_end(seconds: float, text: str) -> None:
    assert timesofar(1000.0, 1000.0 + seconds) == text
    assert timesofar(0, t1=seconds) == text


def test_core_c76_durations_end_now_by_default() -> None:
    assert timesofar(time.time() - 3661).startswith("1h1m1.")


def test_long_values_keep_their_tail() -> None:
    assert tail("short", 10) == "short"
    assert tail("a_very_long_name", 10) == "...ng_name"
    assert tail("two\nlines", 10) == "two lines"


def test_a_table_is_as_wide_as_its_header_whatever_is_in_it() -> None:
    lines = table([["x" * 50] * len(COLUMNS), ["y"] * len(COLUMNS)])
    assert lines[0] == (
        "   PID    |              SOURCE               | CATEGORY |        STEP        |         DESCRIPTION          "
        "|   MEM    | CPU  |     STARTED_AT     | DURATION "
    )
    assert {len(line) for line in lines} == {len(lines[0])}
