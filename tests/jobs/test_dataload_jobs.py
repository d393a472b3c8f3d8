"""The acceptance cases of data loading that are about jobs: what the field's code asks of a job manager."""

from __future__ import annotations

import asyncio
import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import WorkerDied
from hubkernel.jobs import AdmissionError, JobManager, current, manager
from hubkernel.jobs.admission import Memory
from tests.jobs import works
from tests.jobs.conftest import SECONDS, Make, ended, until

GIB = 1 << 30


def pinfo(step: str, **more: Any) -> dict[str, Any]:
    return {"category": "uploader", "source": "mysrc", "step": step, "description": "", **more}


def waits(jobs: JobManager, reason: str) -> None:
    """Until ``top`` says that something waits for this reason."""
    until(lambda: reason in jobs.top("pending"))


def rows(jobs: JobManager) -> list[list[str]]:
    """What runs, as ``top`` shows it: source, category, step, description."""
    lines = [line for line in jobs.top().split("\n") if "|" in line and "SOURCE" not in line]
    return [[cell.strip() for cell in line.split("|")][1:5] for line in lines]


def deferred(jobs: JobManager, info: dict[str, Any], function: Any, *args: Any, where: str = "process") -> Any:
    """Start work in BioThings' way; a future of its outcome for any thread."""

    async def outcome() -> Any:
        return await (await getattr(jobs, f"defer_to_{where}")(info, function, *args))

    return asyncio.run_coroutine_threadsafe(outcome(), jobs.loop)


@pytest.mark.parametrize("where", ["process", "thread"])
def test_dataload_c66_what_a_job_is_shows_while_it_runs(jobs: JobManager, tmp_path: Path, where: str) -> None:
    info = pinfo("update_data", description="batch 1")
    future = deferred(jobs, info, works.plain_hold, tmp_path, "work", where=where)
    until((tmp_path / "work.begun").exists)
    (entry,) = jobs.job_info()["queue"][where]["all"].values()
    assert {key: entry["job"][key] for key in info} == info
    assert rows(jobs) == [["mysrc", "uploader", "update_data", "batch 1"]]
    (tmp_path / "work.gate").touch()
    future.result(SECONDS)
    assert not any("job" in entry for entry in jobs.job_info()["queue"][where]["all"].values())
    assert "0 running job(s)" in jobs.top()


def test_dataload_c67_a_predicate_that_is_false_delays_no_other_job(jobs: JobManager, tmp_path: Path) -> None:
    ready = False

    def dumper_has_ended(manager: JobManager) -> bool:
        return ready

    waiting = deferred(jobs, pinfo("waits", __predicates__=[dumper_has_ended]), works.plain_add, 1)
    waits(jobs, "dumper_has_ended is true")
    for where in ("process", "thread"):
        assert deferred(jobs, pinfo("goes"), works.plain_add, 2, where=where).result(SECONDS) == 2
    assert not waiting.done()
    ready = True
    jobs.loop.call_soon_threadsafe(jobs.admission.changed)
    assert waiting.result(SECONDS) == 1


def test_dataload_c68_a_predicate_that_raises_fails_its_job_only(jobs: JobManager) -> None:
    def wrong_key(manager: JobManager) -> bool:
        return bool({}["upload"])

    broken = deferred(jobs, pinfo("breaks", __predicates__=[wrong_key]), works.plain_add, 1)
    with pytest.raises(AdmissionError, match="wrong_key raised KeyError: 'upload'"):
        broken.result(SECONDS)
    assert deferred(jobs, pinfo("goes"), works.plain_add, 2).result(SECONDS) == 2


def test_dataload_c69_a_killed_worker_fails_its_job_and_the_next_one_runs(jobs: JobManager, tmp_path: Path) -> None:
    async def command(name: str) -> Any:
        return await current().run(works.hold, tmp_path, name)

    killed, neighbour = (jobs.start(name, command, args=(name,)) for name in ("killed", "neighbour"))
    until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    running = jobs.job_info()["queue"]["process"]["all"]
    (victim,) = (int(pid) for pid, entry in running.items() if entry.get("job", {}).get("id") == killed.id)
    os.kill(victim, signal.SIGKILL)
    assert isinstance(killed.future.exception(SECONDS), WorkerDied)
    assert ended(jobs, killed) == "failed"
    assert "SIGKILL" in str(killed.record.error)
    (tmp_path / "neighbour.gate").touch()
    assert neighbour.future.result(SECONDS) != victim
    (tmp_path / "next.gate").touch()
    assert jobs.start("next", command, args=("next",)).future.result(SECONDS) != victim


def test_dataload_c70_running_jobs_are_listed_and_cancelled_threads_too(jobs: JobManager, tmp_path: Path) -> None:
    async def command(where: Any) -> None:
        await current().run(works.hold, tmp_path, where, where=where)

    started = {where: jobs.start("hold", command, args=(where,), source=where) for where in ("process", "thread")}
    until(lambda: len(list(tmp_path.glob("*.begun"))) == 2)
    assert sorted(source for source, *_ in rows(jobs)) == ["process", "thread"]
    assert {record.id for record in jobs.list(running=True)} == {job.id for job in started.values()}
    for job in started.values():
        assert jobs.cancel(job.id)
        assert ended(jobs, job) == "cancelled"
    assert {path.stem for path in tmp_path.glob("*.ended")} == {"process", "thread"}, "their work ended, too"
    assert jobs.list(running=True) == []


def test_dataload_c71_a_job_waits_while_there_is_no_memory_and_runs_when_there_is(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine = Memory(GIB // 2, 8 * GIB, 16 * GIB)
    monkeypatch.setattr(manager, "measure", lambda: machine)
    jobs = make(max_memory=2 * GIB)
    first = deferred(jobs, pinfo("first", __reqs__={"mem": GIB}), works.plain_hold, tmp_path, "first")
    until((tmp_path / "first.begun").exists)
    second = deferred(jobs, pinfo("second", __reqs__={"mem": GIB}), works.plain_add, 5)
    waits(jobs, "512.0MiB are free")
    machine = replace(machine, used=3 * GIB)
    jobs.loop.call_soon_threadsafe(jobs.admission.changed)
    waits(jobs, "of 2.0GiB (max_memory)")
    assert not second.done()
    machine = replace(machine, used=GIB // 2)
    (tmp_path / "first.gate").touch()
    assert second.result(SECONDS) == 5
    first.result(SECONDS)
