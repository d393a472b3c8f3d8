"""``biothings.utils.storage``: the same as ``biothings.hub.dataload.storage``."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer
from hubkernel.compat.biothings.hub.dataload.storage import *  # noqa: F403

__getattr__ = answer(__name__)
