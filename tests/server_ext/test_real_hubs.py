"""The same work, with the same results, on a hub in this process and on one in its own."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel import client
from hubkernel.api import HubAPI
from hubkernel.facade import Hub
from hubkernel.handles import JobCancelledError, JobFailedError
from hubkernel.hub.commands import BadArgumentsError, UnknownCommandError, UnknownNameError
from hubkernel.store.errors import NoSuchCollectionError
from tests.e2e.homes import add_slow_source, hpo_home
from tests.server_ext.owners import end, until

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("owner processes")]


@pytest.fixture(scope="module", params=["embedded", "attach"])
def api(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubAPI]:
    home = hpo_home(tmp_path_factory.mktemp(request.param) / "home")
    add_slow_source(home)
    yield client.connect(home, placement=request.param)
    client.disconnect(home)
    end(home)


@pytest.fixture(scope="module")
def results(api: HubAPI) -> dict[str, Any]:
    """What the whole way gives, from dump to search."""
    given = {"dump": api.call("dump", "hpo_terms").result(60), "upload": api.call("upload", "hpo_terms").result(60)}
    api.call("create_build_conf", "hpo", "phenotype", ["hpo_terms"], roots=["hpo_terms"])
    given["build"] = api.call("merge", "hpo", target_name="hpo_build").result(60)
    given["index"] = api.call("index", "localhub", "hpo_build", "hpo").result(60)
    return given


def test_where_it_runs(api: HubAPI, request: pytest.FixtureRequest) -> None:
    assert f"[{api.placement}]" in request.node.name
    assert api.about()["home"] == api.home


def test_from_dump_to_search(api: HubAPI, results: dict[str, Any]) -> None:
    assert results["build"] == "hpo_build"
    count = api.call("count", "hpo_terms")
    assert results["upload"]["hpo_terms"]["count"] == count > 0
    found = api.call("search", "hpo", "*", size=1)
    assert (found["total"], len(found["hits"])) == (count, 1)
    docs = Hub(lambda: api).docs("hpo_terms")
    assert len(list(docs)) == count
    first = docs.head(1)[0]
    assert docs[first["_id"]] == first == api.call("document", "hpo", first["_id"]) | {"_id": first["_id"]}


def test_jobs_name_what_was_asked_for(api: HubAPI, results: dict[str, Any]) -> None:
    records = [job.record for job in api.jobs() if job.state == "done"]
    names = [record.name for record in reversed(records)][:5]
    assert names == ["dump", "upload", "create_build_conf", "merge", "index"]
    assert all(record.log is not None and record.story[-1][0] == "done" for record in records)
    assert Path(api.home).name == "home"


def test_errors_are_the_same(api: HubAPI) -> None:
    with pytest.raises(UnknownCommandError, match="did you mean 'dump'"):
        api.call("dmp", "x")
    with pytest.raises(BadArgumentsError, match="'src' is missing"):
        api.call("dump")
    with pytest.raises(NoSuchCollectionError, match="nothing_there"):
        api.call("count", "nothing_there")
    with pytest.raises(UnknownNameError, match="nothing_there"):
        api.call("dump", "nothing_there")
    with pytest.raises(JobFailedError, match="slow has not been dumped yet"):
        api.call("upload", "slow").result(60)
    with pytest.raises(LookupError, match="no job 9999"):
        api.job(9999)
    assert not api.cancel(9999)


def test_a_job_is_awaited_followed_and_cancelled(api: HubAPI) -> None:
    events = api.events()

    async def dump() -> Any:
        return await api.call("dump", "slow")

    assert asyncio.run(dump())
    job = api.call("upload", "slow")
    until(lambda: job.record.done > 3, "progress")
    assert job.cancel()
    with pytest.raises(JobCancelledError, match="was cancelled"):
        job.result(60)
    assert not job.cancel()
    states = []
    while (event := events.get(5)) is not None and states[-1:] != ["cancelled"]:
        if event.entity == "job" and event.id == job.id and event.data is not None:
            states.append(event.data["state"])
    assert list(dict.fromkeys(states)) in (
        ["created", "running", "cancelled"],
        ["created", "queued", "running", "cancelled"],
    )


def test_code_runs_where_the_managers_are(api: HubAPI) -> None:
    found = api.call("run_code", "import os\nprint(type(jm).__name__)\nos.getpid()")
    assert (found["output"], found["value"], found["error"]) == ("JobManager\n", str(api.about()["pid"]), None)
