"""Dumps by classes in real worker processes: the hub never runs their code, and can end it."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.jobs.manager import JobManager
from hubkernel.store import open_state
from tests.pipeline.dump_tools import Bench

CODE = """
import os, threading
from pathlib import Path

def block(where):
    if {blocks!r} == where and Path({fifo!r}).exists():
        with open({fifo!r}, "w") as here:
            here.write("x")
        threading.Event().wait()

class Mine(BaseDumper):
    def create_todump_list(self, force=False):
        block("create_todump_list")
        self.release, self.pids = "1", [os.getpid()]
        self.to_dump = [{{"remote": name, "local": self.new_data_folder + "/" + name}} for name in "ab"]

    def download(self, remotefile, localfile):
        block("download")
        Path(localfile).write_text(str(os.getpid()))

    def post_download(self, remotefile, localfile):
        block("post_download")

    def post_dump(self, *args, **kwargs):
        block("post_dump")
        Path(self.new_data_folder, "pids").write_text(" ".join(map(str, [*self.pids, os.getpid()])))
"""


class Rig:
    """A job manager with workers, and a source whose dumper blocks in one of its methods while there is a fifo."""

    def __init__(self, root: Path) -> None:
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()
        self.state = open_state(f"sqlite://{root}/jobs.db")
        urls = {"process": "process://?workers=2&grace=0.1", "thread": "thread://?workers=2"}
        self.jobs = JobManager(self.state, executors=urls, loop=self.loop)
        self.bench = Bench(root)
        self.bench.context.jobs = self.jobs
        self.fifo = root / "fifo"

    def start(self, blocks: str = "") -> Any:
        self.bench.classes("src", CODE.format(fifo=str(self.fifo), blocks=blocks))
        return self.jobs.start("dump", lambda: self.bench.manager.dump_src("src"))

    def cancelled_in(self, method: str) -> None:
        os.mkfifo(self.fifo)
        job = self.start(method)
        assert set(self.fifo.read_text()) == {"x"}
        self.jobs.cancel(job.id)
        with pytest.raises(CancelledWork):
            job.future.result(60)
        self.fifo.unlink()

    def close(self) -> None:
        self.jobs.close(force=True)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
        self.state.close()
        self.bench.close()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    rig = Rig(tmp_path)
    yield rig
    rig.close()


def test_code_of_a_plugin_runs_in_workers_and_can_be_ended(rig: Rig) -> None:
    rig.cancelled_in("create_todump_list")
    assert rig.bench.doc("src")["download"]["status"] == "canceled"
    assert rig.start().future.result(60) == "1"
    files = rig.bench.files("src")
    pids = {int(pid) for name in files for pid in files[name].split()}
    assert files.keys() == {"a", "b", "pids"} and os.getpid() not in pids


@pytest.mark.service
@pytest.mark.parametrize("method", ["download", "post_download", "post_dump"])
def test_a_dump_can_be_cancelled_anywhere(rig: Rig, method: str) -> None:
    rig.cancelled_in(method)
    assert rig.bench.doc("src")["download"]["status"] == "canceled" and "last_good" not in rig.bench.doc("src")
    assert rig.start().future.result(60) == "1"
    assert rig.bench.files("src").keys() == {"a", "b", "pids"}
