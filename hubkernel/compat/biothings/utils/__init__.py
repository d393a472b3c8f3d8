"""The helpers that plugins import, at the paths of the SDK."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__)
