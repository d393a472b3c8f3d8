"""The document store of a MongoDB database."""

from __future__ import annotations

from collections.abc import Container

from hubkernel.store.base import DocumentStore
from hubkernel.store.errors import NoSuchCollectionError
from hubkernel.store.mongo.catalog import Catalog
from hubkernel.store.mongo.collection import MongoCollection
from hubkernel.store.mongo.connection import Connection
from hubkernel.store.mongo.writer import MongoWriter, sweep


class MongoStore(DocumentStore):
    """The collections of ``mongodb://host:port/database``. Any thread, any process; a forked child connects anew."""

    def __init__(self, url: str) -> None:
        self.url = url
        self._connection = Connection(url)
        self._connection.check()
        self._catalog = Catalog(self._connection)

    def names(self) -> list[str]:
        return self._catalog.read().names()

    def collection(self, name: str) -> MongoCollection:
        entry = self._catalog.read().get(name)
        if not self._catalog.is_there(entry):
            raise NoSuchCollectionError(
                f"{self._connection.where} has lost {name!r}: another tool has dropped it; drop or write it again here"
            )
        return MongoCollection(self._connection, self._catalog, name)

    def token(self, name: str) -> str | None:
        entry = self._catalog.read().find(name)
        return None if entry is None else entry.token

    def writer(self, base: str | None = None) -> MongoWriter:
        return MongoWriter(self._connection, self._catalog, base=base)

    def join(self, token: str) -> MongoWriter:
        return MongoWriter(self._connection, self._catalog, token)

    def resume(self, token: str, base: str | None = None, *, parts: Container[int] | None = None) -> MongoWriter:
        writer = MongoWriter.resumed(self._connection, self._catalog, token, base)
        writer.keep(parts)
        return writer

    def rename(self, old: str, new: str, *, replace: bool = False, archive: str | None = None) -> None:
        self._catalog.rename(old, new, replace=replace, archive=archive)

    def drop(self, name: str) -> None:
        self._catalog.remove(name)

    def sweep(self, keep: Container[str] = ()) -> list[str]:
        return sweep(self._connection, self._catalog, keep)

    def close(self) -> None:
        self._connection.close()
