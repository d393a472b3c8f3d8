"""Which MongoDB collection is which collection of the store, and how that changes atomically.

All names stand in one document, so any change of names is one update: that update *is* the commit. MongoDB renames
collections one at a time, therefore the document first says where each collection lies now (``place``), and the
renames that bring it to its name come after. Who dies in between leaves names that are already true and places that
the next one to open the store brings into order; until then readers go by ``place``.

One process at a time changes the document: it holds ``lock``, a lease that ends by itself, or with the process if
that ran on the same machine. Each save is conditional on still holding it.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from difflib import get_close_matches
from typing import Any

from pymongo import ReturnDocument
from pymongo.errors import DuplicateKeyError, OperationFailure

from hubkernel.store.errors import CollectionExistsError, NoSuchCollectionError, StoreError
from hubkernel.store.mongo import owner
from hubkernel.store.mongo.connection import PREFIX, Connection

CATALOG = f"{PREFIX}catalog"
HASHES = f"{PREFIX}hash."
LEASE_MS = 60_000
LOCK_SECONDS = 120.0
_POLL_SECONDS = 0.02
_KEY = {"_id": "catalog"}
_NAMESPACE_NOT_FOUND, _NAMESPACE_EXISTS = 26, 48
_MAX_NAME_BYTES = 200


@dataclass(slots=True)
class Entry:
    """A collection: the token of the writer that made it, and where its documents lie."""

    name: str
    token: str
    place: str
    """The MongoDB collection that holds the documents: ``name``, unless a rename is still to be done."""
    uuid: bytes
    """Identifies the MongoDB collection whatever it is called."""
    documents: int
    bytes: int

    @property
    def settled(self) -> bool:
        return self.place == self.name


@dataclass(slots=True)
class Book:
    """The catalog's document. ``trash``: what is no collection any more and has still to be dropped."""

    version: int = 0
    entries: list[Entry] = field(default_factory=list)
    trash: list[Entry] = field(default_factory=list)

    @property
    def settled(self) -> bool:
        return not self.trash and all(entry.settled for entry in self.entries)

    def find(self, name: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.name == name), None)

    def by_token(self, token: str) -> Entry | None:
        return next((entry for entry in self.entries if entry.token == token), None)

    def names(self) -> list[str]:
        return sorted(entry.name for entry in self.entries)

    def get(self, name: str) -> Entry:
        """Raises :class:`NoSuchCollectionError`, naming the nearest name there is."""
        if (entry := self.find(name)) is None:
            near = get_close_matches(name, self.names(), n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise NoSuchCollectionError(f"there is no collection {name!r}{hint}")
        return entry

    def discard(self, entry: Entry | None) -> None:
        if entry is not None:
            self.entries.remove(entry)
            self.trash.append(entry)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a collection's documents were found, and as of which state of the catalog."""

    token: str
    name: str
    version: int
    settled: bool


class Catalog:
    """The names of one store. Any thread, any process."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._cached = Book(version=-1)
        if not self.read().settled:
            with self.change():
                pass

    def read(self) -> Book:
        """The catalog as it is now; the entries are not to be changed."""
        with self._connection.translated():
            head = self._documents.find_one(_KEY, {"version": 1})
            if head is None:
                return Book()
            if head["version"] != self._cached.version:
                self._cached = _book(self._documents.find_one(_KEY) or {})
            return self._cached

    def locate(self, name: str) -> Place:
        """Where the documents of a collection lie. Raises :class:`NoSuchCollectionError`.

        What is read there is that collection's if :meth:`locate_again` finds the same place afterwards.
        """
        book = self.read()
        return self._place(book, book.get(name))

    def locate_again(self, token: str) -> Place:
        """Where they lie now, whatever they are called. Raises :class:`StoreError` if they are a collection no more."""
        book = self.read()
        entry = book.by_token(token)
        if entry is None:
            raise StoreError("the collection was replaced or dropped while it was being read: open it again")
        return self._place(book, entry)

    def _place(self, book: Book, entry: Entry) -> Place:
        if book.settled:
            return Place(entry.token, entry.place, book.version, settled=True)
        with self._connection.translated():
            found = self._physical([entry.place, entry.name])
        for name, identity in found.items():
            if identity == entry.uuid:
                return Place(entry.token, name, book.version, settled=False)
        if self.read().version == book.version:
            raise StoreError(f"the documents of {entry.name!r} are gone: another tool has dropped {entry.place!r}")
        return self.locate_again(entry.token)

    def is_there(self, entry: Entry) -> bool:
        """Whether no other tool has dropped the documents."""
        with self._connection.translated():
            return bool(self._physical([entry.place, entry.name]))

    @contextmanager
    def change(self) -> Iterator[Book]:
        """Change the names: the book that this yields is saved in one step if the block ends well, then settled."""
        with self._connection.translated(), self._locked() as nonce:
            book = _book(self._documents.find_one(_KEY) or {})
            if not book.settled:
                self._settle(book, nonce)
            self._refresh(book)
            before = _document(book)
            yield book
            if _document(book) != before:
                self._save(book, nonce)
                self._settle(book, nonce)

    def add(self, entry: Entry, archive: str | None) -> None:
        """Make ``entry`` the collection of its name; what had the name is renamed to ``archive``, or dropped."""
        check_name(entry.name)
        with self.change() as book:
            old = book.find(entry.name)
            if old is None:
                self._must_be_free(book, entry.name)
            elif archive is not None:
                self._must_be_free(book, check_name(archive))
                old.name = archive
            else:
                book.discard(old)
            found = self._physical([entry.place])
            if entry.place not in found:
                raise StoreError(f"the writer {entry.token!r} has ended: it was swept")
            entry.uuid = found[entry.place]
            book.entries.append(entry)

    def rename(self, old: str, new: str, *, replace: bool, archive: str | None = None) -> None:
        check_name(new)
        with self.change() as book:
            entry = book.get(old)
            if old == new:
                return
            there = book.find(new)
            if there and archive is not None:
                self._must_be_free(book, check_name(archive))
                there.name = archive
            elif there and replace:
                book.discard(there)
            else:
                self._must_be_free(book, new)
            entry.name = new

    def remove(self, name: str) -> None:
        with self.change() as book:
            book.discard(book.find(name))

    @property
    def _documents(self) -> Any:
        return self._connection.db[CATALOG]

    def _must_be_free(self, book: Book, name: str) -> None:
        if book.find(name):
            raise CollectionExistsError(f"there is a collection {name!r} already: drop it or choose another name")
        if self._physical([name]):
            where = self._connection.where
            raise CollectionExistsError(
                f"{where} has a collection {name!r} that is not this store's: rename it or use another database"
            )

    def _physical(self, names: list[str]) -> dict[str, bytes]:
        """The identities of those MongoDB collections that exist, by name."""
        found = self._connection.db.list_collections(filter={"name": {"$in": names}})
        return {info["name"]: bytes(info["info"].get("uuid", b"")) for info in found}

    def _refresh(self, book: Book) -> None:
        """Take the identities of what lies at its name: a restored backup has the same names and new identities."""
        found = self._physical([entry.place for entry in book.entries if entry.settled])
        for entry in book.entries:
            if entry.settled and entry.name in found:
                entry.uuid = found[entry.name]

    def _settle(self, book: Book, nonce: str) -> None:
        """Do the renames and drops that the book asks for."""
        pending = [entry for entry in book.entries if not entry.settled]
        while pending:
            places = {entry.place for entry in book.entries}
            moved = [entry for entry in pending if entry.name not in places and self._move(book, entry)]
            if not moved:
                break
            pending = [entry for entry in pending if not entry.settled]
        for entry in book.trash:
            if self._physical([entry.place]).get(entry.place) == entry.uuid:
                self._connection.db.drop_collection(entry.place)
            self._connection.db.drop_collection(f"{HASHES}{entry.token}")
        book.trash.clear()
        self._save(book, nonce)

    def _move(self, book: Book, entry: Entry) -> bool:
        """Rename a collection to its name; False if another tool has put something there: then it stays in place."""
        target = self._physical([entry.name]).get(entry.name)
        if target != entry.uuid:
            replaces = any(gone.place == entry.name and gone.uuid == target for gone in book.trash)
            try:
                self._connection.db[entry.place].rename(entry.name, dropTarget=replaces)
            except OperationFailure as error:
                if error.code == _NAMESPACE_EXISTS:
                    return False
                if error.code != _NAMESPACE_NOT_FOUND:
                    raise
        entry.place = entry.name
        return True

    def _save(self, book: Book, nonce: str) -> None:
        book.version += 1
        saved = self._documents.update_one({**_KEY, "lock.nonce": nonce}, {"$set": _document(book)})
        if not saved.matched_count:
            raise StoreError(f"{self._connection.where}: the names changed meanwhile, nothing was done: try again")

    @contextmanager
    def _locked(self) -> Iterator[str]:
        nonce = uuid.uuid4().hex
        self._acquire(nonce)
        try:
            yield nonce
        finally:
            self._documents.update_one({**_KEY, "lock.nonce": nonce}, {"$unset": {"lock": ""}})

    def _acquire(self, nonce: str) -> None:
        deadline = time.monotonic() + LOCK_SECONDS
        free: dict[str, Any] = {"$or": [{"lock": None}, {"$expr": {"$lt": ["$lock.until", "$$NOW"]}}]}
        while not self._take(nonce, free):
            lock = (self._documents.find_one(_KEY) or {}).get("lock")
            if lock and owner.lives(lock["owner"]) is False and self._take(nonce, {"lock.nonce": lock["nonce"]}):
                return
            if time.monotonic() > deadline:
                raise StoreError(f"{self._connection.where}: another process has been changing names for too long")
            time.sleep(_POLL_SECONDS)

    def _take(self, nonce: str, condition: dict[str, Any]) -> bool:
        lock = {"owner": {"$literal": owner.me()}, "nonce": nonce, "until": {"$add": ["$$NOW", LEASE_MS]}}
        with suppress(DuplicateKeyError):  # two processes make it at the same time
            self._documents.update_one(_KEY, {"$setOnInsert": _document(Book())}, upsert=True)
        taken = self._documents.find_one_and_update(
            _KEY | condition, [{"$set": {"lock": lock}}], {"_id": 1}, return_document=ReturnDocument.AFTER
        )
        return taken is not None


def check_name(name: str) -> str:
    """Raises ``ValueError`` for a name that no MongoDB collection can have, or that the store keeps for itself."""
    if not name:
        raise ValueError("a collection needs a name")
    if "$" in name or "\0" in name or name.startswith(("system.", PREFIX, ".")) or name.endswith("."):
        raise ValueError(f"MongoDB cannot have a collection {name!r}, or it is kept for the store: choose another name")
    if len(name.encode()) > _MAX_NAME_BYTES:
        raise ValueError(f"the name {name[:40]!r}... is over {_MAX_NAME_BYTES} bytes long")
    return name


def _book(document: dict[str, Any]) -> Book:
    return Book(
        version=document.get("version", 0),
        entries=[Entry(**entry) for entry in document.get("entries", [])],
        trash=[Entry(**entry) for entry in document.get("trash", [])],
    )


def _document(book: Book) -> dict[str, Any]:
    return asdict(book)
