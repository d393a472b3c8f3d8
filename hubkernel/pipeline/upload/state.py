"""What is remembered of uploads: ``src_dump.upload.jobs.<collection>``, and ``src_master`` with what builds need.

A job tells of the last attempt; its ``current`` block tells what stands in the collection, whatever became of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.jobs.render import timesofar
from hubkernel.pipeline.merge import MergeOptions
from hubkernel.pipeline.upload.archives import drop_unchecked
from hubkernel.pipeline.upload.errors import NotReadyError, UploadError
from hubkernel.pipeline.upload.models import Loaded, Prepared, Status, Unfinished, UploadJob
from hubkernel.store import DocumentStore, StateStore, WriteReport

MERGERS = ("upsert", "merge_struct")
COUNTED = ("count", "received", "duplicates", "added", "changed", "removed", "unchanged")
LEFT_OUT = ("rejected", "too_large")
"""What an upload counts."""
HISTORY = 50
"""Versions that are remembered; more archives than that have no release."""


def release_of(document: Mapping[str, Any], source: str, *, force: bool = False) -> tuple[str | None, str]:
    """``(release, folder)`` to upload, by the source's document in ``src_dump``. Raises :class:`NotReadyError` with
    what to do.

    A failed dump leaves the last good release usable. ``force`` takes the recorded folder whatever the status.
    """
    download, good = document.get("download", {}), document.get("last_good")
    status = download.get("status")
    if status == "downloading" and not force:
        raise NotReadyError(f"{source} is being downloaded now: upload it when that is done")
    chosen = good or (download if status == "success" or force else None)
    if chosen and chosen.get("data_folder"):
        return chosen.get("release"), str(chosen["data_folder"])
    if status is None:
        raise NotReadyError(f"{source} has not been dumped yet: run dump({source!r}) first")
    raise NotReadyError(
        f"the dump of {source} is {status!r} and there is no earlier release: run dump({source!r}) again"
    )


def earlier_release(folder: str, release: str, source: str) -> str:
    """The folder of another release, beside ``folder``. Raises :class:`NotReadyError` naming those that are there."""
    parent = Path(folder).parent
    chosen = parent / release
    if Path(release).name == release and release != ".." and chosen.is_dir():
        return str(chosen)
    there = sorted(entry.name for entry in parent.iterdir() if entry.is_dir()) if parent.is_dir() else []
    raise NotReadyError(f"{source} has no downloaded release {release!r}: there is {', '.join(there) or 'none'}")


class UploadState:
    """The state of the upload of one collection. Each method is one durable write."""

    def __init__(self, state: StateStore, source: str, collection: str) -> None:
        self._documents = state["src_dump"]
        self._master = state["src_master"]
        self._source = source
        self._collection = collection

    def source(self) -> dict[str, Any]:
        """The source's document in ``src_dump``."""
        return self._documents.find_one({"_id": self._source}) or {}

    def load(self) -> dict[str, Any]:
        document = self.source()
        job: dict[str, Any] = document.get("upload", {}).get("jobs", {}).get(self._collection, {})
        return job

    def last_count(self) -> int | None:
        """How many documents the parser gave last time, as far as it is known."""
        job = self.load()
        count: int | None = job.get("received") or (job.get("current") or {}).get("count")
        return count

    def begin(self, release: str | None, folder: str, job: int | None) -> UploadJob:
        """Status ``uploading``; what stood in the collection before stays in ``current``."""
        before = self.load()
        record = UploadJob(
            status="uploading",
            step=self._collection,
            started_at=datetime.now(UTC),
            release=release,
            data_folder=folder,
            job=job,
            pid=os.getpid(),
            last_success=before.get("last_success"),
            current=before.get("current"),
            history=before.get("history") or [],
        )
        self._write(record, pull="upload")
        return record

    def prepare(
        self, record: UploadJob, report: WriteReport, totals: Mapping[str, int], master: dict[str, Any] | None
    ) -> None:
        """To be called between the seal and the commit of a writer."""
        counted: dict[str, Any] = {**report.differences, **totals}
        record.prepared = Prepared(
            token=report.token,
            at=datetime.now(UTC),
            count=report.documents,
            duplicates=report.duplicates,
            bytes=report.bytes,
            master=master,
            **counted,
        )
        self._write(record)

    def in_place(self, record: UploadJob, store: DocumentStore) -> bool:
        """Whether the collection is what this upload made, however it ended."""
        return record.prepared is not None and store.token(self._collection) == record.prepared.token

    def succeed(self, record: UploadJob) -> UploadJob:
        """What was prepared has happened; returns the record of it. If that cannot be written, ``record`` still knows
        what was prepared.
        """
        made, record = record.prepared, record.model_copy(update={"prepared": None})
        assert made is not None
        if made.master is not None:
            self.save_master(made.master)
        record.last_success = record.started_at
        for number in (*COUNTED, *LEFT_OUT):
            setattr(record, number, getattr(made, number))
        record.current = Loaded(
            release=record.release,
            data_folder=record.data_folder or "",
            count=made.count,
            bytes=made.bytes,
            uploaded_at=made.at,
            token=made.token,
            made_of=record.made_of,
            received=made.received,
            duplicates=made.duplicates,
        )
        record.history = [*record.history, record.current][-HISTORY:]
        self._end(record, "success", made.at)
        return record

    def succeed_without_data(self, record: UploadJob, current: Loaded | None, received: int | None = None) -> UploadJob:
        """Nothing was written; ``current`` is what stands in the collection."""
        record.last_success, record.current, record.received = record.started_at, current, received
        record.count = current.count if current else None
        self._end(record, "success", datetime.now(UTC))
        return record

    def succeed_unchanged(self, record: UploadJob) -> UploadJob:
        """What would come of it is in place already."""
        current = record.current
        assert current is not None
        record.last_success = record.started_at
        record.received, record.duplicates = current.received, current.duplicates
        record.count = record.unchanged = current.count
        record.added = record.changed = record.removed = 0
        self._end(record, "success", datetime.now(UTC))
        return record

    def unfinished(self) -> Unfinished | None:
        """What an upload that was interrupted has left."""
        found = self.source().get("upload", {}).get("unfinished", {}).get(self._collection)
        return Unfinished.model_validate(found) if found else None

    def save_unfinished(self, what: Unfinished | None) -> None:
        path = f"upload.unfinished.{self._collection}"
        update = {"$unset": {path: ""}} if what is None else {"$set": {path: what.model_dump()}}
        self._documents.update_one({"_id": self._source}, update)

    def note_release(self, release: str | None) -> None:
        """Of a source that has no dumper."""
        self._documents.update_one({"_id": self._source}, {"$set": {"download.release": release}}, upsert=True)

    def go_back(self, version: Loaded) -> None:
        """To be called before the store puts an earlier version in place again."""
        self._documents.update_one(
            {"_id": self._source}, {"$set": {f"upload.jobs.{self._collection}.going_back": version.model_dump()}}
        )

    def settle_going_back(self, version: Loaded, store: DocumentStore) -> bool:
        """After the death of the hub: whether the earlier version is in place."""
        there = store.token(self._collection) == version.token
        if there:
            self.put_back(version, datetime.now(UTC))
        else:
            self._documents.update_one(
                {"_id": self._source}, {"$set": {f"upload.jobs.{self._collection}.going_back": None}}
            )
        return there

    def put_back(self, version: Loaded, now: datetime) -> None:
        """The store has an earlier version in place again."""
        job = UploadJob.model_validate(
            self.load() or {"status": "success", "step": self._collection, "started_at": now}
        )
        job.rolled_back = {"at": now, "from": job.current.model_dump() if job.current else None}
        job.current, job.status, job.err, job.tb, job.going_back = version, "success", None, None, None
        job.release, job.data_folder, job.count = version.release, version.data_folder, version.count
        self._write(job)

    def fail(self, record: UploadJob, status: Status, error: str, trace: str = "") -> None:
        """Nothing was swapped; if that is not known, what was prepared stays for :func:`recover`."""
        record.err, record.tb = error, trace or None
        self._end(record, status, datetime.now(UTC))

    def settle(self, store: DocumentStore) -> Status:
        """After the death of the hub: the status that is true."""
        job = self.load()
        drop_unchecked(store, self._collection)
        if job.get("prepared") and self.in_place(record := UploadJob.model_validate(job), store):
            self.succeed(record)
            return "success"
        job.update(prepared=None, pid=None)
        if job["status"] == "uploading":
            job.update(status="canceled", err="the hub ended during the upload")
        self._documents.update_one({"_id": self._source}, {"$set": {f"upload.jobs.{self._collection}": job}})
        status: Status = job["status"]
        return status

    def _end(self, record: UploadJob, status: Status, now: datetime) -> None:
        seconds = (now - record.started_at).total_seconds()
        record.status, record.pid = status, None
        record.time, record.time_in_s = timesofar(0, seconds), round(seconds, 3)
        self._write(record)

    def _write(self, record: UploadJob, pull: str | None = None) -> None:
        update: dict[str, Any] = {"$set": {f"upload.jobs.{self._collection}": record.model_dump()}}
        if pull:
            update["$pull"] = {"pending": pull}
        self._documents.update_one({"_id": self._source}, update, upsert=True)

    def master(self) -> dict[str, Any]:
        """The ``src_master`` document."""
        return self._master.find_one({"_id": self._collection}) or {}

    def new_master(
        self, additions: Mapping[str, Any], mapping: Mapping[str, Any] | None, code: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        """What it should be now. A mapping that was saved by hand stays if the plugin has none.

        ``additions`` is what the plugin adds, at least ``src_meta``; ``code`` where its code is from.
        """
        document: dict[str, Any] = {
            "name": self._collection,
            **additions,
            "_id": self._collection,
            "main_source": self._source,
            "timestamp": datetime.now(UTC),
        }
        if code:
            document["src_meta"] = {**document["src_meta"], "code": dict(code)}
        mapping = mapping or self.master().get("mapping")
        return {**document, "mapping": dict(mapping)} if mapping else document

    def save_master(self, document: Mapping[str, Any]) -> None:
        self._master.replace_one({"_id": self._collection}, document, upsert=True)


def recover(state: StateStore, store: DocumentStore, lives: Callable[[int | None], bool]) -> list[str]:
    """Call at start: what a dead hub left as ``uploading`` becomes ``success`` if its collection is in place, else
    ``canceled``; and of a version that it was putting back the state says what the store does. Returns what was done,
    in words. ``lives(pid)`` tells of another hub at work.
    """
    done = []
    for document in state["src_dump"].find({"upload.jobs": {"$exists": True}}):
        for collection, job in document["upload"]["jobs"].items():
            uploads = UploadState(state, document["_id"], collection)
            unsettled = job.get("status") == "uploading" or job.get("prepared") is not None
            if unsettled and not lives(job.get("pid")):
                done.append(f"upload of {collection}: {uploads.settle(store)}")
            elif not unsettled and job.get("going_back"):
                version = Loaded.model_validate(job["going_back"])
                there = uploads.settle_going_back(version, store)
                done.append(f"collection {collection}: release {version.release} was {'' if there else 'not '}put back")
    return done


def check_metadata(metadata: Mapping[str, Any], where: str) -> None:
    """Raises :class:`UploadError` if what ``__metadata__`` says about merging cannot be followed."""
    merger = metadata.get("merger", "upsert")
    if merger not in MERGERS:
        raise UploadError(f"{where}: __metadata__.merger is {merger!r}: use {' or '.join(map(repr, MERGERS))}")
    try:
        MergeOptions.of(metadata.get("merger_kwargs"))
    except (ValueError, TypeError, AttributeError) as error:
        raise UploadError(f"{where}: __metadata__.merger_kwargs: {error}") from None


def unfinished_tokens(state: StateStore) -> set[str]:
    """The writers that an interrupted upload may still go on with: not to be swept."""
    found = [
        Unfinished.model_validate(one)
        for document in state["src_dump"].find({"upload.unfinished": {"$exists": True}})
        for one in document["upload"]["unfinished"].values()
    ]
    return {one.token for one in found if not one.is_old()}
