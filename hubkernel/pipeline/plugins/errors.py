"""What can be wrong with a plugin. A message lists everything that is, one line each, and what to do about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Problem:
    """One fault of a manifest: where it is, what it is and what to do."""

    file: Path
    line: int
    """Starts at 1."""
    path: str
    """The JSON path of the value, as in ``uploaders[1].parser``; empty for the document itself."""
    message: str

    def __str__(self) -> str:
        where = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {where}{self.message}"


class PluginError(Exception):
    """Base of all plugin errors."""


class ManifestError(PluginError, ValueError):
    """A manifest cannot be used; :attr:`problems` holds every fault, in the order of the file."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = sorted(problems, key=lambda problem: problem.line)
        super().__init__("\n".join(map(str, self.problems)))


class PluginCodeError(PluginError):
    """A function that a plugin names cannot be loaded: no such file or function, or its file fails when imported."""


class UnknownPluginError(PluginError, KeyError):
    """There is no such plugin. The message has the nearest name, or the reason why a plugin of that name is broken."""

    def __str__(self) -> str:
        return str(self.args[0])


def nearest(word: str, words: Iterable[str], cutoff: float = 0.79) -> str | None:
    """The one of ``words`` that ``word`` was likely meant to be, ignoring case, ``_`` and ``-``; None if no one was."""

    def plain(text: str) -> str:
        return text.lower().replace("_", "").replace("-", "")

    by_plain = {plain(candidate): candidate for candidate in words}
    found = difflib.get_close_matches(plain(word), by_plain, n=1, cutoff=cutoff)
    return by_plain[found[0]] if found else None
