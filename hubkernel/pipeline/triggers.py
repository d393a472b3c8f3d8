"""Triggers: what one stage leaves for the next, as rows of the hub's state (collection ``trigger``).

A row lives ``pending → taken → done | failed``. It is taken, in one atomic write, before its work starts, and the job
that does the work names the row as its cause. So a hub that was killed anywhere in between knows at its next start
whether the work was ever begun: :meth:`Triggers.recover`.

A stage marks its document with ``pending: [stage]`` in the same write as its success, as BioThings does; the mark is
what cannot be lost. :meth:`Triggers.collect` makes rows of marks, also of those in a state that BioThings wrote.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hubkernel.store import StateStore
from hubkernel.store.base import Document

COLLECTION = "trigger"
ATTEMPTS = 3
"""Times that work is begun again because its hub ended during it."""
KEPT = 1000
"""Rows that have ended, kept to look at."""


class Triggers:
    """The rows of one hub. ``owner`` names this hub process. Every method is safe from any thread; each change is one
    durable write.
    """

    def __init__(self, state: StateStore, owner: str, clock: Callable[[], float] = time.time) -> None:
        self._rows = state.collection(COLLECTION)
        self._owner, self._clock = owner, clock

    def add(self, stage: str, subject: str, *, args: Mapping[str, Any] | None = None, cause: Any = None) -> Document:
        """A row for ``subject``; the one that waits already, if there is one. ``cause``: ids of jobs."""
        waiting = self._rows.find_one({"stage": stage, "subject": subject, "state": "pending"})
        if waiting is not None:
            return waiting
        row = {
            "_id": self._rows.next_id(),
            "stage": stage,
            "subject": subject,
            "args": dict(args or {}),
            "state": "pending",
            "created": self._clock(),
            "cause": list(cause or []),
            "attempts": 0,
            "job": None,
            "error": None,
        }
        self._rows.insert_one(row)
        return row

    def waiting(self, stage: str) -> Iterator[Document]:
        """Rows that may be taken, oldest first: not those whose subject is being worked on."""
        busy = {row["subject"] for row in self._rows.find({"stage": stage, "state": "taken"})}
        for row in self._rows.find({"stage": stage, "state": "pending"}, sort=[("_id", 1)]):
            if row["subject"] not in busy:
                yield row

    def take(self, id: int) -> bool:
        """Claim a row; False if someone else has."""
        taken = {"state": "taken", "owner": self._owner, "taken": self._clock()}
        return bool(self._rows.update_one({"_id": id, "state": "pending"}, {"$set": taken, "$inc": {"attempts": 1}}))

    def release(self, id: int) -> None:
        """It was not begun after all, since the same work goes on: it waits again."""
        self._rows.update_one({"_id": id}, {"$set": {"state": "pending"}, "$inc": {"attempts": -1}})

    def started(self, id: int, job: int) -> None:
        """Its work is job number ``job``."""
        self._rows.update_one({"_id": id}, {"$set": {"job": job}})

    def finish(self, id: int, error: str | None = None, *, job: int | None = None) -> None:
        """Its work has ended, well or with ``error``."""
        ended = {"state": "failed" if error else "done", "error": error, "ended": self._clock()}
        if job is not None:
            ended["job"] = job
        self._rows.update_one({"_id": id}, {"$set": ended})

    def give_back(self, id: int, reason: str) -> bool:
        """The hub ended before the work did: it waits again, unless that happened ``ATTEMPTS`` times."""
        row = self._rows.find_one({"_id": id})
        if row is None or row["attempts"] >= ATTEMPTS:
            self.finish(id, f"given up after {ATTEMPTS} attempts: {reason}")
            return False
        newer = self._rows.find_one({"stage": row["stage"], "subject": row["subject"], "state": "pending"})
        if newer is not None:
            self.finish(id, f"{reason}; trigger {newer['_id']} asks for the same")
            return False
        self._rows.update_one({"_id": id}, {"$set": {"state": "pending", "error": reason}})
        return True

    def recover(self, job_of: Callable[[int], Any]) -> list[int]:
        """Settle the rows that a dead hub had taken; returns those that wait again. ``job_of(id)`` is the record of
        the newest job that a row caused, or None. Called at start, after the jobs themselves were recovered.
        """
        again = []
        for row in self._rows.find({"state": "taken", "owner": {"$ne": self._owner}}, sort=[("_id", 1)]):
            job = job_of(row["_id"])
            if job is not None and job.state != "interrupted":
                self.finish(row["_id"], job.error if job.state != "done" else None, job=job.id)
            elif self.give_back(row["_id"], "the hub ended before the work did"):
                again.append(row["_id"])
        return again

    def list(self, state: str | None = None, limit: int = 100) -> list[Document]:
        """Newest first."""
        condition = {} if state is None else {"state": state}
        return self._rows.find(condition, sort=[("_id", -1)], limit=limit)

    def prune(self, keep: int = KEPT) -> int:
        """Forget all but the newest ``keep`` rows that have ended; returns how many."""
        ended = {"state": {"$in": ["done", "failed"]}}
        newest = self._rows.find(ended, ["_id"], sort=[("_id", -1)], skip=keep, limit=1)
        return self._rows.delete_many({**ended, "_id": {"$lte": newest[0]["_id"]}}) if newest else 0
