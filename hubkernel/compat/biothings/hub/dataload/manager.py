"""``biothings.hub.dataload.manager``: the hub's own managers are in ``server.managers``."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__, why={"*": "the hub makes its managers itself; they are in server.managers"})
