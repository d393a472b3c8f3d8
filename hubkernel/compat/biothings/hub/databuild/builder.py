"""``biothings.hub.databuild.builder``: the hub's own builder."""

from __future__ import annotations

from typing import Any

from hubkernel.compat.biothings._missing import answer


def _load(name: str) -> Any:
    from hubkernel.pipeline.build import BuildManager
    from hubkernel.pipeline.build.builder import DataBuilder

    return {"DataBuilder": DataBuilder, "BuilderManager": BuildManager}[name]


__getattr__ = answer(__name__, loads=_load, known=("DataBuilder", "BuilderManager"))
