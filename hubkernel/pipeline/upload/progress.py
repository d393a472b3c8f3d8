"""How far an upload is. Documents are counted; how many there will be is an estimate until all are parsed.

The estimate comes from what a parser has read of its files so far. Where that tells nothing (it reads everything first,
or there is no ``/proc``) it is the number of the last upload, or, with several parts, what those that are done had.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from hubkernel.executors.base import OnProgress
from hubkernel.jobs.context import JobContext, current


@dataclass
class _Collection:
    last: int | None
    """Documents of the last upload."""
    parts: int = 0
    done: dict[int, float] = field(default_factory=dict)
    """Documents so far, by part."""
    expected: dict[int, float] = field(default_factory=dict)
    """What the worker of a part expects."""
    finished: set[int] = field(default_factory=set)

    @property
    def documents(self) -> float:
        return sum(self.done.values())

    @property
    def total(self) -> float | None:
        """None where nothing is known."""
        if self.parts and len(self.finished) == self.parts:
            return self.documents
        guess = self.expected.get(0) if self.parts == 1 else None
        if guess is None:
            guess = self.last
        if guess is None and self.finished:
            guess = sum(self.done[part] for part in self.finished) * self.parts / len(self.finished)
        return None if guess is None else max(guess, self.documents)


class Tally:
    """The progress of several uploads as one progress of the job. Its callbacks are called on the hub loop."""

    def __init__(self) -> None:
        self.job: JobContext = current()
        self._collections: dict[str, _Collection] = {}

    def expect(self, collection: str, last: int | None) -> None:
        """To be called for all collections before one of them is parsed. ``last``: documents of its last upload."""
        self._collections[collection] = _Collection(last or None)

    def begin(self, collection: str, parts: int) -> None:
        self._collections[collection].parts = parts

    def of(self, collection: str, part: int) -> OnProgress:
        """The callback for one part: documents so far, and how many its worker expects if it can tell."""

        def report(done: float, total: float | None, message: str) -> None:
            known = self._collections[collection]
            known.done[part] = done
            if total is not None:
                known.expected[part] = total
            self._show(f"parsing {collection}" if len(self._collections) > 1 or known.parts > 1 else message)

        return report

    def finish(self, collection: str, part: int, count: int) -> None:
        """A part is parsed: its number of documents is a fact."""
        known = self._collections[collection]
        known.done[part] = count
        known.finished.add(part)

    def sorting(self, collection: str) -> OnProgress:
        """The callback for the rest: documents are all there, what is left is to bring them in order."""

        def report(done: float, total: float | None, message: str) -> None:
            self._show(f"sorting {collection}" + (f" {done / total:.0%}" if total else ""))

        return report

    def _show(self, message: str) -> None:
        known = self._collections.values()
        done, totals = sum(each.documents for each in known), [each.total for each in known]
        total = None if None in totals else sum(each for each in totals if each is not None)
        surely = all(each.parts and len(each.finished) == each.parts for each in known)
        of = "" if total is None else f" of {total:,.0f}" if surely else f" of about {total:,.0f}"
        self.job.progress(done, total, f"{done:,.0f}{of} documents" + (f", {message}" if message else ""))
