"""Outputs that change in place: each job has its own, for as long as the notebook lives."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from hubkernel import live
from hubkernel.api import JobCancelledError, JobHandle
from hubkernel.facade import Hub


def screen(published: list[dict[str, Any]]) -> live.NotebookScreen:
    publisher = SimpleNamespace(publish=lambda bundle, **given: published.append(given))
    return live.NotebookScreen(SimpleNamespace(display_pub=publisher))  # type: ignore[arg-type]


def display_ids(hub: Hub, jobs: int) -> list[str]:
    """The output of each of several jobs, shown one after the other on screens that are gone when the next comes."""
    published: list[dict[str, Any]] = []
    for _ in range(jobs):
        job = hub.quick()
        assert isinstance(job, JobHandle)
        screen(published).draw(job)
    assert not any(given["update"] for given in published)
    return [given["transient"]["display_id"] for given in published]


def test_a_later_job_never_draws_over_the_output_of_an_earlier_one(hub: Hub) -> None:
    assert len(set(display_ids(hub, jobs=50))) == 50


def test_a_screen_updates_its_own_output(hub: Hub) -> None:
    published: list[dict[str, Any]] = []
    job = hub.dump("x")
    shown = screen(published)
    shown.draw(job)
    job.cancel()
    with pytest.raises(JobCancelledError):
        job.result(10)
    shown.draw(job)
    assert [given["update"] for given in published] == [False, True]
    assert published[0]["transient"] == published[1]["transient"]
