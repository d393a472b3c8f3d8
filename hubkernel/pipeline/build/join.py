"""The merge join: documents of several sources, each in ``_id`` order, become the documents of a build in one pass.

A document that only one source has passes through as the bytes it is. Shallow merges move the bytes of top-level
fields; only deep merges decode.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from heapq import heapify, heappop, heapreplace

from hubkernel.pipeline.build.errors import BuildError
from hubkernel.pipeline.build.models import MergeReport, Source
from hubkernel.pipeline.merge import Document, MergeConflictError, merge_documents, upsert
from hubkernel.store import raw
from hubkernel.store.encode import decode, encode
from hubkernel.store.errors import DocumentTooLargeError

STEP = 256
"""Ids between two ticks."""
Row = tuple[str, bytes]
Version = tuple[int, bytes]
"""``(position of the source, its bytes)``."""


def join(streams: Sequence[Iterator[Row]]) -> Iterator[tuple[str, list[Version]]]:
    """``(id, versions)`` in ``_id`` order; the versions are in the order of the streams, each of which is sorted."""
    heap = []
    for position, stream in enumerate(streams):
        for doc_id, data in stream:
            heap.append((doc_id, position, data, stream))
            break
    heapify(heap)  # no two entries have the same id and position, so it never compares beyond these
    while heap:
        current = heap[0][0]
        versions: list[Version] = []
        while heap and heap[0][0] == current:
            _, position, data, stream = heap[0]
            versions.append((position, data))
            following = next(stream, None)
            if following is None:
                heappop(heap)
            else:
                heapreplace(heap, (*following[:1], position, following[1], stream))
        yield current, versions


class Merge:
    """Merges the versions of documents by the policies of their sources, and counts what became of them."""

    def __init__(self, sources: Sequence[Source], tick: Callable[[MergeReport], None]) -> None:
        """``tick(report)`` is called every few hundred ids, whatever comes of them; it may raise to stop."""
        self.sources = sources
        self._tick = tick
        self.report = MergeReport([source.collection for source in sources])
        self._roots = [source.root for source in sources]
        self._all_roots = all(self._roots)
        self._shallow = all(source.merger == "upsert" for source in sources)

    def rows(self, streams: Sequence[Iterator[Row]]) -> Iterator[Row]:
        """``(id, bytes)`` of the build's documents. Raises :class:`BuildError` naming the document and the sources."""
        roots, all_roots, report = self._roots, self._all_roots, self.report
        read, written = report.read, report.written
        for number, (doc_id, versions) in enumerate(join(streams)):
            if number % STEP == 0:
                self._tick(report)
            for position, _ in versions:
                read[position] += 1
            # Roots stand before the others, so the first version tells whether there is any.
            if not all_roots and not roots[versions[0][0]]:
                for position, _ in versions:
                    report.orphans[position] += 1
                continue
            for position, _ in versions:
                written[position] += 1
            yield doc_id, versions[0][1] if len(versions) == 1 else self._merged(doc_id, versions)

    def _merged(self, doc_id: str, versions: list[Version]) -> bytes:
        try:
            return self._upsert(doc_id, versions) if self._shallow else self._deep(doc_id, versions)
        except MergeConflictError as error:
            hint = "fix a parser, or set merger_kwargs: {on_conflict: first} for the later source"
            raise BuildError(f"document {doc_id!r} of {self._names(versions)}: {error}: {hint}") from None
        except DocumentTooLargeError as error:
            raise BuildError(f"document {doc_id!r} of {self._names(versions)} together: {error}") from None

    def _upsert(self, doc_id: str, versions: list[Version]) -> bytes:
        found: dict[bytes, bytes] = {}
        for position, data in versions:
            for name, start, stop in raw.elements(data):
                element = data[start:stop]
                if found.setdefault(name, element) != element:
                    self._count(name, doc_id, position, versions)
                    found[name] = element
        return raw.join(found)

    def _count(self, name: bytes, doc_id: str, position: int, versions: list[Version]) -> None:
        holders = [other for other, data in versions if other < position and self._has(data, name)]
        self._collide(name.decode(), holders[-1], position, doc_id)

    @staticmethod
    def _has(data: bytes, name: bytes) -> bool:
        return any(other == name for other, _, _ in raw.elements(data))

    def _deep(self, doc_id: str, versions: list[Version]) -> bytes:
        earlier = versions[0][0]
        merged: Document = decode(versions[0][1])
        for position, data in versions[1:]:
            source, pair = self.sources[position], [merged, decode(data)]
            if source.merger == "upsert":
                merged = upsert(pair, self._counter(earlier, position, doc_id))
            else:
                merged = merge_documents(pair, source.options, self._counter(position, earlier, doc_id))
            earlier = position
        return encode(merged)[1]

    def _counter(self, lost: int, won: int, doc_id: str) -> Callable[[str], None]:
        return lambda field: self._collide(field, lost, won, doc_id)

    def _collide(self, field: str, lost: int, won: int, doc_id: str) -> None:
        names = self.report.sources
        self.report.collide((field, names[lost], names[won]), doc_id)

    def _names(self, versions: list[Version]) -> str:
        return " and ".join(self.report.sources[position] for position, _ in versions)
