"""Uploads of a collection that is there already: what differs is told, what does not is left where it is."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork, Worker
from hubkernel.pipeline.upload import loading, models, steps
from hubkernel.pipeline.upload.models import Parse
from hubkernel.pipeline.upload.state import UploadState, unfinished_tokens
from tests.pipeline.hub_tools import Hub

DOCUMENTS = [{"_id": f"{number:03}", "n": number} for number in range(200)]
FOUR = ("added", "changed", "removed", "unchanged")


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.close()


def load(hub: Hub, documents: list[dict[str, Any]], **manifest: Any) -> tuple[int, ...]:
    """Upload these documents; returns what the upload says of differences."""
    hub.plugin("s", f"def load(folder):\n    return {documents!r}\n", **manifest)
    answer = hub.upload("s", accept_loss=True)["s"]
    record = hub.job("s")
    assert [answer[name] for name in FOUR] == [record[name] for name in FOUR]
    return tuple(answer[name] for name in FOUR)


def test_an_upload_tells_what_differs(hub: Hub) -> None:
    assert load(hub, DOCUMENTS) == (200, 0, 0, 0)
    assert load(hub, [*DOCUMENTS[5:], {"_id": "x"}, {"_id": "000", "n": 7}]) == (1, 1, 4, 195)
    assert hub.documents("s") == {one["_id"]: {"n": one["n"]} for one in DOCUMENTS[5:]} | {"x": {}, "000": {"n": 7}}
    assert len(hub.context.store.names()) == 2


def test_an_upload_in_which_nothing_differs_leaves_the_collection(hub: Hub) -> None:
    load(hub, DOCUMENTS)
    token, before = hub.context.store.token("s"), hub.job("s")
    assert load(hub, DOCUMENTS[::-1], release="2") == (0, 0, 0, 200)
    assert (hub.context.store.names(), hub.context.store.token("s")) == (["s"], token)
    after = hub.job("s")
    assert (after["status"], after["count"], after["release"]) == ("success", 200, "2")
    assert (after["current"]["release"], after["prepared"]) == ("2", None)
    assert after["current"]["bytes"] == before["current"]["bytes"]
    assert hub.leftovers() == []


@pytest.mark.parametrize("policy", ["merge", "ignore"])
def test_documents_that_repeat_are_settled_before_they_are_compared(hub: Hub, policy: str) -> None:
    twice = [*DOCUMENTS, *({**one, "m": 1} for one in DOCUMENTS)]
    assert load(hub, twice, uploader={"on_duplicates": policy}) == (200, 0, 0, 0)
    assert load(hub, twice, uploader={"on_duplicates": policy}) == (0, 0, 0, 200)
    assert load(hub, twice[:201], uploader={"on_duplicates": policy})[1:] == (
        (199, 0, 1) if policy == "merge" else (0, 0, 200)
    )


def test_what_is_in_place_is_not_parsed_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    load(hub, DOCUMENTS)
    first = hub.job("s")
    parsed = watch(monkeypatch)
    answer = hub.upload("s")["s"]
    assert tuple(answer[name] for name in FOUR) == (0, 0, 0, 200)
    assert (answer["count"], answer["received"], answer["duplicates"], answer["release"]) == (200, 200, 0, "1")
    assert parsed == []
    assert hub.job("s")["current"] == first["current"]
    hub.upload("s", force=True)
    assert parsed == [0]


@pytest.mark.parametrize("what", ["parser", "data", "manifest", "collection"])
def test_what_has_changed_is_parsed_again(hub: Hub, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    load(hub, DOCUMENTS)
    parsed = watch(monkeypatch)
    if what == "parser":
        hub.plugin("s", f"def load(folder):\n    return {DOCUMENTS[1:]!r}\n")
    elif what == "data":
        hub.release("s", "1", {"more.txt": "new"})
    elif what == "manifest":
        hub.plugin("s", f"def load(folder):\n    return {DOCUMENTS!r}\n", uploader={"on_duplicates": "ignore"})
    else:
        writer = hub.context.store.writer()
        writer.seal()
        writer.commit("s")
    hub.upload("s", accept_loss=True)
    assert parsed == [0]
    assert len(hub.documents("s")) == 200 - (what == "parser")


IN_PARTS = """
def parts(self):
    return [(number,) for number in range(4)]

def load(number):
    yield {"_id": f"{number}-a", "n": number}
    yield {"_id": "all", "n": number}
"""
PARALLEL: dict[str, Any] = {"parallelizer": "parser:parts", "on_duplicates": "merge"}


def watch(monkeypatch: pytest.MonkeyPatch, interrupt_at: int | None = None) -> list[int]:
    """The parts that are parsed from now on; at one of them the work is cancelled."""
    parsed: list[int] = []
    parse = steps.parse

    def watched(worker: Worker, work: Parse) -> Any:
        if work.part == interrupt_at:
            raise CancelledWork
        parsed.append(work.part)
        return parse(worker, work)

    monkeypatch.setattr(steps, "parse", watched)
    return parsed


def interrupt(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """An upload of four parts that is interrupted after all but one."""
    hub.plugin("s", IN_PARTS, uploader=PARALLEL)
    with monkeypatch.context() as patch:
        patch.setattr(loading, "all_or_first_error", one_by_one)
        parsed = watch(patch, interrupt_at=3)
        with pytest.raises(CancelledWork):
            hub.upload("s")
    assert parsed == [0, 1, 2]


async def one_by_one(works: list[Any]) -> list[Any]:
    try:
        return [await work for work in works]
    finally:
        for work in works:
            work.close()


def test_an_interrupted_upload_goes_on_with_the_parts_that_are_left(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(hub, monkeypatch)
    assert hub.context.store.sweep(keep=unfinished_tokens(hub.context.state)) == []
    parsed = watch(monkeypatch)
    assert hub.upload("s")["s"]["received"] == 8
    assert parsed == [3]
    assert hub.documents("s") == {f"{n}-a": {"n": n} for n in range(4)} | {"all": {"n": [0, 1, 2, 3]}}
    assert (unfinished_tokens(hub.context.state), hub.leftovers()) == (set(), [])


@pytest.mark.parametrize("what", ["parser", "swept", "old"])
def test_what_an_interrupted_upload_left_is_not_always_of_use(
    hub: Hub, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    interrupt(hub, monkeypatch)
    if what == "parser":
        hub.plugin("s", IN_PARTS + "# new", uploader=PARALLEL)
    elif what == "swept":
        assert len(hub.context.store.sweep()) == 1
    else:
        monkeypatch.setattr(models, "KEEP", timedelta(0))
        assert unfinished_tokens(hub.context.state) == set()
    parsed = watch(monkeypatch)
    assert hub.upload("s")["s"]["received"] == 8
    assert sorted(parsed) == [0, 1, 2, 3]
    assert (unfinished_tokens(hub.context.state), hub.leftovers()) == (set(), [])


def test_a_part_that_was_parsed_and_not_noted_is_parsed_again(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    interrupt(hub, monkeypatch)
    state = UploadState(hub.context.state, "s", "s")
    left = state.unfinished()
    assert left is not None and sorted(left.parts) == ["0", "1", "2"]
    del left.parts["1"]
    state.save_unfinished(left)
    parsed = watch(monkeypatch)
    assert hub.upload("s")["s"]["received"] == 8
    assert sorted(parsed) == [1, 3]
    assert hub.documents("s")["all"] == {"n": [0, 1, 2, 3]}
