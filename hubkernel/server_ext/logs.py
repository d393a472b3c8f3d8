"""The hub's log files: listings, whole files, last lines, and what is written from now on."""

from __future__ import annotations

import asyncio
import logging
import os
from pathlib import Path

import orjson
from tornado import web
from tornado.iostream import StreamClosedError

from hubkernel.hub.commands import Role
from hubkernel.hub.files import BLOCK, Stream, inside, listing, open_text, seek_last_lines
from hubkernel.server_ext.rest import RestHandler

log = logging.getLogger(__name__)

TEXT = "text/plain; charset=UTF-8"
MAX_LINES = 1_000_000
AUDIT = "audit.log"
"""It and its older parts are for whom the command ``audit`` is."""
LOOK = 0.25
"""Seconds between two looks at a file that is followed."""


class LogsHandler(RestHandler):
    """The names in a folder of the logs."""

    async def get(self, path: str) -> None:
        words = self.get_query_argument("filter", "").split(",")
        self.set_header("Content-Type", "application/json")
        self.finish(await self.run(self._names, path, words))

    def _names(self, path: str, words: list[str]) -> bytes:
        folder = inside(self.rest.logs, path.strip("/") if path != "/" else path)
        if folder.is_file():
            raise web.HTTPError(404, f"{path} is a file: log/{path} has it")
        if not folder.is_dir():
            raise web.HTTPError(404, f"no folder {path!r} in the logs")
        return orjson.dumps(listing(self.rest.logs, folder, words))


class LogHandler(RestHandler):
    """One log file: all of it, its last ``lines``, or (``follow``) also what comes."""

    gone = False

    async def get(self, path: str) -> None:
        lines, follow = self._lines(), self._follow_wanted()
        file = await self.run(self._file, path)
        if follow and file.suffix == ".gz":
            raise web.HTTPError(400, f"{path} is packed: nothing is written to it any more")
        stream = await self.run(open_text, file)
        try:
            more = await self.run(seek_last_lines, stream, lines) if lines else False
            self._head(file, follow)
            await self._send(stream)
            if follow:
                await self._send_new(file, stream)
            elif more:
                self.write(f"\n***Logs were capped at {lines} lines***\n")
            self.finish(set_content_type=TEXT)
        except StreamClosedError:
            log.debug("the reader of %s went away", path)
        finally:
            stream.close()

    def _lines(self) -> int:
        text = self.get_query_argument("lines", "0")
        if not (text.isdecimal() and len(text) < 10 and int(text) <= MAX_LINES):
            raise web.HTTPError(400, f"lines is {text!r}; it is a number up to {MAX_LINES}")
        return int(text)

    def _follow_wanted(self) -> bool:
        text = self.get_query_argument("follow", "false").lower()
        if text not in ("", "true", "1", "false", "0"):
            raise web.HTTPError(400, f"follow is {text!r}; it is true or false")
        return text in ("", "true", "1")

    def _file(self, path: str) -> Path:
        file = inside(self.rest.logs, path)
        if not file.is_file():
            raise web.HTTPError(404, f"no file {path!r} in the logs; logs/ lists what there is")
        if file.name.startswith(AUDIT):
            self.need(Role.developer, "the audit log")
        return file

    def _head(self, file: Path, follow: bool) -> None:
        self.set_header("Content-Type", TEXT)
        if not follow:
            self.set_attachment_header(file.name.removesuffix(".gz"))

    async def _send(self, stream: Stream) -> None:
        """A block at a time, each when the one before is with the reader's system."""
        while block := await self.run(stream.read, BLOCK):
            self.write(block)
            await self.flush()

    async def _send_new(self, file: Path, stream: Stream) -> None:
        """Until the reader goes away or the server ends. A file that was cut or replaced is read from its begin."""
        await self.flush()
        try:
            while not await self._ended():
                if await self.run(_was_replaced, file, stream):
                    stream.close()
                    stream = await self.run(open_text, file)
                await self._send(stream)
        finally:
            stream.close()

    async def _ended(self) -> bool:
        try:
            await asyncio.wait_for(self.rest.ended.wait(), LOOK)
        except TimeoutError:
            return self.gone
        return True

    def on_connection_close(self) -> None:
        """Called by tornado when the reader is gone."""
        self.gone = True
        super().on_connection_close()


def _was_replaced(file: Path, stream: Stream) -> bool:
    """Whether another file, or a shorter one, stands in its place; while there is none, it was not."""
    try:
        there = file.stat()
    except FileNotFoundError:
        return False
    here = os.fstat(stream.fileno())
    return (there.st_ino, there.st_dev) != (here.st_ino, here.st_dev) or there.st_size < stream.tell()
