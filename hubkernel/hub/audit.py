"""Who ran what, through which door, and what came of it: ``logs/audit.log``, one JSON object a line.

Lines are only ever appended. A file that has grown large is renamed to ``audit.log.1`` (and that one to ``.2``, ...).
"""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.hub.config import is_secret_name
from hubkernel.hub.syntax import Call, CommandSyntaxError, parse_chain
from hubkernel.jobs.masking import MASK, redact

log = logging.getLogger(__name__)

BLOCK = 1 << 16


class AuditLog:
    """One file and its older ones. Threading: from any thread; one process writes."""

    def __init__(self, file: Path, *, max_bytes: int = 10_000_000, kept: int = 9) -> None:
        self.file = file
        self.max_bytes = max_bytes
        self.kept = kept
        """How many older files are kept."""
        self._lock = threading.Lock()

    def write(self, user: str, door: str, role: str, command: str, outcome: str) -> None:
        """Append an entry; secrets in ``command`` and ``outcome`` are masked. A log that cannot be written is an error
        in the hub's own log, not of the command.
        """
        entry = {
            "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "user": user,
            "role": role,
            "door": door,
            "command": masked_command(command),
            "outcome": redact(outcome),
        }
        try:
            with self._lock:
                self._append(json.dumps(entry, ensure_ascii=True).encode() + b"\n")
        except OSError:
            log.exception("the audit log %s cannot be written", self.file)

    def _append(self, line: bytes) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        if self.file.exists() and self.file.stat().st_size + len(line) > self.max_bytes:
            self._rotate()
        handle = os.open(self.file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        try:
            if os.fstat(handle).st_size and not self._ends_well():
                line = b"\n" + line  # a crash cut the last line
            os.write(handle, line)
        finally:
            os.close(handle)

    def _ends_well(self) -> bool:
        with self.file.open("rb") as file:
            file.seek(-1, os.SEEK_END)
            return file.read(1) == b"\n"

    def _rotate(self) -> None:
        files = [self.file, *(self.file.with_name(f"{self.file.name}.{n}") for n in range(1, self.kept + 1))]
        for older, newer in zip(reversed(files), reversed(files[:-1]), strict=False):
            if newer.exists():
                newer.replace(older)

    def read(
        self, limit: int = 100, keep: Callable[[dict[str, Any]], bool] = lambda entry: True
    ) -> list[dict[str, Any]]:
        """The newest entries that ``keep`` accepts, newest first. Lines that a crash has cut are left out."""
        found: list[dict[str, Any]] = []
        for line in self._lines():
            if len(found) >= limit:
                break
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if isinstance(entry, dict) and keep(entry):
                found.append(entry)
        return found

    def _lines(self) -> Iterator[bytes]:
        """All lines, the last one first, without reading the files whole."""
        for number in range(self.kept + 1):
            file = self.file.with_name(f"{self.file.name}.{number}") if number else self.file
            if file.exists():
                yield from _backwards(file)


def _backwards(file: Path) -> Iterator[bytes]:
    with file.open("rb") as opened:
        at = opened.seek(0, os.SEEK_END)
        rest = b""
        while at:
            size = min(BLOCK, at)
            at -= size
            opened.seek(at)
            rest, *lines = (opened.read(size) + rest).split(b"\n")
            yield from (line for line in reversed(lines) if line)
        if rest:
            yield rest


def masked_command(text: str) -> str:
    """A command's text without secrets; of ``setconf`` on a secret setting not even the value's shape is left."""
    return redact(_without_values(text) if "setconf" in text else text)


def _without_values(text: str) -> str:
    try:
        calls = parse_chain(text)
    except CommandSyntaxError:  # it was refused for that; who knows where a value begins
        return f"{text.partition('setconf')[0]}setconf {MASK}"
    hidden = [_without_value(call) for call in calls]
    if all(known is None for known in hidden):
        return text
    return " && ".join(_call_text(call) if known is None else known for call, known in zip(calls, hidden, strict=True))


def _without_value(call: Call) -> str | None:
    """The text of a call that sets a secret, or runs one that does; None for any other."""
    values = [*call.args, *call.kwargs.values()]
    first = str(call.kwargs.get("name", values[0] if values else ""))
    if call.name == "setconf" and is_secret_name(first):
        return f"setconf(name={first!r},value={MASK})"
    if call.name == "schedule" and "setconf" in values[1:2] and is_secret_name(str(values[2:3])):
        return f"schedule({', '.join(map(repr, values[:3]))}, {MASK})"
    if call.name == "run" and values and "setconf" in str(values[0]):
        return f"run(text={_without_values(str(values[0]))!r})"
    return None


def _call_text(call: Call) -> str:
    return f"{call.name}({','.join([*map(repr, call.args), *(f'{k}={v!r}' for k, v in call.kwargs.items())])})"
