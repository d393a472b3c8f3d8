"""Who ran what, through which door, and what came of it: ``logs/audit.log``, one JSON object a line.

Lines are only ever appended. A file that has grown large is renamed to ``audit.log.1`` (and that one to ``.2``, ...).
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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


_SET = re.compile(
    r"""(\bsetconf[( ]\s*(?:name=)?['"]?)([\w.]+)(['"]?\s*,?\s*(?:value=)?)(.+?)(\)?)(?=\s*(?:&&|$))""", re.DOTALL
)


def masked_command(text: str) -> str:
    """A command's text without secrets; of ``setconf`` on a secret setting not even the value's shape is left."""
    from hubkernel.hub.config import is_secret_name

    def without_value(found: re.Match[str]) -> str:
        return f"{found[1]}{found[2]}{found[3]}{MASK}{found[5]}" if is_secret_name(found[2]) else found[0]

    return redact(_SET.sub(without_value, text))
