"""What is done with documents that share an ``_id``, as the classes that plugins name in ``storage_class``.

A class says what it wants; the store does it while the collection is sealed, so the outcome never depends on the size
of batches, on the number of workers or on the backend.
"""

from __future__ import annotations

from typing import Any, ClassVar

from hubkernel.store import Duplicate


class BasicStorage:
    """A repeated ``_id`` is an error."""

    duplicates: ClassVar[Duplicate] = Duplicate.ERROR
    root_keys: ClassVar[bool] = False
    """Merge values of the root keys into lists and look no deeper."""
    skip_large: ClassVar[bool] = False
    """Leave out documents that are too large for the store, and count them; otherwise they are an error."""
    stores: ClassVar[bool] = True
    """False: nothing is written."""

    def check_doc_func(self, doc: dict[str, Any]) -> dict[str, Any] | None:
        """Called with each document before it is written; what it returns is written, nothing if that is falsy."""
        return doc


class CheckSizeStorage(BasicStorage):
    """As its base, but a document that is too large is left out with a warning."""

    skip_large = True


class IgnoreDuplicatedStorage(BasicStorage):
    """The first document of an ``_id`` stays."""

    duplicates = Duplicate.IGNORE


class NoBatchIgnoreDuplicatedStorage(IgnoreDuplicatedStorage):
    """The same: batches never matter here."""


class MergerStorage(BasicStorage):
    """Documents of one ``_id`` are merged."""

    duplicates = Duplicate.MERGE


class RootKeyMergerStorage(MergerStorage):
    """Documents of one ``_id`` are merged at their root keys: values that differ become a list."""

    root_keys = True


class UpsertStorage(BasicStorage):
    """The last document of an ``_id`` stays."""

    duplicates = Duplicate.LAST


class NoStorage(BasicStorage):
    """Nothing is written: for trying a parser."""

    stores = False
