"""The hub's databases as plugins know them: pymongo's calls, over whatever store the hub has. For reading.

``open_source_db(url)[name]`` is a collection of documents, ``open_hub_db(url)[name]`` one of the hub's state. Filters
are those of docs/users/queries.md, on every backend. A collection that does not exist reads as an empty one, as in
MongoDB; the log then names the nearest one. A call that would change something, or that a store cannot do, is an error
that says so: a committed collection never changes, and the hub's state is the hub's.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import cache
from itertools import chain, islice
from typing import Any, NoReturn

from hubkernel.pipeline.surroundings import current, when_left
from hubkernel.store import Collection, DocumentStore, NoSuchCollectionError, StateStore, open_state, open_store
from hubkernel.store.order import sort_key
from hubkernel.store.paths import MISSING, elements, values_at

log = logging.getLogger(__name__)

Document = dict[str, Any]
_WRITES = frozenset(
    {
        *("insert", "insert_one", "insert_many", "save", "update", "update_one", "update_many", "replace_one"),
        *("remove", "delete_one", "delete_many", "find_and_modify", "find_one_and_update"),
        *("find_one_and_replace", "find_one_and_delete", "bulk_write", "rename", "drop", "drop_collection"),
        *("create_collection", "initialize_ordered_bulk_op", "initialize_unordered_bulk_op"),
    }
)
_IGNORED = frozenset(
    {
        *("batch_size", "no_cursor_timeout", "session", "timeout", "hint", "comment", "max_time_ms"),
        *("allow_disk_use",),
    }
)
"""Options of ``find`` that change how, not what is found."""


class UnsupportedCallError(AttributeError, NotImplementedError):
    """A call of pymongo's that is not answered here. The message says what to do instead."""


def open_source_db(store_url: str) -> Database:
    """The documents of a store; the same object for the same url. Nothing is opened before it is used."""
    return _database(store_url, _Documents)


def open_hub_db(state_url: str) -> Database:
    """The hub's state: ``src_dump``, ``src_master``, ``data_plugin``, ``src_build`` ..."""
    return _database(state_url, _State)


def source_db() -> Database:
    """The documents of the hub for which this code runs. Raises :class:`NoSurroundingsError` outside of one."""
    return open_source_db(current().store_url)


def hub_db() -> Database:
    """The state of the hub for which this code runs; errors as :func:`source_db`."""
    return open_hub_db(current().state_url)


@cache
def _database(url: str, reader: type[_Documents | _State]) -> Database:
    database = Database(reader(url))
    when_left(database.close)
    return database


class _Documents:
    """What a facade needs of a document store."""

    kind = "collection of documents"

    def __init__(self, url: str) -> None:
        self.url = url
        self._store: DocumentStore | None = None

    @property
    def store(self) -> DocumentStore:
        if self._store is None:
            self._store = open_store(self.url)
        return self._store

    def names(self) -> list[str]:
        return self.store.names()

    def find(self, name: str, filter: Any, projection: Any, **window: Any) -> Iterator[Document]:
        return self.store.collection(name).find(filter, projection, **window)

    def count(self, name: str, filter: Any) -> int:
        return self.store.collection(name).count(filter)

    def ids(self, name: str) -> Iterator[str]:
        return (doc_id for doc_id, _ in self.store.collection(name).hashes())

    def sealed(self, name: str) -> Collection:
        return self.store.collection(name)

    def close(self) -> None:
        store, self._store = self._store, None
        if store is not None:
            store.close()


class _State:
    """The same of the hub's state."""

    kind = "part of the hub's state"

    def __init__(self, url: str) -> None:
        self.url = url
        self._state: StateStore | None = None

    @property
    def state(self) -> StateStore:
        if self._state is None:
            self._state = open_state(self.url)
        return self._state

    def names(self) -> list[str]:
        return self.state.names()

    def find(self, name: str, filter: Any, projection: Any, **window: Any) -> Iterator[Document]:
        return iter(self.state.collection(name).find(filter, projection, **window))

    def count(self, name: str, filter: Any) -> int:
        return self.state.collection(name).count(filter)

    def ids(self, name: str) -> Iterator[Any]:
        return (document["_id"] for document in self.state.collection(name).find(projection=["_id"]))

    def sealed(self, name: str) -> NoReturn:
        raise UnsupportedCallError(f"{name} is a {self.kind}: it takes no indexes")

    def close(self) -> None:
        state, self._state = self._state, None
        if state is not None:
            state.close()


class Database:
    """``database[name]``, ``database.name`` or ``database.get_collection(name)`` is a :class:`CollectionView`."""

    def __init__(self, reader: _Documents | _State) -> None:
        self._reader = reader

    @property
    def name(self) -> str:
        """Last part of the store's url."""
        return self._reader.url.partition("?")[0].rstrip("/").rpartition("/")[2]

    def __getitem__(self, name: str) -> CollectionView:
        return CollectionView(self, self._reader, name)

    def __getattr__(self, name: str) -> CollectionView:
        if name.startswith("_"):
            raise AttributeError(name)
        _refuse_writes("database", name)
        return self[name]

    def get_collection(self, name: str, *args: Any, **kwargs: Any) -> CollectionView:
        return self[name]

    def list_collection_names(self, *args: Any, **kwargs: Any) -> list[str]:
        return self._reader.names()

    collection_names = list_collection_names

    def __repr__(self) -> str:
        return f"Database({self.name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _database, (self._reader.url, type(self._reader))

    def close(self) -> None:
        """Give back what is open; the next use opens it again."""
        self._reader.close()


class CollectionView:
    """One collection. Every call reads what has the name then."""

    def __init__(self, database: Database, reader: _Documents | _State, name: str) -> None:
        self.database = database
        self.name = name
        self._reader = reader

    @property
    def full_name(self) -> str:
        return f"{self.database.name}.{self.name}"

    def find(
        self,
        filter: Any = None,
        projection: Any = None,
        skip: int = 0,
        limit: int = 0,
        sort: Any = None,
        **options: Any,
    ) -> Cursor:
        """Documents that match; in the order of their ids, for the hub's state in that of their insertion."""
        filter = options.pop("spec", filter)
        projection = options.pop("fields", projection)
        _refuse_options("find", options)
        return Cursor(self, filter, projection).skip(skip).limit(limit).sort(sort)

    def find_one(self, filter: Any = None, projection: Any = None, sort: Any = None, **options: Any) -> Any:
        """The first document that matches, or None. A ``filter`` that is no mapping is an ``_id``."""
        if filter is not None and not isinstance(filter, Mapping):
            filter = {"_id": filter}
        return next(self.find(filter, projection, limit=1, sort=sort, **options), None)

    def count_documents(self, filter: Any = None, skip: int = 0, limit: int = 0, **options: Any) -> int:
        """How many documents match."""
        _refuse_options("count_documents", options)
        count: int = max(self._ask(lambda: self._reader.count(self.name, filter or None), 0) - skip, 0)
        return min(count, limit) if limit else count

    count = count_documents

    def estimated_document_count(self, **options: Any) -> int:
        """How many documents there are; exact."""
        return self.count_documents()

    def distinct(self, key: str, filter: Any = None, **options: Any) -> list[Any]:
        """The values at a dotted path, each once, items of lists singly; in the order in which they are met."""
        path = key.split(".")
        found: dict[Any, Any] = {}
        for document in self.find(filter, {key: 1, "_id": int(key == "_id")}):
            for value in elements(values_at(document, path)):
                if value is not MISSING and not isinstance(value, list):
                    found.setdefault(sort_key(value), value)
        return list(found.values())

    def ids(self) -> Iterator[Any]:
        """All ids, without reading a document."""
        ids: Iterator[Any] = self._ask(lambda: peeked(self._reader.ids(self.name)), iter(()))
        return ids

    def create_index(self, keys: Any, **options: Any) -> str:
        """Make queries for these fields fast; returns the name that pymongo would give the index. Of several fields
        each gets its own.
        """
        fields = sort_pairs(keys)
        collection = self._reader.sealed(self.name)
        for path, _ in fields:
            _index(collection, path)
        return str(options.get("name") or "_".join(f"{path}_{direction}" for path, direction in fields))

    ensure_index = create_index

    def create_indexes(self, indexes: Iterable[Any], **options: Any) -> list[str]:
        """``pymongo.IndexModel`` objects."""
        described = [index.document for index in indexes]
        return [self.create_index(list(each["key"].items()), name=each["name"]) for each in described]

    def __getattr__(self, name: str) -> CollectionView:
        if name.startswith("_"):
            raise AttributeError(name)
        _refuse_writes(self._reader.kind, name)
        raise UnsupportedCallError(
            f"{self.name}.{name} is not answered here: use find, find_one, count_documents, distinct or create_index"
        )

    def __repr__(self) -> str:
        return f"Collection({self.full_name!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return _view, (self.database, self.name)

    def _ask(self, question: Callable[[], Any], otherwise: Any) -> Any:
        try:
            return question()
        except NoSuchCollectionError as error:
            log.warning("%s; it reads as an empty one", error)
            return otherwise


def _view(database: Database, name: str) -> CollectionView:
    return database[name]


class Cursor:
    """What ``find`` returns: iterate over it, once, or change it before: ``find().sort("a").limit(5)``."""

    def __init__(self, collection: CollectionView, filter: Any, projection: Any) -> None:
        self.collection = collection
        self._filter = filter or None
        self._projection = projection
        self._window: dict[str, Any] = {"sort": None, "skip": 0, "limit": 0}
        self._documents: Iterator[Document] | None = None

    def sort(self, key_or_list: Any, direction: int = 1) -> Cursor:
        """``"field"``, ``"field", -1`` or ``[("field", 1), ...]``."""
        return self._change(sort=sort_pairs(key_or_list, direction) or None)

    def skip(self, skip: int) -> Cursor:
        return self._change(skip=skip)

    def limit(self, limit: int) -> Cursor:
        return self._change(limit=abs(limit))

    def batch_size(self, batch_size: int) -> Cursor:
        """Changes nothing: documents are read a few at a time."""
        return self

    def count(self, with_limit_and_skip: bool = False) -> int:
        """How many documents match."""
        window = {key: self._window[key] for key in ("skip", "limit")} if with_limit_and_skip else {}
        return self.collection.count_documents(self._filter, **window)

    def distinct(self, key: str) -> list[Any]:
        return self.collection.distinct(key, self._filter)

    def rewind(self) -> Cursor:
        """Begin again."""
        self._documents = None
        return self

    def close(self) -> None:
        self._documents = iter(())

    def __iter__(self) -> Cursor:
        return self

    def __next__(self) -> Document:
        if self._documents is None:
            self._documents = self._open()
        return next(self._documents)

    next = __next__

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            start, stop = index.start or 0, index.stop
            return self.skip(start).limit(0 if stop is None else stop - start)
        found = list(islice(self.rewind(), index, index + 1))
        self.rewind()
        if not found:
            raise IndexError(f"{self.collection.name} has no document {index} here")
        return found[0]

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def _change(self, **window: Any) -> Cursor:
        if self._documents is not None:
            raise RuntimeError("the cursor has begun: set sort, skip and limit before the first document is read")
        self._window.update(window)
        return self

    def _open(self) -> Iterator[Document]:
        collection, reader = self.collection, self.collection._reader

        def find() -> Iterator[Document]:
            return peeked(reader.find(collection.name, self._filter, self._projection, **self._window))

        documents: Iterator[Document] = collection._ask(find, iter(()))
        return documents


def peeked(items: Iterator[Any]) -> Iterator[Any]:
    """The same, the first one fetched now: a store looks a collection up when something of it is asked for."""
    for first in items:
        return chain((first,), items)
    return iter(())


def sort_pairs(keys: Any, direction: int = 1) -> list[tuple[str, int]]:
    """Pymongo's ways to name fields and directions, as pairs. Raises :class:`UnsupportedCallError` for a special
    index, such as of text.
    """
    if keys is None:
        return []
    if isinstance(keys, str):
        keys = [(keys, direction)]
    elif isinstance(keys, Mapping):
        keys = list(keys.items())
    pairs = [(key, direction) if isinstance(key, str) else tuple(key) for key in keys]
    for path, way in pairs:
        if way not in (1, -1):
            raise UnsupportedCallError(f"{path!r}: only 1 (ascending) and -1 (descending), not {way!r}")
    return [(str(path), int(way)) for path, way in pairs]


def _index(collection: Collection, path: str) -> None:
    make = getattr(collection, "create_index", None)
    if path == "_id":
        return
    if make is None:
        raise UnsupportedCallError(f"{collection.name}: this store has no indexes besides that of _id")
    make(path)


def _refuse_writes(kind: str, name: str) -> None:
    if name in _WRITES:
        hint = "yield the documents as they are to be from load_data" if "documents" in kind else "the hub writes it"
        raise UnsupportedCallError(f"{name}: a {kind} is not changed from a plugin: {hint}")


def _refuse_options(call: str, options: Mapping[str, Any]) -> None:
    unknown = sorted(options.keys() - _IGNORED)
    if unknown:
        near: Sequence[str] = get_close_matches(unknown[0], ["filter", "projection", "sort", "skip", "limit"], 1)
        raise TypeError(f"{call} takes no {unknown[0]!r}" + (f"; did you mean {near[0]!r}?" if near else ""))
