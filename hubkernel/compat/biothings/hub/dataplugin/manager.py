"""``biothings.hub.dataplugin.manager``: not there."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__, why={"*": "plugins are loaded by the hub itself; see its command register_url()"})
