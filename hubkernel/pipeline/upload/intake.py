"""What happens to documents between a parser and the store: some are left out, marks for merging are taken off."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hubkernel.pipeline.merge import Document, MergeConflictError, MergeOptions, merge_documents, merge_roots
from hubkernel.pipeline.upload.errors import UploadError
from hubkernel.pipeline.upload.storages import BasicStorage, Rules
from hubkernel.store import Duplicate
from hubkernel.store.encode import encode
from hubkernel.store.errors import DocumentTooLargeError

MARK = "__aslistofdict__"
"""Key by which a document says which of its fields is to be merged as a list of objects."""
WARNINGS = 5
"""Documents that are too large are named up to this many."""


@dataclass(slots=True)
class Marks:
    """Which documents asked for which field to be merged as a list. Most parsers mark all documents alike or none:
    that is the ``usual`` mark, and only ids of documents with another one are kept.
    """

    usual: str | None = None
    seen: bool = False
    others: dict[str, list[str | None]] = field(default_factory=dict)
    """By ``_id`` the marks of its documents that have not the usual one; None for no mark."""

    def take(self, document: Any) -> Any:
        """The document without its mark."""
        mark = document.get(MARK)
        if not self.seen:
            self.usual, self.seen = mark, True
        if mark != self.usual:
            self.others.setdefault(document.get("_id"), []).append(mark)
        return document if mark is None else {key: value for key, value in document.items() if key != MARK}

    def fields(self, doc_id: str, count: int) -> frozenset[str]:
        """What the ``count`` documents of an ``_id`` asked for."""
        others = self.others.get(doc_id, [])
        asked = {*others, self.usual} if len(others) < count else {*others}
        return frozenset(field for field in asked if field is not None)


@dataclass(slots=True)
class PartReport:
    """What came of one part."""

    received: int = 0
    """Documents that the parser gave."""
    rejected: int = 0
    """Left out by ``check_doc_func``."""
    too_large: int = 0
    """Left out for their size."""
    marks: Marks = field(default_factory=Marks)


class Intake:
    """The way of documents into one part."""

    def __init__(self, storage: BasicStorage, report: PartReport, say: Callable[[str], None]) -> None:
        self.storage = storage
        self.report = report
        self._say = say

    def write(self, part: Any, documents: Iterable[Mapping[str, Any]]) -> None:
        """Write to the part of a new collection what is to be stored."""
        if type(self.storage).check_doc_func is not BasicStorage.check_doc_func:
            documents = self._checked(documents)
        if self.storage.duplicates is Duplicate.MERGE:
            documents = map(self.report.marks.take, documents)
        if not self.storage.stores:
            for _ in documents:
                pass
        elif self.storage.skip_large:
            part.write_encoded(self._encoded(documents))
        else:
            part.write(documents)

    def _checked(self, documents: Iterable[Any]) -> Iterator[Any]:
        for document in documents:
            if self.storage.check_doc_func(document):
                yield document
            else:
                self.report.rejected += 1

    def _encoded(self, documents: Iterable[Mapping[str, Any]]) -> Iterator[tuple[str, bytes]]:
        for document in documents:
            try:
                yield encode(document)
            except DocumentTooLargeError as error:
                self.report.too_large += 1
                if self.report.too_large <= WARNINGS:
                    self._warn(f"left out, it is too large: {error}")

    def _warn(self, text: str) -> None:
        logging.getLogger(__name__).warning("%s: %s", self.storage.dest_col_name, text)
        self._say(text)


def fold(collection: str, file: str, rules: Rules, marks: list[Marks]) -> Callable[[list[Document]], Document] | None:
    """How documents of one ``_id`` become one; None if they do not. Raises :class:`UploadError` when called."""
    if rules.duplicates is not Duplicate.MERGE:
        return None

    plain = all(one.usual is None and not one.others for one in marks)

    def folded(documents: list[Document]) -> Document:
        try:
            if plain and not rules.root_keys:
                return merge_documents(documents)
            if rules.root_keys:
                return merge_roots(documents)
            return merge_documents(documents, _options(documents, marks))
        except MergeConflictError as error:
            raise UploadError(
                f"{collection}: the {len(documents)} documents with _id {documents[0]['_id']!r} from "
                f"{file} cannot be merged: {error}."
            ) from None

    return folded


def _options(documents: list[Document], marks: list[Marks]) -> MergeOptions:
    doc_id, count = documents[0]["_id"], len(documents)
    asked = [one.fields(doc_id, count) for one in marks]
    return MergeOptions(aslistofdict=frozenset().union(*asked))


def totals(parts: Iterable[PartReport]) -> Mapping[str, int]:
    """Of all parts: ``received``, ``rejected``, ``too_large``."""
    known = list(parts)
    return {
        "received": sum(part.received for part in known),
        "rejected": sum(part.rejected for part in known),
        "too_large": sum(part.too_large for part in known),
    }
