"""``top()`` and ``job_info()``."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from hubkernel.jobs import JobManager, current
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Make, until


def test_core_c75_top_idle(jobs: JobManager) -> None:
    assert jobs.top() == "\n\n0 running job(s)\n0 pending job(s), type 'top(pending)' for more"


def test_core_c75_top_refuses_an_unknown_action(jobs: JobManager) -> None:
    with pytest.raises(ValueError, match="Unknown action 'x'"):
        jobs.top("x")


def test_core_c75_top_with_three_jobs_on_two_workers(jobs: JobManager, tmp_path: Path) -> None:
    async def hold(name: str) -> int:
        pid: int = await current().run(works.hold, tmp_path, name, description=f"holds {name}")
        return pid

    started = [jobs.start("hold", hold, args=(name,), source=f"src_{name}", category="tester") for name in "abc"]
    until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    until(lambda: "1 pending job(s)" in jobs.top())
    lines = jobs.top().split("\n")
    assert lines[0].startswith("   PID    |")
    rows = [[cell.strip() for cell in line.split("|")] for line in lines[1:3]]
    assert {row[0] for row in rows} == {str(pid) for pid in jobs.executors["process"].processes()}
    assert [row[1:5] for row in rows] == [
        ["src_a", "tester", "hold", "holds a"],
        ["src_b", "tester", "hold", "holds b"],
    ]
    assert all(row[5].endswith("iB") and row[6].endswith("%") and row[8].endswith("s") for row in rows)
    assert lines[3:] == ["", "2 running job(s)", "1 pending job(s), type 'top(pending)' for more"]

    pending = jobs.top("pending").split("\n")
    assert pending[0] == "1 pending job(s)"
    assert [cell.strip() for cell in pending[2].split("|")][1:4] == ["src_c", "tester", "hold"]
    assert len(pending) == 3

    for name in "abc":
        (tmp_path / f"{name}.gate").touch()
    for job in started:
        job.future.result(SECONDS)
    assert jobs.top().endswith("3 finished job(s), type 'top(done)' for more")
    done = jobs.top("done").split("\n")
    assert done[0] == "3 finished job(s)"
    assert sorted(line.split("|")[1].strip() for line in done[2:]) == ["src_a", "src_b", "src_c"]


def test_top_shows_why_work_waits(jobs: JobManager) -> None:
    job = jobs.start("x", lambda: None, predicates=[lambda: False])
    until(lambda: "1 pending" in jobs.top())
    until(lambda: "<lambda> is true" in jobs.top("pending"))
    job.cancel()


def test_top_shows_threads_and_jobs_that_only_run_on_the_loop(jobs: JobManager, tmp_path: Path) -> None:
    async def threaded() -> None:
        await current().run(works.hold, tmp_path, where="thread")

    async def waits() -> None:
        import asyncio

        await asyncio.sleep(SECONDS)

    first, second = jobs.start("threaded", threaded), jobs.start("waits", waits)
    until((tmp_path / "work.begun").exists)
    until(lambda: "2 running job(s)" in jobs.top())
    lines = jobs.top().split("\n")
    assert lines[0] == ""
    assert sorted(line.split("|")[3].strip() for line in lines[2:4]) == ["hold", "waits"]
    for job in (first, second):
        job.cancel()


def test_core_c43_job_info(jobs: JobManager, tmp_path: Path) -> None:
    async def hold(name: str, where: str) -> None:
        await current().run(works.hold, tmp_path, name, where=where)  # type: ignore[arg-type]

    first = jobs.start("hold", hold, args=("a", "process"), source="s")
    second = jobs.start("hold", hold, args=("b", "thread"))
    until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    info = jobs.job_info()
    json.dumps(info)
    process, thread = info["queue"]["process"], info["queue"]["thread"]
    assert process["running"] == jobs.executors["process"].processes()
    entry = process["all"][process["running"][0]]
    assert entry["job"]["step"] == "hold"
    assert entry["job"]["source"] == "s"
    assert entry["job"]["id"] == first.id
    assert entry["memory"]["size"] > 0
    assert set(entry) == {"memory", "cpu", "io", "job"}
    assert len(thread["running"]) == 1
    assert thread["running"][0] in thread["all"]
    assert thread["all"][thread["running"][0]]["is_alive"]
    assert (process["max"], thread["max"]) == (2, 2)
    assert info["hub_pid"] == os.getpid()
    assert info["memory"] > entry["memory"]["size"]
    for job in (first, second):
        job.cancel()


def test_job_info_lists_what_waits(make: Make) -> None:
    jobs = make(max_memory=1)

    async def command() -> None:
        await current().run(works.add, 1)

    job = jobs.start("x", command)
    until(lambda: jobs.job_info()["queue"]["process"]["pending"])
    until(lambda: "waits for memory: the hub uses" in jobs.list()[0].message)
    assert jobs.job_info()["max_memory_usage"] == 1
    job.cancel()
