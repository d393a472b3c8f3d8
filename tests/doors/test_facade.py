"""``hub`` and ``hub.docs(...)``: the same through any HubAPI."""

from __future__ import annotations

import inspect
import itertools
import sys
from pathlib import Path

import pytest

from hubkernel.api import JobHandle
from hubkernel.facade import Hub, Jobs, Rows
from tests.doors.fake import SOURCES, FakeServer


def test_commands_are_attributes_with_their_signature_and_documentation(hub: Hub) -> None:
    assert isinstance(hub.dump("x"), JobHandle)
    assert hub.dump.__name__ == "dump"
    assert hub.dump.__doc__ == "Download a release of a source."
    assert list(inspect.signature(hub.dump).parameters) == ["src", "force", "kwargs"]


def test_dir_has_commands_and_methods(hub: Hub) -> None:
    assert {"dump", "sources", "docs", "jobs"} <= set(dir(hub))


def test_an_unknown_command_names_the_nearest(hub: Hub) -> None:
    with pytest.raises(AttributeError, match=r"no command 'dmp'; did you mean 'dump'\?"):
        hub.dmp("x")


def test_a_hub_connects_at_its_first_use_only() -> None:
    def never() -> None:
        raise AssertionError("connected")

    hub = Hub(never)  # type: ignore[arg-type]
    assert getattr(hub, "_repr_png_", None) is None
    with pytest.raises(AssertionError, match="connected"):
        hub.dump("x")


def test_a_list_of_dicts_is_a_table_and_still_a_list(hub: Hub) -> None:
    rows = hub.sources()
    assert isinstance(rows, Rows)
    assert (rows, rows.kind) == (SOURCES, "sources")


def test_jobs_are_listed_newest_first(hub: Hub) -> None:
    hub.dump("a"), hub.dump("b")
    jobs = hub.jobs()
    assert isinstance(jobs, Jobs)
    assert [job.id for job in jobs] == [2, 1]
    assert hub.job(1).command == "dump(src='a')"
    assert hub.cancel(1)


def test_documents_are_fetched_page_by_page_as_they_are_used(hub: Hub, server: FakeServer) -> None:
    docs = hub.docs("hpo_terms")
    first = list(itertools.islice(docs, 3))
    assert [doc["n"] for doc in first] == [0, 1, 2]
    assert server.pages == [(None, 1000)]
    server.pages.clear()
    assert [doc["n"] for doc in docs] == list(range(2500))
    assert server.pages == [(None, 1000), ("HP:0000999", 1000), ("HP:0001999", 1000)]


def test_a_stream_with_a_limit_fetches_no_more(hub: Hub, server: FakeServer) -> None:
    assert len(list(hub.docs("hpo_terms").stream(1500))) == 1500
    assert [size for _, size in server.pages] == [1000, 500]


def test_documents_by_id_count_selection_and_fields(hub: Hub) -> None:
    docs = hub.docs("hpo_terms")
    assert len(docs) == 2500
    assert docs["HP:0000007"]["name"] == "term 7"
    with pytest.raises(KeyError, match="hpo_terms has no document 'HP:9'"):
        docs["HP:9"]
    chosen = docs.find({"n": 7}, fields=["name"])
    assert list(chosen) == [{"_id": "HP:0000007", "name": "term 7"}]
    assert not docs.find({"n": -1})
    assert docs.find({"n": 7}).find({"name": "x"}).filter == {"$and": [{"n": 7}, {"name": "x"}]}


def test_a_data_frame_has_the_ids_as_its_index(hub: Hub) -> None:
    frame = hub.docs("hpo_terms").to_pandas(limit=1200)
    assert (frame.shape, frame.index[0], frame.loc["HP:0001199", "n"]) == ((1200, 2), "HP:0000000", 1199)
    assert list(hub.docs("hpo_terms").find({"n": -1}, fields=["name"]).to_pandas().columns) == ["name"]
    assert list(hub.sources().to_pandas()["name"]) == ["hpo_terms", "hpo_genes"]


def test_without_pandas_the_error_says_what_to_install(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match="pip install pandas"):
        hub.docs("hpo_terms").to_pandas()


def test_the_terminal_is_that_of_the_server_around_the_kernel(
    hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("JPY_PARENT_PID", "4711")
    monkeypatch.delenv("JUPYTERHUB_SERVICE_PREFIX", raising=False)
    assert hub.terminal().src == "/hubkernel/terminal"
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/ann/")
    assert hub.terminal().src == "/user/ann/hubkernel/terminal"
    (tmp_path / "jpserver-4711.json").write_text('{"base_url": "/lab/"}')
    frame = hub.terminal(height=300)
    assert (frame.src, frame.height) == ("/lab/hubkernel/terminal", 300)
