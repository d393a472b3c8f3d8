"""Reading a committed collection."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from itertools import islice
from typing import Any, TypeVar

from pymongo.collection import Collection as PyMongoCollection
from pymongo.errors import PyMongoError

from hubkernel.store.base import Collection, Document, Filter, Projection, Sort, check_field
from hubkernel.store.encode import HASH_BYTES, decode
from hubkernel.store.mongo.catalog import HASHES, Catalog, Entry, Place
from hubkernel.store.mongo.connection import Connection, cursor_ended, rows
from hubkernel.store.order import arrange, compile_sort
from hubkernel.store.projection import compile_projection
from hubkernel.store.query import compile_filter

T = TypeVar("T")
_ASKED_AT_ONCE = 500
_FINE = 20
"""From so many buckets a part, :meth:`MongoCollection.split` cuts between buckets, else between documents."""


class MongoCollection(Collection):
    """A collection of a :class:`MongoStore`. Each call looks the name up anew: it reads what has the name then.

    An iterator reads one state of the collection from its first document to its last, over renames and lost cursors.
    If that state is replaced or dropped meanwhile it raises :class:`StoreError`: MongoDB keeps nothing for readers.
    """

    def __init__(self, connection: Connection, catalog: Catalog, name: str) -> None:
        self.name = name
        self._connection = connection
        self._catalog = catalog

    def count(self, filter: Filter | None = None) -> int:
        compile_filter(filter)
        if not filter:
            return self._entry().documents
        return self._ask(lambda place: int(self._connection.db[place].count_documents(filter)))

    def get(self, id: str) -> Document | None:
        found = self._ask(lambda place: self._connection.raw(place).find_one({"_id": id}))
        return None if found is None else decode(found.raw)

    def get_many(self, ids: Iterable[str]) -> Iterator[Document]:
        remaining = iter(ids)
        token = self._entry().token
        while asked := list(islice(remaining, _ASKED_AT_ONCE)):
            found = self._ask(partial(self._among, ids=asked), lambda: self._catalog.locate_again(token))
            for doc_id in asked:
                if (data := found.get(doc_id)) is not None:
                    yield decode(data)

    def find(
        self,
        filter: Filter | None = None,
        projection: Projection | None = None,
        *,
        sort: Sort | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        compile_filter(filter)
        wire, drop_id = wire_projection(projection)
        options = {"projection": wire, "sort": wire_sort(sort), "limit": check_window(skip, limit)}
        return self._found(dict(filter or {}), options, skip, drop_id, resumable=not sort)

    def scan(self, start: str | None = None, stop: str | None = None) -> Iterator[tuple[str, bytes]]:
        options = {"projection": None, "sort": [("_id", 1)], "limit": 0}
        return self._rows(id_range(start, stop), options, 0, resumable=True)

    def hashes(self, start: str | None = None, stop: str | None = None) -> Iterator[tuple[str, bytes]]:
        for bucket in self._buckets(self._entry(), start, stop):
            hashes = bucket["hashes"]
            for place, doc_id in enumerate(bucket["ids"]):
                # Python compares strings by code point, which is the order of their UTF-8 bytes.
                if (start is None or doc_id >= start) and (stop is None or doc_id < stop):
                    yield doc_id, hashes[place * HASH_BYTES : (place + 1) * HASH_BYTES]

    def split(self, parts: int) -> list[tuple[str | None, str | None]]:
        if parts < 1:
            raise ValueError(f"a collection cannot be split into {parts} parts")
        entry = self._entry()
        cuts = self._cuts(entry, min(parts, max(entry.documents, 1)))
        return list(zip([None, *cuts], [*cuts, None], strict=True))

    def size(self) -> int:
        entry = self._entry()
        with self._connection.translated():
            names = (self._catalog.locate_again(entry.token).name, f"{HASHES}{entry.token}")
            stats = [self._connection.db.command("collStats", name) for name in names]
        return sum(int(one.get("storageSize", 0) + one.get("totalIndexSize", 0)) for one in stats)

    def create_index(self, field: str, *, progress: Callable[[], None] | None = None) -> None:
        if check_field(field):
            self._ask(lambda place: self._connection.db[place].create_index([(field, 1)]))

    def indexes(self) -> list[str]:
        return self._ask(lambda place: indexed(self._connection.db[place]))

    def drop_index(self, field: str) -> None:
        def drop(place: str) -> None:
            if field in indexed(self._connection.db[place]):
                self._connection.db[place].drop_index([(field, 1)])

        self._ask(drop)

    def _entry(self) -> Entry:
        return self._catalog.read().get(self.name)

    def _among(self, place: str, ids: list[str]) -> dict[str, bytes]:
        cursor = self._connection.raw(place).find_raw_batches({"_id": {"$in": ids}})
        return {doc_id: data for batch in cursor for doc_id, data in rows(batch)}

    def _found(
        self, filter: dict[str, Any], options: dict[str, Any], skip: int, drop_id: bool, *, resumable: bool
    ) -> Iterator[Document]:
        for _, data in self._rows(filter, options, skip, resumable=resumable):
            document = decode(data)
            if drop_id:
                del document["_id"]
            yield document

    def _rows(
        self, filter: dict[str, Any], options: dict[str, Any], skip: int, *, resumable: bool
    ) -> Iterator[tuple[str, bytes]]:
        """The documents found, from one state of the collection; a lost cursor is opened again behind the last one."""
        locate = partial(self._catalog.locate, self.name)
        limit: int = options["limit"]
        given, last, idle = 0, None, 0
        while True:
            behind = filter if last is None else {"$and": [filter, {"_id": {"$gt": last}}]}
            window = {"skip": 0 if given else skip, "limit": limit - given if limit else 0}
            try:
                for place, batch in self._batches(locate, behind, options | window):
                    locate = partial(self._catalog.locate_again, place.token)
                    for last, data in rows(batch):
                        yield last, data
                        given, idle = given + 1, 0
                return
            except PyMongoError as error:
                idle += 1
                if not cursor_ended(error) or idle > 2 or (given and not resumable):
                    with self._connection.translated():
                        raise

    def _batches(
        self, locate: Callable[[], Place], filter: dict[str, Any], options: dict[str, Any]
    ) -> Iterator[tuple[Place, bytes]]:
        """One cursor. It belongs to one MongoDB collection, whose first batch shows whether it was the right one."""
        while True:
            place = locate()
            raw = self._connection.raw(place.name)
            with raw.find_raw_batches(filter, allow_disk_use=True, **options) as cursor:
                batch = next(cursor, None)
                if locate() != place:
                    continue
                while batch is not None:
                    if batch:
                        yield place, batch
                    batch = next(cursor, None)
                return

    def _ask(self, question: Callable[[str], T], locate: Callable[[], Place] | None = None) -> T:
        """The answer of the documents that ``locate`` finds (those that have the name now) and no others."""
        locate = locate or (lambda: self._catalog.locate(self.name))
        with self._connection.translated():
            place = locate()
            while True:
                answer = question(place.name)
                before, place = place, locate()
                if place == before:
                    return answer

    def _buckets(
        self, entry: Entry, start: str | None = None, stop: str | None = None, fields: list[str] | None = None
    ) -> Iterator[Mapping[str, Any]]:
        """The side collection with ids and hashes, a few hundred a document. It never moves; it goes with its token."""
        side = self._connection.db[f"{HASHES}{entry.token}"]
        with self._connection.translated():
            if start is not None:
                first = side.find_one({"_id": {"$lte": start}}, {"_id": 1}, sort=[("_id", -1)])
                start = first["_id"] if first else None
            yield from side.find(id_range(start, stop), fields, sort=[("_id", 1)])
        self._catalog.locate_again(entry.token)

    def _cuts(self, entry: Entry, parts: int) -> list[str]:
        """The first ids of all parts but the first."""
        if entry.documents >= parts * _FINE * 1000:
            starts = [(bucket["_id"], bucket["n"]) for bucket in self._buckets(entry, fields=["n"])]
        else:
            starts = [(doc_id, 1) for bucket in self._buckets(entry, fields=["ids"]) for doc_id in bucket["ids"]]
        cuts: list[str] = []
        seen = 0
        for first_id, documents in starts:
            if len(cuts) + 1 < parts and seen >= entry.documents * (len(cuts) + 1) / parts:
                cuts.append(first_id)
            seen += documents
        return cuts


def indexed(collection: PyMongoCollection) -> list[str]:
    """The fields that have an index of their own, in order."""
    keys = [index["key"] for index in collection.index_information().values()]
    return sorted(key[0][0] for key in keys if len(key) == 1 and key[0][1] == 1 and key[0][0] != "_id")


def id_range(start: str | None, stop: str | None) -> dict[str, Any]:
    """The filter for ``start <= _id < stop``."""
    bounds = {name: limit for name, limit in (("$gte", start), ("$lt", stop)) if limit is not None}
    return {"_id": bounds} if bounds else {}


def wire_sort(sort: Sort | None) -> list[tuple[str, int]]:
    """The order to ask MongoDB for: by ``_id`` where ``sort`` leaves it open."""
    compile_sort(sort)
    order = [(path, direction) for path, direction in sort or ()]
    return order if any(path == "_id" for path, _ in order) else [*order, ("_id", 1)]


def check_window(skip: int, limit: int) -> int:
    """Raises :class:`UnsupportedQueryError` for a negative one."""
    arrange([], [], skip, limit)
    return limit


def wire_projection(projection: Projection | None) -> tuple[dict[str, int] | None, bool]:
    """What to ask MongoDB for, and whether ``_id`` is to be left out afterwards: it is always asked for."""
    compile_projection(projection)
    if projection is None or projection == {}:
        return None, False
    if not isinstance(projection, Mapping):
        return dict.fromkeys(projection, 1) or {"_id": 1}, False
    fields = {path: int(flag) for path, flag in projection.items()}
    if fields.get("_id") != 0:
        return fields, False
    del fields["_id"]
    return fields or None, True
