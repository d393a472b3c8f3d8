"""Documents and hub state: one interface each, SQLite embedded and MongoDB through pymongo behind it."""

from hubkernel.store.base import (
    Collection,
    CollectionWriter,
    DocumentStore,
    Duplicate,
    PartWriter,
    StateCollection,
    StateStore,
    WriteReport,
)
from hubkernel.store.errors import (
    CollectionExistsError,
    DocumentTooLargeError,
    DuplicateIdError,
    InvalidDocumentError,
    NoSuchCollectionError,
    StoreError,
    StoreFullError,
    UnsupportedQueryError,
    UpdateError,
)
from hubkernel.store.opening import open_state, open_store

__all__ = [
    "Collection",
    "CollectionExistsError",
    "CollectionWriter",
    "DocumentStore",
    "DocumentTooLargeError",
    "Duplicate",
    "DuplicateIdError",
    "InvalidDocumentError",
    "NoSuchCollectionError",
    "PartWriter",
    "StateCollection",
    "StateStore",
    "StoreError",
    "StoreFullError",
    "UnsupportedQueryError",
    "UpdateError",
    "WriteReport",
    "open_state",
    "open_store",
]
