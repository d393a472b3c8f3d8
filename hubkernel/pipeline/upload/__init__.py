"""From the files of a release to a collection of documents."""

from hubkernel.pipeline.upload.errors import (
    BadDocumentError,
    DuplicateDocumentsError,
    EmptyUploadError,
    InvalidDocumentsError,
    LostDocumentsError,
    NoModelError,
    NoSuchUploaderError,
    NoSuchVersionError,
    NotReadyError,
    ParserError,
    PostUpdateError,
    UploadBusyError,
    UploadError,
)
from hubkernel.pipeline.upload.manager import UploadManager

__all__ = [
    "BadDocumentError",
    "DuplicateDocumentsError",
    "EmptyUploadError",
    "InvalidDocumentsError",
    "LostDocumentsError",
    "NoModelError",
    "NoSuchUploaderError",
    "NoSuchVersionError",
    "NotReadyError",
    "ParserError",
    "PostUpdateError",
    "UploadBusyError",
    "UploadError",
    "UploadManager",
]
