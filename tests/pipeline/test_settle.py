"""Errors that come behind the swap of a collection: they are told, and so is that the collection is in place."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.pipeline.build import state as build_state
from hubkernel.pipeline.build import steps as build_steps
from hubkernel.pipeline.upload import UploadError, steps
from hubkernel.pipeline.upload import state as upload_state
from hubkernel.store import StoreError
from tests.pipeline.hub_tools import GOOD, Hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    hub.plugin("s", GOOD)
    yield hub
    hub.close()


def raising(error: BaseException) -> Any:
    def function(*args: Any, **kwargs: Any) -> None:
        raise error

    return function


def recover(hub: Hub) -> list[str]:
    """As at the next start, where nobody else lives."""
    state, store = hub.context.state, hub.context.store
    return upload_state.recover(state, store, bool) + build_state.recover(state, store, bool)


@pytest.mark.parametrize("error", [CancelledWork(), StoreError("the archives are gone"), ValueError("odd")])
def test_an_upload_that_fails_behind_the_swap_is_in_place(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    monkeypatch.setattr(steps, "prune_archives", raising(error))
    with pytest.raises((CancelledWork, UploadError, ValueError)) as caught:
        hub.upload("s")
    job = hub.job("s")
    assert (job["status"], job["current"]["count"], job["prepared"]) == ("success", 2, None)
    assert hub.context.state["src_master"].find_one({"_id": "s"}) is not None
    if isinstance(error, StoreError):
        assert str(caught.value) == "s: the archives are gone. The new data is in place."
    assert recover(hub) == []


@pytest.mark.parametrize("committed", [True, False])
def test_dataload_c64_a_store_that_does_not_tell_is_asked_at_the_next_start(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, committed: bool
) -> None:
    writer = type(hub.context.store.writer())
    commit = writer.commit

    def lost(self: Any, *args: Any, **kwargs: Any) -> None:
        if committed:
            commit(self, *args, **kwargs)
        raise StoreError("the connection was lost")

    with monkeypatch.context() as broken:
        broken.setattr(writer, "commit", lost)
        broken.setattr(type(hub.context.store), "token", raising(StoreError("still lost")))
        with pytest.raises(UploadError, match=r"was lost\. Whether the new data is in place is not known"):
            hub.upload("s")
    assert hub.job("s")["status"] == "failed"
    assert recover(hub) == [f"upload of s: {'success' if committed else 'failed'}"]
    assert hub.job("s")["prepared"] is None
    assert (hub.job("s")["current"] is not None) is committed is ("s" in hub.context.store)
    assert recover(hub) == []


def test_dataload_c64_a_swap_that_was_not_recorded_is_found_at_the_next_start(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as broken:
        broken.setattr(upload_state.UploadState, "_end", raising(StoreError("the disk is full")))
        with pytest.raises(StoreError, match="the disk is full"):
            hub.upload("s")
    assert (hub.job("s")["status"], "s" in hub.context.store) == ("uploading", True)
    state, store = hub.context.state, hub.context.store
    assert upload_state.recover(state, store, lambda pid: False) == ["upload of s: success"]
    assert hub.job("s")["current"]["count"] == 2


@pytest.mark.parametrize("error", [CancelledWork(), ValueError("odd")])
def test_a_build_that_fails_behind_the_swap_is_in_place(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    hub.upload("s")
    publish = build_steps.publish

    def published(*args: Any) -> None:
        publish(*args)
        raise error

    monkeypatch.setattr(build_steps, "publish", published)
    with pytest.raises(type(error)):
        hub.build("r", ["s"])
    (build,) = hub.context.state["src_build"].find()
    assert [job["status"] for job in build["jobs"]] == ["success"] * 3
    assert build["_meta"]["stats"]["total"] == len(hub.documents(build["_id"])) == 2
    assert "prepared" not in build
    assert recover(hub) == []


def test_a_rebuild_that_is_not_put_in_place_leaves_nothing_of_what_it_would_have_said(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub.upload("s")
    hub.builds.create_build_configuration("r", "thing", ["s"])
    hub.merge("r", target_name="mine")
    (before,) = hub.context.state["src_build"].find()
    monkeypatch.setattr(build_steps, "publish", raising(StoreError("the disk is full")))
    with pytest.raises(Exception, match="the disk is full"):
        hub.merge("r", target_name="mine")
    (build,) = hub.context.state["src_build"].find()
    assert build["jobs"][-1]["status"] == "failed"
    assert (build["_meta"], "prepared" in build) == (before["_meta"], False)
