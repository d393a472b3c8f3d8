"""Uploads and builds as a hub runs them: a job manager, worker processes, MongoDB."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hubkernel.jobs.manager import Job, JobManager
from hubkernel.pipeline.upload import InvalidDocumentsError, ParserError, UploadError
from hubkernel.store import open_state
from tests.pipeline.hub_tools import GOOD, Hub
from tests.pipeline.test_upload import PARALLEL, RAISES

pytestmark = pytest.mark.service


class Running:
    """A hub with a loop, jobs and two worker processes."""

    def __init__(self, root: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.state = open_state(f"sqlite://{root}/jobs.db")
        urls = {"process": "process://?workers=2&grace=1", "thread": "thread://?workers=4"}
        self.jobs = JobManager(self.state, executors=urls, loop=self.loop)
        self.hub = Hub(root, self.jobs)

    def start(self, command: str, *args: Any) -> Job:
        work = self.hub.uploads.upload_src if command == "upload" else self.hub.builds.merge
        return self.jobs.start(command, lambda: work(*args))

    def call(self, command: str, *args: Any) -> Any:
        return self.start(command, *args).future.result(60)

    def close(self) -> None:
        self.jobs.close(force=True)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.hub.close()
        self.state.close()


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    running = Running(tmp_path)
    yield running
    running.close()


def wait_for(file: Path) -> None:
    """Until the parser, in its process, has written ``file``."""
    deadline = time.monotonic() + 60
    while not file.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_upload_and_build_in_processes(running: Running) -> None:
    hub = running.hub
    for name in ("s1", "s2"):
        hub.plugin(name, f"def load(folder):\n    yield from ({{'_id': str(n), '{name}': n}} for n in range(50_000))\n")
        assert running.call("upload", name)[name]["count"] == 50_000
    hub.builds.create_build_configuration("r", "thing", ["s1", "s2"])
    job = running.start("merge", "r")
    name = job.future.result(60)
    assert hub.context.store[name].count() == 50_000
    assert hub.context.store[name].get("777") == {"_id": "777", "s1": 777, "s2": 777}
    assert (job.record.done, job.record.total) == (100_000, 100_000)
    assert "s2: 50,000 read, 50,000 merged" in job.record.log


def test_a_parallel_upload_in_processes(running: Running) -> None:
    uploader = {"parallelizer": "parser:files", "on_duplicates": "merge"}
    running.hub.plugin("s", PARALLEL, uploader=uploader, release=None)
    files = {f"part{number}.txt": f"{number}\n{number + 1}\n" for number in range(5)}
    running.hub.release("s", "1", files)
    assert running.call("upload", "s")["s"]["duplicates"] == 4
    assert running.hub.documents("s")["3"] == {"number": [2, 3]}


def test_an_error_of_the_parser_comes_out_of_its_process_as_it_is(running: Running) -> None:
    plugin = running.hub.plugin("s", RAISES)
    job = running.start("upload", "s")
    with pytest.raises(ParserError) as caught:
        job.future.result(60)
    assert (caught.value.file, caught.value.line) == (str(plugin.folder / "parser.py"), 8)
    assert caught.value.document == 1001
    assert str(caught.value).endswith("(while making document 1001). Nothing was stored.")


A_CLASS = """
import os, pathlib
from hubkernel.pipeline.upload.uploaders import ParallelizedSourceUploader

class Up(ParallelizedSourceUploader):
    name = "s"
    auto_validate = True

    @classmethod
    def get_mapping(cls):
        return {"n": {"type": "long"}, "pid": {"type": "long"}}

    def jobs(self):
        return [(part,) for part in range(3)]

    def load_data(self, part):
        yield from ({"_id": f"{part}.{n}", "n": n, "pid": os.getpid()} for n in range(10))

    def post_update_data(self, steps, force, batch_size, job_manager, **kwargs):
        seen = self.collection.count_documents({}), os.getpid(), kwargs
        pathlib.Path(self.data_folder, "seen").write_text(repr(seen))
"""


def test_a_class_is_found_asked_loaded_checked_and_called_in_processes(running: Running) -> None:
    folder = running.hub.root / "plugins" / "s"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(A_CLASS)
    running.hub.plugins.load(folder)
    data = running.hub.release("s", "1")
    assert running.call("upload", "s")["s"]["count"] == 30
    seen = eval((data / "seen").read_text())
    pids = {document["pid"] for document in running.hub.documents("s").values()} | {seen[1]}
    assert seen[0] == 30 and seen[2] == {} and os.getpid() not in pids
    (folder / "__init__.py").write_text(A_CLASS.replace('"n": n', '"n": "many"'))
    running.hub.plugins.load(folder)
    with pytest.raises(
        InvalidDocumentsError, match=r"s: 30 of 30 documents do not fit the model:\n  n: Input should be"
    ):
        running.call("upload", "s")
    assert len(running.hub.documents("s")) == 30 and running.hub.leftovers() == []


BLOCKS = """
import os, pathlib, time

def load(folder):
    yield {"_id": "1"}
    pathlib.Path(folder, "pid").write_text(str(os.getpid()))
    pathlib.Path(folder, "pid").rename(pathlib.Path(folder, "ready"))
    while True:
        time.sleep(0.01)
"""


def test_a_parser_that_hangs_can_be_cancelled(running: Running) -> None:
    hub = running.hub
    hub.plugin("s", GOOD)
    running.call("upload", "s")
    hub.plugin("s", BLOCKS)
    job = running.start("upload", "s")
    wait_for(hub.root / "archive" / "s" / "1" / "ready")
    assert job.cancel()
    with pytest.raises(Exception, match="cancelled"):
        job.future.result(60)
    assert hub.job("s")["status"] == "canceled" and len(hub.documents("s")) == 2
    hub.plugin("s", GOOD)
    assert running.call("upload", "s")["s"]["count"] == 2
    assert hub.context.store.sweep() == [] and hub.leftovers() == []


def test_a_worker_that_is_killed_fails_the_upload_and_nothing_else(running: Running) -> None:
    hub = running.hub
    hub.plugin("s", GOOD)
    running.call("upload", "s")
    hub.plugin("s", BLOCKS)
    job = running.start("upload", "s")
    ready = hub.root / "archive" / "s" / "1" / "ready"
    wait_for(ready)
    os.kill(int(ready.read_text()), signal.SIGKILL)
    with pytest.raises(UploadError, match=r"s: .*The old data is kept \(2 documents of release 1\)"):
        job.future.result(60)
    assert len(hub.documents("s")) == 2 and hub.leftovers() == []
    hub.plugin("s", GOOD)
    assert running.call("upload", "s")["s"]["count"] == 2


def test_upload_and_build_on_mongodb(tmp_path: Path, mongod_url: str) -> None:
    base, _, query = mongod_url.partition("?")
    name = f"{base.rstrip('/')}/build_{uuid4().hex[:8]}"
    hub = Hub(tmp_path, state=f"{name}_state?{query}", store=f"{name}?{query}")
    try:
        hub.source("s1", [{"_id": "1", "a": 1, "n": {"x": 1}}, {"_id": "2", "a": 2}])
        hub.source("s2", [{"_id": "1", "b": 1, "n": {"y": 2}}, {"_id": "3", "b": 3}])
        hub.upload("s1")
        name = hub.build("r", ["s1", "s2"], ["s1"])
        assert hub.documents(name) == {"1": {"a": 1, "n": {"y": 2}, "b": 1}, "2": {"a": 2}}
        build = hub.builds.build_info(name)
        assert isinstance(build, dict)
        assert (build["status"], build["merge_stats"]["s2"]["orphans"]) == ("success", 1)
        assert hub.builds.whatsnew("r")["r"]["sources"] == {}
        assert hub.sources.get_source("s1")["count"] == 2
    finally:
        hub.close()
