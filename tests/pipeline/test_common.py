"""What several stages need."""

from __future__ import annotations

import ast
from typing import Any

import pytest

from hubkernel.pipeline import common


def test_a_tree_that_the_interpreter_miscounted_is_made_again(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, faults = ast.parse, [SystemError("AST constructor recursion depth mismatch (before=162, after=181)")] * 3

    def parsed(*args: Any) -> Any:
        if faults:
            raise faults.pop()
        return parse(*args)

    monkeypatch.setattr(ast, "parse", parsed)
    assert isinstance(common.syntax_tree("a = 1").body[0], ast.Assign)
    assert not faults


def test_a_fault_of_the_source_is_told_at_once() -> None:
    with pytest.raises(SyntaxError, match="invalid syntax"):
        common.syntax_tree("a = = 1", "x.py")
