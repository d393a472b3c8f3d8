"""Why an upload was refused or failed. Messages name the user's file, the document and what became of the old data."""

from __future__ import annotations

from typing import Any


class UploadError(Exception):
    """Base of all upload errors. ``details`` holds the traceback of the user's code, if there is one."""

    def __init__(self, message: str, *, details: str = "") -> None:
        super().__init__(message)
        self.details = details

    def add(self, text: str) -> None:
        """Append a sentence to the message."""
        message = str(self.args[0])
        self.args = (f"{message}{'' if message.endswith(('.', '?', '!')) else '.'} {text}",)


class NoSuchUploaderError(UploadError, KeyError):
    """No source or sub-source has that name; the message has the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class NotReadyError(UploadError):
    """There is no complete download to upload from."""


class UploadBusyError(UploadError):
    """The same collection is being uploaded by another job."""


class ParserError(UploadError):
    """The plugin's own code failed, or returned what cannot be documents.

    ``file`` and ``line`` are the innermost ones that belong to the plugin; ``document`` is the number (from 1) of the
    document that was being made.
    """

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        document: int | None = None,
        details: str = "",
    ) -> None:
        super().__init__(message, details=details)
        self.file = file
        self.line = line
        self.document = document


class BadDocumentError(UploadError):
    """A document cannot be stored. ``document`` is its number (from 1), ``doc_id`` its ``_id`` if it has one."""

    def __init__(self, message: str, *, file: str = "", document: int | None = None, doc_id: object = None) -> None:
        super().__init__(message)
        self.file = file
        self.document = document
        self.doc_id = doc_id


class DuplicateDocumentsError(UploadError):
    """Several documents have one ``_id`` and the manifest says ``on_duplicates: error``."""


class EmptyUploadError(UploadError):
    """The parser gave no document at all."""


class LostDocumentsError(UploadError):
    """A release has so many documents fewer than the one before it that somebody has to accept it: ``old``, ``new``."""

    def __init__(self, message: str, *, old: int = 0, new: int = 0) -> None:
        super().__init__(message)
        self.old = old
        self.new = new


class PostUpdateError(UploadError):
    """The plugin's ``post_update_data`` failed. The new collection is in place."""


class NoSuchVersionError(UploadError, KeyError):
    """There is no archive to go back to, or none of that name."""

    def __str__(self) -> str:
        return str(self.args[0])


class NoModelError(UploadError):
    """Documents cannot be validated: there is no model, or no mapping of which one could be made."""


class InvalidDocumentsError(UploadError):
    """Documents do not fit their model. ``faults`` counts them by field and kind, with a few ids of each."""

    def __init__(self, message: str, *, faults: list[dict[str, Any]] | None = None) -> None:
        super().__init__(message)
        self.faults = faults or []
