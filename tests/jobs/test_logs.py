"""The whole log of a job, in a file of its own."""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors.logs import WorkerLogHandler
from hubkernel.jobs import JobManager, current
from hubkernel.jobs.logs import DAY, JobLogs
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Make


@pytest.fixture
def logs(tmp_path: Path) -> Iterator[JobLogs]:
    made = JobLogs(tmp_path / "jobs")
    yield made
    made.close()


@pytest.fixture
def jobs(make: Make, logs: JobLogs) -> JobManager:
    return make(logs=logs)


def said(jobs: JobManager, id: int, tail: int = 100) -> list[tuple[str, str, str]]:
    return [(entry["from"], entry["level"], entry["message"]) for entry in jobs.log_of(id, tail)]


def finished(jobs: JobManager, *args: Any, **kwargs: Any) -> int:
    job = jobs.start(*args, **kwargs)
    job.future.exception(SECONDS)
    return job.id


async def talk(where: str) -> None:
    current().log("two\nlines")
    await current().run(works.chatter, where=where)


def test_what_a_worker_process_says(jobs: JobManager) -> None:
    id = finished(jobs, "talk", talk, args=("process",), command="talk()")
    lines = said(jobs, id)
    assert lines[0] == ("job", "info", "created: talk()")
    assert [line for line in lines if line[0] != "job"] == [
        ("chatter", "info", "said to the worker"),
        ("chatter", "info", "printed"),
        ("chatter", "info", "INFO a.library: told its logger"),
        ("chatter", "warning", "WARNING a.library: warned of something"),
    ]
    assert [line[2] for line in lines if line[0] == "job"] == ["created: talk()", "running", "two", "lines", "done"]


def test_what_a_thread_of_the_hub_says(jobs: JobManager) -> None:
    handler = WorkerLogHandler()
    logger = logging.getLogger("a.library")
    logger.addHandler(handler)
    try:
        id = finished(jobs, "talk", talk, args=("thread",))
    finally:
        logger.removeHandler(handler)
    assert ("chatter", "warning", "WARNING a.library: warned of something") in said(jobs, id)


def test_a_failure_has_its_traceback(jobs: JobManager, logs: JobLogs) -> None:
    def fail() -> None:
        raise ValueError("no luck")

    id = finished(jobs, "fail", fail)
    last = jobs.log_of(id, 1)[0]
    assert (last["level"], last["message"]) == ("error", "failed: ValueError: no luck")
    assert "in fail" in last["traceback"]
    for line in (logs.folder / f"{id}.jsonl").read_text().splitlines():
        assert {"time", "level", "from", "message"} <= json.loads(line).keys()


def test_more_than_the_record_keeps(jobs: JobManager) -> None:
    def much() -> None:
        for number in range(3000):
            current().log(f"line {number}")

    id = finished(jobs, "much", much)
    record = jobs.get(id)
    assert record is not None and len(record.log) == 1000
    assert len(jobs.log_of(id, 10_000)) == 3003
    assert [entry["message"] for entry in jobs.log_of(id, 3)] == ["line 2998", "line 2999", "done"]
    assert jobs.log_of(id, 0) == []


def test_a_dead_hubs_job_tells_its_end(state: Any, make: Make, logs: JobLogs) -> None:
    dead = make()
    dead.journal.insert(_record(dead, 1))
    alive = make(logs=logs)
    alive.recover()
    assert said(alive, 1) == [
        ("job", "error", "interrupted: its hub ended (stopped, killed or crashed) before the job did")
    ]


def _record(manager: JobManager, id: int) -> Any:
    from hubkernel.jobs import JobRecord

    return JobRecord(id=id, name="x", owner="dead", state="running", story=[["created", 0], ["running", 0]])


def test_without_a_file_the_record_answers(make: Make) -> None:
    jobs = make()
    id = finished(jobs, "talk", talk, args=("thread",))
    assert [entry["message"] for entry in jobs.log_of(id)][:2] == ["two", "lines"]
    with pytest.raises(LookupError, match="no job 99"):
        jobs.log_of(99)


def test_the_newest_part_stays(tmp_path: Path) -> None:
    logs = JobLogs(tmp_path, max_bytes=2000)
    for number in range(100):
        logs.write(7, f"line {number}")
        logs.flush()
    size = sum(file.stat().st_size for file in tmp_path.iterdir())
    assert size < 2300
    assert sorted(file.name for file in tmp_path.iterdir()) == ["7.1.jsonl", "7.jsonl"]
    assert [entry["message"] for entry in logs.tail(7, 12) or []] == [f"line {number}" for number in range(88, 100)]
    logs.close()


def test_old_files_are_removed(tmp_path: Path) -> None:
    logs = JobLogs(tmp_path, clock=lambda: 100 * DAY)
    for id, age in ((1, 31), (2, 29)):
        logs.write(id, "x")
        logs.flush()
        os.utime(tmp_path / f"{id}.jsonl", (0, (100 - age) * DAY))
    (tmp_path / "notes.txt").touch()
    os.utime(tmp_path / "notes.txt", (0, 0))
    assert logs.prune(30) == 1
    assert sorted(file.name for file in tmp_path.iterdir()) == ["2.jsonl", "notes.txt"]
    logs.close()


def test_a_torn_line_is_left_out_and_a_folder_that_is_none_fails_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "3.jsonl").write_text('{"message": "whole"}\n{"mess')
    assert JobLogs(tmp_path).tail(3) == [{"message": "whole"}]
    (tmp_path / "file").touch()
    logs = JobLogs(tmp_path / "file")
    for _ in range(3):
        logs.write(1, "lost")
        logs.flush()
    logs.close()
    assert caplog.text.count("logs of jobs cannot be written") == 1
    assert logs.tail(1) is None
