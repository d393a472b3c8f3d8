"""Uploads of a collection that is there already: what differs is told, what does not is left where it is."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

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
