"""Bars that move: how many documents an upload will have is estimated, said to be, and exact at the end."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.pipeline.upload import meter as meter_module
from hubkernel.pipeline.upload import progress
from hubkernel.pipeline.upload.meter import InputMeter
from hubkernel.pipeline.upload.progress import Tally
from tests.pipeline.hub_tools import GOOD, Hub

LINES = """
def load(folder):
    with open(f"{folder}/d") as lines:
        for line in lines:
            yield {"_id": line.strip()}
"""
Shown = list[tuple[float, float | None, str]]


class Job:
    """Keeps what is shown."""

    def __init__(self) -> None:
        self.shown: Shown = []

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        self.shown.append((done, total, message))


@pytest.fixture
def job(monkeypatch: pytest.MonkeyPatch) -> Job:
    job = Job()
    monkeypatch.setattr(progress, "current", lambda: job)
    return job


def tally(**last: int | None) -> Tally:
    made = Tally()
    for collection, count in last.items():
        made.expect(collection, count)
    return made


def test_what_was_read_tells_how_many_there_will_be(job: Job) -> None:
    uploads = tally(a=5000)
    uploads.begin("a", 1)
    report = uploads.of("a", 0)
    report(100, 400.4, "1.0 of 4.0 MB read")
    uploads.finish("a", 0, 410)
    uploads.sorting("a")(1, 2, "")
    assert job.shown == [
        (100, 400.4, "100 of about 400 documents, 1.0 of 4.0 MB read"),
        (410, 410, "410 of 410 documents, sorting a 50%"),
    ]


def test_the_last_upload_tells_it_where_nothing_was_seen_to_be_read(job: Job) -> None:
    uploads = tally(a=200)
    uploads.begin("a", 1)
    report = uploads.of("a", 0)
    for done in (100, 300):
        report(done, None, "")
    assert job.shown == [(100, 200, "100 of about 200 documents"), (300, 300, "300 of about 300 documents")]


def test_nothing_is_promised_where_nothing_is_known(job: Job) -> None:
    uploads = tally(a=None, b=10)
    for name in ("a", "b"):
        uploads.begin(name, 1)
        uploads.of(name, 0)(5, None, "")
    assert job.shown == [(5, None, "5 documents, parsing a"), (10, None, "10 documents, parsing b")]


def test_parts_that_are_done_tell_of_those_that_are_not(job: Job) -> None:
    uploads = tally(a=None)
    uploads.begin("a", 4)
    uploads.finish("a", 0, 100)
    uploads.finish("a", 1, 300)
    uploads.of("a", 2)(50, 70, "a worker sees its own files only")
    assert job.shown == [(450, 800, "450 of about 800 documents, parsing a")]


def test_the_meter_expects_in_proportion_to_what_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "data").write_bytes(b"x" * 1000)
    meter = InputMeter(tmp_path)
    position = 0
    monkeypatch.setattr(InputMeter, "_positions", lambda self: [(str(tmp_path / "data"), position)])
    assert meter.expected(1) is None
    position = 250
    assert meter.expected(10) == 40
    position = 1000
    assert [meter.expected(count) for count in (35, 45)] == [40, 45]
    at_once = InputMeter(tmp_path)
    assert at_once.expected(1) is None


@pytest.mark.skipif(not meter_module.OPEN_FILES.exists(), reason="there is no /proc")
@pytest.mark.service
def test_an_upload_knows_its_total_from_its_file(tmp_path: Path, job: Job, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hubkernel.pipeline.upload.documents.INTERVAL", -1)
    reported: Shown = []
    monkeypatch.setattr("hubkernel.jobs.context._Standalone.progress", lambda self, *report: reported.append(report))
    hub = Hub(tmp_path)
    hub.plugin("s", LINES)
    hub.release("s", "1", {"d": "".join(f"{number:0399}\n" for number in range(2000))})
    assert hub.upload("s")["s"]["count"] == 2000
    totals = [total for _, total, _ in reported if total]
    assert totals[-1] == 2000
    assert all(1500 < total <= 2000 for total in totals[500:1500]), "a buffer holds 20 lines"
    hub.close()


def test_the_second_upload_expects_what_the_first_one_had(tmp_path: Path) -> None:
    hub = Hub(tmp_path)
    hub.plugin("s", GOOD)
    run = iter_runs(hub)
    assert next(run) is None
    hub.upload("s")
    assert next(run) == 2
    hub.close()


def iter_runs(hub: Hub) -> Iterator[int | None]:
    from hubkernel.pipeline.upload.state import UploadState

    while True:
        yield UploadState(hub.context.state, "s", "s").last_count()
