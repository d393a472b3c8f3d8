"""A file in a ``multipart/form-data`` body, read as it comes in, whatever the chunks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

OCTETS = "application/octet-stream"


class FormError(ValueError):
    """The body is no form with one file in it; the message says what was wrong."""


Begin = Callable[[str], Callable[[bytes], None]]
"""Called once with the file's name, when its part begins; returns what takes the file's bytes, block by block."""


class FileForm:
    """Feed it the body; it hands out the one file. Raises :class:`FormError`, and what ``begin`` and its function do.

    The file's part must be of type ``application/octet-stream``. Only a block of the body is in memory.
    """

    def __init__(self, content_type: str, begin: Begin) -> None:
        kind, options = parse_options_header(content_type)
        boundary = options.get(b"boundary")
        if kind != b"multipart/form-data" or not boundary:
            raise FormError(f"the body must be multipart/form-data with a boundary, not {content_type or 'untyped'!r}")
        self._begin = begin
        self._take: Callable[[bytes], None] | None = None
        self._name = b""
        self._value = b""
        self._headers: dict[bytes, bytes] = {}
        self._ended = False
        try:
            self._parser = MultipartParser(boundary, self._callbacks())
        except FormParserError as error:
            raise FormError(str(error)) from None

    def _callbacks(self) -> Any:
        return {
            "on_part_begin": self._headers.clear,
            "on_header_field": self._on_name,
            "on_header_value": self._on_value,
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers,
            "on_part_data": self._on_data,
            "on_end": self._on_end,
        }

    def feed(self, chunk: bytes) -> None:
        try:
            self._parser.write(chunk)
        except FormParserError as error:
            raise FormError(f"the body is no valid form: {error}") from None

    def close(self) -> None:
        """The body has ended."""
        if self._take is None:
            raise FormError("the form has no file")
        if not self._ended:
            raise FormError("the form ends before its closing boundary")

    def _on_name(self, data: bytes, start: int, end: int) -> None:
        self._name += data[start:end]

    def _on_value(self, data: bytes, start: int, end: int) -> None:
        self._value += data[start:end]

    def _on_header_end(self) -> None:
        self._headers[self._name.lower()] = self._value
        self._name = self._value = b""

    def _on_headers(self) -> None:
        _, options = parse_options_header(self._headers.get(b"content-disposition", b""))
        filename = options.get(b"filename", b"").decode("utf-8", "replace")
        kind = self._headers.get(b"content-type", b"").split(b";")[0].strip().decode("latin-1")
        if self._take is not None:
            raise FormError("the form has more than one part; send one file at a time")
        if kind != OCTETS:
            raise FormError(f"the file's part must be of type {OCTETS}, not {kind or 'untyped'!r}")
        if not filename:
            raise FormError("the file's part has no file name")
        self._take = self._begin(filename)

    def _on_data(self, data: bytes, start: int, end: int) -> None:
        if self._take is not None:
            self._take(data[start:end])

    def _on_end(self) -> None:
        self._ended = True
