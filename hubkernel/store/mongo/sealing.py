"""Sealing: documents that share an ``_id`` become one, and every document's hash is written beside it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import chain, groupby, islice

from bson import Binary, MaxKey
from bson.raw_bson import RawBSONDocument
from pymongo import ReplaceOne
from pymongo.collection import Collection as PyMongoCollection

from hubkernel.store.base import Duplicate, Fold, WriteReport
from hubkernel.store.encode import HASH_BYTES, content_hash, decode, encode
from hubkernel.store.errors import DuplicateIdError, InvalidDocumentError, StoreError
from hubkernel.store.mongo.connection import Connection, rows

Progress = Callable[[int, int], None]
Version = tuple[int, int, bytes]
"""One of the documents of an id: part, row, canonical bytes. They sort in the order in which they were written."""

_BUCKET_IDS = 1000
_BUCKET_BYTES = 1024 * 1024
_IDS_AT_ONCE = 100_000
_BATCH_IDS = 500
_BATCH_BYTES = 16 * 1024 * 1024


class Sealing:
    """Works on the MongoDB collections ``new ids spare hashes`` of one writer. Memory is bounded, except for the
    documents of a single id, which a fold gets all at once.
    """

    def __init__(self, connection: Connection, names: dict[str, str], progress: Progress | None) -> None:
        self._new = connection.bulk(names["new"])
        self._ids = connection.bulk(names["ids"])
        self._spare = connection.bulk(names["spare"])
        self._hashes = connection.bulk(names["hashes"])
        self._progress = progress or _silent

    def run(self, received: int, policy: Duplicate, fold: Fold | None) -> WriteReport:
        """Raises :class:`DuplicateIdError`. What this writes is durable once the caller has written durably."""
        self._progress(0, received)
        surplus = self._settle(received, policy, fold)
        documents, size = self._write_hashes(received)
        if documents + surplus != received:
            raise _lost(received - documents - surplus)
        self._progress(received, received)
        return WriteReport(received=received, documents=documents, duplicates=received - documents, bytes=size)

    def _settle(self, received: int, policy: Duplicate, fold: Fold | None) -> int:
        """Returns how many documents shared an id with an earlier one."""
        examples: list[str] = []
        surplus = 0
        for few in self._groups():
            self._progress(0, received)
            changes: list[tuple[str, bytes]] = []
            for doc_id, stored, versions in few:
                surplus += len(versions) - 1
                if len(versions) > 1:
                    examples = [*examples, doc_id][: DuplicateIdError.EXAMPLES]
                winner = _winner(policy, fold, doc_id, sorted(versions))
                if winner != stored:
                    changes.append((doc_id, winner))
            if changes and not (surplus and policy is Duplicate.ERROR):
                self._replace(changes)
        if surplus and policy is Duplicate.ERROR:
            raise DuplicateIdError.among(examples, surplus)
        return surplus

    def _groups(self) -> Iterator[list[tuple[str, bytes | None, list[Version]]]]:
        """``(id, the document that was inserted, all documents)`` of each id with documents set aside."""
        last = ""
        while many := self._spare_ids(last):
            last = many[-1]
            origin = self._origins(set(many))
            for few in _batches(self._spares(many[0], last)):
                yield [*self._with_stored(few, origin)]

    def _with_stored(
        self, few: list[tuple[str, list[Version]]], origin: dict[str, tuple[int, int]]
    ) -> Iterator[tuple[str, bytes | None, list[Version]]]:
        cursor = self._new.find_raw_batches({"_id": {"$in": [doc_id for doc_id, _ in few]}})
        stored = dict(chain.from_iterable(map(rows, cursor)))
        for doc_id, versions in few:
            data = stored.get(doc_id)
            if data is not None and doc_id not in origin:
                raise _lost(1)
            yield doc_id, data, versions if data is None else [(*origin[doc_id], data), *versions]

    def _spare_ids(self, after: str) -> list[str]:
        """The next ids of documents that were set aside, in order."""
        behind = {"_id": {"$gt": {"id": after, "part": MaxKey()}}}
        with self._spare.find(behind, {"_id": 1}, sort=[("_id", 1)]) as cursor:
            ids = (doc_id for doc_id, _ in groupby(str(spare["_id"]["id"]) for spare in cursor))
            return list(islice(ids, _IDS_AT_ONCE))

    def _origins(self, wanted: set[str]) -> dict[str, tuple[int, int]]:
        """Part and row of the documents that were inserted."""
        found: dict[str, tuple[int, int]] = {}
        for note in self._ids.find():
            for doc_id, row in zip(note["ids"], note["rows"], strict=True):
                if doc_id in wanted:
                    found[doc_id] = (note["part"], row)
        return found

    def _spares(self, first: str, last: str) -> Iterator[tuple[str, list[Version]]]:
        """The documents that were set aside, by id, in the order of the ids."""
        bounds = {"_id": {"$gte": {"id": first}}, "_id.id": {"$lte": last}}
        cursor = self._spare.find(bounds, sort=[("_id", 1)])
        for doc_id, pieces in groupby(cursor, key=lambda spare: str(spare["_id"]["id"])):
            places = groupby(pieces, key=lambda spare: (spare["_id"]["part"], spare["_id"]["row"]))
            yield doc_id, [(*place, b"".join(spare["data"] for spare in part)) for place, part in places]

    def _replace(self, changes: list[tuple[str, bytes]]) -> None:
        self._new.bulk_write(
            [ReplaceOne({"_id": doc_id}, RawBSONDocument(data), upsert=True) for doc_id, data in changes],
            ordered=False,
        )

    def _write_hashes(self, received: int) -> tuple[int, int]:
        """Returns the number of documents and their size."""
        documents = size = held = 0
        ids: list[str] = []
        hashes: list[bytes] = []
        cursor = self._new.find_raw_batches({}, sort=[("_id", 1)], hint=[("_id", 1)])
        for doc_id, data in chain.from_iterable(map(rows, cursor)):
            ids.append(doc_id)
            hashes.append(content_hash(data))
            documents, size, held = documents + 1, size + len(data), held + len(doc_id)
            if len(ids) == _BUCKET_IDS or held > _BUCKET_BYTES:
                self._write_bucket(ids, hashes)
                ids, hashes, held = [], [], 0
                self._progress(documents, received)
        if ids:
            self._write_bucket(ids, hashes)
        return documents, size

    def _write_bucket(self, ids: list[str], hashes: list[bytes]) -> None:
        self._hashes.insert_one({"_id": ids[0], "n": len(ids), "ids": ids, "hashes": Binary(b"".join(hashes))})


def hashes(side: PyMongoCollection) -> Iterator[tuple[str, bytes]]:
    """``(id, hash)`` of all documents of a collection, in the order of their ids, from what stands beside it."""
    for bucket in side.find(sort=[("_id", 1)]):
        data = bucket["hashes"]
        for place, doc_id in enumerate(bucket["ids"]):
            yield doc_id, data[place * HASH_BYTES : (place + 1) * HASH_BYTES]


def overlap(old: Iterator[tuple[str, bytes]], new: Iterator[tuple[str, bytes]]) -> tuple[int, int]:
    """How many ids two collections have in common, and how many of these with the same hash."""
    common = same = 0
    before = next(old, None)
    for doc_id, content in new:
        while before is not None and before[0] < doc_id:
            before = next(old, None)
        if before is not None and before[0] == doc_id:
            common += 1
            same += before[1] == content
    return common, same


def _lost(documents: int) -> StoreError:
    return StoreError(
        f"the server lost {documents:,} documents that it had accepted (did it fail over?): load them again"
    )


def _silent(done: int, total: int) -> None:
    """Nobody wants to know."""


def _winner(policy: Duplicate, fold: Fold | None, doc_id: str, versions: list[Version]) -> bytes:
    if policy is Duplicate.LAST:
        return versions[-1][2]
    if policy is not Duplicate.MERGE or fold is None or len(versions) == 1:
        return versions[0][2]
    new_id, data = encode(fold([decode(version[2]) for version in versions]))
    if new_id != doc_id:
        raise InvalidDocumentError(f"the fold of {doc_id!r} gave it another _id: {new_id!r}", doc_id=doc_id)
    return data


def _batches(groups: Iterable[tuple[str, list[Version]]]) -> Iterator[list[tuple[str, list[Version]]]]:
    batch: list[tuple[str, list[Version]]] = []
    size = 0
    for doc_id, versions in groups:
        batch.append((doc_id, versions))
        size += sum(len(data) for *_, data in versions)
        if len(batch) >= _BATCH_IDS or size > _BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
