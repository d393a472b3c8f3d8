"""Every acceptance case of data loading is a test, or named here with the reason why it is none yet."""

from __future__ import annotations

import re
from pathlib import Path

CASES = {*range(1, 87)}

OWED: dict[int, str] = {}
"""Reason by case. A case that has got its test has to leave: the test below says which."""


def cases_with_a_test() -> set[int]:
    """Numbers in names such as ``test_dataload_c07_c08_two_faults``."""
    found: set[int] = set()
    for file in Path(__file__).parent.rglob("test_*.py"):
        for cases in re.findall(r"def test_dataload((?:_c\d\d)+)_", file.read_text(encoding="utf-8")):
            found |= {int(number) for number in re.findall(r"\d\d", cases)}
    return found


def test_every_case_is_tested_or_owed() -> None:
    tested = cases_with_a_test()
    assert not tested - CASES, "there is no such case"
    assert not CASES - tested - OWED.keys(), "these cases have no test: write them, or say in OWED why not"


def test_what_is_owed_is_really_missing() -> None:
    assert not OWED.keys() & cases_with_a_test(), "these cases have a test now: take them out of OWED"
