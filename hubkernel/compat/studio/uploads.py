"""Files that Studio's users send to the hub."""

from __future__ import annotations

import threading
from collections.abc import Callable
from urllib.parse import unquote

from tornado import web

from hubkernel.compat.studio.base import DRAINED, Context, Guarded, announced
from hubkernel.compat.studio.errors import RequestError
from hubkernel.hub.commands import Role
from hubkernel.hub.files import OutsideError
from hubkernel.hub.uploads import TooLargeError, Upload, UploadError
from hubkernel.server_ext.forms import FileForm, FormError

OVERHEAD = 64 * 1024
"""Bytes of a form besides its file."""


@web.stream_request_body
class UploadHandler(Guarded):
    """``POST /dataupload/<source>``: a form with one file, which is written to disk as it comes in.

    Threading: a worker writes; :attr:`_writing` keeps the file open while it does.
    """

    def initialize(self, token: str = "", context: Context | None = None) -> None:
        super().initialize(token, context)
        self._form: FileForm | None = None
        self._upload: Upload | None = None
        self._error: RequestError | None = None
        self._writing = threading.Lock()
        self._gone = False

    async def prepare(self) -> None:
        await super().prepare()
        if self.request.method != "POST":
            announced(self, DRAINED)
            return
        self.need(Role.operator, "dataupload")
        uploads = self.context.uploads
        if uploads is None:
            raise RequestError(404, "Not Found")
        announced(self, max(DRAINED, uploads.limit + OVERHEAD))
        self._guard(self._begin_form)

    def _begin_form(self) -> None:
        self._form = FileForm(self.request.headers.get("Content-Type", ""), self._begin)

    def _begin(self, filename: str) -> Callable[[bytes], None]:
        """Called by the form when its file begins."""
        assert self.context.uploads is not None
        source = unquote(self.request.path.rpartition("/")[2])
        self._upload = self.context.uploads.begin(source, filename)
        return self._upload.write

    def _guard(self, work: Callable[[], None]) -> None:
        """The first error is the answer; what still comes in after it is thrown away."""
        if self._error is not None:
            return
        try:
            work()
        except FormError as error:
            self._error = RequestError(400, str(error))
        except OutsideError as error:
            self._error = RequestError(403, str(error))
        except TooLargeError as error:
            self._error = RequestError(413, str(error))
        except UploadError as error:
            self._error = RequestError(409, str(error))

    async def data_received(self, chunk: bytes) -> None:
        """Called by tornado for each part of the body; the next one is read when this has been written."""
        form = self._form
        if form is not None:
            await self.context.in_thread(self._feed, form, chunk)

    def _feed(self, form: FileForm, chunk: bytes) -> None:
        with self._writing:
            if not self._gone:
                self._guard(lambda: form.feed(chunk))

    def _discard(self) -> None:
        """Nothing half-received stays."""
        with self._writing:
            self._gone = True
            if self._upload is not None:
                self._upload.discard()

    async def post(self) -> None:
        if self._form is not None:
            self._guard(self._form.close)
        if self._error is not None:
            await self.context.in_thread(self._discard)
            raise self._error
        assert self._upload is not None
        await self.context.in_thread(self._upload.finish)
        self.send("ok")

    def on_finish(self) -> None:
        """Called by tornado after the answer."""
        self._discard()

    def on_connection_close(self) -> None:
        """Called by tornado when the client has gone before it sent everything."""
        self._discard()
