"""How much of its input a parser has read, without its help: the positions of the files that this process has open."""

from __future__ import annotations

import os
from pathlib import Path

OPEN_FILES = Path("/proc/self/fd")


class InputMeter:
    """Bytes read below a folder so far. Where the system does not tell (no ``/proc``) it stays at 0."""

    def __init__(self, folder: str | Path) -> None:
        self.folder = f"{Path(folder).resolve()}{os.sep}"
        self.total = _size(self.folder)
        self._seen: dict[str, int] = {}
        self._expected: float | None = None

    def read(self) -> int:
        """Look again. A file that was closed in between counts as far as it was last seen."""
        for path, position in self._positions():
            self._seen[path] = max(position, self._seen.get(path, 0))
        return min(sum(self._seen.values()), self.total)

    def expected(self, count: int) -> float | None:
        """How many documents the folder has, if ``count`` of them came from what has been read; None if that tells
        nothing. When all is read, what was expected last stands: the last buffer is still to be parsed.
        """
        read = self.read()
        if 0 < read < self.total:
            self._expected = count * self.total / read
        return None if self._expected is None else max(self._expected, count)

    def _positions(self) -> list[tuple[str, int]]:
        found = []
        try:
            entries = os.listdir(OPEN_FILES)  # noqa: PTH208 - called twice a second, Path objects would cost more
        except OSError:
            return []
        for entry in entries:
            try:
                path = os.readlink(OPEN_FILES / entry)  # noqa: PTH115
                if path.startswith(self.folder):
                    text = (OPEN_FILES.parent / "fdinfo" / entry).read_text()
                    found.append((path, int(text.split(maxsplit=2)[1])))
            except OSError:
                continue  # closed meanwhile
        return found

    def __str__(self) -> str:
        read = self.read()
        return f"{read / 1e6:.1f} of {self.total / 1e6:.1f} MB read" if read else ""


def _size(folder: str) -> int:
    return sum(file.stat().st_size for file in Path(folder).rglob("*") if file.is_file())
