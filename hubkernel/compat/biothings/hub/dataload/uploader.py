"""``biothings.hub.dataload.uploader``: the uploaders' base classes."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer
from hubkernel.pipeline.upload.errors import UploadError as ResourceError
from hubkernel.pipeline.upload.errors import UploadError as ResourceNotReady
from hubkernel.pipeline.upload.uploaders import (
    BaseSourceUploader,
    DummySourceUploader,
    IgnoreDuplicatedSourceUploader,
    MergerSourceUploader,
    NoBatchIgnoreDuplicatedSourceUploader,
    NoDataSourceUploader,
    ParallelizedSourceUploader,
)

__all__ = [
    "BaseSourceUploader",
    "DummySourceUploader",
    "IgnoreDuplicatedSourceUploader",
    "MergerSourceUploader",
    "NoBatchIgnoreDuplicatedSourceUploader",
    "NoDataSourceUploader",
    "ParallelizedSourceUploader",
    "ResourceError",
    "ResourceNotReady",
]

__getattr__ = answer(__name__, why={"UploaderManager": "the hub has its own: managers['upload_manager']"})
