"""What the workers of an upload run: parse, finish, and ask the plugin about itself."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.common import ALPHABET, random_letters
from hubkernel.pipeline.merge import Document, MergeConflictError, merge_documents
from hubkernel.pipeline.plugins import PluginError, load_function
from hubkernel.pipeline.upload.documents import DocumentStream, user_frame
from hubkernel.pipeline.upload.errors import BadDocumentError, DuplicateDocumentsError, ParserError, UploadError
from hubkernel.pipeline.upload.models import Describe, Finish, Parse, UploaderView, parser_file
from hubkernel.store import (
    CollectionWriter,
    DocumentStore,
    Duplicate,
    DuplicateIdError,
    InvalidDocumentError,
    WriteReport,
    open_store,
)

TICK = 40
"""Microseconds; a day has fewer ticks than six letters have values."""


def parse(worker: Worker, work: Parse) -> int:
    """Run the parser for one part of a collection and write what it gives, as it comes; returns how many documents.

    Raises :class:`ParserError` or :class:`BadDocumentError`.
    """
    store = open_store(work.store_url)
    documents = DocumentStream(worker, work)
    try:
        with store.join(work.token).part(work.part) as part:
            part.write(documents)
    except InvalidDocumentError as error:
        raise _bad_document(error, documents, work) from None
    finally:
        store.close()
    return documents.count


def _bad_document(error: InvalidDocumentError, documents: DocumentStream, work: Parse) -> BadDocumentError:
    file = parser_file(work.plugin_folder, work.parser)
    position = documents.count - 1 if error.position is None else error.position
    where = documents.where(position)
    fault = re.sub(r"^document( \d+)?", where, str(error), count=1)
    return BadDocumentError(
        f"{work.collection}: {file} gave a document that cannot be stored: {fault}.",
        file=file,
        document=position + 1,
        doc_id=error.doc_id,
    )


def finish(
    worker: Worker,
    store: DocumentStore,
    writer: CollectionWriter,
    work: Finish,
    prepare: Callable[[WriteReport], None],
) -> WriteReport:
    """Settle duplicates and put the new collection in the place of the old one, which becomes an archive.

    ``prepare`` is called in between, in this thread: nothing can fail after it but the swap itself and what follows it.
    Raises :class:`DuplicateDocumentsError`, or :class:`UploadError` if documents cannot be merged.
    """
    fold = _fold(work) if work.on_duplicates is Duplicate.MERGE else None
    try:
        report = writer.seal(
            work.on_duplicates, fold=fold, progress=lambda done, total: worker.progress(done, total, "sorting")
        )
    except DuplicateIdError as error:
        raise _duplicates(error, work) from None
    worker.check()
    prepare(report)
    writer.commit(work.collection, archive=archive_name(work.collection) if work.keep_archive else None)
    prune_archives(store, work.collection, work.keep_archive)
    return report


def _fold(work: Finish) -> Callable[[list[Document]], Document]:
    def fold(documents: list[Document]) -> Document:
        try:
            return merge_documents(documents)
        except MergeConflictError as error:
            raise UploadError(
                f"{work.collection}: the {len(documents)} documents with _id {documents[0]['_id']!r} from "
                f"{work.parser} cannot be merged: {error}."
            ) from None

    return fold


def _duplicates(error: DuplicateIdError, work: Finish) -> DuplicateDocumentsError:
    examples = ", ".join(map(repr, error.ids[:5]))
    return DuplicateDocumentsError(
        f"{work.collection}: {work.parser} gave {error.count:,} documents whose _id another one has (e.g. {examples}). "
        "Make them unique, or set on_duplicates in the manifest to 'merge' or 'ignore'."
    )


def archive_name(collection: str) -> str:
    """``<collection>_archive_<YYYYMMDD>_<8 letters>``; the letters begin with the time of day, so names sort by age."""
    now = datetime.now(UTC)
    seconds = (now.hour * 60 + now.minute) * 60 + now.second
    clock = _base36((seconds * 1_000_000 + now.microsecond) // TICK, 6)
    return f"{collection}_archive_{now:%Y%m%d}_{clock}{random_letters(2)}"


def _base36(number: int, width: int) -> str:
    digits = ""
    for _ in range(width):
        number, digit = divmod(number, 36)
        digits = ALPHABET[digit] + digits
    return digits


def archives(store: DocumentStore, collection: str) -> list[str]:
    """The archives of a collection, oldest first."""
    pattern = re.compile(re.escape(collection) + r"_archive_\d{8}_[0-9a-z]{8}")
    return sorted(name for name in store.names() if pattern.fullmatch(name))


def prune_archives(store: DocumentStore, collection: str, keep: int) -> list[str]:
    """Drop all but the newest ``keep`` archives; returns what was dropped."""
    old = archives(store, collection)
    dropped = old[: max(len(old) - keep, 0)]
    for name in dropped:
        store.drop(name)
    return dropped


def describe(worker: Worker, work: Describe) -> tuple[dict[str, Any] | None, list[tuple[Any, ...]] | None]:
    """The mapping of a collection, and the calls its parallelizer wants; None for what the plugin does not have.

    Raises :class:`ParserError`.
    """
    mapping, calls = None, None
    if work.mapping:
        mapping = _ask(work, work.mapping, _check_mapping)
    worker.check()
    if work.parallelizer:
        calls = _ask(work, work.parallelizer, _check_calls)
    return mapping, calls


def _ask(work: Describe, target: str, check: Callable[[UploaderView, str, Any], Any]) -> Any:
    """Call a function of the plugin and check its answer, which may itself still run code (a generator)."""
    try:
        function = load_function(Path(work.plugin_folder), target)
        return check(work.uploader, target, function(work.uploader))
    except UploadError:
        raise
    except PluginError as error:
        raise ParserError(str(error)) from None
    except (Exception, SystemExit) as error:
        file, line, frames = user_frame(error, work.plugin_folder, target)
        text = f"{work.uploader.name}: {file}:{line}: {type(error).__name__}: {error} (in {target})."
        raise ParserError(text, file=file, line=line, details=frames) from None


def _check_mapping(uploader: UploaderView, target: str, mapping: Any) -> dict[str, Any] | None:
    if mapping is None or isinstance(mapping, Mapping):
        return dict(mapping) if mapping else None
    raise ParserError(f"{uploader.name}: {target} returned {type(mapping).__name__}, not a dict of field mappings.")


def _check_calls(uploader: UploaderView, target: str, calls: Any) -> list[tuple[Any, ...]]:
    answer = list(calls)
    wrong = next((call for call in answer if not isinstance(call, (tuple, list))), None)
    if wrong is not None:
        raise ParserError(
            f"{uploader.name}: {target} returned {wrong!r} where a tuple of arguments is needed: "
            f"return [({wrong!r},), ...]."
        )
    return [tuple(call) for call in answer]
