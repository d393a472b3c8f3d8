"""``biothings.hub.databuild``: builds."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__)
