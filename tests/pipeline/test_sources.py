from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.pipeline.plugins import UnknownPluginError
from hubkernel.pipeline.upload import ParserError
from tests.pipeline.hub_tools import GOOD, Hub


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.close()


def test_a_source_that_was_uploaded(hub: Hub) -> None:
    hub.plugin("s", release="2024-01", display_name="The source", __metadata__={"url": "http://u"})
    hub.upload("s")
    (source,) = hub.sources.get_sources()
    assert (source["_id"], source["name"], source["count"]) == ("s", "s", 2)
    assert source["download"]["status"] == "success" and source["download"]["release"] == "2024-01"
    assert source["download"]["dumper"] == {
        "name": "s",
        "bases": [],
        "schedule": None,
        "manual": False,
        "disabled": False,
    }
    upload = source["upload"]["sources"]["s"]
    assert (upload["status"], upload["count"], upload["release"]) == ("success", 2, "2024-01")
    assert "error" not in upload and upload["uploader"]["name"] == "s"
    assert source["data_plugin"]["plugin"]["display_name"] == "The source"
    assert "mapping" not in source


def test_a_source_that_was_only_just_added(hub: Hub) -> None:
    dumper = {"data_url": "file:///x", "schedule": "0 3 * * *", "disabled": True}
    hub.plugin("new", release=None, dumper=dumper)
    (source,) = hub.sources.get_sources("new")
    assert source["count"] == 0 and source["upload"]["sources"]["new"] == {
        "uploader": {"name": "new", "bases": [], "dummy": False}
    }
    assert source["download"]["dumper"]["schedule"]["cron"] == "0 3 * * *"
    assert source["download"]["dumper"]["disabled"] is True


def test_details_of_a_source(hub: Hub) -> None:
    code = GOOD + "def mapping(cls):\n    return {'v': {'type': 'long'}}\n"
    hub.plugin("s", code, uploader={"mapping": "parser:mapping"}, __metadata__={"url": "http://u"})
    hub.upload("s")
    source = hub.sources.get_source("s")
    assert source["mapping"] == {"s": {"mapping": {"v": {"type": "long"}}, "origin": "uploader"}}
    assert source["__metadata__"] == {"url": "http://u"} and source["auto_validate"] == {"s": False}
    assert hub.sources.get_sources(detailed=True) == [source]
    hub.plugin("s", GOOD)
    hub.upload("s", steps="master")
    assert hub.sources.get_source("s")["mapping"]["s"]["origin"] == "master"


def test_metadata_that_differs_between_collections_is_a_list(hub: Hub) -> None:
    both = [{"name": name, "parser": "parser:load", "on_duplicates": "error"} for name in ("sub1", "sub2")]
    hub.plugin("main", uploaders=both, __metadata__={"url": "u"})
    hub.upload("main")
    assert hub.sources.get_source("main")["__metadata__"] == {"url": "u"}
    hub.context.state["src_master"].update_one({"_id": "sub2"}, {"$set": {"src_meta.url": "v"}})
    assert hub.sources.get_source("main")["__metadata__"] == [{"sub1": {"url": "u"}}, {"sub2": {"url": "v"}}]
    assert hub.sources.get_source("main")["count"] == 4


def test_a_failed_upload_shows_its_error_and_what_is_still_there(hub: Hub) -> None:
    hub.plugin("s")
    hub.upload("s")
    hub.plugin("s", "def load(folder):\n    raise ValueError('ill')\n")
    with pytest.raises(ParserError):
        hub.upload("s")
    source = hub.sources.get_source("s")
    assert source["count"] == 2 and "ValueError: ill" in source["upload"]["sources"]["s"]["error"]
    assert "traceback" not in source["upload"]["sources"]["s"]
    assert "in load" in hub.sources.get_source("s", debug=True)["upload"]["sources"]["s"]["traceback"]


def test_broken_and_vanished_plugins_are_shown_with_the_reason(hub: Hub) -> None:
    hub.plugin("gone")
    hub.upload("gone")
    for file in (hub.root / "plugins" / "gone").iterdir():
        if file.is_file():
            file.unlink()
    (hub.root / "plugins" / "gone").rename(hub.root / "elsewhere")
    broken = hub.root / "plugins" / "broken"
    broken.mkdir()
    (broken / "manifest.json").write_text('{"version": "1"}')
    hub.plugins.load_all()
    first, second = hub.sources.get_sources()
    assert first["name"] == "broken" and "'dumper' is missing" in first["data_plugin"]["error"] and first["count"] == 0
    assert second["name"] == "gone" and "its plugin is gone" in second["data_plugin"]["error"]
    assert second["count"] == 2 and second["upload"]["sources"]["gone"]["uploader"] is None


def test_an_unknown_source_gets_the_nearest_name(hub: Hub) -> None:
    hub.plugin("hpo_terms")
    for ask in (hub.sources.get_source, hub.sources.get_sources):
        with pytest.raises(UnknownPluginError, match="no source 'hpo_term': did you mean 'hpo_terms'"):
            ask("hpo_term")
