"""The journal of jobs: collection ``job`` of the hub's state, one document a job, one durable write a transition.

Records are inserted by the thread that starts a job; all later writes go through one thread, in the order in which they
were asked for, so that the loop never waits for a disk. What must come after a write is given to it as ``then``.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Mapping
from typing import Any

from hubkernel.jobs.models import JobRecord
from hubkernel.jobs.state import TERMINAL, UNFINISHED, State
from hubkernel.store import StateStore

log = logging.getLogger(__name__)

COLLECTION = "job"
FAILED = sorted(TERMINAL - {State.DONE})
Then = Callable[[BaseException | None], None]
"""Called by the journal's thread after the write, with the error if it failed."""


class Journal:
    """Reads may come from any thread."""

    def __init__(self, state: StateStore) -> None:
        self._collection = state.collection(COLLECTION)
        self._writes: queue.SimpleQueue[tuple[int, Mapping[str, Any], Then] | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None

    def next_id(self) -> int:
        return self._collection.next_id()

    def insert(self, record: JobRecord) -> None:
        """Durable when it returns. Raises what the store raises."""
        self._collection.insert_one(record.to_document())

    def update(self, id: int, changes: Mapping[str, Any], then: Then) -> None:
        """Write these fields soon. Never raises and never waits."""
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._write_all, name="hubkernel-journal", daemon=True)
                self._thread.start()
        self._writes.put((id, changes, then))

    def _write_all(self) -> None:
        while (item := self._writes.get()) is not None:
            id, changes, then = item
            error: BaseException | None = None
            try:
                self.write(id, changes)
            except Exception as failure:
                error = failure
                log.exception("job %s: the journal cannot be written; %s", id, ", ".join(changes))
            try:
                then(error)
            except Exception:
                log.exception("job %s: what follows a journal entry failed", id)

    def write(self, id: int, changes: Mapping[str, Any]) -> None:
        """Write these fields now, in this thread."""
        self._collection.update_one({"_id": id}, {"$set": dict(changes)})

    def get(self, id: int) -> JobRecord | None:
        document = self._collection.find_one({"_id": id})
        return JobRecord.from_document(document) if document is not None else None

    def newest(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobRecord]:
        """Records that match, newest first."""
        conditions: list[dict[str, Any]] = []
        if running is not None:
            conditions.append({"state": {"$in" if running else "$nin": sorted(UNFINISHED)}})
        if failed is not None:
            conditions.append({"state": {"$in" if failed else "$nin": FAILED}})
        found = self._collection.find({"$and": conditions} if conditions else {}, sort=[("_id", -1)], limit=limit)
        return [JobRecord.from_document(document) for document in found]

    def of_trigger(self, trigger: int) -> JobRecord | None:
        """The newest job that this row of :mod:`hubkernel.pipeline.triggers` caused."""
        document = self._collection.find_one({"cause.trigger": trigger}, sort=[("_id", -1)])
        return JobRecord.from_document(document) if document is not None else None

    def stale(self, owner: str) -> list[JobRecord]:
        """Jobs that some other hub process left unfinished, oldest first."""
        found = self._collection.find(
            {"state": {"$in": sorted(UNFINISHED)}, "owner": {"$ne": owner}}, sort=[("_id", 1)]
        )
        return [JobRecord.from_document(document) for document in found]

    def close(self) -> None:
        """Return once all writes are done."""
        with self._lock:
            thread, self._thread = self._thread, None
        if thread is not None:
            self._writes.put(None)
            if thread is not threading.current_thread():
                thread.join()
