from __future__ import annotations

import asyncio
import pickle
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.pipeline.plugins import UnknownPluginError
from hubkernel.pipeline.upload import (
    BadDocumentError,
    DuplicateDocumentsError,
    EmptyUploadError,
    NoSuchUploaderError,
    NotReadyError,
    ParserError,
    UploadBusyError,
    UploadError,
    UploadManager,
    archives,
    loading,
    steps,
)
from hubkernel.pipeline.upload.loading import share
from tests.pipeline.hub_tools import GOOD, Hub
from tests.pipeline.hub_tools import run as wait


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.close()


def parser(body: str) -> str:
    return f"def load(folder):\n    {body}\n"


def test_dataload_c47_three_documents_become_a_collection(hub: Hub) -> None:
    hub.plugin("s", parser("yield from ({'_id': str(n), 'n': n} for n in range(3))"), release="2024-01")
    counts = {"count": 3, "received": 3, "duplicates": 0, "added": 3, "changed": 0, "removed": 0, "unchanged": 0}
    assert hub.upload("s") == {"s": {**counts, "release": "2024-01"}}
    assert hub.documents("s") == {"0": {"n": 0}, "1": {"n": 1}, "2": {"n": 2}}
    job = hub.job("s")
    assert job["status"] == "success"
    assert (job["count"], job["release"], job["err"], job["tb"], job["pid"]) == (3, "2024-01", None, None, None)
    assert job["data_folder"] == str(hub.root / "archive" / "s" / "2024-01")
    assert re.fullmatch(r"\d+\.\d+s", job["time"]) and job["time_in_s"] >= 0
    assert job["last_success"] == job["started_at"]
    assert hub.leftovers() == []


def test_dataload_c48_the_old_collection_becomes_an_archive_and_three_are_kept(hub: Hub) -> None:
    for number in range(6):
        hub.plugin("s", parser(f"return [{{'_id': 'x', 'n': {number}}}]"))
        hub.upload("s")
    names = [name for name in hub.context.store.names() if name != "s"]
    assert len(names) == 3
    assert all(re.fullmatch(r"s_archive_\d{8}_[0-9a-z]{8}", name) for name in names)
    assert [hub.documents(name)["x"]["n"] for name in sorted(names)] == [2, 3, 4]
    assert hub.documents("s") == {"x": {"n": 5}}


def test_archives_of_a_longer_name_are_not_touched(hub: Hub) -> None:
    hub.uploads = UploadManager(hub.context, hub.plugins, keep_archive=0)
    hub.plugin("s")
    hub.plugin("s_archive_20240101_abcdefgh_x")
    for _ in range(2):
        hub.upload("s_archive_20240101_abcdefgh_x")
        hub.upload("s")
    assert sorted(hub.context.store.names()) == ["s", "s_archive_20240101_abcdefgh_x"]


def test_names_of_archives_sort_by_time(monkeypatch: pytest.MonkeyPatch) -> None:
    from datetime import UTC, datetime, timedelta

    class Clock(datetime):
        moment = datetime(2024, 5, 6, tzinfo=UTC)

        @classmethod
        def now(cls, tz: Any = None) -> datetime:
            cls.moment += timedelta(seconds=1111.1)
            return cls.moment

    monkeypatch.setattr(archives, "datetime", Clock)
    names = [archives.archive_name("s") for _ in range(150)]
    assert names == sorted(names) and len(set(names)) == 150


def test_dataload_c49_duplicates_are_an_error_that_names_them_and_keeps_the_old_data(hub: Hub) -> None:
    hub.plugin("s", GOOD)
    hub.upload("s")
    hub.plugin("s", parser("return [{'_id': 'dup', 'n': n} for n in range(3)] + [{'_id': 'x'}]"), release="2")
    with pytest.raises(DuplicateDocumentsError) as caught:
        hub.upload("s")
    message = str(caught.value)
    assert "2 documents" in message and "'dup'" in message and "parser.py" in message and "on_duplicates" in message
    assert message.endswith("The old data is kept (2 documents of release 1).")
    assert hub.documents("s") == {"1": {"v": 1}, "2": {"v": 2}}
    job = hub.job("s")
    assert (job["status"], job["release"], job["err"]) == ("failed", "2", message)
    assert (job["current"]["release"], job["current"]["count"]) == ("1", 2)
    assert hub.leftovers() == [] and hub.context.store.names() == ["s"]


DOUBLES = "return [{'_id': '1', 'v': 1}, {'_id': '2', 'v': 9}, {'_id': '1', 'v': 2}, {'_id': '1', 'v': 2}]"


def test_dataload_c50_ignore_keeps_the_first(hub: Hub) -> None:
    hub.plugin("s", parser(DOUBLES), uploader={"on_duplicates": "ignore"})
    counts = {"count": 2, "received": 4, "duplicates": 2, "release": "1"}
    assert counts.items() <= hub.upload("s")["s"].items()
    assert hub.documents("s") == {"1": {"v": 1}, "2": {"v": 9}}
    assert (hub.job("s")["received"], hub.job("s")["duplicates"]) == (4, 2)


def test_dataload_c51_merge_folds_in_the_order_of_arrival(hub: Hub) -> None:
    hub.plugin("s", parser(DOUBLES), uploader={"on_duplicates": "merge"})
    assert hub.upload("s")["s"]["count"] == 2
    assert hub.documents("s") == {"1": {"v": [1, 2]}, "2": {"v": 9}}


def test_documents_that_cannot_be_merged_are_named(hub: Hub) -> None:
    code = parser("return [{'_id': 'gene1', 'v': {'x': 1}}, {'_id': 'gene1', 'v': 2}]")
    hub.plugin("s", code, uploader={"on_duplicates": "merge"})
    with pytest.raises(UploadError, match=r"_id 'gene1' .*'v' is an object in one document and a number in another"):
        hub.upload("s")
    assert hub.job("s")["err"].endswith("Nothing was stored.")


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("yield {'v': 1}", "has no _id"),
        ("yield {'_id': 7}", "_id must be a string, not 7 (int)"),
        ("yield {'_id': None}", "_id must be a string"),
        ("yield {'_id': 'bad', 'deep': {'list': [1, float('nan')]}}", "deep.list.1 is nan"),
        ("yield {'_id': 'bad', 'big': 'x' * (17 << 20)}", "the limit is 16,777,216"),
        ("yield {'_id': 'bad', 'n': 2 ** 70}", "beyond 64 bits"),
        ("yield {'_id': 'bad', 'o': object()}", "o is <object"),
    ],
)
def test_dataload_c54_c55_a_bad_document_is_named_and_nothing_is_lost(hub: Hub, body: str, fault: str) -> None:
    hub.plugin("s", GOOD)
    hub.upload("s")
    plugin = hub.plugin("s", parser("yield from ({'_id': str(n)} for n in range(1500))\n    " + body))
    with pytest.raises(BadDocumentError) as caught:
        hub.upload("s")
    message = str(caught.value)
    assert fault in message and "document 1501" in message and str(plugin.folder / "parser.py") in message
    assert "The old data is kept (2 documents of release 1)." in message
    assert caught.value.document == 1501
    assert hub.documents("s") == {"1": {"v": 1}, "2": {"v": 2}} and hub.leftovers() == []


def test_a_document_that_is_none_is_named(hub: Hub) -> None:
    hub.plugin("s", parser("yield {'_id': '1'}\n    yield 'gene,symbol'"))
    with pytest.raises(ParserError, match=r"document 2 from parser:load is a value of type str, not a dict: 'gene"):
        hub.upload("s")


@pytest.mark.parametrize(
    "body",
    [
        "return [{'_id': '1'}, {'_id': '2'}]",
        "return ({'_id': '1'}, {'_id': '2'})",
        "return iter([{'_id': '1'}, {'_id': '2'}])",
        "return map(lambda n: {'_id': n}, '12')",
        "return {'1': {}, '2': {'_id': '2'}}",
        "from collections import OrderedDict\n    return [OrderedDict(_id='1'), OrderedDict(_id='2')]",
    ],
)
def test_dataload_c55_whatever_a_parser_returns(hub: Hub, body: str) -> None:
    hub.plugin("s", parser(body))
    assert hub.upload("s")["s"]["count"] == 2
    assert hub.documents("s") == {"1": {}, "2": {}}


@pytest.mark.parametrize("body", ["yield {'_id': '1'}\n    yield {'_id': '2'}", "return [{'_id': '1'}, {'_id': '2'}]"])
def test_dataload_c55_asynchronous_parsers(hub: Hub, body: str) -> None:
    hub.plugin("s", f"import asyncio\nasync def load(folder):\n    await asyncio.sleep(0)\n    {body}\n")
    assert hub.upload("s")["s"]["count"] == 2


@pytest.mark.parametrize(
    ("body", "fault"),
    [
        ("return None", "parser:load returned None: yield documents, or return a list of them"),
        ("return 'abc'", "parser:load returned a value of type str"),
        ("return {'_id': '1', 'v': 2}", "it looks like one document: yield it"),
        ("return {'a': {'_id': 'b'}}", "'a' has the _id 'b'"),
    ],
)
def test_dataload_c55_what_cannot_be_documents(hub: Hub, body: str, fault: str) -> None:
    hub.plugin("s", parser(body))
    with pytest.raises(ParserError, match=re.escape(fault)):
        hub.upload("s")
    assert "s" not in hub.context.store


@pytest.mark.parametrize("body", ["return []", "return\n    yield", "return {}"])
def test_dataload_c56_no_documents_is_a_failure(hub: Hub, body: str) -> None:
    hub.plugin("s", GOOD)
    hub.upload("s")
    hub.plugin("s", parser(body))
    with pytest.raises(EmptyUploadError, match="the parser produced no documents"):
        hub.upload("s")
    assert hub.job("s")["status"] == "failed"
    assert len(hub.documents("s")) == 2 and hub.leftovers() == []


RAISES = """
def load(folder):
    for number in range(2000):
        yield {"_id": str(number), "value": value(number)}

def value(number):
    if number == 1000:
        raise KeyError("symbol")
    return number
"""


def test_dataload_c57_an_error_of_the_parser_points_at_its_line(hub: Hub) -> None:
    hub.plugin("s", GOOD)
    hub.upload("s")
    plugin = hub.plugin("s", RAISES)
    with pytest.raises(ParserError) as caught:
        hub.upload("s")
    error = caught.value
    assert (error.file, error.line, error.document) == (str(plugin.folder / "parser.py"), 8, 1001)
    assert str(error) == (
        f"s: {error.file}:8: KeyError: 'symbol' (while making document 1001). "
        "The old data is kept (2 documents of release 1)."
    )
    job = hub.job("s")
    assert job["status"] == "failed" and job["err"] == str(error)
    assert "in load" in job["tb"] and "in value" in job["tb"] and "hubkernel/pipeline" not in job["tb"]
    assert len(hub.documents("s")) == 2
    copy = pickle.loads(pickle.dumps(error))
    assert (str(copy), copy.file, copy.line, copy.document) == (str(error), error.file, 8, 1001)


def test_a_parser_that_exits_fails_like_any_other(hub: Hub) -> None:
    hub.plugin("s", "import sys\n" + parser("yield {'_id': '1'}\n    sys.exit(3)"))
    with pytest.raises(ParserError, match=r"parser.py:4: SystemExit: 3 \(while making document 2\)"):
        hub.upload("s")


def test_a_parser_that_takes_no_folder_is_named_where_it_is_defined(hub: Hub) -> None:
    hub.plugin("s", "\n\ndef load():\n    return []\n")
    with pytest.raises(ParserError, match=r"s: \S+/s/parser.py:3: TypeError: load\(\) takes 0 positional") as caught:
        hub.upload("s")
    assert caught.value.line == 3


def test_a_mapping_function_that_takes_no_class_is_named_where_it_is_defined(hub: Hub) -> None:
    hub.plugin("s", GOOD + "def mapping():\n    return {}\n", uploader={"mapping": "parser:mapping"})
    with pytest.raises(ParserError, match=r"s: \S+/s/parser.py:4: TypeError: .*\(in parser:mapping\)"):
        hub.upload("s")


def test_what_became_of_the_old_data_is_a_sentence_of_its_own(hub: Hub) -> None:
    hub.plugin("s", parser("return None"))
    with pytest.raises(ParserError, match=r"or return a list of them\. Nothing was stored\.$"):
        hub.upload("s")


def test_an_import_that_fails_is_the_parsers_error(hub: Hub) -> None:
    hub.plugin("s", "import nothing_of_that_name\n" + GOOD)
    with pytest.raises(ParserError, match=r"parser.py:1: ModuleNotFoundError: No module named 'nothing_of_that_name'"):
        hub.upload("s")


def test_dataload_c58_two_uploads_of_one_source_at_once(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.plugin("s")
    hub.plugin("other")

    async def both() -> list[Any]:
        uploads = [hub.uploads.upload_src(name) for name in ("s", "s", "other")]
        return await asyncio.gather(*uploads, return_exceptions=True)

    first, second, third = wait(both())
    assert first["s"]["count"] == 2 and third["other"]["count"] == 2
    assert isinstance(second, UploadBusyError) and "s is being uploaded already" in str(second)
    assert hub.upload("s")["s"]["count"] == 2


def test_dataload_c59_readiness(hub: Hub) -> None:
    hub.plugin("s", release=None)
    with pytest.raises(NotReadyError, match=r"s has not been dumped yet: run dump\('s'\) first"):
        hub.upload("s")
    folder = hub.release("s", "1", status="failed")
    with pytest.raises(NotReadyError, match="the dump of s is 'failed' and there is no earlier release"):
        hub.upload("s")
    assert hub.upload("s", force=True)["s"]["count"] == 2
    folder.rmdir()
    hub.release("s", "1")
    folder.rmdir()
    with pytest.raises(NotReadyError, match="the data folder of s is gone"):
        hub.upload("s", force=True)
    hub.release("s", "1", status="downloading")
    with pytest.raises(NotReadyError, match="is being downloaded now"):
        hub.upload("s")


def test_dataload_c32_a_failed_dump_leaves_the_last_good_release_usable(hub: Hub) -> None:
    hub.plugin("s")
    folder = hub.release("s", "1")
    good = {"last_good": {"release": "1", "data_folder": str(folder)}, "download.status": "failed"}
    hub.context.state["src_dump"].update_one({"_id": "s"}, {"$set": good})
    assert hub.upload("s")["s"]["release"] == "1"


TWO = {
    "uploaders": [
        {"name": "rows", "parser": "parser:load", "on_duplicates": "error"},
        {"name": "plates", "parser": "parser:plates", "on_duplicates": "ignore"},
    ]
}


def test_dataload_c60_a_source_with_two_collections(hub: Hub) -> None:
    hub.plugin("main", GOOD + "def plates(folder):\n    return [{'_id': 'p'}]\n", **TWO)
    assert set(hub.upload("main")) == {"rows", "plates"}
    assert sorted(hub.context.store.names()) == ["plates", "rows"]
    assert set(hub.upload("main.plates")) == {"plates"}
    with pytest.raises(NoSuchUploaderError, match=r"main has no collection 'plate': did you mean 'main.plates'\?"):
        hub.upload("main.plate")
    with pytest.raises(UnknownPluginError, match=r"no source 'mian': did you mean 'main'\?"):
        hub.upload("mian")
    assert hub.uploads.upload_info() == {"main": ["rows", "plates"]}


def test_one_failing_collection_does_not_stop_the_other(hub: Hub) -> None:
    hub.plugin("main", GOOD + "def plates(folder):\n    raise OSError('no plates')\n", **TWO)
    with pytest.raises(ParserError, match="OSError: no plates"):
        hub.upload("main")
    assert hub.job("main", "rows")["status"] == "success"
    assert hub.job("main", "plates")["status"] == "failed"


def test_dataload_c61_steps_master_only_refreshes_what_is_said_of_a_source(hub: Hub) -> None:
    hub.plugin("s", GOOD, __metadata__={"url": "http://old"})
    hub.upload("s")
    job = hub.job("s")
    hub.plugin("s", "def load(folder):\n    raise ValueError\n", __metadata__={"url": "http://new"})
    hub.upload("s", steps="master")
    assert hub.context.state["src_master"].find_one({"_id": "s"})["src_meta"] == {"url": "http://new"}  # type: ignore[index]
    assert hub.job("s") == job
    with pytest.raises(UploadError, match=r"steps is 'datum': use some of data, master, post, clean"):
        hub.upload("s", steps="datum")


def test_dataload_c21_c23_mapping_and_metadata_reach_src_master(hub: Hub) -> None:
    code = GOOD + "def mapping(cls):\n    return {cls.name: {'type': 'keyword'}}\n"
    metadata = {"url": "http://u", "license": "CC0", "merger": "merge_struct", "merger_kwargs": {"exclude": ["v"]}}
    hub.plugin("s", code, uploader={"mapping": "parser:mapping"}, __metadata__=metadata)
    hub.upload("s")
    master = hub.context.state["src_master"].find_one({"_id": "s"})
    assert master is not None
    assert master.pop("timestamp") is not None
    assert master == {
        "_id": "s",
        "name": "s",
        "main_source": "s",
        "src_meta": {"url": "http://u", "license": "CC0"},
        "merger": "merge_struct",
        "merger_kwargs": {"exclude": ["v"]},
        "mapping": {"s": {"type": "keyword"}},
    }


def test_update_source_meta_tells_what_changes(hub: Hub) -> None:
    hub.plugin("s", GOOD, __metadata__={"url": "http://old"})
    hub.upload("s")
    assert wait(hub.uploads.update_source_meta("s")) == []
    hub.plugin("s", GOOD, __metadata__={"url": "http://new"})
    for _ in range(2):
        (change,) = wait(hub.uploads.update_source_meta("s", dry=True))
        assert (change["kclass"], change["current"]["src_meta"]["url"]) == ("s", "http://old")
    assert wait(hub.uploads.update_source_meta("s"))[0]["new"]["src_meta"]["url"] == "http://new"
    assert wait(hub.uploads.update_source_meta("s", dry=True)) == []


def test_a_mapping_function_that_fails_stops_before_any_data_is_replaced(hub: Hub) -> None:
    hub.plugin("s", GOOD)
    hub.upload("s")
    code = GOOD + "def mapping(cls):\n    return cls.nothing\n"
    hub.plugin("s", code, uploader={"mapping": "parser:mapping"})
    with pytest.raises(ParserError, match=r"parser.py:5: AttributeError: .*nothing.* \(in parser:mapping\)"):
        hub.upload("s")
    assert len(hub.documents("s")) == 2


@pytest.mark.parametrize(
    ("metadata", "fault"),
    [
        ({"merger": "merge_strct"}, "__metadata__.merger is 'merge_strct': use 'upsert' or 'merge_struct'"),
        ({"merger_kwargs": {"exclud": ["x"]}}, "unknown merge option 'exclud'; did you mean 'exclude'?"),
    ],
)
def test_metadata_that_builds_could_not_follow_is_refused(hub: Hub, metadata: dict[str, Any], fault: str) -> None:
    hub.plugin("s", GOOD, __metadata__=metadata)
    with pytest.raises(UploadError, match=re.escape(fault)):
        hub.upload("s")


PARALLEL = """
import os

def files(self):
    names = sorted(os.listdir(self.data_folder))
    return [(os.path.join(self.data_folder, name), number) for number, name in enumerate(names)]

def load(file, number, prefix=""):
    with open(file) as lines:
        for line in lines:
            yield {"_id": prefix + line.strip(), "number": int(number)}
"""


def parallel(hub: Hub, code: str = PARALLEL, **more: Any) -> None:
    hub.plugin(
        "s", code, uploader={"parallelizer": "parser:files", "parser_kwargs": {"prefix": "g"}, **more}, release=None
    )
    hub.release("s", "1", {f"part{number}.txt": f"{number}\n{number + 1}\n" for number in range(5)})


def test_dataload_c19_a_parallelizer_feeds_one_collection(hub: Hub) -> None:
    parallel(hub, on_duplicates="ignore")
    counts = {"count": 6, "received": 10, "duplicates": 4, "release": "1"}
    assert counts.items() <= hub.upload("s")["s"].items()
    assert hub.documents("s") == {f"g{n}": {"number": max(n - 1, 0)} for n in range(6)}


@pytest.mark.parametrize("parts", [1, 2, 3])
def test_the_outcome_does_not_depend_on_the_number_of_parts(
    hub: Hub, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loading, "MAX_PARTS", parts)
    parallel(hub, on_duplicates="merge")
    hub.upload("s")
    expected: dict[str, Any] = {f"g{n}": {"number": [n - 1, n]} for n in range(1, 5)}
    assert hub.documents("s") == {"g0": {"number": 0}, **expected, "g5": {"number": 4}}


def test_dataload_c20_a_parallelizer_that_finds_nothing_is_a_failure(hub: Hub) -> None:
    parallel(hub, PARALLEL + "\ndef files(self):\n    return []\n")
    with pytest.raises(EmptyUploadError, match="parser:files returned nothing to parse"):
        hub.upload("s")


def test_a_parallelizer_that_returns_strings_is_told_what_to_do(hub: Hub) -> None:
    parallel(hub, PARALLEL + "\ndef files(self):\n    return ['a.txt']\n")
    with pytest.raises(ParserError, match=re.escape("return [('a.txt',), ...]")):
        hub.upload("s")


def test_errors_of_parallel_parsers_name_their_arguments(hub: Hub) -> None:
    parallel(hub)
    hub.release("s", "1", {"part3.txt": "7\n", "part4.txt": "8\n"})
    code = PARALLEL.replace("int(number)", "int(number) if int(number) < 4 else 1 / 0")
    parallel(hub, code, on_duplicates="ignore")
    with pytest.raises(ParserError, match=r"ZeroDivisionError: .*while making document 1 of parser\(.*part4.txt', 4\)"):
        hub.upload("s")


def test_calls_are_shared_in_their_order() -> None:
    calls = [(number,) for number in range(10)]
    for parts in (1, 3, 10, 99):
        shares = share(calls, parts)
        assert [call for some in shares for call in some] == calls
        assert len(shares) == min(parts, 10) and all(shares)


def test_upload_all_goes_on_after_a_failure(hub: Hub) -> None:
    hub.plugin("a", "def load(folder):\n    raise ValueError('a is ill')\n")
    hub.plugin("b")
    results = wait(hub.uploads.upload_all())
    assert results["b"]["b"]["count"] == 2 and results["a"].startswith("error: a: ")
    with pytest.raises(UploadError, match=r"1 of 2 sources failed:\na: .*a is ill"):
        wait(hub.uploads.upload_all(raise_on_error=True))


def test_a_cancelled_upload_leaves_the_old_data_and_says_so(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.plugin("s", GOOD)
    hub.upload("s")

    def cancelled(*args: Any) -> None:
        raise CancelledWork

    monkeypatch.setattr(steps, "parse", cancelled)
    with pytest.raises(CancelledWork):
        hub.upload("s", force=True)
    assert hub.job("s")["status"] == "canceled" and hub.job("s")["current"]["count"] == 2
    assert len(hub.documents("s")) == 2 and hub.leftovers() == [] and hub.uploads.running() == {}


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    hub = Hub(tmp_path, store=f"sqlite://{tmp_path}/store?max_pages=100")
    hub.plugin("s", GOOD)
    hub.upload("s")
    hub.plugin("s", parser("yield from ({'_id': str(n), 'text': 'x' * 5000} for n in range(2000))"))
    with pytest.raises(UploadError, match=r"s: .*full.*The old data is kept \(2 documents of release 1\)"):
        hub.upload("s")
    assert len(hub.documents("s")) == 2 and hub.leftovers() == []
    hub.close()


def test_the_number_of_archives_is_checked(hub: Hub) -> None:
    with pytest.raises(ValueError, match="keep_archive is -1"):
        UploadManager(hub.context, hub.plugins, keep_archive=-1)


def test_a_pending_upload_is_taken_off_the_list_once_it_has_begun(hub: Hub) -> None:
    hub.plugin("s")
    hub.context.state["src_dump"].update_one({"_id": "s"}, {"$set": {"pending": ["upload", "other"]}})
    hub.upload("s")
    assert hub.context.state["src_dump"].find_one({"_id": "s"})["pending"] == ["other"]  # type: ignore[index]
