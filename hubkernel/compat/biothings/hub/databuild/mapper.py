"""``biothings.hub.databuild.mapper``: not there."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer

__getattr__ = answer(__name__, why={"*": "its builds take no mappers; give documents their final _id in load_data"})
