"""The journal and the events of jobs: each change is durable before anybody hears of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from hubkernel.jobs import JobManager, current
from hubkernel.store import StateStore, StoreFullError
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Events, Make, ended, nothing, until


def test_every_transition_is_durable_before_it_is_an_event(make: Make, state: StateStore) -> None:
    stale: list[tuple[str, str]] = []
    seen: list[str] = []

    def emit(entity: str, id: int, op: str, data: dict[str, Any]) -> None:
        row = state.collection("job").find_one({"_id": id})
        if op in ("insert", "update"):
            seen.append(data["state"])
            if row is None or data["state"] not in [entry[0] for entry in row["story"]]:
                stale.append((op, data["state"]))

    jobs = make(emit=emit)
    jobs.start("x", nothing).future.result(SECONDS)
    until(lambda: len(seen) == 3)
    assert seen == ["created", "running", "done"]
    assert not stale


def test_the_terminal_event_comes_once_last_and_with_the_outcome(jobs: JobManager, events: Events) -> None:
    async def command() -> int:
        current().progress(1, 2)
        return 5

    job = jobs.start("x", command)
    job.future.result(SECONDS)
    jobs.close()
    assert events.of(job.id)[0] == ("insert", "created")
    assert [entry for entry in events.of(job.id) if entry[1] == "done"] == [("update", "done")]
    assert events.of(job.id)[-1] == ("update", "done")
    assert events[-1][3]["result"] == 5
    assert "log" not in events[-1][3]
    json.dumps(events)


def test_the_record_is_final_when_the_future_is(jobs: JobManager) -> None:
    for _ in range(50):
        job = jobs.start("x", nothing)
        job.future.result(SECONDS)
        record = jobs.get(job.id)
        assert record is not None
        assert job.record.state == record.state == "done"
        assert not jobs.list(running=True)


def test_a_listener_that_fails_does_not_fail_the_job(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    def emit(*event: Any) -> None:
        raise RuntimeError("in a listener")

    jobs = make(emit=emit)
    job = jobs.start("x", nothing)
    job.future.result(SECONDS)
    assert ended(jobs, job) == "done"
    assert "in a listener" in caplog.text


def test_ids_go_on_after_a_restart(make: Make) -> None:
    first = make()
    ids = [first.start("x", nothing).id for _ in range(12)]
    first.close()
    assert make().start("x", nothing).id == max(ids) + 1


def test_a_job_that_cannot_be_journaled_is_not_started(jobs: JobManager, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[int] = []
    monkeypatch.setattr(jobs.journal, "insert", _full)
    with pytest.raises(StoreFullError):
        jobs.start("x", lambda: ran.append(1))
    assert jobs.list() == []
    assert not jobs.cancel(1)
    monkeypatch.undo()
    jobs.start("y", nothing).future.result(SECONDS)
    assert not ran


def test_a_journal_that_fails_later_does_not_lose_the_outcome(
    jobs: JobManager, events: Events, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def command() -> int:
        return 5

    monkeypatch.setattr(jobs.journal, "write", _full)
    job = jobs.start("x", command)
    assert job.future.result(SECONDS) == 5
    assert job.record.state == "done"
    assert "the journal could not be written: StoreFullError: disk full" in job.record.log
    assert "the journal cannot be written" in caplog.text


def _full(*args: Any) -> None:
    raise StoreFullError("disk full")


def test_progress_and_log_of_a_long_job_reach_the_journal_while_it_runs(
    jobs: JobManager, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("hubkernel.jobs.running.FLUSH_INTERVAL", 0.0)

    async def command() -> None:
        current().progress(3, 9, "third")
        current().log("a line")
        await current().run(works.hold, tmp_path, where="thread")

    job = jobs.start("x", command)
    row = jobs.journal._collection
    until(lambda: (row.find_one({"_id": job.id}) or {}).get("log") == ["a line"])
    document = row.find_one({"_id": job.id})
    assert document is not None
    assert (document["done"], document["total"], document["state"]) == (3, 9, "running")
    job.cancel()
