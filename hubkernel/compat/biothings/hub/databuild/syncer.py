"""``biothings.hub.databuild.syncer``: not there."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__, why={"*": "it does not apply differences to indices; index the new build"})
