"""``biothings.hub.datatransform.datatransform_mdb``: its names, which cannot look up ids yet."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer
from hubkernel.compat.biothings.hub.datatransform import _later

__getattr__ = answer(
    __name__,
    loads=lambda name: getattr(_later, name),
    known=_later.__all__,
)
