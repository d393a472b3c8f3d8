"""Several downloads as one progress of the job: in bytes if the size of each is known, else in files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from hubkernel.executors.base import OnProgress
from hubkernel.jobs.context import JobContext, current
from hubkernel.pipeline.dump.work import Item


@dataclass
class Tally:
    """What all downloads of a job have brought. On the hub loop."""

    job: JobContext = field(default_factory=current)
    done: dict[str, float] = field(default_factory=dict)
    total: dict[str, float | None] = field(default_factory=dict)
    ended: set[str] = field(default_factory=set)
    in_bytes: bool = True

    def expect(self, items: Sequence[Item]) -> None:
        self.total.update({item.remote: item.described.size if item.described else None for item in items})
        self.in_bytes = None not in self.total.values()

    def of(self, item: Item) -> OnProgress:
        """The callback for one download."""

        def report(done: float, total: float | None, message: str) -> None:
            self.done[item.remote] = done
            known = self.total.get(item.remote)
            if total is not None or known is not None:
                self.total[item.remote] = max(total or 0, done, known or 0)
            self._show(message)

        return report

    def finish(self, item: Item, size: float) -> None:
        """A file is there."""
        self.ended.add(item.remote)
        self.done[item.remote] = self.total[item.remote] = size
        self._show(item.name)

    def _show(self, message: str) -> None:
        if self.in_bytes:
            self.job.progress(sum(self.done.values()), sum(size or 0 for size in self.total.values()), message)
        else:
            self.job.progress(len(self.ended), len(self.total), message)
