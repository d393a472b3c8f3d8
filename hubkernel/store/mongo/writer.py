"""How a collection comes into being: parts insert into one hidden MongoDB collection, which is then sealed and named.

A document whose ``_id`` is there already is set aside with its part and row, and settled while sealing. What a part
did insert stands in ``hubkernel.ids.<token>``, batch by batch: so it is known which of two documents was written
first, and a part can take back what it has not flushed.
"""

from __future__ import annotations

import threading
import uuid
import weakref
from collections.abc import Container, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from bson import Binary
from bson.raw_bson import RawBSONDocument
from pymongo.errors import BulkWriteError

from hubkernel.store.base import CollectionWriter, Duplicate, Fold, PartWriter, WriteReport
from hubkernel.store.encode import MAX_BYTES, encode_rows
from hubkernel.store.errors import DocumentTooLargeError, StoreError
from hubkernel.store.mongo import owner
from hubkernel.store.mongo.catalog import HASHES, Catalog, Entry
from hubkernel.store.mongo.collection import indexed
from hubkernel.store.mongo.connection import DUPLICATE_KEY, PREFIX, Connection
from hubkernel.store.mongo.sealing import Progress, Sealing, hashes, overlap

WRITERS = f"{PREFIX}writers"
NEW, IDS, SPARE = f"{PREFIX}new.", f"{PREFIX}ids.", f"{PREFIX}spare."
BEAT_SECONDS = 60.0
SILENT_MS = 15 * 60 * 1000
"""After so long without a heartbeat a writer on another machine counts as dead."""
_BATCH_DOCUMENTS = 1000
_BATCH_BYTES = 8 * 1024 * 1024
_CHUNK_BYTES = 8 * 1024 * 1024
_PARTS = 1 << 22

_living: weakref.WeakSet[MongoWriter] = weakref.WeakSet()


class MongoWriter(CollectionWriter):
    """A new collection. The object that ``store.writer()`` gave owns it; one from ``store.join`` can only write parts.

    *Threading*: a daemon thread of the owner tells other machines every minute that it lives.
    """

    def __init__(
        self, connection: Connection, catalog: Catalog, token: str | None = None, *, base: str | None = None
    ) -> None:
        self._connection = connection
        self._catalog = catalog
        self._owns = token is None
        self._parts: list[MongoPart] = []
        self._report: WriteReport | None = None
        self._name = base
        self._base = catalog.read().find(base) if base is not None else None
        self.token = token or uuid.uuid4().hex
        self._stop = threading.Event()
        with connection.translated():
            if token is None:
                self._create()
            elif connection.db[WRITERS].find_one({"_id": token}) is None:
                raise self._ended()

    def part(self, number: int = 0) -> MongoPart:
        if not 0 <= number < _PARTS:
            raise ValueError(f"no part can have the number {number}")
        with self._connection.translated():
            known = self._connection.db[WRITERS].find_one_and_update(
                {"_id": self.token, "report": None}, {"$set": {f"parts.{number}.closed": False}}
            )
        if known is None:
            raise self._ended() if self._report is None else StoreError("the writer is sealed: open a new one")
        start = known["parts"].get(str(number), {}).get("next", 0)
        part = MongoPart(self._connection, self.token, number, start)
        self._parts.append(part)
        return part

    @classmethod
    def resumed(cls, connection: Connection, catalog: Catalog, token: str, base: str | None) -> MongoWriter:
        """The owner of what a dead one has written; see :meth:`DocumentStore.resume`."""
        writer = cls(connection, catalog, token)
        with connection.translated():
            state = connection.db[WRITERS].aggregate([{"$match": {"_id": token}}, {"$addFields": {"silent": _SILENT}}])
            known = next(iter(state), None)
            if known is None:
                raise writer._ended()
            entry = catalog.read().find(base) if base is not None else None
            if _lives(known):
                raise StoreError(f"the writer {token!r} is at work: another process has it")
            if known["report"] or known.get("sealing"):
                raise StoreError(f"the writer {token!r} was being sealed: write it again")
            if known.get("base") != (entry.token if entry else None):
                raise StoreError(f"{base!r} was replaced since the writer {token!r} was opened: write it again")
            taken = connection.db[WRITERS].update_one(
                {"_id": token, "owner": known["owner"]},
                {"$set": {"owner": owner.me()}, "$currentDate": {"beat": True}},
            )
            if not taken.matched_count:
                raise StoreError(f"the writer {token!r} is at work: another process has it")
            writer._owns, writer._name, writer._base = True, base, entry
            writer._live()
        return writer

    def keep(self, parts: Container[int] | None) -> None:
        """Drop all parts but those that were closed, of these also what is not among ``parts``."""
        with self._connection.translated():
            state = self._connection.db[WRITERS].find_one({"_id": self.token}) or {}
            for number, part in state.get("parts", {}).items():
                if not part["closed"] or (parts is not None and int(number) not in parts):
                    self._forget(int(number))

    def _forget(self, number: int) -> None:
        """Drop all that an unfinished part has written."""
        part = MongoPart(self._connection, self.token, number, 0)
        part.take_back_all()
        self._connection.db[WRITERS].update_one({"_id": self.token}, {"$unset": {f"parts.{number}": ""}})

    def finished(self) -> dict[int, int]:
        with self._connection.translated():
            state = self._connection.db[WRITERS].find_one({"_id": self.token}) or {}
        return {int(number): part["next"] for number, part in state.get("parts", {}).items() if part["closed"]}

    def leave(self) -> None:
        if not self._owns:
            return
        for part in self._parts:
            part.closed = True
        self._owns = False
        self._stop.set()
        _living.discard(self)
        with self._connection.translated():
            self._connection.db[WRITERS].update_one({"_id": self.token}, {"$set": {"owner": None}})

    def seal(
        self,
        on_duplicate: Duplicate = Duplicate.ERROR,
        *,
        fold: Fold | None = None,
        progress: Progress | None = None,
    ) -> WriteReport:
        self._must_own("seal")
        policy = Duplicate(on_duplicate)
        if policy is Duplicate.MERGE and fold is None:
            raise ValueError("the policy 'merge' needs a fold")
        with self._connection.translated():
            state = self._connection.db[WRITERS].find_one({"_id": self.token})
            if state is None:
                raise self._ended()
            unfinished = [number for number, part in state["parts"].items() if not part["closed"]]
            if self._report is not None or unfinished:
                raise StoreError(
                    f"seal comes once, after all parts are closed (not closed: {', '.join(unfinished) or 'none'})"
                )
            self._connection.db[WRITERS].update_one({"_id": self.token}, {"$set": {"sealing": True}})
            received = sum(part["next"] for part in state["parts"].values())
            names = {"new": NEW, "ids": IDS, "spare": SPARE, "hashes": HASHES}
            sealing = Sealing(self._connection, {what: f"{name}{self.token}" for what, name in names.items()}, progress)
            report = replace(sealing.run(received, policy, fold), token=self.token)
            if self._name is not None:
                report = self._compared(report)
            self._connection.db[WRITERS].update_one({"_id": self.token}, {"$set": {"report": {"n": report.documents}}})
        self._report = report
        return report

    def commit(self, name: str, *, archive: str | None = None) -> None:
        self._must_own("commit")
        if self._report is None:
            raise StoreError("seal the writer before it is committed")
        if self._name not in (None, name):
            raise ValueError(f"the writer was opened to replace {self._name!r}, not {name!r}")
        if self._report.same:
            self._leave(name)
            return
        place, report = f"{NEW}{self.token}", self._report
        self._carry_indexes(name, place)
        self._catalog.add(Entry(name, self.token, place, b"", report.documents, report.bytes), archive)
        self._end(keep=True)

    def abort(self) -> None:
        if self._owns:
            for part in self._parts:
                part.closed = True
            self._end(keep=False)

    def _compared(self, report: WriteReport) -> WriteReport:
        """With the differences to the base; without if that was dropped meanwhile."""
        base = self._base
        if base is None:
            return replace(report, added=report.documents, changed=0, removed=0, unchanged=0)
        db = self._connection.db
        common, unchanged = overlap(hashes(db[f"{HASHES}{base.token}"]), hashes(db[f"{HASHES}{self.token}"]))
        if self._catalog.read().by_token(base.token) is None:
            return report
        added, removed = report.documents - common, base.documents - common
        counts = {"added": added, "changed": common - unchanged, "removed": removed, "unchanged": unchanged}
        same = unchanged == report.documents == base.documents
        return replace(report, **counts, same=same, token=base.token if same else self.token)

    def _carry_indexes(self, name: str, place: str) -> None:
        """Index the same fields as the collection that is to be replaced."""
        if self._catalog.read().find(name) is None:
            return
        with self._connection.translated():
            for field in indexed(self._connection.db[self._catalog.locate(name).name]):
                self._connection.db[place].create_index([(field, 1)])

    def _leave(self, name: str) -> None:
        """Nothing has changed: the base goes on being the collection."""
        entry = self._catalog.read().get(name)
        if self._base is None or entry.token != self._base.token:
            raise StoreError(f"{name!r} was replaced or renamed while it was loaded again: try again")
        self._end(keep=False)

    def _create(self) -> None:
        db = self._connection.db
        _living.add(self)
        base = self._base.token if self._base else None
        db[WRITERS].insert_one({"_id": self.token, "owner": owner.me(), "parts": {}, "report": None, "base": base})
        db[WRITERS].update_one({"_id": self.token}, {"$currentDate": {"beat": True}})
        db.create_collection(f"{NEW}{self.token}")
        self._live()

    def _live(self) -> None:
        _living.add(self)
        weakref.finalize(self, self._stop.set)
        threading.Thread(target=_beat, args=(self._connection, self.token, self._stop), daemon=True).start()

    def _end(self, *, keep: bool) -> None:
        self._owns = False
        self._stop.set()
        with self._connection.translated():
            erase(self._connection, self.token, keep=keep)

    def _must_own(self, action: str) -> None:
        if not self._owns:
            raise StoreError(f"cannot {action}: the writer has ended, or was joined from elsewhere")

    def _ended(self) -> StoreError:
        return StoreError(f"the writer {self.token!r} has ended: it was committed, aborted or swept")


class MongoPart(PartWriter):
    """One part: batches of up to 1000 documents or 8 MiB."""

    def __init__(self, connection: Connection, token: str, number: int, start: int) -> None:
        self._connection = connection
        self._token = token
        self._number = number
        self._next = self._flushed = start
        self._batch: dict[str, tuple[int, bytes]] = {}
        self._spares: list[tuple[str, int, bytes]] = []
        self._bytes = 0
        self.closed = False

    def write(self, documents: Iterable[Mapping[str, Any]]) -> int:
        return self._append((row, doc_id, data) for row, doc_id, _, data in encode_rows(documents, self._next))

    def write_encoded(self, rows: Iterable[tuple[str, bytes]]) -> int:
        return self._append(_checked(rows, self._next))

    def flush(self) -> None:
        if not self.closed:
            self._save(closed=False)

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self._save(closed=True)

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if kind is not None and not self.closed:
            with self._connection.translated():
                self._take_back(self._flushed)
        self.close()

    def _append(self, rows: Iterable[tuple[int, str, bytes]]) -> int:
        if self.closed:
            raise StoreError("the part is closed")
        start = self._next
        with self._connection.translated():
            for row, doc_id, data in rows:
                self._add(row, doc_id, data)
        return self._next - start

    def _add(self, row: int, doc_id: str, data: bytes) -> None:
        if self._bytes + len(data) > _BATCH_BYTES or len(self._batch) + len(self._spares) >= _BATCH_DOCUMENTS:
            self._send()
        if doc_id in self._batch:
            self._spares.append((doc_id, row, data))
        else:
            self._batch[doc_id] = (row, data)
        self._bytes += len(data)
        self._next = row + 1

    def _send(self) -> None:
        """Note and insert the batch, set aside the documents whose ``_id`` is taken."""
        batch, spares = self._batch, self._spares
        self._batch, self._spares, self._bytes = {}, [], 0
        spares += [(doc_id, *batch[doc_id]) for doc_id in self._insert_noted(batch)]
        for few in _few(self._spare(*spare) for spare in spares):
            self._collection(SPARE).insert_many(few)

    def _insert_noted(self, batch: dict[str, tuple[int, bytes]]) -> list[str]:
        """Returns the ids that were there already. Of all notes of a part only the last one may tell of documents that
        it has not inserted, if it died or failed there.
        """
        if not batch:
            return []
        rows = [row for row, _ in batch.values()]
        note = self._collection(IDS).insert_one({"part": self._number, "ids": list(batch), "rows": rows}).inserted_id
        if taken := self._insert(batch):
            others = set(taken)
            inserted = {doc_id: row for doc_id, (row, _) in batch.items() if doc_id not in others}
            self._collection(IDS).update_one({"_id": note}, {"$set": _noted(inserted)})
        return taken

    def _insert(self, batch: dict[str, tuple[int, bytes]]) -> list[str]:
        """Returns the ids that were there already."""
        documents = [RawBSONDocument(data) for _, data in batch.values()]
        try:
            self._collection(NEW).insert_many(documents, ordered=False)
        except BulkWriteError as error:
            failed: list[Any] = error.details["writeErrors"]
            if any(one["code"] != DUPLICATE_KEY for one in failed) or error.details["writeConcernErrors"]:
                raise
            ids = list(batch)
            return [ids[one["index"]] for one in failed]
        return []

    def _spare(self, doc_id: str, row: int, data: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
        """A document set aside; in pieces, because one of 16 MiB leaves no room for its part and row beside it."""
        for piece in range(0, len(data), _CHUNK_BYTES):
            chunk = data[piece : piece + _CHUNK_BYTES]
            key = {"id": doc_id, "part": self._number, "row": row, "piece": piece}
            yield len(chunk), {"_id": key, "data": Binary(chunk)}

    def _save(self, *, closed: bool) -> None:
        with self._connection.translated():
            self._send()
            state = {"next": self._next, "closed": closed}
            saved = self._connection.db[WRITERS].update_one(
                {"_id": self._token}, {"$set": {f"parts.{self._number}": state}}
            )
        if not saved.matched_count:
            raise StoreError(f"the writer {self._token!r} has ended: it was committed, aborted or swept")
        self._flushed = self._next

    def take_back_all(self) -> None:
        """Undo everything, also what was flushed."""
        self._take_back(0)
        self.closed = True

    def _take_back(self, row: int) -> None:
        """Undo everything from ``row`` on."""
        self._batch = {doc_id: held for doc_id, held in self._batch.items() if held[0] < row}
        self._spares = [spare for spare in self._spares if spare[1] < row]
        self._bytes = sum(len(data) for _, data in self._batch.values()) + sum(len(data) for *_, data in self._spares)
        self._next = row
        notes = self._collection(IDS)
        undoing = list(notes.find({"part": self._number, "rows": {"$gte": row}}, sort=[("rows", 1)]))
        for note in undoing:
            pairs = list(zip(note["ids"], note["rows"], strict=True))
            undone = [doc_id for doc_id, at in pairs if at >= row]
            if note is undoing[-1]:
                undone = self._own(undone, note)
            self._collection(NEW).delete_many({"_id": {"$in": undone}})
            notes.update_one({"_id": note["_id"]}, {"$set": _noted({doc_id: at for doc_id, at in pairs if at < row})})
        self._collection(SPARE).delete_many({"_id.part": self._number, "_id.row": {"$gte": row}})

    def _own(self, ids: list[str], note: dict[str, Any]) -> list[str]:
        """Those that no other note tells of."""
        others = self._collection(IDS).find({"ids": {"$in": ids}, "_id": {"$ne": note["_id"]}})
        taken = {doc_id for other in others for doc_id in other["ids"]}
        return [doc_id for doc_id in ids if doc_id not in taken]

    def _collection(self, prefix: str) -> Any:
        return self._connection.bulk(f"{prefix}{self._token}")


def _noted(inserted: dict[str, int]) -> dict[str, Any]:
    return {"ids": list(inserted), "rows": list(inserted.values())}


def _checked(rows: Iterable[tuple[str, bytes]], start: int) -> Iterator[tuple[int, str, bytes]]:
    for row, (doc_id, data) in enumerate(rows, start):
        if len(data) > MAX_BYTES:
            raise DocumentTooLargeError(
                f"document {doc_id!r} is {len(data):,} bytes as BSON; the limit is {MAX_BYTES:,}",
                doc_id=doc_id,
                position=row - start,
            )
        yield row, doc_id, data


def _few(spares: Iterable[Iterator[tuple[int, dict[str, Any]]]]) -> Iterator[list[dict[str, Any]]]:
    """Documents for one ``insert_many`` each: no more than a message may hold."""
    few: list[dict[str, Any]] = []
    size = 0
    for spare in spares:
        for length, document in spare:
            if few and size + length > 4 * _CHUNK_BYTES:
                yield few
                few, size = [], 0
            few.append(document)
            size += length
    if few:
        yield few


def _beat(connection: Connection, token: str, stop: threading.Event) -> None:
    while not stop.wait(BEAT_SECONDS):
        try:
            with connection.translated():
                connection.db[WRITERS].update_one({"_id": token}, {"$currentDate": {"beat": True}})
        except StoreError:
            continue  # the next beat may get through; writing itself reports a lost server


def erase(connection: Connection, token: str, *, keep: bool) -> None:
    """Drop what a writer used; with ``keep`` all but the sealed collection. Its own entry goes last."""
    for name in (IDS, SPARE) if keep else (IDS, SPARE, NEW, HASHES):
        connection.db.drop_collection(f"{name}{token}")
    connection.db[WRITERS].delete_one({"_id": token})


def sweep(connection: Connection, catalog: Catalog, keep: Container[str] = ()) -> list[str]:
    """Remove what dead writers left behind, except for the tokens ``keep``; returns their tokens."""
    with connection.translated():
        present = {name.rsplit(".", 1)[1] for name in connection.db.list_collection_names() if _of_a_writer(name)}
        writers = list(connection.db[WRITERS].aggregate([{"$addFields": {"silent": _SILENT}}]))
        living = {writer["_id"] for writer in writers if _lives(writer)}
        left_over = (present | {writer["_id"] for writer in writers}) - living
        committed = {entry.token for entry in catalog.read().entries}
        swept = sorted(left_over - (committed - {writer["_id"] for writer in writers}))
        swept = [token for token in swept if token not in keep]
        for token in swept:
            erase(connection, token, keep=token in committed)
    return swept


_SILENT = {"$lt": [{"$add": [{"$ifNull": ["$beat", "$$NOW"]}, SILENT_MS]}, "$$NOW"]}


def _of_a_writer(name: str) -> bool:
    return name.startswith((NEW, IDS, SPARE, HASHES))


def _lives(writer: dict[str, Any]) -> bool:
    if writer["owner"] is None:
        return False
    if owner.is_me(writer["owner"]):
        return any(one.token == writer["_id"] for one in _living)
    lives = owner.lives(writer["owner"])
    return not writer["silent"] if lives is None else lives
