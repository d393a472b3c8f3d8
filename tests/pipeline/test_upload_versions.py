"""Going back to an earlier version, the guard against loss, and previews."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hubkernel.pipeline.upload import (
    LostDocumentsError,
    NoSuchVersionError,
    UploadBusyError,
    UploadError,
    UploadManager,
)
from hubkernel.pipeline.upload import state as upload_state
from tests.pipeline.hub_tools import Hub, run


def count(hub: Hub, number: int, release: str = "1", **manifest: Any) -> None:
    """Have the parser give so many documents."""
    code = f"def load(folder):\n    yield from ({{'_id': str(n), 'r': {release!r}}} for n in range({number}))\n"
    hub.plugin("s", code, release=release, **manifest)


def back(hub: Hub, archive: str | None = None, src: str = "s") -> Any:
    return run(hub.uploads.rollback(src, archive))


def listed(hub: Hub) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = run(hub.uploads.versions("s"))["s"]
    return found


@pytest.fixture(params=["sqlite", pytest.param("mongo", marks=pytest.mark.service)])
def hub(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Hub]:
    store = ""
    if request.param == "mongo":
        base, _, query = request.getfixturevalue("mongod_url").partition("?")
        store = f"{base.rstrip('/')}/versions_{uuid4().hex[:8]}?{query}"
    hub = Hub(tmp_path, store=store)
    yield hub
    hub.close()


def test_versions_are_listed_and_put_back(hub: Hub) -> None:
    for number, release in ((3, "a"), (4, "b"), (5, "c")):
        count(hub, number, release)
        hub.upload("s")
    found = listed(hub)
    assert [(one["release"], one["count"], one["live"]) for one in found] == [
        ("c", 5, True),
        ("b", 4, False),
        ("a", 3, False),
    ]
    assert found[0]["name"] == "s" and found[0]["uploaded_at"] >= found[1]["uploaded_at"] and found[0]["bytes"] > 0
    done = back(hub)["s"]
    assert (done["release"], done["count"]) == ("b", 4)
    assert {document["r"] for document in hub.documents("s").values()} == {"b"} and len(hub.documents("s")) == 4
    assert len(hub.documents(done["archive"])) == 5
    job = hub.job("s")
    assert (job["status"], job["release"], job["count"], job["current"]["release"]) == ("success", "b", 4, "b")
    assert job["rolled_back"]["from"]["release"] == "c" and job["rolled_back"]["at"] is not None
    assert back(hub)["s"]["release"] == "c"
    assert back(hub, found[2]["name"])["s"]["release"] == "a" and len(hub.documents("s")) == 3
    assert sorted(one["release"] for one in listed(hub)) == ["a", "b", "c"]
    count(hub, 6, "d")
    assert hub.upload("s")["s"]["added"] == 3
    assert hub.job("s")["rolled_back"] is None


def test_dataload_c64_a_crash_while_going_back_leaves_one_or_the_other(
    hub: Hub, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number, release in ((3, "a"), (4, "b")):
        count(hub, number, release)
        hub.upload("s")

    def dies(*args: Any, **kwargs: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as killed:
        killed.setattr(upload_state.UploadState, "put_back", dies)
        with pytest.raises(KeyboardInterrupt):
            hub.uploads._versions(hub.plugins["s"], "s").back()
    assert len(hub.documents("s")) == 3 and hub.job("s")["current"]["release"] == "b"
    recovered = upload_state.recover(hub.context.state, hub.context.store, lambda pid: False)
    assert recovered == ["collection s: release a was put back"]
    assert (hub.job("s")["current"]["release"], hub.job("s")["count"]) == ("a", 3)
    assert upload_state.recover(hub.context.state, hub.context.store, lambda pid: False) == []
    with monkeypatch.context() as killed:
        killed.setattr(type(hub.context.store), "rename", dies)
        with pytest.raises(KeyboardInterrupt):
            hub.uploads._versions(hub.plugins["s"], "s").back()
    recovered = upload_state.recover(hub.context.state, hub.context.store, lambda pid: False)
    assert recovered == ["collection s: release b was not put back"]
    assert hub.job("s")["current"]["release"] == "a" and hub.job("s")["going_back"] is None


def test_there_may_be_nothing_to_go_back_to(hub: Hub) -> None:
    count(hub, 3)
    hub.upload("s")
    with pytest.raises(NoSuchVersionError, match="s has no earlier version: none has been archived"):
        back(hub)
    count(hub, 4)
    hub.upload("s")
    name = listed(hub)[1]["name"]
    with pytest.raises(NoSuchVersionError, match=f"s has no version '{name}x': did you mean '{name}'"):
        back(hub, f"{name}x")
    assert len(hub.documents("s")) == 4


def test_an_archive_that_nobody_remembers_can_be_put_back_too(hub: Hub) -> None:
    for number in (3, 4):
        count(hub, number)
        hub.upload("s")
    hub.sources.reset("s", "upload")
    assert [(one["release"], one["count"]) for one in listed(hub)] == [(None, 4), (None, 3)]
    assert back(hub)["s"]["count"] == 3
    assert hub.job("s")["current"]["count"] == 3


def test_several_collections_go_back_together_or_not_at_all(hub: Hub) -> None:
    def load(*numbers: int) -> None:
        ups = [{"name": name, "parser": f"parser:{name}", "on_duplicates": "error"} for name in "ab"]
        code = "".join(
            f"def {name}(folder):\n    yield {{'_id': '1', 'n': {n}}}\n" for name, n in zip("ab", numbers, strict=True)
        )
        hub.plugin("two", code, uploaders=ups)
        hub.upload("two")

    load(1, 1)
    load(2, 1)
    with pytest.raises(NoSuchVersionError, match="b has no earlier version"):
        back(hub, src="two")
    assert hub.documents("a") == {"1": {"n": 2}}
    load(2, 2)
    assert set(back(hub, src="two")) == {"a", "b"}
    assert (hub.documents("a"), hub.documents("b")) == ({"1": {"n": 1}}, {"1": {"n": 1}})
    with pytest.raises(UploadError, match=r"two has several collections: name one, as in two.a"):
        back(hub, "a_archive_20240101_00000000", src="two")


def test_nobody_goes_back_during_an_upload(hub: Hub) -> None:
    for number in (3, 4):
        count(hub, number)
        hub.upload("s")

    async def both() -> list[Any]:
        work = [hub.uploads.upload_src("s"), hub.uploads.rollback("s")]
        return await asyncio.gather(*work, return_exceptions=True)

    done, refused = run(both())
    assert done["s"]["count"] == 4 and isinstance(refused, UploadBusyError)


# ----------------------------------------------------------------------------------------------------------- the guard


def test_a_release_that_lost_too_much_is_not_put_in_place(hub: Hub) -> None:
    count(hub, 10)
    hub.upload("s")
    count(hub, 8, "2")
    assert hub.upload("s")["s"]["removed"] == 2
    count(hub, 6, "3")
    with pytest.raises(LostDocumentsError) as caught:
        hub.upload("s")
    message = str(caught.value)
    assert "s: release 3 has 6 documents, release 2 has 8: 25 % fewer, and max_loss is 20 %" in message
    assert "upload('s', accept_loss=True)" in message
    assert message.endswith("The old data is kept (8 documents of release 2).")
    assert (caught.value.old, caught.value.new) == (8, 6)
    assert len(hub.documents("s")) == 8 and hub.job("s")["status"] == "failed" and hub.job("s")["err"] == message
    assert len(hub.context.store.names()) == 2
    assert hub.upload("s", accept_loss=True)["s"]["count"] == 6


def test_the_limit_is_the_hubs_or_the_sources(hub: Hub) -> None:
    count(hub, 10)
    hub.upload("s")
    count(hub, 5)
    hub.uploads = UploadManager(hub.context, hub.plugins, max_loss=60, max_loss_of={"s": 40})
    with pytest.raises(LostDocumentsError, match="max_loss is 40 %"):
        hub.upload("s")
    hub.uploads = UploadManager(hub.context, hub.plugins, max_loss=40, max_loss_of={"s": 0})
    assert hub.upload("s")["s"]["count"] == 5
    hub.uploads = UploadManager(hub.context, hub.plugins, max_loss=0)
    count(hub, 1)
    assert hub.upload("s")["s"]["count"] == 1
    with pytest.raises(ValueError, match=r"max_loss_of\['s'\] is 101: it takes per cent"):
        UploadManager(hub.context, hub.plugins, max_loss_of={"s": 101})


# ------------------------------------------------------------------------------------------------------------- previews


@pytest.mark.parametrize(
    "given", [{"limit": 4}, {"batch_size": 2, "max_batch_num": 2}, {"limit": 9, "batch_size": 4, "max_batch_num": 1}]
)
def test_dataload_c63_a_preview_is_a_collection_of_its_own(hub: Hub, given: dict[str, Any]) -> None:
    count(hub, 10)
    hub.upload("s")
    before = hub.job("s")
    count(hub, 20, "2")
    result = hub.upload("s", **given)["s"]
    assert result == {"count": 4, "received": 4, "duplicates": 0, "release": "2", "collection": "s_preview"}
    assert sorted(hub.documents("s_preview")) == ["0", "1", "2", "3"]
    assert len(hub.documents("s")) == 10 and hub.job("s") == before
    assert sorted(hub.context.store.names()) == ["s", "s_preview"]
    hub.upload("s", limit=1)
    assert len(hub.documents("s_preview")) == 1 and len(hub.context.store.names()) == 2


def test_a_preview_of_a_parallel_source_stops_as_early(hub: Hub) -> None:
    code = """
    def calls(self):
        return [(0,), (10,)]
    def load(start):
        for number in range(start, start + 3):
            assert number < 12
            yield {"_id": str(number)}
    """
    hub.plugin("s", code, uploader={"parallelizer": "parser:calls"})
    assert hub.upload("s", limit=4)["s"]["count"] == 4
    assert sorted(hub.documents("s_preview")) == ["0", "1", "10", "2"]


@pytest.mark.parametrize("wrong", [{"limit": 0}, {"batch_size": "10"}, {"max_batch_num": True}])
def test_numbers_are_checked(hub: Hub, wrong: dict[str, Any]) -> None:
    count(hub, 1)
    with pytest.raises(UploadError, match=f"{next(iter(wrong))} is .*: it takes a whole number from 1 on"):
        hub.upload("s", **wrong)
