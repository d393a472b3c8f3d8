"""What the workers of an upload run: parse, and what comes after the swap. And what the hub runs in a thread: seal."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from hubkernel.executors import Worker
from hubkernel.pipeline.upload.archives import archive_name, prune_archives
from hubkernel.pipeline.upload.documents import DocumentStream, blamed
from hubkernel.pipeline.upload.errors import BadDocumentError, DuplicateDocumentsError, ParserError
from hubkernel.pipeline.upload.inline import InlineJobs
from hubkernel.pipeline.upload.intake import Intake, Marks, PartReport, fold
from hubkernel.pipeline.upload.models import Parse
from hubkernel.pipeline.upload.origin import Origin, overrides, storage_of
from hubkernel.pipeline.upload.storages import Rules
from hubkernel.pipeline.upload.uploaders import BaseSourceUploader
from hubkernel.store import (
    CollectionWriter,
    DocumentStore,
    DuplicateIdError,
    InvalidDocumentError,
    WriteReport,
    open_store,
)


def parse(worker: Worker, work: Parse) -> PartReport:
    """Run the parser for one part of a collection and write what it gives, as it comes.

    Raises :class:`ParserError` or :class:`BadDocumentError`.
    """
    store = open_store(work.store_url)
    try:
        with blamed(work.origin, work.origin.target), work.origin.uploader() as uploader:
            documents = DocumentStream(worker, work, uploader.load_data)
            report = PartReport()
            intake = Intake(storage_of(uploader), report, worker.log)
            try:
                with store.join(work.token).part(work.part) as part:
                    _store(uploader, work, lambda: intake.write(part, documents), documents)
            except InvalidDocumentError as error:
                raise _bad_document(error, documents, work) from None
            report.received = documents.count
            return report
    finally:
        store.close()


def _store(uploader: BaseSourceUploader, work: Parse, write: Callable[[], None], documents: DocumentStream) -> None:
    """Write the documents, by way of the plugin's own ``load`` or ``update_data`` if it has one."""
    method = next((name for name in ("load", "update_data") if overrides(uploader, name)), None)
    if method is None:
        write()
        return
    written: list[int] = []

    def write_once() -> int:
        write()
        written.append(documents.count)
        return documents.count

    uploader.write = write_once
    given = {"batch_size": work.batch_size, "job_manager": InlineJobs(), **work.origin.options}
    if method == "load":
        given["steps"] = ("data",)
    outcome = getattr(uploader, method)(**given)
    if asyncio.iscoroutine(outcome):
        asyncio.run(outcome)
    if not written:
        raise ParserError(
            f"{work.collection}: {type(uploader).__name__}.{method} stored nothing: let it call super().{method}(), "
            "which stores what load_data gives; the collection itself is put in place by the hub"
        )


def _bad_document(error: InvalidDocumentError, documents: DocumentStream, work: Parse) -> BadDocumentError:
    # The document that came last is the bad one: nothing is held back between the parser and the store.
    position = documents.count - 1
    where = documents.where(position)
    fault = re.sub(r"^document( \d+)?", where, str(error), count=1)
    return BadDocumentError(
        f"{work.collection}: {work.origin.file} gave a document that cannot be stored: {fault}.",
        file=work.origin.file,
        document=position + 1,
        doc_id=error.doc_id,
    )


def seal(worker: Worker, writer: CollectionWriter, origin: Origin, rules: Rules, marks: list[Marks]) -> WriteReport:
    """Settle duplicates. Raises :class:`DuplicateDocumentsError`, or :class:`UploadError` if some cannot be merged."""
    try:
        return writer.seal(
            rules.duplicates,
            fold=fold(origin.spec.name, origin.file, rules, marks),
            progress=lambda done, total: worker.progress(done, total, "sorting"),
        )
    except DuplicateIdError as error:
        raise _duplicates(error, origin) from None


def _duplicates(error: DuplicateIdError, origin: Origin) -> DuplicateDocumentsError:
    examples = ", ".join(map(repr, error.ids[:5]))
    remedy = (
        "derive the uploader from IgnoreDuplicatedSourceUploader or MergerSourceUploader"
        if origin.spec.target
        else "set on_duplicates in the manifest to 'merge' or 'ignore'"
    )
    return DuplicateDocumentsError(
        f"{origin.spec.name}: {origin.file} gave {error.count:,} documents whose _id another one has "
        f"(e.g. {examples}). Make them unique, or {remedy}."
    )


@dataclass(frozen=True, slots=True)
class Place:
    """Where a sealed collection goes."""

    collection: str
    held: str | None
    """Its name if it was committed already, under cover; otherwise its writer has it."""
    keep: int
    """Archives."""
    prune: bool


def place(
    worker: Worker, store: DocumentStore, writer: CollectionWriter, work: Place, prepare: Callable[[], None]
) -> None:
    """Put the new collection in the place of the old one, which becomes an archive if any are kept.

    ``prepare`` is called first, in this thread: nothing can fail after it but the swap itself and what follows it.
    """
    worker.check()
    prepare()
    archive = archive_name(work.collection) if work.keep else None
    if work.held is None:
        writer.commit(work.collection, archive=archive)
    else:
        store.rename(work.held, work.collection, replace=True, archive=archive)
    if work.prune:
        prune_archives(store, work.collection, work.keep)


def post(worker: Worker, origin: Origin, chosen: Iterable[str], force: bool, batch_size: int) -> None:
    """Call the plugin's ``post_update_data``. Raises :class:`ParserError`."""
    worker.check()
    with blamed(origin, origin.target, "post_update_data"), origin.uploader() as uploader:
        outcome = uploader.post_update_data(
            sorted(chosen), force=force, batch_size=batch_size, job_manager=InlineJobs(), **origin.options
        )
        if asyncio.iscoroutine(outcome):
            asyncio.run(outcome)
