"""What a store can refuse, and why. Every message is one line that says what to do."""

from __future__ import annotations

from collections.abc import Iterable


class StoreError(Exception):
    """Base of all store errors."""


class NoSuchCollectionError(StoreError, KeyError):
    """The named collection does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class CollectionExistsError(StoreError):
    """A rename or create met a collection of that name."""


class InvalidDocumentError(StoreError, ValueError):
    """A document cannot be stored: no ``_id``, a non-string ``_id``, NaN or infinity, or a value without BSON.

    ``position`` is the zero-based position of the document in what was being written, ``doc_id`` its ``_id`` if any.
    """

    def __init__(self, message: str, *, doc_id: object = None, position: int | None = None) -> None:
        super().__init__(message)
        self.doc_id = doc_id
        self.position = position


class DocumentTooLargeError(InvalidDocumentError):
    """A document is over 16 MiB as BSON, MongoDB's limit; the embedded store keeps the same one."""


class DuplicateIdError(StoreError):
    """Two documents have one ``_id`` where the policy is ``error``. ``ids`` holds up to ten examples, ``count`` all."""

    EXAMPLES = 10

    def __init__(self, message: str, *, ids: tuple[str, ...] = (), count: int = 0) -> None:
        super().__init__(message)
        self.ids = ids
        self.count = count

    @classmethod
    def among(cls, ids: Iterable[str], count: int) -> DuplicateIdError:
        """Of documents written together; ``ids`` are :attr:`EXAMPLES` of them, or all."""
        examples = tuple(ids)
        more = ", ..." if count > len(examples) else ""
        return cls(
            f"{count:,} documents have the _id of another one: {', '.join(map(repr, examples))}{more}; "
            "make the ids unique or choose the policy ignore, last or merge",
            ids=examples,
            count=count,
        )

    @classmethod
    def taken(cls, collection: str, doc_id: object) -> DuplicateIdError:
        """Of a document whose ``_id`` is there already."""
        return cls(f"{collection} has a document {doc_id!r} already", ids=(str(doc_id),), count=1)


class StoreFullError(StoreError, OSError):
    """The disk (or the store's size limit) is full. Nothing that was acknowledged is lost."""


class UnsupportedQueryError(StoreError, ValueError):
    """A filter, update or projection uses an operator outside the documented subset."""


class UpdateError(StoreError, ValueError):
    """An update does not fit the document: ``$inc`` of a string, ``$push`` to a number, another ``_id``, ..."""
