"""``biothings.hub.dataload.dumper``: the dumpers' base classes, each loaded when it is first used."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache
from typing import Any

import hubkernel.pipeline.dump.dumpers as ours
from hubkernel.compat.biothings._missing import answer
from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException

CLASSES = (
    "BaseDumper",
    "DumperException",
    "FTPDumper",
    "LastModifiedBaseDumper",
    "LastModifiedFTPDumper",
    "HTTPDumper",
    "LastModifiedHTTPDumper",
    "WgetDumper",
    "FilesystemDumper",
    "DummyDumper",
    "ManualDumper",
    "GoogleDriveDumper",
    "GitDumper",
    "DockerContainerDumper",
    "DockerContainerException",
    "APIDumper",
    "S3Dumper",
)

__all__ = ["BaseDumper", "DumperException"]


@cache
def _load(name: str) -> Any:
    for module in pkgutil.iter_modules(ours.__path__, f"{ours.__name__}."):
        found = getattr(importlib.import_module(module.name), name, None)
        if found is not None:
            return found
    raise AttributeError(f"hubkernel has no dumper {name}")


__getattr__ = answer(
    __name__, loads=_load, known=CLASSES, why={"DumperManager": "the hub has its own: managers['dump_manager']"}
)
