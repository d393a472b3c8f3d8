"""``biothings.hub.dataload``: getting data: dumpers, uploaders, storages."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__)
