"""Uploaders that are classes: what a plugin may set and override, and what becomes of it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from hubkernel.pipeline.upload import (
    DuplicateDocumentsError,
    EmptyUploadError,
    NotReadyError,
    ParserError,
    PostUpdateError,
    UploadError,
)
from tests.pipeline.class_tools import of_classes
from tests.pipeline.hub_tools import Hub, run

DOUBLES = """
    def load_data(self, folder):
        yield {"_id": "1", "a": "x", "n": {"k": 1}}
        yield {"_id": "2", "a": "y"}
        yield {"_id": "1", "b": 2, "n": {"k": 2}}
"""


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.close()


def master(hub: Hub, collection: str) -> dict[str, Any]:
    found = hub.context.state["src_master"].find_one({"_id": collection})
    assert found is not None
    return found


def test_dataload_c47_a_plain_class_sees_what_it_is_promised(hub: Hub) -> None:
    code = """
    class Up(BaseSourceUploader):
        name = "s"
        __metadata__ = {"src_meta": {"url": "http://u"}, "merger": "upsert"}

        @classmethod
        def get_mapping(cls):
            return {cls.__name__: {"type": "keyword"}}

        def load_data(self, data_path):
            assert data_path == self.data_folder and self.src_doc["download"]["release"] == self.release
            self.logger.debug("loading")
            yield {"_id": "1", "seen": [self.name, self.main_source, self.fullname, self.collection_name, self.release]}
    """
    of_classes(hub, "s", code)
    assert hub.upload("s")["s"]["count"] == 1
    assert hub.documents("s") == {"1": {"seen": ["s", "s", "s", "s", "1"]}}
    known = master(hub, "s")
    assert (known["src_meta"], known["merger"], known["mapping"]) == (
        {"url": "http://u"},
        "upsert",
        {"Up": {"type": "keyword"}},
    )


def test_dataload_c60_several_classes_of_one_source(hub: Hub) -> None:
    code = """
    class Rows(BaseSourceUploader):
        name, main_source, regex_name = "rows", "main", "row.*"
        def load_data(self, folder):
            return {self.fullname: {"v": 1}}

    class Plates(Rows):
        name, regex_name = "plates", None
    """
    of_classes(hub, "main", code, "Rows", "Plates")
    assert set(hub.upload("main")) == {"rows", "plates"}
    assert hub.documents("plates") == {"main.plates": {"v": 1}}
    assert set(hub.upload("main.rows")) == {"rows"}
    assert (master(hub, "rows")["name"], master(hub, "plates")["name"]) == ("row.*", "plates")


def test_a_class_that_makes_several_uploaders_gives_the_one_that_is_meant(hub: Hub) -> None:
    code = """
    class Chrom(BaseSourceUploader):
        name = None
        @classmethod
        def create(cls, *args, **kwargs):
            made = [cls(*args, **kwargs) for _ in range(3)]
            for number, one in enumerate(made):
                one.name = one.collection_name = f"chrom{number}"
            return made
        def load_data(self, folder):
            return [{"_id": self.name}]
    """
    plugin = of_classes(hub, "s", code, "Chrom")
    from dataclasses import replace

    plugin.specs = {f"chrom{n}": replace(plugin.specs["chrom"], name=f"chrom{n}") for n in (0, 2)}
    hub.upload("s")
    assert hub.documents("chrom0") == {"chrom0": {}} and hub.documents("chrom2") == {"chrom2": {}}


@pytest.mark.parametrize(
    ("storage", "first", "numbers"),
    [
        ("IgnoreDuplicatedStorage", {"a": "x", "n": {"k": 1}}, (2, 3, 1)),
        ("NoBatchIgnoreDuplicatedStorage", {"a": "x", "n": {"k": 1}}, (2, 3, 1)),
        ("UpsertStorage", {"b": 2, "n": {"k": 2}}, (2, 3, 1)),
        ("MergerStorage", {"a": "x", "b": 2, "n": {"k": [1, 2]}}, (2, 3, 1)),
        ("RootKeyMergerStorage", {"a": "x", "b": 2, "n": [{"k": 1}, {"k": 2}]}, (2, 3, 1)),
    ],
)
def test_dataload_c50_c51_c53_what_each_storage_makes_of_duplicates(
    hub: Hub, storage: str, first: dict[str, Any], numbers: tuple[int, int, int]
) -> None:
    of_classes(hub, "s", f"class Up(BaseSourceUploader):\n    storage_class = storages.{storage}\n" + DOUBLES)
    result = hub.upload("s", batch_size=1)["s"]
    assert (result["count"], result["received"], result["duplicates"]) == numbers
    assert hub.documents("s") == {"1": first, "2": {"a": "y"}}


@pytest.mark.service
@pytest.mark.parametrize("storage", ["Ignore", "NoBatchIgnore", "Upsert", "Merger", "RootKeyMerger"])
def test_dataload_c50_c51_w_s3_w_s5_both_backends_give_the_same_whatever_the_batch_and_the_parts(
    hub: Hub, storage: str, mongod_url: str, tmp_path: Path
) -> None:
    storage = f"{storage}DuplicatedStorage" if storage.endswith("Ignore") else f"{storage}Storage"
    code = f"""
class Up(ParallelizedSourceUploader):
    storage_class = storages.{storage}
    def jobs(self):
        return [(part,) for part in range(4)]
    def load_data(self, part):
        for number in range(300):
            yield {{"_id": str(number % 100), "n": number, "p": part, "o": {{"p": part}}}}
"""
    base, _, query = mongod_url.partition("?")
    other = Hub(tmp_path / "other", store=f"{base.rstrip('/')}/storages_{uuid4().hex[:8]}?{query}")
    found = []
    try:
        for one, batch_size in ((hub, 10_000), (hub, 7), (other, 10_000), (other, 7)):
            of_classes(one, "s", code)
            result = one.upload("s", batch_size=batch_size)["s"]
            assert (result["count"], result["received"], result["duplicates"]) == (100, 1200, 1100)
            found.append(one.documents("s"))
    finally:
        other.close()
    assert found[0] == found[1] == found[2] == found[3]
    first, last = {"n": 7, "p": 0, "o": {"p": 0}}, {"n": 207, "p": 3, "o": {"p": 3}}
    assert "Ignore" not in storage or found[0]["7"] == first
    assert "Upsert" not in storage or found[0]["7"] == last


@pytest.mark.parametrize(
    ("first", "second", "merged"),
    [
        ([{"x": 1}, {"x": 2}], {"x": 3}, [{"x": 1}, {"x": 2}, {"x": 3}]),
        ({"x": 1}, [{"x": 2}, {"x": 3}], [{"x": 1}, {"x": 2}, {"x": 3}]),
    ],
)
def test_dataload_c52_w_s1_no_side_of_a_merge_is_lost(hub: Hub, first: Any, second: Any, merged: Any) -> None:
    documents = [{"_id": "1", "rel": first}, {"_id": "1", "rel": second}]
    code = f"class Up(MergerSourceUploader):\n    def load_data(self, folder):\n        return {documents!r}\n"
    of_classes(hub, "s", code)
    hub.upload("s")
    assert hub.documents("s") == {"1": {"rel": merged}}


def test_dataload_c53_w_s2_a_missing_key_becomes_no_null(hub: Hub) -> None:
    code = """
    class Up(BaseSourceUploader):
        storage_class = storages.RootKeyMergerStorage
        def load_data(self, folder):
            return [{"_id": "1", "a": "a"}, {"_id": "1", "b": 2}, {"_id": "1", "a": ["c", None]}]
    """
    of_classes(hub, "s", code)
    hub.upload("s")
    assert hub.documents("s") == {"1": {"a": ["a", "c", None], "b": 2}}


def test_w_s6_each_document_says_for_itself_what_is_a_list(hub: Hub) -> None:
    code = """
    class Up(MergerSourceUploader):
        def load_data(self, folder):
            for number in range(2):
                yield {"_id": "marked", "rel": {"x": number}, "__aslistofdict__": "rel"}
                yield {"_id": "plain", "rel": {"x": number}}
            yield {"_id": "once", "rel": {"x": 1}, "__aslistofdict__": "rel"}
            yield {"_id": "other", "of": {"x": 1}, "rel": {"x": 1}, "__aslistofdict__": "of"}
            yield {"_id": "other", "of": {"x": 2}, "rel": {"x": 2}, "__aslistofdict__": "of"}
    """
    of_classes(hub, "s", code)
    hub.upload("s")
    assert hub.documents("s") == {
        "marked": {"rel": [{"x": 0}, {"x": 1}]},
        "plain": {"rel": {"x": [0, 1]}},
        "once": {"rel": {"x": 1}},
        "other": {"of": [{"x": 1}, {"x": 2}], "rel": {"x": [1, 2]}},
    }


def test_dataload_c54_too_large_documents_are_skipped_and_counted(hub: Hub) -> None:
    code = """
    class Up(BaseSourceUploader):
        storage_class = (storages.BasicStorage, storages.CheckSizeStorage, storages.MergerStorage)
        def load_data(self, folder):
            yield {"_id": "1", "v": 1}
            yield {"_id": "big", "text": "x" * (17 << 20)}
            yield {"_id": "1", "v": 2}
    """
    of_classes(hub, "s", code)
    expected = {"count": 1, "received": 3, "duplicates": 1, "too_large": 1, "release": "1"}
    assert expected.items() <= hub.upload("s")["s"].items()
    assert hub.documents("s") == {"1": {"v": [1, 2]}} and hub.job("s")["too_large"] == 1


def test_documents_that_a_storage_refuses_are_counted(hub: Hub) -> None:
    code = """
    class Picky(storages.IgnoreDuplicatedStorage):
        def check_doc_func(self, doc):
            doc["checked"] = True
            return doc["v"] > 0

    class Up(BaseSourceUploader):
        storage_class = Picky
        def load_data(self, folder):
            return [{"_id": str(v % 3), "v": v} for v in range(-2, 3)] + [1 / zero for zero in self.zeros]
        zeros = []
    """
    of_classes(hub, "s", code)
    expected = {"count": 2, "received": 5, "duplicates": 0, "rejected": 3, "release": "1"}
    assert expected.items() <= hub.upload("s")["s"].items()
    assert hub.documents("s") == {"1": {"v": 1, "checked": True}, "2": {"v": 2, "checked": True}}
    of_classes(hub, "s", code.replace("> 0", "> 9"))
    with pytest.raises(EmptyUploadError, match=r"none of the parser's documents is to be stored: check_doc_func left "):
        hub.upload("s")
    of_classes(hub, "s", code.replace('doc["v"] > 0', 'doc["w"] > 0'))
    with pytest.raises(ParserError, match=r"up.py:8: KeyError: 'w'"):
        hub.upload("s")
    assert len(hub.documents("s")) == 2


def test_no_storage_tries_a_parser_and_leaves_the_data(hub: Hub) -> None:
    code = "class Up(BaseSourceUploader):\n    storage_class = storages.UpsertStorage\n" + DOUBLES
    of_classes(hub, "s", code)
    hub.upload("s")
    of_classes(hub, "s", code.replace("UpsertStorage", "NoStorage"))
    assert hub.upload("s")["s"]["received"] == 3
    assert len(hub.documents("s")) == 2 and hub.job("s")["status"] == "success" and hub.leftovers() == []
    assert hub.context.store.names() == ["s"]


def test_storages_that_cannot_be_followed_are_refused(hub: Hub) -> None:
    code = "class Odd(storages.BasicStorage):\n    def process(self, *args): ...\nclass Up(BaseSourceUploader):\n"
    of_classes(hub, "s", code + "    storage_class = Odd" + DOUBLES)
    with pytest.raises(UploadError, match=r"s: Odd overrides process\(\), which nobody calls here"):
        hub.upload("s")
    of_classes(hub, "s", code + "    storage_class = (Odd, int)" + DOUBLES)
    with pytest.raises(UploadError, match=r"Odd overrides process|int'> in storage_class is no storage"):
        hub.upload("s")


def test_dataload_c49_duplicates_of_a_class_name_the_remedy_for_classes(hub: Hub) -> None:
    of_classes(hub, "s", "class Up(BaseSourceUploader):\n" + DOUBLES)
    with pytest.raises(DuplicateDocumentsError, match=r"up.py gave 1 documents .*MergerSourceUploader"):
        hub.upload("s")


PARALLEL = """
class Up(ParallelizedSourceUploader):
    name = "s"
    storage_class = storages.MergerStorage
    MAX_PARALLEL_UPLOAD = 2

    def jobs(self):
        return [(self.data_folder, number) for number in range(5)]

    def load_data(self, folder, number):
        yield {"_id": "all", "n": number}
        yield {"_id": str(number)}
"""


def test_dataload_c19_a_parallelized_class_feeds_one_collection_in_the_order_of_its_jobs(hub: Hub) -> None:
    of_classes(hub, "s", PARALLEL)
    expected = {"count": 6, "received": 10, "duplicates": 4, "release": "1"}
    assert expected.items() <= hub.upload("s")["s"].items()
    assert hub.documents("s")["all"] == {"n": [0, 1, 2, 3, 4]}


def test_dataload_c20_w_u3_a_class_without_jobs_to_do_is_a_failure(hub: Hub) -> None:
    of_classes(hub, "s", PARALLEL)
    hub.upload("s")
    of_classes(hub, "s", PARALLEL.replace("range(5)", "range(0)"))
    with pytest.raises(EmptyUploadError, match=r"up:Up.jobs returned nothing to parse\. The old data is kept"):
        hub.upload("s")
    assert len(hub.documents("s")) == 6


def test_max_parallel_upload_is_kept(hub: Hub, tmp_path: Path) -> None:
    code = PARALLEL.replace(
        "    def load_data(self, folder, number):\n",
        "    def load_data(self, folder, number):\n"
        "        import pathlib\n"
        "        mark = pathlib.Path(folder, f'running{number}')\n"
        "        mark.touch()\n"
        "        yield {'_id': f'seen{number}', 'n': len(list(pathlib.Path(folder).glob('running*')))}\n"
        "        mark.unlink()\n",
    ).replace("UPLOAD = 2", "UPLOAD = 1")
    of_classes(hub, "s", code)
    hub.upload("s")
    assert [hub.documents("s")[f"seen{n}"]["n"] for n in range(5)] == [1] * 5


def test_post_update_data_sees_the_new_collection(hub: Hub) -> None:
    code = """
    class Up(BaseSourceUploader):
        name = "s"
        def load_data(self, folder):
            return [{"_id": "1"}, {"_id": "2"}]
        def post_update_data(self, steps, force, batch_size, job_manager, **kwargs):
            import json, pathlib
            count = self.db["s"].count_documents({}), self.collection.find_one({"_id": "2"})["_id"]
            told = [sorted(steps), force, batch_size, kwargs, count]
            pathlib.Path(self.data_folder, "told").write_text(json.dumps(told))
    """
    of_classes(hub, "s", code)
    hub.upload("s", force=True, batch_size=7, options={"colour": "red"})
    told = hub.root / "archive" / "s" / "1" / "told"
    assert told.read_text() == '[["clean", "data", "master", "post"], true, 7, {"colour": "red"}, [2, "2"]]'
    told.unlink()
    hub.upload("s", steps="data,master")
    assert not told.exists()
    hub.upload("s", steps="post")
    assert told.exists()


def test_a_failing_post_update_data_leaves_the_new_data_and_says_so(hub: Hub) -> None:
    code = """
    class Up(BaseSourceUploader):
        name = "s"
        def load_data(self, folder):
            return [{"_id": "1"}]
        async def post_update_data(self, *args, **kwargs):
            raise RuntimeError("no index")
    """
    of_classes(hub, "s", code)
    message = r"s: .*up.py:10: RuntimeError: no index \(in post_update_data\)\. The new data is in place \(1 documents"
    with pytest.raises(PostUpdateError, match=message):
        hub.upload("s")
    job = hub.job("s")
    assert (job["status"], job["current"]["count"], "no index" in job["tb"]) == ("failed", 1, True)
    assert hub.documents("s") == {"1": {}} and master(hub, "s")["_id"] == "s"


def test_w_u7_an_option_that_nothing_takes_is_an_error(hub: Hub) -> None:
    of_classes(hub, "s", PARALLEL)
    with pytest.raises(UploadError, match=r"upload\('s'\): nothing in s takes the option 'forse': leave it out"):
        hub.upload("s", options={"forse": True})


def test_update_data_may_do_something_before_and_after(hub: Hub) -> None:
    code = """
    import pathlib
    class Up(BaseSourceUploader):
        name = "s"
        async def update_data(self, batch_size, job_manager, extra=None):
            pathlib.Path(self.data_folder, "words").write_text("a b c")
            job = await job_manager.defer_to_process({"step": "x"}, str.upper, extra)
            self.suffix = await job
            return await super().update_data(batch_size, job_manager)
        def load_data(self, folder):
            return [{"_id": word + self.suffix} for word in pathlib.Path(folder, "words").read_text().split()]
    """
    of_classes(hub, "s", code)
    assert hub.upload("s", options={"extra": "x"})["s"]["count"] == 3
    assert set(hub.documents("s")) == {"aX", "bX", "cX"}
    of_classes(hub, "s", code.replace("return await super().update_data(batch_size, job_manager)", "return 3"))
    with pytest.raises(ParserError, match=r"Up.update_data stored nothing: let it call super\(\).update_data\(\)"):
        hub.upload("s", options={"extra": "x"})
    assert len(hub.documents("s")) == 3


def test_load_may_do_something_before(hub: Hub) -> None:
    code = """
    class Up(BaseSourceUploader):
        name = "s"
        async def load(self, *args, **kwargs):
            self.value = 3
            return await super().load(*args, **kwargs)
        def load_data(self, folder):
            return [{"_id": "1", "v": self.value}]
    """
    of_classes(hub, "s", code)
    hub.upload("s")
    assert hub.documents("s") == {"1": {"v": 3}}
    of_classes(hub, "s", code.replace("class Up(Base", "class Up(Parallelized"))
    with pytest.raises(UploadError, match=r"Up has jobs\(\) and overrides load\(\): keep one of them"):
        hub.upload("s")


NO_DATA = """
class Up({base}):
    name = "s"
    __metadata__ = {{"src_meta": {{"license": "CC0"}}}}
    @classmethod
    def get_mapping(cls):
        return {{"v": {{"type": "long"}}}}
"""


def test_an_uploader_without_data_writes_its_master(hub: Hub) -> None:
    of_classes(hub, "s", NO_DATA.format(base="NoDataSourceUploader"), loads=False)
    hub.context.state["src_dump"].delete_one({"_id": "s"})
    assert hub.upload("s")["s"]["count"] is None
    assert (hub.job("s")["status"], master(hub, "s")["mapping"]) == ("success", {"v": {"type": "long"}})


def test_a_dummy_takes_the_release_that_it_is_told(hub: Hub) -> None:
    of_classes(hub, "s", NO_DATA.format(base="DummySourceUploader"), loads=False, dummy=True)
    hub.context.state["src_dump"].delete_one({"_id": "s"})
    with pytest.raises(NotReadyError, match=r"run upload\('s', release=...\)"):
        hub.upload("s")
    with pytest.raises(NotReadyError, match="there are none: fill it first"):
        hub.upload("s", release="7")
    writer = hub.context.store.writer()
    with writer.part() as part:
        part.write([{"_id": "1"}, {"_id": "2"}])
    writer.seal()
    writer.commit("s")
    result = hub.upload("s", release="7")["s"]
    assert (result["count"], result["received"], result["release"]) == (2, None, "7")
    source = hub.context.state["src_dump"].find_one({"_id": "s"})
    assert source is not None and source["download"]["release"] == "7"
    assert hub.job("s")["current"]["release"] == "7" and master(hub, "s")["src_meta"] == {"license": "CC0"}


def test_keep_archive_of_a_class(hub: Hub) -> None:
    of_classes(hub, "s", "class Up(UpsertUploader):\n".replace("Upsert", "BaseSource") + "    keep_archive = 1\n" + ONE)
    for release in "123":
        hub.release("s", release)
        hub.upload("s")
    assert len(hub.context.store.names()) == 2


ONE = "    def load_data(self, folder):\n        return [{'_id': '1', 'r': self.release}]\n"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("class Up:\n    pass\n", "up:Up gives no uploader of that name: derive it from BaseSourceUploader"),
        ("class Up(BaseSourceUploader):\n    name = 's'\n", r"NotImplementedError: Up has no load_data"),
        ("class Other: pass\n", "no function 'Up' in"),
        ("class Up(BaseSourceUploader):\n    name = 's'\n    def load_data(self): ...\n", r"up.py:6: TypeError"),
        (
            "class Up(BaseSourceUploader):\n    def get_mapping(self): return [1]\n" + ONE,
            r"get_mapping returned list, not a dict",
        ),
        ("class Up(BaseSourceUploader):\n    def __init__(self, *a): 1 / 0\n" + ONE, r"up.py:5: ZeroDivisionError"),
    ],
)
def test_classes_that_cannot_be_used_say_why(hub: Hub, code: str, fault: str) -> None:
    of_classes(hub, "s", code)
    with pytest.raises(UploadError, match=fault):
        hub.upload("s")
    assert hub.context.store.names() == [] and hub.leftovers() == []


def test_an_unknown_release_is_refused_and_an_earlier_one_can_be_chosen(hub: Hub) -> None:
    of_classes(hub, "s", "class Up(BaseSourceUploader):\n" + ONE)
    hub.release("s", "2")
    assert hub.upload("s", release="1")["s"]["release"] == "1"
    assert hub.upload("s")["s"]["release"] == "2"
    for wrong in ("3", "../s", "..", "."):
        with pytest.raises(NotReadyError, match=re.escape(f"s has no downloaded release {wrong!r}: there is 1, 2")):
            hub.upload("s", release=wrong)


def test_update_source_meta_asks_a_class_too(hub: Hub) -> None:
    of_classes(hub, "s", NO_DATA.format(base="BaseSourceUploader") + ONE)
    hub.upload("s")
    of_classes(hub, "s", NO_DATA.format(base="BaseSourceUploader").replace("CC0", "MIT") + ONE)
    (change,) = run(hub.uploads.update_source_meta("s"))
    assert change["new"]["src_meta"] == {"license": "MIT"}


def test_dataload_c62_a_key_lookup_stands_around_the_parser_and_its_arguments(hub: Hub) -> None:
    hub.plugins.keylookup = "tests.pipeline.class_tools:Lookup"
    code = "def load(folder, extra):\n    return [{'_id': one} for one in ('1', 'x', extra)]\n"
    asked = {"keylookup": {"prefix": "g", "skip_on_failure": True}, "parser_kwargs": {"extra": "3"}}
    hub.plugin("s", code, uploader=asked)
    assert hub.upload("s")["s"]["count"] == 2
    assert set(hub.documents("s")) == {"g1", "g3"}
    hub.plugin("s", code, uploader={**asked, "keylookup": {"prefixes": "g"}})
    with pytest.raises(ParserError, match=r"TypeError: .*unexpected keyword argument 'prefixes'"):
        hub.upload("s")
    hub.plugins.keylookup = "tests.pipeline.class_tools:Nothing"
    with pytest.raises(ParserError, match=r"the hub's key lookup tests\S+:Nothing cannot be imported"):
        hub.upload("s")
