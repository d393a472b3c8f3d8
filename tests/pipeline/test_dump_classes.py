"""Dumps by classes of plugins: what they override, when it is called, and what must never be lost."""

from __future__ import annotations

import asyncio
import gzip
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.pipeline.dump import NOTHING, DumpError, FetchError, Release, manager, run
from tests.pipeline.dump_tools import DAY, Bench, Resource, Web, web_server

LISTED = """
from pathlib import Path

class Mine(HTTPDumper):
    URLS = {urls!r}

    def create_todump_list(self, force=False, **kwargs):
        self.release = "1"
        for url in self.URLS:
            self.to_dump.append({{"remote": url, "local": str(Path(self.new_data_folder, url.rsplit("/", 1)[1]))}})
"""
COPIED = """
import os, shutil

class Mine(BaseDumper):
    SOURCE = {source!r}
    LABEL = "1"

    def set_release(self):
        self.release = Path(self.SOURCE, "label").read_text() if Path(self.SOURCE, "label").exists() else self.LABEL

    def create_todump_list(self, force=False, **kwargs):
        self.set_release()
        for name in sorted(os.listdir(self.SOURCE)):
            if name == "label":
                continue
            remote, local = os.path.join(self.SOURCE, name), os.path.join(self.new_data_folder, name)
            current = os.path.join(self.current_data_folder, name) if self.current_data_folder else local
            if force or not os.path.exists(current) or self.remote_is_better(remote, current):
                self.to_dump.append({{"remote": remote, "local": local}})

    def remote_is_better(self, remotefile, localfile):
        return Path(remotefile).read_bytes() != Path(localfile).read_bytes()

    def download(self, remotefile, localfile):
        shutil.copyfile(remotefile, localfile)
"""


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as web:
        yield web


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Files that :data:`COPIED` copies."""
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "a").write_text("a\n")
    (folder / "b").write_text("b\n")
    return folder


def listed(bench: Bench, web: Web, *paths: str, more: str = "") -> None:
    bench.classes("src", LISTED.format(urls=[web.url(path) for path in paths]) + more)


def copied(bench: Bench, data: Path, more: str = "") -> None:
    bench.classes("src", "from pathlib import Path\n" + COPIED.format(source=str(data)) + more)


def tell(data: Path, label: str) -> None:
    (data / "label").write_text(label)


def test_dataload_c25_a_class_says_whether_its_data_are_uploaded(bench: Bench, data: Path) -> None:
    copied(bench, data, "    AUTO_UPLOAD = False\n")
    assert bench.dump("src") == "1"
    assert bench.files("src") == {"a": b"a\n", "b": b"b\n"} and "pending" not in bench.doc("src")


def test_dataload_c26_c27_a_class_that_lists_nothing(bench: Bench, data: Path) -> None:
    copied(bench, data)
    assert bench.dump("src", check_only=True) == "1"
    assert bench.doc("src") == {} and not list(bench.context.archive.rglob("*"))[1:]
    bench.dump("src")
    before = bench.doc("src")
    assert bench.dump("src") == NOTHING and bench.dump("src", check_only=True) == NOTHING
    assert bench.doc("src") == before


@pytest.mark.parametrize("label", ["2", "1"])
def test_dataload_c28_what_was_refused_is_taken_over(bench: Bench, data: Path, label: str) -> None:
    """W-D1 and W-D2: whether the label changes or not."""
    copied(bench, data)
    bench.dump("src")
    first = bench.folder("src")
    (data / "b").write_text("new\n")
    tell(data, label)
    assert bench.dump("src").startswith(label)
    assert bench.folder("src") != first
    assert bench.files("src") == {"a": b"a\n", "b": b"new\n"}
    assert (first / "b").read_bytes() == b"b\n" and (first / "a").samefile(bench.folder("src") / "a")


def test_a_class_that_looks_into_the_new_folder(bench: Bench, data: Path) -> None:
    """Many skip what is in ``new_data_folder`` already: it shows the release of that name."""
    code = COPIED.format(source=str(data)).replace(
        "if force or not os.path.exists(current) or self.remote_is_better(remote, current)",
        "if force or not os.path.exists(local)",
    )
    bench.classes("src", "from pathlib import Path\n" + code)
    bench.dump("src")
    first = bench.folder("src")
    assert bench.dump("src") == NOTHING
    (data / "c").write_text("c\n")
    release = bench.dump("src")
    assert release.startswith("1-") and bench.files("src") == {"a": b"a\n", "b": b"b\n", "c": b"c\n"}
    assert sorted(file.name for file in first.iterdir() if not file.name.startswith(".")) == ["a", "b"]


def test_dataload_c33_a_download_that_was_cut_is_never_seen(bench: Bench, data: Path) -> None:
    """W-D3: a download that broke in the middle, and a hub that was killed, are followed by a dump of everything."""
    copied(
        bench,
        data,
        """
    def download(self, remotefile, localfile):
        Path(localfile).write_text("cut")
        if not Path(self.SOURCE, "label").exists():
            raise OSError("connection lost")
        shutil.copyfile(remotefile, localfile)
""",
    )
    with pytest.raises(DumpError, match=r"download of .*/[ab] failed: .*dumper.py:\d+: OSError: connection lost"):
        bench.dump("src")
    assert bench.doc("src")["download"]["status"] == "failed"
    tell(data, "2")
    assert bench.dump("src") == "2" and bench.files("src") == {"a": b"a\n", "b": b"b\n"}


@pytest.mark.parametrize("status", ["failed", "canceled", "downloading"])
def test_dataload_c34_forced_after_a_bad_end(bench: Bench, data: Path, status: str) -> None:
    log = bench.root / "log"
    more = """
    def download(self, remotefile, localfile):
        shutil.copyfile(remotefile, localfile)
        with open({log!r}, "a") as log:
            log.write(localfile[-1])
"""
    copied(bench, data, more.format(log=str(log)))
    bench.dump("src")
    assert bench.dump("src") == NOTHING and sorted(log.read_text()) == ["a", "b"]
    bench.state["src_dump"].update_one({"_id": "src"}, {"$set": {"download.status": status}})
    assert bench.dump("src") == "1"
    assert bench.doc("src")["download"]["status"] == "success" and sorted(log.read_text()) == ["a", "a", "b", "b"]


def test_dataload_c32_a_failed_dump_keeps_the_good_release(bench: Bench, data: Path) -> None:
    """W-D4."""
    copied(bench, data)
    bench.dump("src")
    good = bench.folder("src")
    (data / "b").write_text("new\n")
    copied(bench, data, "    def post_dump(self, *args, **kwargs):\n        raise ValueError('bad data')\n")
    with pytest.raises(DumpError, match=r"post_dump failed: .*dumper.py:\d+: ValueError: bad data"):
        bench.dump("src")
    doc = bench.doc("src")
    assert doc["last_good"]["data_folder"] == str(good) == doc["download"]["data_folder"]
    assert isinstance(doc["download"]["err"], str) and "ValueError" in doc["download"]["tb"]
    assert (good / "b").read_bytes() == b"b\n"


def test_dataload_c36_sizes_are_checked(bench: Bench, data: Path) -> None:
    (data / "f.txt").write_text("line\n" * 9)
    (data / "g.txt.gz").write_bytes(gzip.compress(b"line\n" * 9 + b"last"))
    copied(bench, data, "    to_check = [('g.txt.gz', 10), ('none', 1), ('f.txt', 10)]\n")
    with pytest.raises(DumpError, match=r"^f.txt has 9 lines, it should have at least 10$"):
        bench.dump("src")
    assert bench.doc("src")["download"]["status"] == "failed"
    copied(bench, data, "    to_check = [('f.txt', 9), ('g.txt.gz', 10), ('none', 1)]\n")
    assert bench.dump("src") == "1"


DELETES = """
    def post_dump(self, *args, **kwargs):
        os.symlink(os.path.dirname(self.SOURCE), os.path.join(self.new_data_folder, "link"))
        self.to_delete = {names!r}
        self.post_dump_delete_files()
"""


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "", ".", "link/x"])
def test_dataload_c37_nothing_outside_is_deleted(bench: Bench, data: Path, tmp_path: Path, name: str) -> None:
    (tmp_path / "x").write_text("mine")
    copied(bench, data, DELETES.format(names=["a", name]))
    with pytest.raises(DumpError, match="outside of the release"):
        bench.dump("src")
    assert (tmp_path / "x").read_text() == "mine"


def test_deleted_files_are_gone_and_known(bench: Bench, data: Path) -> None:
    copied(bench, data, DELETES.format(names=["a", "none", "link"]))
    bench.dump("src")
    assert bench.files("src") == {"b": b"b\n"}
    before = bench.doc("src")
    assert bench.dump("src") == NOTHING  # it is downloaded again, and is the same
    assert bench.doc("src") == before


def test_dataload_c38_each_file_is_looked_at_once(bench: Bench, data: Path, tmp_path: Path) -> None:
    """W-J4: with its own pair."""
    (data / "c").write_text("c")
    seen = tmp_path / "seen"
    seen.mkdir()
    copied(
        bench,
        data,
        f"""
    def post_download(self, remotefile, localfile):
        assert Path(remotefile).read_bytes() == Path(localfile).read_bytes()
        with Path({str(seen)!r}, Path(localfile).name).open("a") as log:
            log.write(remotefile + " ")
""",
    )
    bench.dump("src")
    assert {file.name: file.read_text() for file in seen.iterdir()} == {n: f"{data / n} " for n in "abc"}


def test_a_file_that_post_download_refuses(bench: Bench, data: Path) -> None:
    more = """
    def post_download(self, remotefile, localfile):
        raise DumperException("checksum of " + localfile)
"""
    copied(bench, data, more)
    with pytest.raises(DumpError, match="checksum of"):
        bench.dump("src")
    assert "last_good" not in bench.doc("src")


def test_dataload_c39_one_at_a_time_and_one_fails(bench: Bench, web: Web) -> None:
    """W-J3."""
    for number in range(4):
        web[f"/{number}"] = Resource(b"x", faults=[404])
    listed(bench, web, *(f"/{number}" for number in range(4)), more="    MAX_PARALLEL_DUMP = 1\n")
    with pytest.raises(FetchError, match="HTTP 404"):
        bench.dump("src")
    assert bench.doc("src")["download"]["status"] == "failed" and len(web.gets()) == 1


def test_dataload_c40_a_pause_before_each_download(bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (data / "c").write_text("c")
    copied(bench, data, "    SLEEP_BETWEEN_DOWNLOAD = 0.5\n")
    pauses: list[float] = []
    waiting = 0

    async def pause(seconds: float) -> None:
        nonlocal waiting
        waiting += 1
        assert waiting == 1  # one after the other
        await asyncio.sleep(0)
        pauses.append(seconds)
        waiting -= 1

    monkeypatch.setattr(run, "pause", pause)
    bench.dump("src")
    assert pauses == [0.5, 0.5, 0.5]


def manual(bench: Bench, more: str = "    pass\n") -> Path:
    bench.classes("src", "from pathlib import Path\n\nclass Mine(ManualDumper):\n" + more, manual=True)
    folder = bench.context.archive / "src" / "2020"
    folder.mkdir(parents=True)
    return folder


def test_dataload_c41_data_put_in_place_by_hand(bench: Bench, tmp_path: Path) -> None:
    folder = manual(bench)
    with pytest.raises(DumpError, match=f"{folder} is empty"):
        bench.dump("src", path="2020")
    with pytest.raises(DumpError, match=r"there is no folder .*2021"):
        bench.dump("src", path="2021")
    (folder / "in").mkdir()
    (folder / "in" / "a.txt").write_text("a")
    assert bench.dump("src", path="2020") == "2020"
    assert bench.folder("src") == folder and bench.files("src") == {"in/a.txt": b"a"}
    assert bench.doc("src")["pending"] == ["upload"]
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "b.txt").write_text("b")
    assert bench.dump("src", path=str(elsewhere), release="v2") == "v2"
    (elsewhere / "b.txt").write_text("edited later")
    assert bench.files("src") == {"b.txt": b"b"}
    (folder.parent / "loose.txt").write_text("x")
    assert bench.dump("src") == "src" and bench.files("src") == {"loose.txt": b"x"}
    assert bench.dump("src", skip_manual=True) == "Manual" and asyncio.run(bench.manager.dump_all()) == {}


def test_what_post_dump_writes_is_not_written_into_files_of_a_user(bench: Bench) -> None:
    folder = manual(
        bench, "    def post_dump(self, *a, **k):\n        (Path(self.new_data_folder) / 'a').write_text('changed')\n"
    )
    (folder / "a").write_text("mine")
    assert bench.dump("src", path="2020") == "2020"
    assert bench.files("src") == {"a": b"changed"} and (folder / "a").read_text() == "mine"


def test_dataload_c42_a_disabled_class(bench: Bench, data: Path) -> None:
    copied(bench, data)
    bench.classes("src", (bench.context.plugins / "src" / "dumper.py").read_text(), disabled=True, schedule="* * * * *")
    assert bench.dump("src") == "Disabled" and asyncio.run(bench.manager.dump_all()) == {}
    assert bench.manager.schedules() == {} and bench.doc("src") == {}


APPENDS = """
    def post_dump(self, *args, **kwargs):
        with Path(self.new_data_folder, "log").open("a") as log:
            log.write("{word}\\n")
"""


def test_dataload_c43_post_dump_again(bench: Bench, data: Path) -> None:
    with pytest.raises(DumpError, match="no step 'pots', only 'dump' and 'post'"):
        copied(bench, data)
        bench.dump("src", steps="pots")
    with pytest.raises(DumpError, match="no release yet"):
        bench.dump("src", steps="post")
    bench.dump("src")
    first = bench.folder("src")
    bench.state["src_dump"].update_one({"_id": "src"}, {"$set": {"pending": [], "download.status": "failed"}})
    assert bench.dump("src", steps="post") == "1"
    doc = bench.doc("src")
    assert doc["download"]["status"] == "success" and doc["pending"] == ["upload"]
    assert bench.folder("src") == first  # nothing changed
    copied(bench, data, APPENDS.format(word="again"))
    assert bench.dump("src", steps=["post"]) == "1"
    assert bench.files("src") == {"a": b"a\n", "b": b"b\n", "log": b"again\n"}
    assert not (first / "log").exists() and (first / "a").samefile(bench.folder("src") / "a")


def test_post_dump_never_changes_an_earlier_release(bench: Bench, data: Path) -> None:
    change = "    def post_dump(self, *a, **k):\n        Path(self.new_data_folder, 'a').write_text(self.release)\n"
    copied(bench, data)
    bench.dump("src")
    first = bench.folder("src")
    copied(bench, data, change)
    (data / "b").write_text("new\n")
    tell(data, "2")
    bench.dump("src")
    assert bench.files("src") == {"a": b"2", "b": b"new\n"}
    assert (first / "a").read_bytes() == b"a\n"


def filesystem(bench: Bench, data: Path, operation: str) -> None:
    code = f"""
from pathlib import Path

class Mine(FilesystemDumper):
    FS_OP = {operation!r}

    def create_todump_list(self, force=False):
        self.release = "1"
        for name in ("a", "b; touch c"):
            self.to_dump.append({{"remote": {str(data)!r} + "/" + name, "local": self.new_data_folder + "/" + name}})
"""
    bench.classes("src", code)


@pytest.mark.parametrize("operation", ["cp", "mv", "ln"])
def test_dataload_c44_a_missing_file_fails_the_dump(bench: Bench, data: Path, operation: str) -> None:
    """W-D5, W-D9."""
    filesystem(bench, data, operation)
    with pytest.raises(DumpError, match=r"b; touch c: no such file or folder"):
        bench.dump("src")
    assert bench.doc("src")["download"]["status"] == "failed" and (data / "a").read_text() == "a\n"
    (data / "b; touch c").write_text("b")
    bench.dump("src")
    assert bench.files("src") == {"a": b"a\n", "b; touch c": b"b"}
    assert (data / "a").exists() == (operation != "mv")


def test_dataload_c44_wget_fails_the_dump(bench: Bench, web: Web) -> None:
    bench.classes("src", LISTED.format(urls=[web.url("/gone")]).replace("HTTPDumper", "WgetDumper"))
    with pytest.raises(FetchError, match="HTTP 404 for"):
        bench.dump("src")


def test_dataload_c45_files_put_by_hand(bench: Bench, data: Path) -> None:
    copied(bench, data)
    with pytest.raises(DumpError, match="no release yet: dump it first, or put its data into"):
        bench.mark_success("src")
    for release in ("2020", "2021"):
        folder = bench.context.archive / "src" / release
        folder.mkdir(parents=True)
        (folder / "a").write_text(release)
    with pytest.raises(DumpError, match="say which of 2020, 2021"):
        bench.mark_success("src", dry_run=False)
    (dry,) = bench.mark_success("src", release="2021")
    assert dry["download"]["status"] == "success" and dry["download"]["release"] == "2021"
    assert bench.doc("src") == {} and Release.read(folder) is None
    bench.mark_success("src", dry_run=False, release="2021")
    assert bench.files("src") == {"a": b"2021"} and bench.doc("src")["last_good"]["release"] == "2021"


def test_dataload_c46_schedule_of_a_class(bench: Bench, data: Path) -> None:
    copied(bench, data)
    code = (bench.context.plugins / "src" / "dumper.py").read_text()
    bench.classes("src", code, schedule="* * * * * */10")
    bench.classes("bad", code, schedule="every day")
    assert bench.manager.schedules() == {"src": "* * * * * */10"}
    bench.plugins["bad"].set("SCHEDULE", "0 3 * * *")
    assert bench.manager.schedules() == {"src": "* * * * * */10", "bad": "0 3 * * *"}


def test_ignored_codes_are_told(bench: Bench, web: Web) -> None:
    """W-D6: what is left out is recorded, and a release is never empty for it."""
    web["/a"] = b"a"
    listed(bench, web, "/a", "/gone", more="    IGNORE_HTTP_CODE = [404]\n")
    assert bench.dump("src") == "1"
    assert bench.files("src") == {"a": b"a"}
    assert Release.read(bench.folder("src")).skipped == [web.url("/gone")]  # type: ignore[union-attr]
    assert bench.doc("src")["history"][-1]["skipped"] == [web.url("/gone")]
    del web.resources["/a"]
    with pytest.raises(DumpError, match="nothing was downloaded"):
        bench.dump("src", force=True)


def test_a_web_page_is_no_data(bench: Bench, web: Web) -> None:
    """W-D6: the server says 200 and sends its page of errors."""
    web["/a.tsv"] = b"\n<!DOCTYPE html><html>Not found</html>"
    listed(bench, web, "/a.tsv")
    with pytest.raises(FetchError, match=r"a web page came where a\.tsv was asked for"):
        bench.dump("src")
    listed(bench, web, "/a.tsv", more="    ACCEPT_HTML = True\n")
    assert bench.dump("src") == "1"


def test_a_name_from_the_server_stays_inside(bench: Bench, web: Web) -> None:
    """W-D7."""
    web["/a"] = Resource(b"a", headers={"Content-Disposition": 'attachment; filename="../../evil.txt"'})
    listed(bench, web, "/a", more="    RESOLVE_FILENAME = True\n")
    bench.dump("src")
    assert bench.files("src") == {"evil.txt": b"a"}


@pytest.mark.parametrize("local", ["/tmp/x", "../x"])
def test_a_local_file_stays_inside(bench: Bench, data: Path, local: str) -> None:
    more = f"""
    def create_todump_list(self, force):
        self.release = "1"
        self.to_dump = [{{"remote": "r", "local": os.path.join(self.new_data_folder, {local!r})}}]
"""
    copied(bench, data, more)
    with pytest.raises(DumpError, match="outside of the release"):
        bench.dump("src")


def test_headers_and_ignored_certificates(bench: Bench, web: Web) -> None:
    web["/a"] = b"a"
    more = """
    VERIFY_CERT = False

    def download(self, remoteurl, localfile):
        return super().download(remoteurl, localfile, headers={"Range": "bytes=0-"})
"""
    listed(bench, web, "/a", more=more)
    bench.dump("src")
    assert ("GET", "/a", "bytes=0-") in web.requests


def test_arguments_of_dump_go_to_the_list(bench: Bench, data: Path) -> None:
    more = """
    async def create_todump_list(self, force=False, *, version):
        self.release = version
        self.to_dump = [{"remote": str(Path(self.SOURCE, "a")), "local": self.new_data_folder + "/a"}]
"""
    copied(bench, data, more)
    assert bench.dump("src", version="7") == "7"
    with pytest.raises(DumpError, match=r"the dumper of src takes no 'verson': did you mean 'version'\?"):
        bench.dump("src", verson="7")
    with pytest.raises(ValueError, match=r"^dump takes no 'forse': did you mean 'force'\?$"):
        bench.dump("src", forse=True)
    bench.plugin("plain", data.as_uri())
    with pytest.raises(ValueError, match=r"^dump takes no 'version' for plain$"):
        bench.dump("plain", version="7")


def test_overrides_of_one_source(bench: Bench, data: Path) -> None:
    copied(bench, data)
    bench.plugins["src"].set("LABEL", "9")
    bench.plugins["src"].set("AUTO_UPLOAD", False)
    assert bench.dump("src") == "9" and "pending" not in bench.doc("src")


def test_folder_named_by_date_and_a_label_with_slashes(bench: Bench, data: Path) -> None:
    copied(bench, data, "    SUFFIX_ATTR = 'timestamp'\n    LABEL = '../../up'\n")
    assert bench.dump("src") == "../../up"
    folder = bench.folder("src")
    assert folder.parent == bench.context.archive / "src" and folder.name.isdigit()


def test_only_the_newest_release_is_kept(bench: Bench, data: Path) -> None:
    copied(bench, data, "    ARCHIVE = False\n")
    bench.dump("src")
    first = bench.folder("src")
    by_hand = first.with_name("notes")
    by_hand.mkdir()
    jobs = {"src": {"status": "uploading", "data_folder": str(first)}}
    for label, reader in (("2", {}), ("3", jobs)):
        (data / "b").write_text(label)
        tell(data, label)
        before = bench.folder("src")
        if reader:
            jobs["src"]["data_folder"] = str(before)
            bench_state = bench.state["src_dump"]
            bench.manager._wait_for_uploads = lambda source: asyncio.sleep(0)  # type: ignore[method-assign]
            bench_state.update_one({"_id": "src"}, {"$set": {"upload.jobs": reader}})
        bench.dump("src")
        assert before.exists() == bool(reader)
    assert bench.files("src")["b"] == b"3" and by_hand.exists()


def test_a_dump_waits_for_the_upload_of_its_source(bench: Bench, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copied(bench, data)
    documents = bench.state["src_dump"]
    documents.update_one({"_id": "src"}, {"$set": {"upload.jobs.src.status": "uploading"}}, upsert=True)
    looks = 0

    async def wait() -> None:
        nonlocal looks
        looks += 1
        assert "download" not in bench.doc("src")
        if looks == 2:
            documents.update_one({"_id": "src"}, {"$set": {"upload.jobs.src.status": "success"}})

    monkeypatch.setattr(manager, "wait", wait)
    assert bench.dump("src") == "1" and looks == 2


def test_a_dummy_has_an_empty_release(bench: Bench) -> None:
    code = """
class Mine(DummyDumper):
    def post_dump(self, *args, **kwargs):
        open(self.new_data_folder + "/made", "w").close()
"""
    bench.classes("src", code)
    release = bench.dump("src")
    assert release.isdigit() and bench.files("src") == {"made": b""} and bench.doc("src")["pending"] == ["upload"]


def test_documents_of_an_api(bench: Bench) -> None:
    code = """
class Mine(APIDumper):
    @staticmethod
    def get_document():
        yield "a.ndjson", {"_id": "1"}
        yield "b.ndjson", {"_id": "2"}
        yield "a.ndjson", {"_id": "3"}

    @staticmethod
    def get_release():
        return "5"
"""
    bench.classes("src", code)
    assert bench.dump("src") == "5"
    assert bench.files("src") == {"a.ndjson": b'{"_id": "1"}\n{"_id": "3"}\n', "b.ndjson": b'{"_id": "2"}\n'}
    bench.classes("src", code.replace('"a.ndjson"', '"../a.ndjson"'))
    with pytest.raises(DumpError, match="outside of the release"):
        bench.dump("src")


def test_a_class_that_is_no_dumper(bench: Bench) -> None:
    bench.classes("src", "class Mine:\n    pass\n")
    with pytest.raises(DumpError, match="dumper:Mine is no dumper: derive it from BaseDumper"):
        bench.dump("src")


def test_unpicklable_attributes_stay_behind(bench: Bench, data: Path) -> None:
    more = """
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.lock = __import__("threading").Lock()

    def post_dump(self, *args, **kwargs):
        Path(self.new_data_folder, "kept").write_text(self.word)

    def prepare_client(self):
        self.client = open(self.SOURCE + "/a")

    def release_client(self):
        self.client.close()
        self.client = None

    def set_release(self):
        self.word, self.release = self.client.read(), "1"
"""
    copied(bench, data, more)
    assert bench.dump("src") == "1" and bench.files("src")["kept"] == b"a\n"


def test_the_last_modified_class_of_a_plugin(bench: Bench, web: Web) -> None:
    web["/a"] = Resource(b"a")
    web["/b.gz"] = Resource(gzip.compress(b"b"))
    code = f"""
class Mine(LastModifiedHTTPDumper):
    SRC_URLS = {[web.url("/a"), web.url("/b.gz")]!r}
    RELEASE_FORMAT = "%Y"
    UNCOMPRESS = True
"""
    bench.classes("src", code)
    assert bench.dump("src") == "2023" and bench.files("src")["b"] == b"b"
    assert bench.dump("src") == NOTHING
    web["/a"] = Resource(b"A", modified=1_700_000_000 + DAY)
    web.requests.clear()
    assert bench.dump("src").startswith("2023-") and web.gets() == ["/a"]
    assert bench.files("src")["a"] == b"A" and bench.files("src")["b"] == b"b"


def test_a_header_of_its_own_tells_the_date(bench: Bench, web: Web) -> None:
    web["/a"] = Resource(b"a", headers={"X-Date": "2020-02-03"})
    code = f"class Mine(LastModifiedHTTPDumper):\n    SRC_URLS = [{web.url('/a')!r}]\n    LAST_MODIFIED = 'X-Date'\n"
    bench.classes("src", code)
    assert bench.dump("src") == "2020-02-03" and bench.dump("src") == NOTHING


def test_cancel_while_a_class_downloads(bench: Bench, web: Web) -> None:
    web["/a"] = Resource(b"x" * 1000)
    web.gate = threading.Event()
    listed(bench, web, "/a")

    async def cancel() -> None:
        task = asyncio.ensure_future(bench.manager.dump_src("src"))
        await asyncio.to_thread(web.halfway.wait, 30)
        task.cancel()
        web.gate.set()  # type: ignore[union-attr]
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert bench.doc("src")["download"]["status"] == "canceled"
    assert bench.dump("src") == "1"


def test_a_dumper_may_ask_for_its_hub(bench: Bench, data: Path) -> None:
    more = """
    def set_release(self):
        from hubkernel.pipeline.surroundings import current
        self.release = Path(current().archive).name
"""
    copied(bench, data, more)
    assert bench.dump("src") == "archive"


def test_a_dumper_written_for_biothings(bench: Bench, web: Web) -> None:
    web["/a.txt"] = b"a"
    code = f"""
import os
from biothings import config
from biothings.hub.dataload.dumper import LastModifiedHTTPDumper as Base
from biothings.utils.common import uncompressall

class Mine(Base):
    SRC_NAME = "src"
    SRC_ROOT_FOLDER = os.path.join(config.DATA_ARCHIVE_ROOT, SRC_NAME)
    SRC_URLS = [{web.url("/a.txt")!r}]

    def set_release(self):
        res = self.client.head(self.__class__.SRC_URLS[0], allow_redirects=True)
        assert res.status_code == 200 and res.ok
        self.release = res.headers["Last-Modified"][:16]

    def post_dump(self, job_manager=None, *args, **kwargs):
        uncompressall(self.new_data_folder)
        return super().post_dump(*args, **kwargs)
"""
    bench.classes("src", code)
    assert bench.dump("src") == "Tue, 14 Nov 2023" and bench.files("src") == {"a.txt": b"a"}


def test_what_the_dumper_calls_better_is_downloaded(bench: Bench, web: Web) -> None:
    """Even if the server gives it the same date; after a failure what is the same is taken over."""
    web["/a"] = Resource(b"a")
    code = """
class Mine(LastModifiedHTTPDumper):
    SRC_URLS = [{url!r}]

    def remote_is_better(self, remotefile, localfile):
        return True
"""
    bench.classes("src", code.format(url=web.url("/a")))
    bench.dump("src")
    web["/a"] = Resource(b"b")
    assert bench.dump("src").startswith("2023-11-14-") and bench.files("src") == {"a": b"b"}
    bench.state["src_dump"].update_one({"_id": "src"}, {"$set": {"download.status": "failed"}})
    web.requests.clear()
    bench.dump("src")
    assert web.gets() == [] and bench.doc("src")["download"]["status"] == "success"


def test_what_was_unpacked_and_then_changed(bench: Bench, data: Path) -> None:
    for name in ("a", "b"):
        (data / name).unlink()
        (data / f"{name}.gz").write_bytes(gzip.compress(name.encode()))
    adds = """
    UNCOMPRESS = True

    def post_dump(self, *args, **kwargs):
        with Path(self.new_data_folder, "a").open("a") as file:
            file.write("{word}")
"""
    copied(bench, data, adds.format(word="1"))
    bench.dump("src")
    first = bench.folder("src")
    assert bench.files("src")["a"] == b"a1"
    (data / "b.gz").write_bytes(gzip.compress(b"B"))
    tell(data, "2")
    bench.dump("src")
    assert (bench.files("src")["a"], bench.files("src")["b"]) == (b"a1", b"B")
    copied(bench, data, adds.format(word="2"))
    bench.dump("src", steps="post")
    assert (bench.files("src")["a"], bench.files("src")["b"]) == (b"a12", b"B")
    copied(bench, data, "    UNCOMPRESS = True\n")
    (data / "b.gz").write_bytes(gzip.compress(b"C"))
    tell(data, "3")
    bench.dump("src")
    assert (bench.files("src")["a"], bench.files("src")["b"]) == (b"a", b"C")
    assert (first / "a").read_bytes() == b"a1"
