"""BSON documents as bytes: top-level fields are found and moved without decoding any value.

Format: https://bsonspec.org/spec.html (version 1.1).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from struct import Struct

from hubkernel.store.encode import MAX_BYTES
from hubkernel.store.errors import DocumentTooLargeError

_int32 = Struct("<i").unpack_from
_pack = Struct("<i").pack

_FIXED = {0x01: 8, 0x06: 0, 0x07: 12, 0x08: 1, 0x09: 8, 0x0A: 0, 0x10: 4, 0x11: 8, 0x12: 8, 0x13: 16, 0x7F: 0, 0xFF: 0}
"""Bytes of a value whose type has one size."""
_COUNTED = {0x02: 4, 0x03: 0, 0x04: 0, 0x05: 5, 0x0C: 16, 0x0D: 4, 0x0E: 4, 0x0F: 0}
"""Bytes of a value beyond the count that its first four bytes hold."""
_REGEX = 0x0B


def elements(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """``(name, start, stop)`` of each top-level element: ``data[start:stop]`` is its type, name and value.

    ``name`` is UTF-8. Raises ``ValueError`` if ``data`` is not one whole BSON document.
    """
    end = _document_end(data)
    start = 4
    while start < end:
        value = data.index(0, start + 1) + 1
        extra = _COUNTED.get(data[start])
        stop = _plain_end(data, data[start], value) if extra is None else value + extra + _int32(data, value)[0]
        yield data[start + 1 : value - 1], start, stop
        start = stop
    if start != end:
        raise ValueError("not a BSON document: an element runs over its end")


def fields(data: bytes) -> list[str]:
    """The names of the top-level fields, in order."""
    return [name.decode() for name, _, _ in elements(data)]


def merge(documents: Sequence[bytes]) -> bytes:
    """One document with the top-level fields of all of them: the same bytes as ``first | second | ...`` encoded.

    Of a field that several have, the last one's value stays at the first one's place; ``_id`` is the first document's.
    Raises :class:`DocumentTooLargeError`.
    """
    if len(documents) == 1:
        return documents[0]
    found = {name: documents[0][start:stop] for name, start, stop in elements(documents[0])}
    first_id = found.get(b"_id")
    for data in documents[1:]:
        for name, start, stop in elements(data):
            found[name] = data[start:stop]
    if first_id is not None:
        found[b"_id"] = first_id
    return join(found)


def join(found: dict[bytes, bytes]) -> bytes:
    """A document of elements by name (each as :func:`elements` delimits it), ``_id`` first."""
    first = found.get(b"_id", b"")
    body = b"".join([first, *(element for name, element in found.items() if name != b"_id")])
    size = len(body) + 5
    if size > MAX_BYTES:
        raise DocumentTooLargeError(f"the merged document is {size:,} bytes as BSON; the limit is {MAX_BYTES:,}")
    return b"".join([_pack(size), body, b"\0"])


def _document_end(data: bytes) -> int:
    """Where the closing NUL stands."""
    if len(data) < 5 or _int32(data)[0] != len(data) or data[-1]:
        raise ValueError("not a BSON document: its length does not fit")
    return len(data) - 1


def _plain_end(data: bytes, kind: int, value: int) -> int:
    """Where a value ends that does not begin with its size."""
    size = _FIXED.get(kind)
    if size is not None:
        return value + size
    if kind == _REGEX:
        return data.index(0, data.index(0, value) + 1) + 1
    raise ValueError(f"not a BSON document: unknown element type {kind:#04x}")
