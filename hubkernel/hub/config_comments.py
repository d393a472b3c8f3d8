"""What the comments of a Python configuration module say of its settings.

::

    #* Storage *#            a section, until the next one; "#* *#" ends it
    # Where the dumps go,    the description: lines that begin with "# ", up to
    # without a slash.       the setting; an empty line forgets them
    #- readonly -#           a mark: readonly, hidden (or hide), invisible
    ARCHIVE = "/data"        # text here comes first in the description
"""

from __future__ import annotations

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass, field

from hubkernel.pipeline.common import syntax_tree

_SECTION = re.compile(r"#\s?\*\s*(.*?)\s*\*\s?#\s*")
_MARK = re.compile(r"#\s?-\s*(\w+)\s*-\s?#\s*")
_TEXT = re.compile(r"#\s+(.*)")
_MARKS = {"readonly": "readonly", "hide": "hidden", "hidden": "hidden", "invisible": "invisible"}


@dataclass(frozen=True, slots=True)
class Comment:
    """Of one setting. ``line`` counts from 1."""

    line: int = 0
    section: str | None = None
    desc: str | None = None
    readonly: bool = False
    """``setconf`` refuses it."""
    hidden: bool = False
    """Its value is shown as ``********``."""
    invisible: bool = False
    """It is not shown at all."""


@dataclass
class _Pending:
    """What was read since the last setting or empty line."""

    lines: list[str] = field(default_factory=list)
    marks: set[str] = field(default_factory=set)


def read_comments(text: str) -> dict[str, Comment]:
    """By setting, in the order of the module. The module has to be valid Python."""
    comments, code = _tokens(text)
    settings: dict[int, list[str]] = {}
    for node, names in _assignments(syntax_tree(text)):
        settings[node.lineno] = names
        code.update(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    found: dict[str, Comment] = {}
    section: str | None = None
    pending = _Pending()
    for line in range(1, len(text.splitlines()) + 1):
        comment = comments.get(line)
        if line in settings:
            for name in settings[line]:
                found[name] = _comment(line, section, pending, comment)
            pending = _Pending()
        elif line in code:
            continue
        elif comment is None:
            pending = _Pending()
        elif (title := _SECTION.fullmatch(comment)) is not None:
            section = title[1] or None
        else:
            _read(comment, pending)
    return found


def _read(comment: str, pending: _Pending) -> None:
    if (mark := _MARK.fullmatch(comment)) is not None:
        pending.marks |= {_MARKS[mark[1]]} if mark[1] in _MARKS else set()
    elif (text := _TEXT.fullmatch(comment)) is not None:
        pending.lines.append(text[1].strip())


def _comment(line: int, section: str | None, pending: _Pending, inline: str | None) -> Comment:
    beside = _TEXT.fullmatch(inline) if inline else None
    lines = [beside[1].strip()] if beside else []
    desc = " ".join([*lines, *pending.lines]).strip()
    return Comment(line, section, desc or None, **{mark: mark in pending.marks for mark in set(_MARKS.values())})


def _tokens(text: str) -> tuple[dict[int, str], set[int]]:
    """Comments by line, and the lines that have code."""
    comments: dict[int, str] = {}
    code: set[int] = set()
    layout = {tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER, tokenize.ENCODING}
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            comments[token.start[0]] = token.string
        elif token.type not in layout:
            code.update(range(token.start[0], token.end[0] + 1))
    return comments, code


def _assignments(tree: ast.Module) -> Iterator[tuple[ast.stmt, list[str]]]:
    """The UPPER_CASE names of each assignment of the module, also those in ``if`` and ``try``."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        waiting += ast.iter_child_nodes(node)
        if isinstance(node, ast.Assign | ast.AnnAssign):
            targets = node.targets if isinstance(node, ast.Assign) else [node.target]
            names = [t.id for t in targets if isinstance(t, ast.Name) and re.fullmatch(r"[A-Z][A-Z0-9_]*", t.id)]
            if names:
                yield node, names
