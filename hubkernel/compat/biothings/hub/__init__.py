"""``biothings.hub``: the server and the commands, for scripts of hubs; each loaded when it is first used."""

from __future__ import annotations

from typing import Any

import hubkernel.hub
from hubkernel.compat.biothings._missing import answer

DUMPER_CATEGORY = "dumper"
UPLOADER_CATEGORY = "uploader"
BUILDER_CATEGORY = "builder"
INDEXER_CATEGORY = "indexer"
SNAPSHOOTER_CATEGORY = "snapshooter"
DIFFER_CATEGORY = "differ"
SYNCER_CATEGORY = "syncer"


def _load(name: str) -> Any:
    return getattr(hubkernel.hub, name)


__getattr__ = answer(__name__, loads=_load, known=hubkernel.hub.__all__)
