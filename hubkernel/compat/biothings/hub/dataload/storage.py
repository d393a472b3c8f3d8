"""``biothings.hub.dataload.storage``: what to do with documents that share an ``_id``."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer
from hubkernel.pipeline.upload.storages import (
    BasicStorage,
    CheckSizeStorage,
    IgnoreDuplicatedStorage,
    MergerStorage,
    NoBatchIgnoreDuplicatedStorage,
    NoStorage,
    RootKeyMergerStorage,
    UpsertStorage,
)

BaseStorage = BasicStorage

__all__ = [
    "BaseStorage",
    "BasicStorage",
    "CheckSizeStorage",
    "IgnoreDuplicatedStorage",
    "MergerStorage",
    "NoBatchIgnoreDuplicatedStorage",
    "NoStorage",
    "RootKeyMergerStorage",
    "UpsertStorage",
]

__getattr__ = answer(__name__)
