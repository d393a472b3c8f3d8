"""The documented language is the language that the code knows, operator by operator."""

from __future__ import annotations

import re
from pathlib import Path

from hubkernel.store.query import FILTER_OPERATORS
from hubkernel.store.update import UPDATE_OPERATORS

PAGE = Path(__file__).parents[2] / "docs" / "users" / "queries.md"


def listed(section: str) -> set[str]:
    """The operators in the first column of a section's table."""
    text = PAGE.read_text().split(f"## {section}\n")[1].split("\n## ")[0]
    return set(re.findall(r"^\| `(\$\w+)` \|", text, re.MULTILINE))


def test_filter_operators() -> None:
    assert listed("Filters") == FILTER_OPERATORS


def test_update_operators() -> None:
    assert listed("Updates") == UPDATE_OPERATORS
