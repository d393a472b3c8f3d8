"""Parser of Lucene's classic query syntax, the dialect of Elasticsearch's ``query_string``: text to a small tree.

AND, OR and NOT are not operators of equal or ranked precedence: as in Lucene they mark the clauses beside them as
required, optional or forbidden (``a OR b AND c`` requires b and c). A run of plain words without operators is one text.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

_SPACE = " \t\n\r\u3000"
_STOPS = frozenset(_SPACE + '()"[]{}^~:')
_AFTER_OPERATOR = frozenset(_SPACE + '()!+-"[')


class SyntaxProblem(ValueError):  # noqa: N818 - a problem of the query, turned into an answer
    """The query cannot be parsed; the message says where."""


class Occur(Enum):
    MUST = "+"
    SHOULD = "?"
    MUST_NOT = "-"


@dataclass(frozen=True, slots=True)
class Text:
    """Words to be analyzed by each field. ``field`` is None for the default fields, here and below."""

    field: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Phrase:
    field: str | None
    text: str
    slop: int


@dataclass(frozen=True, slots=True)
class Pattern:
    """A word with ``*`` or ``?`` in it."""

    field: str | None
    parts: tuple[tuple[bool, str], ...]
    """``(is wildcard, character)``."""

    @property
    def text(self) -> str:
        return "".join(character for _, character in self.parts)

    @property
    def everything(self) -> bool:
        return self.parts == ((True, "*"),)


@dataclass(frozen=True, slots=True)
class Range:
    field: str | None
    low: str | None
    high: str | None
    include_low: bool
    include_high: bool


@dataclass(frozen=True, slots=True)
class Regex:
    field: str | None
    pattern: str


@dataclass(frozen=True, slots=True)
class Fuzzy:
    field: str | None
    text: str
    distance: int


@dataclass(frozen=True, slots=True)
class Boost:
    node: Node
    factor: float


@dataclass(frozen=True, slots=True)
class Clauses:
    clauses: tuple[tuple[Occur, Node], ...]


Node = Text | Phrase | Pattern | Range | Regex | Fuzzy | Boost | Clauses


def parse(query: str, *, default_and: bool = False) -> Node | None:
    """None for an empty query. Raises :class:`SyntaxProblem`."""
    parser = _Parser(query, default_and)
    parser.spaces()
    return None if parser.end else parser.clauses(None, 0)


class _Term:
    """A bare word: its text, and its characters marked as wildcard or literal."""

    def __init__(self, parts: list[tuple[bool, str]]) -> None:
        self.parts = tuple(parts)
        self.text = "".join(character for _, character in parts)
        self.wild = any(wild for wild, _ in parts)


class _Parser:
    def __init__(self, query: str, default_and: bool) -> None:
        self.query = query
        self.at = 0
        self.default_and = default_and

    # --- characters

    @property
    def end(self) -> bool:
        return self.at >= len(self.query)

    @property
    def here(self) -> str:
        return "" if self.end else self.query[self.at]

    def problem(self, what: str) -> SyntaxProblem:
        return SyntaxProblem(f"Cannot parse '{self.query}': {what} at position {self.at}")

    def spaces(self) -> None:
        while not self.end and self.here in _SPACE:
            self.at += 1

    def operator(self) -> tuple[str, int]:
        """The operator word here and its length, without moving; ``("", 0)`` if there is none."""
        for symbol, word in (("&&", "AND"), ("||", "OR")):
            if self.query.startswith(symbol, self.at):
                return word, 2
        for word in ("AND", "OR", "NOT"):
            after = self.at + len(word)
            if self.query.startswith(word, self.at) and self.query[after : after + 1] in ("", *_AFTER_OPERATOR):
                return word, len(word)
        return "", 0

    # --- clauses

    def clauses(self, field: str | None, depth: int) -> Node:
        found: list[tuple[Occur, Node]] = []
        while True:
            self.spaces()
            if self.end or self.here == ")":
                break
            conjunction = self._conjunction(bool(found))
            modifier = self._modifier()
            if not conjunction and not modifier and (text := self._run_of_words(field)) is not None:
                self._add(found, "", "", text)
                continue
            self._add(found, conjunction, modifier, self._clause(field, depth))
        if not found or (not self.end and depth == 0):
            raise self.problem("nothing before ')'" if not self.end else "a clause is missing")
        if len(found) == 1 and found[0][0] is not Occur.MUST_NOT:
            return found[0][1]
        return Clauses(tuple(found))

    def _add(self, found: list[tuple[Occur, Node]], conjunction: str, modifier: str, node: Node) -> None:
        """Lucene's ``addClause``: AND requires the clause before it too; OR frees it where AND is the default."""
        if found and found[-1][0] is not Occur.MUST_NOT:
            if conjunction == "AND":
                found[-1] = (Occur.MUST, found[-1][1])
            elif conjunction == "OR" and self.default_and:
                found[-1] = (Occur.SHOULD, found[-1][1])
        if modifier == "-":
            occur = Occur.MUST_NOT
        elif self.default_and:
            occur = Occur.SHOULD if conjunction == "OR" else Occur.MUST
        else:
            occur = Occur.MUST if modifier == "+" or conjunction == "AND" else Occur.SHOULD
        found.append((occur, node))

    def _conjunction(self, after_clause: bool) -> str:
        word, length = self.operator()
        if word not in ("AND", "OR"):
            return ""
        if not after_clause:
            raise self.problem(f"nothing before {word}")
        self.at += length
        self.spaces()
        if self.end or self.here == ")" or self.operator()[0] in ("AND", "OR"):
            raise self.problem(f"nothing after {word}")
        return word

    def _modifier(self) -> str:
        word, length = self.operator()
        if word == "NOT":
            self.at += length
        elif self.here in ("+", "-", "!"):
            word = self.here
            self.at += 1
        else:
            return ""
        self.spaces()
        if self.end or self.here == ")":
            raise self.problem("nothing to negate or require")
        return "+" if word == "+" else "-"

    def _run_of_words(self, field: str | None) -> Text | None:
        """Two or more plain words: one text. A word right before AND or OR is a clause of its own."""
        start = self.at
        words: list[str] = []
        while (word := self._plain_word(bool(words))) is not None:
            words.append(word)
        if len(words) < 2:
            self.at = start
            return None
        return Text(field, " ".join(words))

    def _plain_word(self, following: bool) -> str | None:
        start = self.at
        self.spaces()
        if not self.end and self.here not in '()+-!"[{/><' and not self.operator()[0]:
            term = self._term()
            if term is not None and not term.wild and self.here not in tuple(":~^") and self._allowed(following):
                return term.text
        self.at = start
        return None

    def _allowed(self, following: bool) -> bool:
        if not following:
            return True
        after = self.at
        self.spaces()
        word, _ = self.operator()
        self.at = after
        return word not in ("AND", "OR")

    # --- one clause

    def _clause(self, field: str | None, depth: int) -> Node:
        field = self._field_name(field)
        node = self._value(field, depth)
        if self.here == "^":
            self.at += 1
            node = Boost(node, float(self._number() or 1))
        return node

    def _field_name(self, field: str | None) -> str | None:
        start = self.at
        term = self._term()
        if term is None or self.here != ":":
            self.at = start
            return field
        self.at += 1
        self.spaces()
        if self.end:
            raise self.problem(f"a value for {term.text} is missing")
        return term.text

    def _value(self, field: str | None, depth: int) -> Node:
        match self.here:
            case "(":
                return self._group(field, depth)
            case '"':
                return self._phrase(field)
            case "[" | "{":
                return self._range(field)
            case "/":
                return self._regex(field)
            case "<" | ">":
                return self._comparison(field)
        return self._word(field)

    def _word(self, field: str | None) -> Node:
        term = self._term()
        if term is None:
            raise self.problem(f"unexpected '{self.here}'")
        if self.here == "~":
            self.at += 1
            return Fuzzy(field, term.text, min(int(float(self._number() or 2)), 2))
        return Pattern(field, term.parts) if term.wild else Text(field, term.text)

    def _group(self, field: str | None, depth: int) -> Node:
        self.at += 1
        node = self.clauses(field, depth + 1)
        if self.here != ")":
            raise self.problem("a ')' is missing")
        self.at += 1
        return node

    def _phrase(self, field: str | None) -> Node:
        text = self._quoted()
        slop = 0
        if self.here == "~":
            self.at += 1
            slop = int(float(self._number() or 0))
        return Phrase(field, text, slop)

    def _quoted(self) -> str:
        self.at += 1
        text: list[str] = []
        while not self.end and self.here != '"':
            if self.here == "\\" and self.at + 1 < len(self.query):
                self.at += 1
            text.append(self.here)
            self.at += 1
        if self.end:
            raise self.problem("a closing quote is missing")
        self.at += 1
        return "".join(text)

    def _range(self, field: str | None) -> Node:
        include_low = self.here == "["
        self.at += 1
        low = self._bound()
        self.spaces()
        if not self.query.startswith("TO", self.at):
            raise self.problem("a range needs TO")
        self.at += 2
        high = self._bound()
        self.spaces()
        if self.here not in ("]", "}"):
            raise self.problem("a range is not closed")
        include_high = self.here == "]"
        self.at += 1
        return Range(field, low, high, include_low, include_high)

    def _bound(self) -> str | None:
        self.spaces()
        if self.here == '"':
            return self._quoted()
        text: list[str] = []
        while not self.end and self.here not in " ]}":
            if self.here == "\\" and self.at + 1 < len(self.query):
                self.at += 1
            text.append(self.here)
            self.at += 1
        if not text:
            raise self.problem("a bound of the range is missing")
        return None if text == ["*"] else "".join(text)

    def _regex(self, field: str | None) -> Node:
        start = self.at + 1
        self.at = start
        while not self.end and self.here != "/":
            self.at += 2 if self.here == "\\" else 1
        if self.end:
            raise self.problem("a closing / is missing (write \\/ for a slash)")
        self.at += 1
        return Regex(field, self.query[start : self.at - 1].replace("\\/", "/"))

    def _comparison(self, field: str | None) -> Node:
        upward = self.here == ">"
        self.at += 1
        include = self.here == "="
        self.at += include
        self.spaces()
        if self.here == '"':
            value = self._quoted()
        else:
            term = self._term(signed=True)
            if term is None:
                raise self.problem("a value to compare with is missing")
            value = term.text
        return Range(field, value, None, include, True) if upward else Range(field, None, value, True, include)

    def _number(self) -> str:
        start = self.at
        while not self.end and (self.here.isdigit() or self.here == "."):
            self.at += 1
        text = self.query[start : self.at]
        if text.count(".") > 1 or text == ".":
            raise self.problem(f"{text} is no number")
        return text

    def _term(self, *, signed: bool = False) -> _Term | None:
        parts: list[tuple[bool, str]] = []
        start = self.at
        while not self.end:
            character = self.here
            if character == "\\":
                if self.at + 1 >= len(self.query):
                    raise self.problem("nothing after \\")
                parts.append((False, self.query[self.at + 1]))
                self.at += 2
                continue
            first = self.at == start
            if character in _STOPS or (first and (character in "!/" or (character in "+-" and not signed))):
                break
            if self.query[self.at : self.at + 2] in ("&&", "||"):
                break
            parts.append((character in "*?", character))
            self.at += 1
        return _Term(parts) if parts else None
