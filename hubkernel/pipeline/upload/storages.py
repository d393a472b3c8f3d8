"""What is done with documents that share an ``_id``, as the classes that plugins name in ``storage_class``.

A class says what it wants; the store does it while the collection is sealed, so the outcome never depends on the size
of batches, on the number of workers or on the backend.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Any, ClassVar

from hubkernel.pipeline.upload.errors import UploadError
from hubkernel.store import Duplicate


class BasicStorage:
    """A repeated ``_id`` is an error. Derive from it to override :meth:`check_doc_func`."""

    duplicates: ClassVar[Duplicate] = Duplicate.ERROR
    root_keys: ClassVar[bool] = False
    """Merge values of the root keys into lists and look no deeper."""
    skip_large: ClassVar[bool] = False
    """Leave out documents that are too large for the store, and count them; otherwise they are an error."""
    stores: ClassVar[bool] = True
    """False: nothing is written."""

    def __init__(self, db: Any = None, dest_col_name: str | None = None, logger: logging.Logger | None = None) -> None:
        """Made once for each part of an upload, in its worker."""
        self.dest_col_name = dest_col_name
        self.logger = logger or logging.getLogger("hubkernel.upload")

    def check_doc_func(self, doc: dict[str, Any]) -> Any:
        """Called with each document before it is written; one for which it returns something false is left out."""
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
    """Documents of one ``_id`` are merged deeply. A key ``__aslistofdict__`` in a document names the field whose
    objects are collected into a list; the key itself is not stored.
    """

    duplicates = Duplicate.MERGE


class RootKeyMergerStorage(MergerStorage):
    """Documents of one ``_id`` are merged at their root keys: the values of a key that several have become one list."""

    root_keys = True


class UpsertStorage(BasicStorage):
    """The last document of an ``_id`` stays."""

    duplicates = Duplicate.LAST


class NoStorage(BasicStorage):
    """Nothing is written: for trying a parser."""

    stores = False


BY_POLICY: dict[Duplicate, type[BasicStorage]] = {
    Duplicate.ERROR: BasicStorage,
    Duplicate.IGNORE: IgnoreDuplicatedStorage,
    Duplicate.MERGE: MergerStorage,
    Duplicate.LAST: UpsertStorage,
}


@dataclass(frozen=True, slots=True)
class Rules:
    """What a storage class says, as data."""

    duplicates: Duplicate = Duplicate.ERROR
    root_keys: bool = False
    stores: bool = True


def rules_of(storage: type[BasicStorage]) -> Rules:
    return Rules(storage.duplicates, storage.root_keys, storage.stores)


def combined(storage: Any, owner: str) -> type[BasicStorage]:
    """The class that ``storage_class`` means: itself, or several as one. Raises :class:`UploadError`."""
    classes = storage if isinstance(storage, (tuple, list)) else (storage,)
    for cls in classes:
        if not isinstance(cls, type) or not issubclass(cls, BasicStorage):
            raise UploadError(f"{owner}: {cls!r} in storage_class is no storage: derive it from BasicStorage")
        if hasattr(cls, "process"):
            raise UploadError(
                f"{owner}: {cls.__name__} overrides process(), which nobody calls here: override check_doc_func(), or "
                "do it in load_data()"
            )
    narrow = [cls for cls in classes if not any(other is not cls and issubclass(other, cls) for other in classes)]
    narrow = list(dict.fromkeys(narrow))
    if not narrow:
        raise UploadError(f"{owner}: storage_class is empty")
    return narrow[0] if len(narrow) == 1 else type("Storage", tuple(narrow), {})
