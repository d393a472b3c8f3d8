"""``biothings.hub.dataload.source``: the hub's own manager of sources is in ``server.managers``."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__, why={"*": "the hub makes its managers itself; they are in server.managers"})
