"""The embedded document store."""

from __future__ import annotations

from collections.abc import Container

from hubkernel.store.base import DocumentStore
from hubkernel.store.errors import NoSuchCollectionError
from hubkernel.store.sqlite.collection import SQLiteCollection
from hubkernel.store.sqlite.connection import Location
from hubkernel.store.sqlite.files import Folder
from hubkernel.store.sqlite.writer import SQLiteWriter


class SQLiteStore(DocumentStore):
    """The collections in the folder of ``sqlite:///absolute/folder``; created when missing.

    The folder must be on a local disk: SQLite's locks are not safe on network file systems.
    Threading and forking: use it from anywhere; connections are opened as needed.
    """

    def __init__(self, url: str) -> None:
        location = Location.parse(url)
        self.url = url
        self._folder = Folder(location.path, location.max_pages)

    def names(self) -> list[str]:
        return self._folder.names()

    def collection(self, name: str) -> SQLiteCollection:
        self._folder.entry(name)
        return SQLiteCollection(self._folder, name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and self.token(name) is not None

    def token(self, name: str) -> str | None:
        try:
            return self._folder.entry(name).token
        except NoSuchCollectionError:
            return None

    def writer(self, base: str | None = None) -> SQLiteWriter:
        return SQLiteWriter(self._folder, base=base)

    def join(self, token: str) -> SQLiteWriter:
        return SQLiteWriter(self._folder, token)

    def resume(self, token: str, base: str | None = None, *, parts: Container[int] | None = None) -> SQLiteWriter:
        return SQLiteWriter.resumed(self._folder, token, base, parts)

    def rename(self, old: str, new: str, *, replace: bool = False, archive: str | None = None) -> None:
        if not new or archive == "":
            raise ValueError("a collection needs a name")
        self._discard(self._folder.rename(old, new, replace=replace, archive=archive))

    def drop(self, name: str) -> None:
        self._discard(self._folder.remove(name))

    def sweep(self, keep: Container[str] = ()) -> list[str]:
        return self._folder.sweep(keep)

    def close(self) -> None:
        self._folder.close()

    def _discard(self, token: str | None) -> None:
        if token is not None:
            self._folder.erase(token)
