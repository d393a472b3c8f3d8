"""``biothings.hub.datatransform``: not there yet."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__, why={"*": "ids cannot be looked up yet; map them in load_data"})
