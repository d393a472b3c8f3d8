"""``biothings.hub.dataindex.indexer``: not there as a class to derive from."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(
    __name__, why={"*": "how documents are indexed is a matter of settings and of get_mapping, not of classes"}
)
