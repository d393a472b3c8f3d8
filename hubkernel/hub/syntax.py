"""Commands as text: ``dump("x", force=True)``, ``dump x force=True`` and ``dump("x") && upload("x")``. ``dump?`` asks
for the help of a command.

Arguments are Python literals. Nothing is ever evaluated: a name, an attribute or a call among the arguments is an error
that points at its place. In the second form a bare word that is no literal is text.
"""

from __future__ import annotations

import ast
import re
from typing import Any, NamedTuple

_NAME = re.compile(r"\s*([A-Za-z_]\w*)")
_HELP = re.compile(r"\s*(?:\?\s*([A-Za-z_]\w*)|([A-Za-z_]\w*)\s*\?{1,2})\s*")
_CLOSING = {"(": ")", "[": "]", "{": "}"}


class Call(NamedTuple):
    """One command with its arguments."""

    name: str
    args: tuple[Any, ...] = ()
    kwargs: dict[str, Any] = {}


class CommandSyntaxError(ValueError):
    """The text is no command. ``str()`` shows the text with a caret at ``position`` (zero-based)."""

    def __init__(self, message: str, text: str = "", position: int = 0) -> None:
        super().__init__(message)
        self.message, self.text, self.position = message, text, position

    def __str__(self) -> str:
        before = self.text[: self.position]
        line_start = before.rfind("\n") + 1
        line = self.text[line_start:].split("\n", 1)[0]
        return f"{self.message}\n  {line}\n  {' ' * (self.position - line_start)}^"


def parse(text: str) -> Call:
    """The single command in ``text``. Raises :class:`CommandSyntaxError`."""
    calls = parse_chain(text)
    if len(calls) > 1:
        raise CommandSyntaxError("only one command is expected here", text, text.index("&&"))
    return calls[0]


def parse_chain(text: str) -> list[Call]:
    """The commands that ``&&`` joins; each runs only if the one before it succeeded."""
    pieces = _split(text, "&&")
    if len(pieces) > 1:
        for start, piece in pieces:
            if not piece.strip():
                raise CommandSyntaxError("'&&' needs a command on both sides", text, min(start, len(text)))
    return [_parse_one(text, start, piece) for start, piece in pieces]


def command_lines(text: str) -> list[str]:
    """The commands of a text that has one a line: no empty lines, no comments; a call may span lines."""
    commands: list[str] = []
    pending = ""
    for line in text.splitlines():
        if not pending and (not line.strip() or line.lstrip().startswith("#")):
            continue
        pending = f"{pending}\n{line}" if pending else line.strip()
        if _balanced(pending):
            commands.append(pending)
            pending = ""
    return [*commands, pending] if pending else commands


def _balanced(text: str) -> bool:
    return text.count("(") <= text.count(")")


def _parse_one(text: str, start: int, piece: str) -> Call:
    if (asked := _HELP.fullmatch(piece)) is not None:
        return Call("help", (asked[1] or asked[2],))
    match = _NAME.match(piece)
    if match is None:
        place = start + len(piece) - len(piece.lstrip())
        raise CommandSyntaxError("a command begins with its name", text, place)
    rest = piece[match.end() :]
    if rest.startswith("("):
        indent = len(piece) - len(piece.lstrip())
        return _parse_call(text, start + indent, piece.strip())
    if rest and not rest[0].isspace():
        raise CommandSyntaxError(f"unexpected {rest[0]!r} after the command's name", text, start + match.end())
    return _parse_words(text, start + match.end(), match.group(1), rest)


def _parse_call(text: str, start: int, code: str) -> Call:
    try:
        node = ast.parse(code, mode="eval").body
    except SyntaxError as error:
        raise CommandSyntaxError(error.msg, text, start + _offset(code, error.lineno, error.offset)) from None
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        raise CommandSyntaxError("only one command with its arguments is allowed here", text, start)

    def place(part: ast.AST) -> int:
        line, column = getattr(part, "lineno", 1), getattr(part, "col_offset", 0)
        return start + _from_bytes(code, line, column)

    def value(part: ast.expr) -> Any:
        try:
            return ast.literal_eval(part)
        except (ValueError, TypeError, MemoryError, RecursionError):
            culprit = _culprit(part)
            raise CommandSyntaxError(_not_literal(culprit), text, place(culprit)) from None

    kwargs: dict[str, Any] = {}
    for keyword in node.keywords:
        if keyword.arg is None:
            raise CommandSyntaxError("'**' is not allowed: name each argument", text, place(keyword))
        if keyword.arg in kwargs:
            raise CommandSyntaxError(f"{keyword.arg!r} is given twice", text, place(keyword))
        kwargs[keyword.arg] = value(keyword.value)
    return Call(node.func.id, tuple(value(part) for part in node.args), kwargs)


def _parse_words(text: str, start: int, name: str, rest: str) -> Call:
    args: list[Any] = []
    kwargs: dict[str, Any] = {}
    for at, word in _words(text, start, rest):
        match = re.match(r"([A-Za-z_]\w*)=(?!=)", word)
        if match is None and kwargs:
            raise CommandSyntaxError("an argument without a name comes before the named ones", text, at)
        if match is None:
            args.append(_word_value(text, at, word))
        elif match.group(1) in kwargs:
            raise CommandSyntaxError(f"{match.group(1)!r} is given twice", text, at)
        else:
            kwargs[match.group(1)] = _word_value(text, at + match.end(), word[match.end() :])
    return Call(name, tuple(args), kwargs)


def _word_value(text: str, at: int, word: str) -> Any:
    """A literal, or the bare word itself; what looks like a literal but is none is an error, not text."""
    try:
        return ast.literal_eval(word)
    except (ValueError, TypeError, SyntaxError, MemoryError, RecursionError):
        if not word or word[0] in "\"'[{(":
            raise CommandSyntaxError("not a Python literal", text, at) from None
        return word


def _words(text: str, start: int, rest: str) -> list[tuple[int, str]]:
    """White-space separated words with their places; quotes and brackets keep a word together."""
    words = []
    at = 0
    while at < len(rest):
        if rest[at].isspace():
            at += 1
            continue
        end = _scan(text, start, rest, at, lambda part, i: part[i].isspace())
        words.append((start + at, rest[at:end]))
        at = end
    return words


def _split(text: str, separator: str) -> list[tuple[int, str]]:
    pieces = []
    at = 0
    while True:
        end = _scan(text, 0, text, at, lambda part, i: part.startswith(separator, i))
        pieces.append((at, text[at:end]))
        if end >= len(text):
            return pieces
        at = end + len(separator)
        if at >= len(text):
            pieces.append((len(text), ""))
            return pieces


def _scan(text: str, start: int, part: str, at: int, stop: Any) -> int:
    """Where ``stop(part, index)`` first holds outside of quotes and brackets, or the end of ``part``."""
    open_brackets: list[tuple[str, int]] = []
    while at < len(part):
        char = part[at]
        if not open_brackets and stop(part, at):
            return at
        if char in "\"'":
            at = _string_end(text, start, part, at)
            continue
        if char in _CLOSING:
            open_brackets.append((_CLOSING[char], at))
        elif open_brackets and char == open_brackets[-1][0]:
            open_brackets.pop()
        at += 1
    if open_brackets:
        raise CommandSyntaxError(f"{open_brackets[-1][0]!r} is missing for this", text, start + open_brackets[-1][1])
    return at


def _string_end(text: str, start: int, part: str, at: int) -> int:
    quote = part[at] * 3 if part.startswith(part[at] * 3, at) else part[at]
    index = at + len(quote)
    while index < len(part):
        if part[index] == "\\":
            index += 2
        elif part.startswith(quote, index):
            return index + len(quote)
        else:
            index += 1
    raise CommandSyntaxError("this quote is never closed", text, start + at)


def _culprit(node: ast.expr) -> ast.expr:
    """The innermost part of an argument that is no literal."""
    for child in ast.walk(node):
        if isinstance(
            child, ast.Name | ast.Call | ast.Attribute | ast.Lambda | ast.Starred | ast.JoinedStr | ast.Await
        ):
            return child
    return node


def _not_literal(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return f"{node.id} is no literal; for text write {node.id!r}"
    return "only literals (text, numbers, lists, dicts, True, False, None) are allowed as arguments"


def _offset(code: str, line: int | None, offset: int | None) -> int:
    lines = code.split("\n")
    row = min(max((line or 1) - 1, 0), len(lines) - 1)
    column = min(max((offset or 1) - 1, 0), len(lines[row]))
    return sum(len(text) + 1 for text in lines[:row]) + column


def _from_bytes(code: str, line: int, column: int) -> int:
    """``ast`` counts columns in UTF-8 bytes; the caret counts characters."""
    lines = code.split("\n")
    return sum(len(text) + 1 for text in lines[: line - 1]) + len(lines[line - 1].encode()[:column].decode())
