"""What the workers of an index job run: look at the documents, then send them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import bson
import orjson

from hubkernel.executors import Worker
from hubkernel.pipeline.index.errors import IndexingError
from hubkernel.pipeline.index.shapes import Shapes, json_value
from hubkernel.search import client
from hubkernel.store import open_store

_CHUNK_BYTES = 2_000_000
_FAILURES = 100
_CHECK_EVERY = 200

Range = tuple[str | None, str | None]


@dataclass(frozen=True, slots=True)
class Load:
    """Send the documents of a collection (those of ``ids``, if given) to an index that is there and empty."""

    store_url: str
    collection: str
    search_url: str
    index: str
    ids: tuple[str, ...] | None = None
    batch_size: int = 500
    total: int = 0
    options: dict[str, Any] = field(default_factory=dict)


def look(worker: Worker, store_url: str, collection: str, ids: Range, skip: tuple[str, ...]) -> Shapes:
    """The shapes of a range of documents, without the fields in ``skip``."""
    shapes = Shapes(skip)
    store = open_store(store_url)
    try:
        for number, (_, data) in enumerate(store.collection(collection).scan(*ids)):
            if number % _CHECK_EVERY == 0:
                worker.check()
            shapes.read(bson.decode(data))
    finally:
        store.close()
    return shapes


def load(worker: Worker, work: Load) -> int:
    """Returns how many documents were indexed. Raises :class:`IndexingError` naming the documents that were refused."""
    store = open_store(work.store_url)
    search = client(work.search_url, **work.options)
    sender = _Sender(worker, search, work)
    try:
        for id, source in _documents(store.collection(work.collection), work.ids):
            sender.add(id, source)
        sender.finish()
        return sender.sent
    finally:
        search.close()
        store.close()


def _documents(collection: Any, ids: tuple[str, ...] | None) -> Iterator[tuple[str, bytes]]:
    if ids is None:
        documents: Iterable[dict[str, Any]] = (bson.decode(data) for _, data in collection.scan())
    else:
        documents = collection.get_many(ids)
    for document in documents:
        id = document.pop("_id")
        yield id, orjson.dumps(document, default=json_value)


class _Sender:
    """Bulk requests of a bounded size. Refused documents are collected; a few are enough to give up."""

    def __init__(self, worker: Worker, search: Any, work: Load) -> None:
        self._worker = worker
        self._bulk: Callable[..., Any] = search.bulk
        self._work = work
        self._lines: list[bytes] = []
        self._bytes = 0
        self._failures: list[tuple[str, str]] = []
        self.sent = 0

    def add(self, id: str, source: bytes) -> None:
        self._lines += (orjson.dumps({"create": {"_id": id}}), source)
        self._bytes += len(source)
        if self._bytes >= _CHUNK_BYTES or len(self._lines) >= 2 * self._work.batch_size:
            self._send()

    def finish(self) -> None:
        if self._lines:
            self._send()
        if self._failures:
            raise self._refused()

    def _send(self) -> None:
        self._worker.check()
        answer = self._bulk(operations=self._lines, index=self._work.index)
        count = len(self._lines) // 2
        if answer["errors"]:
            self._collect(answer["items"])
        self._lines, self._bytes = [], 0
        self.sent += count
        self._worker.progress(self.sent, self._work.total, f"indexing {self._work.collection}")
        if len(self._failures) >= _FAILURES:
            raise self._refused()

    def _collect(self, items: list[dict[str, Any]]) -> None:
        for item in items:
            outcome = item["create"]
            if "error" in outcome:
                cause = outcome["error"].get("caused_by", {}).get("reason", "")
                reason = outcome["error"]["reason"] + (f" ({cause})" if cause else "")
                self._failures.append((outcome["_id"], reason))

    def _refused(self) -> IndexingError:
        ids = [id for id, _ in self._failures]
        more = f" and {len(ids) - 5} more" if len(ids) > 5 else ""
        return IndexingError(
            f"{len(ids)} document(s) of {self._work.collection} were refused by the index: "
            f"{', '.join(map(_short, ids[:5]))}{more}; the first one because: {self._failures[0][1]}. "
            "Nothing was changed: correct the mapping or the documents and index again",
            ids=ids,
            count=len(ids),
        )


def _short(id: str) -> str:
    return repr(id if len(id) <= 80 else f"{id[:77]}...")
