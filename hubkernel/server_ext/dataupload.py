"""Uploads of data files: as a form in one go, or as plain bytes that can be resumed. Bodies are streamed to disk."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from tornado import web

from hubkernel.hub.commands import Role
from hubkernel.hub.uploads import OffsetError, TooLargeError, Upload, Uploads
from hubkernel.server_ext.forms import FileForm
from hubkernel.server_ext.rest import RestHandler

log = logging.getLogger(__name__)

ENVELOPE = 64 * 1024
"""Bytes that a form may have around its file."""
SHORT = 1024 * 1024
"""Bytes of a body that is read to its end although it is refused."""
BODIES = ("POST", "PUT", "PATCH")


class ReceivingHandler(RestHandler):
    """Receives a body block by block, after it is known who sends it.

    What goes wrong on the way is raised at the end: an answer in the midst of a body reaches few clients.
    """

    failure: Exception | None = None
    upload: Upload | None = None
    _take: Callable[[bytes], None] | None = None
    _writing = False
    _gone = False
    _ignored = 0

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Called by tornado before the first byte of the body. Nobody is told before the end of a short body that it
        is not wanted: their connection would be cut while they send, and many would not see the answer.
        """
        try:
            await super().prepare(*args, **kwargs)
            if self.request.method != "OPTIONS":
                await self._prepare()
        except Exception as error:
            if (self.body_length or 0) > SHORT:
                raise
            self.failure = error

    async def _prepare(self) -> None:
        self.need_feature("dataupload")
        self.need(Role.operator, "dataupload")
        if self.request.method in BODIES:
            self._check_length(self.uploads.limit)
            self.request.connection.set_max_body_size(self.uploads.limit + ENVELOPE + 2 * SHORT)
            await self.begin()

    @property
    def uploads(self) -> Uploads:
        found = self.rest.uploads
        if found is None:
            raise web.HTTPError(404, "uploads are switched off (dataupload_config is False)")
        return found

    def _check_length(self, limit: int) -> None:
        length = self.body_length
        if length is not None and length > limit + (ENVELOPE if self.request.method == "POST" else 0):
            raise TooLargeError(f"{length} bytes are more than the {limit} that the hub takes (upload_limit)")

    @property
    def body_length(self) -> int | None:
        text = self.request.headers.get("Content-Length", "")
        return int(text) if text.isdecimal() and len(text) < 19 else None

    async def begin(self) -> None:
        """Called before the first byte: set :attr:`_take`, or raise."""
        raise NotImplementedError

    async def data_received(self, chunk: bytes) -> None:
        """Called by tornado for each block; it reads no further before this returns."""
        if self.failure is not None:
            self._ignore(len(chunk))
        if self.failure is not None or self._take is None:
            return
        self._writing = True
        try:
            await self.run(self._take, chunk)
        except Exception as error:
            self.failure = error
        finally:
            self._writing = False
        if self._gone:
            self.broken_off()

    def _ignore(self, size: int) -> None:
        """Read a little more after a failure, then answer all the same: a body may have no end."""
        self._ignored += size
        if self._ignored > SHORT and not self._finished:
            error = self.failure
            self.broken_off()
            self.send_error(exc_info=(type(error), error, None))

    def on_connection_close(self) -> None:
        """Called by tornado when the sender is gone before the answer."""
        self._gone = True
        if not self._writing:
            self.broken_off()
        super().on_connection_close()

    def broken_off(self) -> None:
        """Called once when the body broke off."""
        if self.upload is not None:
            self.upload.leave()

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Called by :meth:`send_error`, which has forgotten all headers."""
        if isinstance(error := kwargs.get("exc_info", (None, None))[1], OffsetError):
            self.set_header("Upload-Offset", str(error.offset))
        super().write_error(status_code, **kwargs)

    def compute_etag(self) -> str | None:
        """Called by tornado: how far an upload is changes while its answer is as empty as before."""
        return None

    async def finish_upload(self, status: int) -> None:
        """Put the file in its place, tell about it, and answer."""
        upload = self.upload
        assert upload is not None
        self._writing = True
        try:
            file = await self.run(upload.finish)
        finally:
            self._writing = False
        id = f"{file.parent.name}/{file.name}"
        about = {"size": upload.size, "user": self.caller.user}
        self.rest.server.bus.publish("upload", id, "insert", about)
        audit = getattr(self.rest.server, "audit", None)
        if audit is not None:
            await self.run(audit, self.caller, f"dataupload({id!r})", "done")
        self.reply({"result": "ok", "status": "ok", "size": upload.size}, status)


@web.stream_request_body
class FormUploadHandler(ReceivingHandler):
    """``POST dataupload/<name>``: a form with one file."""

    async def begin(self) -> None:
        self._form = FileForm(self.request.headers.get("Content-Type", ""), self._file)
        self._take = self._form.feed

    def _file(self, filename: str) -> Callable[[bytes], None]:
        self.upload = self.uploads.begin(self.path_kwargs["name"], filename)
        return self.upload.write

    async def post(self, name: str) -> None:
        if self._finished:
            return
        try:
            if self.failure is not None:
                raise self.failure
            self._form.close()
        except Exception:
            self.broken_off()
            raise
        try:
            await self.finish_upload(200)
        finally:
            self.broken_off()

    def broken_off(self) -> None:
        """A form cannot be resumed."""
        if self.upload is not None:
            self.upload.discard()


@web.stream_request_body
class FileUploadHandler(ReceivingHandler):
    """``HEAD PUT PATCH dataupload/<name>/<filename>``: plain bytes; what an interruption leaves is kept."""

    async def begin(self) -> None:
        patch = self.request.method == "PATCH"
        offset = self._number("Upload-Offset") if patch else None
        length = self._number("Upload-Length") if patch else self.body_length
        name, filename = self.path_kwargs["name"], self.path_kwargs["filename"]
        self.upload = await self.run(self.uploads.begin, name, filename, length=length, offset=offset)
        self._take = self.upload.write

    def broken_off(self) -> None:
        """What was too large would be so again."""
        if self.upload is not None and isinstance(self.failure, TooLargeError):
            self.upload.discard()
        super().broken_off()

    def _number(self, header: str) -> int:
        text = self.request.headers.get(header, "")
        if not (text.isdecimal() and len(text) < 19):
            raise web.HTTPError(400, f"the header {header} is missing or no number; HEAD tells how far the upload is")
        return int(text)

    async def head(self, name: str, filename: str) -> None:
        if self.failure is not None:
            raise self.failure
        offset, complete = await self.run(self._progress, name, filename)
        if offset is None:
            raise web.HTTPError(404, f"nothing of {filename!r} is here")
        self.set_header("Upload-Offset", str(offset))
        if complete:
            self.set_header("Upload-Length", str(offset))
        self.set_header("Cache-Control", "no-store")
        self.finish()

    def _progress(self, name: str, filename: str) -> tuple[int | None, bool]:
        begun = self.uploads.offset(name, filename)
        target = self.uploads.place(name, filename)
        if begun is None and target.is_file():
            return target.stat().st_size, True
        return begun, False

    async def put(self, name: str, filename: str) -> None:
        await self._end()

    async def patch(self, name: str, filename: str) -> None:
        await self._end()

    async def _end(self) -> None:
        if self._finished:
            return
        if self.failure is not None:
            self.broken_off()
            raise self.failure
        upload = self.upload
        assert upload is not None
        try:
            if upload.complete:
                await self.finish_upload(201)
                return
        finally:
            upload.leave()
        self.set_status(204)
        self.set_header("Upload-Offset", str(upload.size))
        self.finish()
