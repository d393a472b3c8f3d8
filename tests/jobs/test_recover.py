"""What a dead hub left behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from hubkernel.jobs.models import JobRecord
from hubkernel.jobs.state import IllegalEventError
from hubkernel.store import StateStore, open_state
from tests.jobs.conftest import SECONDS, Events, Make

ROOT = Path(__file__).resolve().parents[2]
HUB = """
import asyncio, sys, threading
from pathlib import Path
sys.path.insert(0, {root!r})
from hubkernel.jobs import JobManager, current
from hubkernel.store import open_state
from tests.jobs import works

folder = Path({folder!r})

async def work():
    current().log("about to work")
    await current().run(works.endless, folder)

loop = asyncio.new_event_loop()
threading.Thread(target=loop.run_forever, daemon=True).start()
state = open_state("sqlite:///" + str(folder / "state.db"))
jobs = JobManager(state, executors={{"process": "process://?workers=1"}}, loop=loop)
jobs.start("done", asyncio.sleep, args=(0,)).future.result()
jobs.start("running", work, idempotent=True)
jobs.start("waiting", work, predicates=[lambda: False])
while not (folder / "work.begun").exists() or "queued" not in [record.state for record in jobs.list()]:
    threading.Event().wait(0.005)
print(*jobs.executors["process"].processes(), flush=True)
threading.Event().wait()
"""


def leave(store: StateStore, id: int, name: str, **fields: object) -> None:
    story = [["created", 1.0]]
    record = JobRecord(id, name, created=1.0, owner="0-dead", story=story, **fields)  # type: ignore[arg-type]
    store.collection("job").insert_one(record.to_document())


def test_unfinished_jobs_of_a_dead_hub_become_interrupted(state: StateStore, make: Make, events: Events) -> None:
    for id, name in enumerate(("created", "queued", "running"), 1):
        leave(state, id, name, state=name)
    for id, name in enumerate(("done", "failed", "cancelled", "interrupted"), 4):
        leave(state, id, name, state=name)
    jobs = make()
    assert jobs.recover() == [1, 2, 3]
    assert [record.state for record in jobs.list()] == (
        ["interrupted", "cancelled", "failed", "done", "interrupted", "interrupted", "interrupted"]
    )
    record = jobs.get(3)
    assert record is not None
    assert "its hub ended" in str(record.error)
    assert record.finished is not None
    assert record.story[-1][0] == "interrupted"
    assert [(id, op, data["state"]) for _, id, op, data in events] == [
        (id, "update", "interrupted") for id in (1, 2, 3)
    ]
    assert jobs.recover() == []


def test_own_jobs_are_not_recovered(make: Make) -> None:
    jobs = make()
    job = jobs.start("x", lambda: None, predicates=[lambda: False])
    assert jobs.recover() == []
    job.cancel()


def test_an_interrupted_job_runs_again_under_its_id_only_if_it_is_idempotent(state: StateStore, make: Make) -> None:
    leave(state, 1, "safe", state="running", idempotent=True, kwargs={"x": 1})
    leave(state, 2, "unsafe", state="running")
    jobs = make()
    assert jobs.recover() == [1, 2]
    with pytest.raises(IllegalEventError, match="not idempotent"):
        jobs.requeue(2, lambda: None)
    with pytest.raises(LookupError, match="no job 3"):
        jobs.requeue(3, lambda: None)
    job = jobs.requeue(1, lambda x: x + 1, kwargs={"x": 1})
    assert (job.id, job.future.result(SECONDS)) == (1, 2)
    record = jobs.get(1)
    assert record is not None
    assert [entry[0] for entry in record.story] == ["created", "interrupted", "queued", "running", "done"]
    assert (record.state, record.error, record.owner, record.result) == ("done", None, jobs.owner, 2)
    with pytest.raises(IllegalEventError, match="only an interrupted job"):
        jobs.requeue(1, lambda: None)


@pytest.mark.skipif(sys.platform == "win32", reason="needs SIGKILL")
def test_after_a_kill_of_the_hub_nothing_runs_on_and_nothing_is_lost(tmp_path: Path, make: Make) -> None:
    from tests.executors.test_process import gone

    script = HUB.format(root=str(ROOT), folder=str(tmp_path))
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as hub:
        assert hub.stdout is not None
        pids = [int(pid) for pid in hub.stdout.readline().split()]
        os.kill(hub.pid, signal.SIGKILL)
        hub.wait(SECONDS)
    assert pids
    assert gone(*pids)
    state = open_state(f"sqlite:///{tmp_path}/state.db")
    jobs = make()
    jobs.journal._collection = state.collection("job")
    assert jobs.recover() == [2, 3]
    assert [(record.name, record.state) for record in jobs.list()] == [
        ("waiting", "interrupted"),
        ("running", "interrupted"),
        ("done", "done"),
    ]
    state.close()
