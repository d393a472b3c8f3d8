"""The hub's state in a MongoDB database: each kind of state is the MongoDB collection of its name."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from bson.raw_bson import RawBSONDocument
from pymongo import ReturnDocument, WriteConcern
from pymongo.errors import DuplicateKeyError, OperationFailure

from hubkernel.store.base import Document, Filter, Projection, Sort, StateCollection, StateStore
from hubkernel.store.encode import decode, encode_state
from hubkernel.store.errors import DuplicateIdError, UpdateError
from hubkernel.store.mongo.catalog import CATALOG, check_name
from hubkernel.store.mongo.collection import check_window, wire_projection
from hubkernel.store.mongo.connection import DUPLICATE_KEY, DURABLE, PREFIX, TOO_LARGE, Connection
from hubkernel.store.order import arrange, compile_sort
from hubkernel.store.projection import compile_projection
from hubkernel.store.query import compile_filter, wanted_ids
from hubkernel.store.update import Replacement, Update

_log = logging.getLogger(__name__)

COUNTERS = f"{PREFIX}counters"
# What MongoDB says of an update that does not fit a document: bad value, type mismatch, path not viable, immutable _id.
_DOES_NOT_FIT = frozenset({2, 14, 28, 52, 53, 55, 56, 57, 66})

T = TypeVar("T")


class MongoState(StateStore):
    """Hub state in ``mongodb://host:port/database``, which may be the database of the documents.

    Any thread, any process. Every write has reached the disks of a majority of the servers when the call returns.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.connection = Connection(url)
        self.connection.check()

    def collection(self, name: str) -> MongoStateCollection:
        return MongoStateCollection(self, check_name(name))

    def names(self) -> list[str]:
        with self.connection.translated():
            db = self.connection.db
            catalog = db[CATALOG].find_one() or {}
            places = {entry["place"] for kind in ("entries", "trash") for entry in catalog.get(kind, [])}
            names = set(db.list_collection_names()) - places
            own = (name for name in names if not name.startswith((PREFIX, "system.")))
            return sorted(name for name in own if db[name].find_one({}, {"_id": 1}) is not None)

    def close(self) -> None:
        self.connection.close()

    def tell(self, collection: str, operation: str, doc_id: Any, document: Document | None) -> None:
        """Report a committed change to the hub."""
        if self.on_change is None:
            return
        try:
            self.on_change(collection, operation, doc_id, document)
        except Exception:
            _log.exception("a listener failed on %s of %s %r", operation, collection, doc_id)


class MongoStateCollection(StateCollection):
    """One collection of a :class:`MongoState`. Without ``sort``, documents come in the order of their insertion."""

    def __init__(self, state: MongoState, name: str) -> None:
        self.name = name
        self._state = state
        self._connection = state.connection

    def find(
        self,
        filter: Filter | None = None,
        projection: Projection | None = None,
        *,
        sort: Sort | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> list[Document]:
        compile_filter(filter)
        order = compile_sort(sort)
        wire, drop_id = wire_projection(projection)
        check_window(skip, limit)
        # MongoDB leaves open which of two equal documents comes first, where the order does not end with their ids.
        total = sort is None or any(path == "_id" for path, _ in sort)
        options: dict[str, Any] = {"sort": list(sort or ()) or self._natural(filter)}
        if total:
            options |= {"projection": wire, "skip": skip, "limit": limit}
        with self._connection.translated():
            found = [decode(raw.raw) for raw in self._raw.find(filter, **options)]
        if not total:
            project = compile_projection(projection)
            return [project(document) for document in arrange(found, order, skip, limit)]
        for document in found if drop_id else ():
            del document["_id"]
        return found

    def find_one(
        self, filter: Filter | None = None, projection: Projection | None = None, *, sort: Sort | None = None
    ) -> Document | None:
        found = self.find(filter, projection, sort=sort, limit=1)
        return found[0] if found else None

    def count(self, filter: Filter | None = None) -> int:
        compile_filter(filter)
        with self._connection.translated():
            return int(self._raw.count_documents(filter or {}))

    def insert_one(self, document: Mapping[str, Any]) -> None:
        doc_id, data = encode_state(document)
        self._write(lambda: self._raw.insert_one(RawBSONDocument(data)), doc_id)
        self._state.tell(self.name, "insert", doc_id, decode(data))

    def replace_one(self, filter: Filter, document: Mapping[str, Any], *, upsert: bool = False) -> int:
        change = Replacement(document)
        content = dict(document)

        def replace(**options: Any) -> Any:
            return self._raw.find_one_and_replace(filter, content, **options)

        return self._change_one(filter, change, replace, "replace", upsert)

    def update_one(self, filter: Filter, update: Mapping[str, Any], *, upsert: bool = False) -> int:
        change = Update(update)

        def apply(**options: Any) -> Any:
            return self._raw.find_one_and_update(filter, update, **options)

        return self._change_one(filter, change, apply, "update", upsert)

    def update_many(self, filter: Filter, update: Mapping[str, Any]) -> int:
        Update(update)
        compile_filter(filter)
        count = self._write(lambda: self._update_all(filter, update))
        if count:
            self._state.tell(self.name, "update", None, None)
        return count

    def delete_one(self, filter: Filter) -> int:
        compile_filter(filter)
        found = self._write(lambda: self._raw.find_one_and_delete(filter, sort=self._natural(filter)))
        if found is None:
            return 0
        self._state.tell(self.name, "delete", decode(found.raw)["_id"], None)
        return 1

    def delete_many(self, filter: Filter) -> int:
        compile_filter(filter)
        count = int(self._write(lambda: self._raw.delete_many(filter).deleted_count))
        if count:
            self._state.tell(self.name, "delete", None, None)
        return count

    def next_id(self) -> int:
        counters = self._connection.db[COUNTERS]
        with self._connection.translated():
            with suppress(DuplicateKeyError):  # two processes ask for the first one at the same time
                counters.update_one({"_id": self.name}, {"$setOnInsert": {"value": 0}}, upsert=True)
            found: Any = counters.find_one_and_update(
                {"_id": self.name}, {"$inc": {"value": 1}}, return_document=ReturnDocument.AFTER
            )
        return int(found["value"])

    @property
    def _raw(self) -> Any:
        return self._connection.raw(self.name)

    def _natural(self, filter: Filter | None) -> list[tuple[str, int]] | None:
        """The order of insertion, to be asked for unless one document at most can match: it reads them all."""
        ids = wanted_ids(filter).ids
        return None if ids is not None and len(ids) == 1 else [("$natural", 1)]

    def _update_all(self, filter: Filter, update: Mapping[str, Any]) -> int:
        """All or nothing where the server has transactions."""
        if not self._connection.transactions():
            return int(self._raw.update_many(filter, update).matched_count)
        with self._connection.client.start_session() as session:
            # In a transaction the commit's write concern counts, that of a single write is refused.
            raw = self._raw.with_options(write_concern=WriteConcern())
            done = session.with_transaction(
                lambda open_: raw.update_many(filter, update, session=open_), write_concern=DURABLE
            )
        return int(done.matched_count)

    def _change_one(
        self,
        filter: Filter,
        change: Update | Replacement,
        apply: Callable[..., Any],
        operation: str,
        upsert: bool,
    ) -> int:
        compile_filter(filter)
        options = {"sort": self._natural(filter), "return_document": ReturnDocument.AFTER}
        found = self._write(lambda: apply(**options))
        if found is None and upsert:
            operation = "insert"
            found = self._upsert(filter, change, lambda: apply(upsert=True, **options))
        if found is None:
            return 0
        document = decode(found.raw)
        self._state.tell(self.name, operation, document["_id"], document)
        return 1

    def _upsert(self, filter: Filter, change: Update | Replacement, apply: Callable[[], Any]) -> Any:
        """MongoDB would give a document without ``_id`` one of its own kind: that is refused first."""
        doc_id, _ = encode_state(change.insert(filter))
        return self._write(apply, doc_id)

    def _write(self, write: Callable[[], T], doc_id: object = None) -> T:
        with self._connection.translated():
            try:
                return write()
            except OperationFailure as error:
                if error.code == DUPLICATE_KEY:
                    raise DuplicateIdError.taken(self.name, doc_id) from None
                if error.code in _DOES_NOT_FIT and error.code not in TOO_LARGE:
                    raise UpdateError(f"{self.name}: {_reason(error)}") from None
                raise


def _reason(error: OperationFailure) -> str:
    details = error.details or {}
    return " ".join(str(details.get("errmsg", error)).split())[:300]
