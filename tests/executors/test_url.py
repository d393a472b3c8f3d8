from __future__ import annotations

import os

import pytest

from hubkernel.executors import open_executor
from hubkernel.executors.process import ProcessExecutor
from hubkernel.executors.thread import ThreadExecutor


def test_options_come_from_the_url() -> None:
    executor = open_executor("process://?workers=3&grace=1.5&max_tasks=7&preload=json,csv")
    assert isinstance(executor, ProcessExecutor)
    assert (executor.workers, executor.grace, executor.max_tasks) == (3, 1.5, 7)
    assert executor.url == "process://?workers=3&grace=1.5&max_tasks=7&preload=json,csv"
    executor.close()


@pytest.mark.parametrize(("url", "kind"), [("process://", ProcessExecutor), ("thread://", ThreadExecutor)])
def test_default_is_a_worker_for_each_processor(url: str, kind: type) -> None:
    executor = open_executor(url)
    assert isinstance(executor, kind)
    assert executor.workers == os.cpu_count()
    executor.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("dask://host:8786", r"known are process://, thread://.*pip install 'hubkernel\[dask\]'"),
        ("ray://", "known are process://, thread://$"),
        ("nonsense", "no executor for 'nonsense'"),
        ("process://?worker=4", "unknown option 'worker'; did you mean 'workers'"),
        ("thread://?zzz=4", "unknown option 'zzz'; it knows workers, grace"),
        ("process://?workers=many", "workers='many' is not valid"),
        ("process://?workers=-1", "workers is -1, it must be at least 1"),
    ],
)
def test_a_wrong_url_says_what_is_wrong(url: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_executor(url)
