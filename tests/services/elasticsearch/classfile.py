"""One change to a compiled Java class: a method that subclasses could not override may be."""

from __future__ import annotations

import struct

_FINAL = 0x0010
_CONSTANT_SIZES = {
    **dict.fromkeys((7, 8, 16, 19, 20), 3),
    15: 4,
    **dict.fromkeys((3, 4, 9, 10, 11, 12, 17, 18), 5),
    **dict.fromkeys((5, 6), 9),
}
"""By tag; text (tag 1) has its length in it."""


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 8  # magic and version

    def short(self) -> int:
        (value,) = struct.unpack_from(">H", self.data, self.at)
        self.at += 2
        return int(value)

    def constants(self) -> dict[int, str]:
        """The texts of the constant pool; reading goes on behind it."""
        texts: dict[int, str] = {}
        count, number = self.short(), 1
        while number < count:
            tag = self.data[self.at]
            if tag == 1:
                (length,) = struct.unpack_from(">H", self.data, self.at + 1)
                texts[number] = self.data[self.at + 3 : self.at + 3 + length].decode("utf-8", "replace")
                self.at += 3 + length
            else:
                self.at += _CONSTANT_SIZES[tag]
            number += 2 if tag in (5, 6) else 1  # long and double take two places
        return texts

    def members(self) -> list[tuple[int, int]]:
        """``(position of the flags, number of the name)`` of all fields, or of all methods."""
        found = []
        for _ in range(self.short()):
            found.append((self.at, struct.unpack_from(">H", self.data, self.at + 2)[0]))
            self.at += 6
            for _ in range(self.short()):
                (length,) = struct.unpack_from(">I", self.data, self.at + 2)
                self.at += 6 + length
        return found


def overridable(data: bytes, method: str) -> bytes:
    """The class with every method of that name not final any more. ``ValueError`` if there is none that was."""
    reader = _Reader(data)
    texts = reader.constants()
    reader.at += 6  # flags, this class, its superclass
    interfaces = reader.short()
    reader.at += 2 * interfaces
    reader.members()
    changed = bytearray(data)
    for position, name in reader.members():
        (flags,) = struct.unpack_from(">H", data, position)
        if texts.get(name) == method and flags & _FINAL:
            struct.pack_into(">H", changed, position, flags & ~_FINAL)
    if changed == data:
        raise ValueError(f"no final method {method}")
    return bytes(changed)
