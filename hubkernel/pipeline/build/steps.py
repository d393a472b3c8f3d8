"""What the workers of a build run."""

from __future__ import annotations

from collections.abc import Iterator
from time import monotonic

from hubkernel.executors import Worker
from hubkernel.pipeline.build.join import Merge, Row
from hubkernel.pipeline.build.models import MergeRange, MergeReport
from hubkernel.store import CollectionWriter, DocumentStore, WriteReport, open_store

INTERVAL = 0.25
"""Seconds between two reports of progress."""


def merge_range(worker: Worker, work: MergeRange) -> MergeReport:
    """Merge one range of ids of all sources, and write it as one part of the build."""
    store = open_store(work.store_url)
    try:
        merge = Merge(work.sources, _Ticker(worker))
        streams = [_stream(store, work, source.collection) for source in work.sources]
        with store.join(work.token).part(work.part) as part:
            part.write_encoded(merge.rows(streams))
        worker.progress(sum(merge.report.read))
        return merge.report
    finally:
        store.close()


def _stream(store: DocumentStore, work: MergeRange, collection: str) -> Iterator[Row]:
    rows = iter(store[collection].scan(work.start, work.stop))
    wanted = work.ids
    return rows if wanted is None else (row for row in rows if row[0] in wanted)


class _Ticker:
    """Reports how many source documents were read, a few times a second."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._due = 0.0

    def __call__(self, report: MergeReport) -> None:
        if monotonic() > self._due:
            self._worker.progress(sum(report.read))
            self._due = monotonic() + INTERVAL


def publish(worker: Worker, writer: CollectionWriter, name: str) -> None:
    """Make the sealed collection visible. Whoever cancels this waits for it: a commit is never left half way."""
    worker.check()
    writer.commit(name)


def finish(worker: Worker, writer: CollectionWriter) -> WriteReport:
    """Make one collection of all parts; it stays hidden. The parts are sorted already, one range behind the other."""
    return writer.seal(progress=lambda done, total: worker.progress(done, total, "sealing"))
