"""How jobs fail: with one line that says where, and alone."""

from __future__ import annotations

from typing import Any

import pytest

from hubkernel.executors import WorkerDied
from hubkernel.jobs import JobManager, current
from tests.jobs import works
from tests.jobs.conftest import SECONDS, ended, nothing


@pytest.mark.parametrize("where", ["process", "thread"])
def test_an_error_of_user_code_fails_the_job_with_one_line_and_a_traceback_to_it(jobs: JobManager, where: Any) -> None:
    async def command() -> None:
        await current().run(works.bad_row, 12, where=where)

    job = jobs.start("read", command)
    assert isinstance(job.future.exception(SECONDS), ValueError)
    assert ended(jobs, job) == "failed"
    record = jobs.get(job.id)
    assert record is not None
    assert record.error == "ValueError: no id in line 12"
    assert record.traceback is not None
    assert 'raise ValueError(f"no id\\nin line {line}")' in record.traceback
    assert "works.py" in record.traceback
    assert "await current().run(works.bad_row" in record.traceback


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize("kind", [SystemExit, KeyboardInterrupt, StopIteration, GeneratorExit])
def test_no_exception_of_a_job_ends_the_hub(jobs: JobManager, kind: type[BaseException], plain: bool) -> None:
    async def command() -> None:
        raise kind("from a plugin")

    def function() -> None:
        raise kind("from a plugin")

    job = jobs.start("x", function if plain else command)
    assert isinstance(job.future.exception(SECONDS), Exception)
    assert ended(jobs, job) == "failed"
    record = jobs.get(job.id)
    assert record is not None
    assert "from a plugin" in str(record.traceback)
    assert kind.__name__ in str(record.error)
    assert jobs.start("y", nothing).future.result(SECONDS) is None


def test_a_dead_worker_fails_its_job_and_says_why(jobs: JobManager) -> None:
    async def command() -> None:
        await current().run(works.die)

    job = jobs.start("x", command)
    assert isinstance(job.future.exception(SECONDS), WorkerDied)
    assert ended(jobs, job) == "failed"
    assert "exited with status 9 while it ran tests.jobs.works.die" in str(job.record.error)


def test_a_result_that_no_json_can_hold_is_kept_as_its_repr(jobs: JobManager) -> None:
    async def command() -> set[int]:
        return {1}

    job = jobs.start("x", command)
    assert job.future.result(SECONDS) == {1}
    record = jobs.get(job.id)
    assert record is not None and record.result == "{1}"
