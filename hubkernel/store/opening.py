"""Which store a url names. Its implementation is imported when it is opened."""

from __future__ import annotations

from hubkernel.store.base import DocumentStore, StateStore


def open_store(url: str) -> DocumentStore:
    """``sqlite:///absolute/folder`` (one file a collection in it) or ``mongodb://host:port/database``.

    Raises ``ValueError`` for any other scheme and :class:`StoreError` if it cannot be opened.
    """
    if url.startswith("sqlite:"):
        from hubkernel.store.sqlite import SQLiteStore

        return SQLiteStore(url)
    if url.startswith(("mongodb:", "mongodb+srv:")):
        from hubkernel.store.mongo import MongoStore

        return MongoStore(url)
    raise ValueError(f"no store for {url!r}: use sqlite:///folder or mongodb://host/database")


def open_state(url: str) -> StateStore:
    """``sqlite:///absolute/file.db`` or ``mongodb://host:port/database``. Errors as :func:`open_store`."""
    if url.startswith("sqlite:"):
        from hubkernel.store.sqlite import SQLiteState

        return SQLiteState(url)
    if url.startswith(("mongodb:", "mongodb+srv:")):
        from hubkernel.store.mongo import MongoState

        return MongoState(url)
    raise ValueError(f"no state store for {url!r}: use sqlite:///file.db or mongodb://host/database")
