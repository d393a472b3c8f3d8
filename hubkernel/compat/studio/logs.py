"""The hub's log files, as a list and one by one."""

from __future__ import annotations

import html
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

from hubkernel.compat.studio.base import StudioHandler
from hubkernel.compat.studio.errors import RequestError
from hubkernel.hub.commands import Role
from hubkernel.hub.files import OutsideError, blocks, inside, listing, open_text, seek_last_lines

MOST_LINES = 100_000
AUDIT = "audit.log"
"""Who ran what: for developers only, as the command ``audit`` is."""


class LogHandler(StudioHandler):
    """Finds the place that the path means, below the folder of logs."""

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.method != "OPTIONS":
            self.need(Role.operator, "logs")

    def find(self, path: str) -> tuple[Path, Path]:
        """The folder of all logs, and what ``path`` means in it. Raises :class:`RequestError` if it leads nowhere."""
        root = self.context.logs
        try:
            found = None if root is None else inside(root, unquote(path))
        except OutsideError:
            found = None
        if root is None or found is None or self.is_hidden(found.name) or not found.exists():
            raise RequestError(404, "Not Found")
        return root, found

    def is_hidden(self, name: str) -> bool:
        return name.startswith(AUDIT) and self.identity.role < Role.developer

    def rest_of_path(self, prefix: str) -> str:
        """Not decoded yet: a name may hold what separates paths."""
        return self.request.path.removeprefix(prefix)


class LogListHandler(LogHandler):
    """``/logs/<folder>/``: names as HTML, with ``?json`` as JSON; ``filter=a,b`` keeps those with one of the words."""

    async def get(self) -> None:
        words = self.get_query_argument("filter", "").split(",")
        path = self.rest_of_path("/logs").removeprefix("/")
        found = await self.context.in_thread(self._look, path, words)
        if isinstance(found, list) and "json" in self.request.query_arguments:
            self.send_json(found)
            return
        self.set_header("Content-Type", "text/html; charset=UTF-8")
        self.set_header("Content-Security-Policy", "default-src 'none'")
        self.finish(_page(found) if isinstance(found, list) else found)

    def _look(self, path: str, words: list[str]) -> list[str] | str:
        root, place = self.find(path)
        if place.is_dir():
            return [name for name in listing(root, place, words) if not self.is_hidden(name)]
        inner = place.relative_to(root.resolve())
        link = "../" * len(inner.parts) + f"log/{quote(inner.as_posix())}"
        return f'<!DOCTYPE html><title>Log</title><a href="{link}">{html.escape(place.name)}</a>'


def _page(names: list[str]) -> str:
    rows = "".join(f'<li><a href="{quote(name)}">{html.escape(name.removesuffix(".log"))}</a></li>' for name in names)
    return f"<!DOCTYPE html><title>Logs</title><ul>{rows}</ul>"


class LogFileHandler(LogHandler):
    """``/log/<file>``: the text, unpacked if it was packed; ``lines=N`` gives the last N."""

    async def get(self) -> None:
        lines = self._lines()
        path = self.rest_of_path("/log/")
        _, file = await self.context.in_thread(self.find, path)
        if not file.is_file():
            raise RequestError(404, "Not Found")
        name = file.name.removesuffix(".gz")
        self.set_header("Content-Type", "text/plain; charset=UTF-8")
        self.set_header("Content-Disposition", f"attachment; filename*=UTF-8''{quote(name)}")
        await self._send(file, lines)

    def _lines(self) -> int | None:
        text = self.get_query_argument("lines", "")
        if not text:
            return None
        if not text.isdecimal() or not 0 < int(text) <= MOST_LINES:
            raise RequestError(400, f"lines is {text!r}; it takes a number from 1 to {MOST_LINES}")
        return int(text)

    async def _send(self, file: Path, lines: int | None) -> None:
        run: Callable[..., Any] = self.context.in_thread
        stream = await run(open_text, file)
        try:
            more = lines is not None and await run(seek_last_lines, stream, lines)
            rest, ends = blocks(stream), True
            while block := await run(next, rest, b""):
                ends = block.endswith(b"\n")
                self.write(block)
                await self.flush()
            if more:
                self.write(f"{'' if ends else chr(10)}\n***Logs were capped at {lines} lines***\n")
        finally:
            await run(stream.close)
        await self.finish()
