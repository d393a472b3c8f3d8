"""What is shown of several downloads, and that a dump ends when it is cancelled, whatever its code does."""

from __future__ import annotations

from typing import Any

from hubkernel.jobs.context import current
from hubkernel.pipeline.dump.models import RemoteFile
from hubkernel.pipeline.dump.progress import Tally
from hubkernel.pipeline.dump.work import Item


class Shown(type(current())):  # type: ignore[misc]
    """A job that remembers what it was to show."""

    def __init__(self) -> None:
        self.shown: list[tuple[Any, ...]] = []

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self.shown.append((done, total, message))


def item(name: str, size: int | None) -> Item:
    remote = RemoteFile(url=name, name=name, size=size) if size is not None else None
    return Item(name, name, remote)


def test_bytes_if_all_sizes_are_known() -> None:
    job = Shown()
    tally = Tally(job)
    tally.expect([item("a", 100), item("b", 50)])
    tally.of(item("a", 100))(40, 100, "a")
    tally.finish(item("b", 50), 50)
    assert job.shown == [(40, 150, "a"), (90, 150, "b")]


def test_files_if_a_size_is_not_known() -> None:
    job = Shown()
    tally = Tally(job)
    tally.expect([item("a", 100), item("b", None)])
    tally.of(item("a", 100))(40, 100, "a")
    tally.finish(item("a", 100), 100)
    tally.finish(item("b", None), 7)
    assert job.shown == [(0, 2, "a"), (1, 2, "a"), (2, 2, "b")]
