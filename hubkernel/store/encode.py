"""Documents to canonical bytes and back.

Canonical bytes are BSON with ``_id`` first and the other fields in the document's own order. Every document that is
uploaded or built goes through :func:`encode_rows`: the happy path is a few C calls, and why a document was refused is
only looked for once it was.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any, NoReturn

import bson
from bson.codec_options import CodecOptions, DatetimeConversion

from hubkernel.store.base import Document
from hubkernel.store.errors import DocumentTooLargeError, InvalidDocumentError

MAX_BYTES = 16 * 1024 * 1024
"""MongoDB's limit for one document, as BSON."""
HASH_BYTES = 16

_bson = bson.encode
# A date that BSON can hold and datetime cannot (a year beyond 9999) must not make a document unreadable.
_READ: CodecOptions[Document] = CodecOptions(datetime_conversion=DatetimeConversion.DATETIME_AUTO)

# Type byte of a double, its name, then eight little-endian bytes whose exponent is all ones. Bytes that merely look
# like that are told apart by `_blame`.
_like_not_finite = re.compile(rb"\x01[^\x00]*\x00[\s\S]{6}[\xf0-\xff][\x7f\xff]").search


def _not_finite(data: bytes) -> bool:
    # Most documents have none of these two bytes, and looking for one byte takes next to no time.
    return (b"\x7f" in data or b"\xff" in data) and _like_not_finite(data) is not None


@dataclass(slots=True)
class Tally:
    """What was written, as far as sealing wants to know."""

    part: int = 0
    documents: int = 0
    bytes: int = 0
    falls: int = 0
    """How often an id was not greater than the one before it. None: the part is sorted and its ids are unique."""
    first: str = ""
    last: str = ""
    closed: bool = False
    """The part was closed in good order: it is complete."""


def encode(document: Mapping[str, Any]) -> tuple[str, bytes]:
    """``(id, canonical bytes)``. Raises :class:`InvalidDocumentError` or :class:`DocumentTooLargeError`."""
    try:
        doc_id = document["_id"]
        data = _bson(document)
    except Exception as error:
        _refuse(document, None, error)
    if type(doc_id) is not str or not doc_id or len(data) > MAX_BYTES or _not_finite(data):
        return _encode(document, None)
    return doc_id, data


def content_hash(data: bytes) -> bytes:
    """The 16-byte BLAKE2b hash of canonical bytes."""
    return blake2b(data, digest_size=HASH_BYTES).digest()


def decode(data: bytes) -> Document:
    """The document of canonical bytes. Dates come back as naive UTC datetimes with milliseconds."""
    document: Document = bson.decode(data, _READ)
    return document


def encode_rows(
    documents: Iterable[Mapping[str, Any]], start: int, tally: Tally | None = None
) -> Iterator[tuple[int, str, bytes, bytes]]:
    """``(row number, id, hash, canonical bytes)`` of each document, the first row being ``start``. In the end, also
    one in an error, ``tally`` has counted them.

    Errors carry the position of the bad document, counted from zero.
    """
    tally = tally or Tally()
    row, size, falls, first, last = start, 0, 0, tally.first, tally.last
    new = not tally.documents
    try:
        for document in documents:
            try:
                doc_id = document["_id"]
                data = _bson(document)
            except Exception as error:
                _refuse(document, row - start, error)
            if (
                type(doc_id) is not str
                or not doc_id
                or len(data) > MAX_BYTES
                or ((b"\x7f" in data or b"\xff" in data) and _like_not_finite(data))
            ):
                doc_id, data = _encode(document, row - start)
            if doc_id <= last:
                falls += 1
            elif new:
                first, new = doc_id, False
            last = doc_id
            size += len(data)
            yield row, doc_id, blake2b(data, digest_size=HASH_BYTES).digest(), data
            row += 1
    finally:
        tally.documents += row - start
        tally.bytes, tally.falls, tally.first, tally.last = tally.bytes + size, tally.falls + falls, first, last


def encode_state(document: Mapping[str, Any]) -> tuple[str | int, bytes]:
    """As :func:`encode` for a document of hub state: ``_id`` may be an int, and NaN is let through."""
    doc_id = document.get("_id")
    if isinstance(doc_id, bool) or not isinstance(doc_id, str | int) or doc_id == "":
        raise InvalidDocumentError(f"_id must be a string or an int, not {_show(doc_id)}", doc_id=doc_id)
    try:
        data = _bson(document)
    except Exception as error:
        _refuse(document, None, error)
    _check_size(data, doc_id, "document")
    return doc_id, data


def _encode(document: Mapping[str, Any], position: int | None) -> tuple[str, bytes]:
    try:
        doc_id = document["_id"]
        data = _bson(document)
    except Exception as error:
        _refuse(document, position, error)
    where = _where(doc_id, position)
    if not isinstance(doc_id, str):
        raise InvalidDocumentError(
            f"{where}: _id must be a string, not {_show(doc_id)}", doc_id=doc_id, position=position
        )
    if not doc_id:
        raise InvalidDocumentError(f"{where}: _id is empty", doc_id=doc_id, position=position)
    _check_size(data, doc_id, where, position)
    if _not_finite(data) and (fault := _blame(document)):
        raise InvalidDocumentError(f"{where}: {fault}", doc_id=doc_id, position=position)
    return str(doc_id), data


def _check_size(data: bytes, doc_id: object, where: str, position: int | None = None) -> None:
    if len(data) > MAX_BYTES:
        raise DocumentTooLargeError(
            f"{where} is {len(data):,} bytes as BSON; the limit is {MAX_BYTES:,}: split it",
            doc_id=doc_id,
            position=position,
        )


def _refuse(document: object, position: int | None, error: Exception) -> NoReturn:
    """Raise what is wrong with a document that BSON refused with ``error``."""
    if not isinstance(document, Mapping):
        raise InvalidDocumentError(
            f"{_where(None, position)} is {_show(document)}; a document is a dict with a string _id", position=position
        ) from None
    if "_id" not in document:
        raise InvalidDocumentError(
            f"{_where(None, position)} has no _id (its fields: {', '.join(map(str, list(document)[:8])) or 'none'})",
            position=position,
        ) from None
    doc_id = document["_id"]
    try:
        fault = _blame(document)
    except RecursionError:
        fault = "it is nested too deeply (or contains itself)"
    raise InvalidDocumentError(
        f"{_where(doc_id, position)}: {fault or error}", doc_id=doc_id, position=position
    ) from error


def _where(doc_id: object, position: int | None) -> str:
    name = "document" if position is None else f"document {position}"
    return name if doc_id is None else f"{name} (_id {_short(doc_id)})"


def _show(value: object) -> str:
    return f"{_short(value)} ({type(value).__name__})"


def _short(value: object) -> str:
    text = repr(value).encode(errors="backslashreplace").decode()
    return text if len(text) <= 60 else text[:57] + "..."


def _blame(value: object, path: str = "") -> str | None:
    """What in ``value`` cannot be stored, with its path; None if everything can."""
    if isinstance(value, Mapping):
        for key in value:
            if not isinstance(key, str) or "\0" in key:
                return f"{path or 'it'} has the key {_show(key)}: keys are strings without a NUL character"
        parts: Iterable[tuple[Any, Any]] = value.items()
    elif isinstance(value, list | tuple):
        parts = enumerate(value)
    else:
        return _blame_leaf(value, path)
    faults = (_blame(part, f"{path}.{key}" if path else str(key)) for key, part in parts)
    return next((fault for fault in faults if fault), None)


def _blame_leaf(value: object, path: str) -> str | None:
    if isinstance(value, float) and not math.isfinite(value):
        return f"{path} is {value}: JSON has no NaN and no infinity, leave the field out"
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        return f"{path} is {_show(value)}: beyond 64 bits, store it as a string"
    try:
        _bson({"value": value})
    except Exception:
        return f"{path} is {_show(value)}, which BSON cannot hold"
    return None
