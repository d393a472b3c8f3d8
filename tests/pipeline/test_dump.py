"""Dumps of manifest plugins: the acceptance cases, and what must never be lost."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from cronsim import CronSim

from hubkernel.pipeline.common import cron_expression
from hubkernel.pipeline.dump import NOTHING, DumpError, FetchError, Release
from hubkernel.pipeline.plugins import UnknownPluginError
from tests.pipeline.dump_tools import DAY, Bench, Cut, Resource, Web, web_server


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as web:
        yield web


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    bench = Bench(tmp_path)
    yield bench
    bench.close()


def two_files(bench: Bench, web: Web) -> None:
    web["/d1.tsv"] = Resource(b"one\n")
    web["/d2.tsv"] = Resource(b"two\n", modified=1_700_000_000 + DAY)
    bench.plugin("src", [web.url("/d1.tsv"), web.url("/d2.tsv")])


def test_dataload_c25_first_dump(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    assert bench.dump("src") == "2023-11-15"
    doc = bench.doc("src")
    assert bench.folder("src") == bench.context.archive / "src" / "2023-11-15"
    assert bench.files("src") == {"d1.tsv": b"one\n", "d2.tsv": b"two\n"}
    download = doc["download"]
    assert (download["status"], download["release"]) == ("success", "2023-11-15")
    assert {"started_at", "last_success", "time"} <= download.keys()
    assert doc["pending"] == ["upload"]
    assert Path(download["logfile"]).read_text().strip()


def test_dataload_c25_no_pending_without_auto_upload(tmp_path: Path, web: Web) -> None:
    bench = Bench(tmp_path, auto_upload=False)
    two_files(bench, web)
    bench.dump("src")
    assert "pending" not in bench.doc("src")
    bench.close()


def test_dataload_c26_nothing_new(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    bench.state["src_dump"].update_one({"_id": "src"}, {"$set": {"pending": []}})
    before = bench.doc("src")
    web.requests.clear()
    assert bench.dump("src") == NOTHING
    assert bench.doc("src") == before
    assert web.gets() == []


def test_dataload_c27_check_only(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    assert bench.dump("src", check_only=True) == "2023-11-15"
    assert bench.doc("src") == {} and not bench.context.archive.exists() and web.gets() == []
    bench.dump("src")
    assert bench.dump("src", check_only=True) == NOTHING


def test_dataload_c28_release_is_complete_when_one_file_changes(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    first = bench.folder("src")
    web["/d2.tsv"] = Resource(b"two, new\n", modified=1_700_000_000 + 2 * DAY)
    web.requests.clear()
    assert bench.dump("src") == "2023-11-16"
    assert web.gets() == ["/d2.tsv"]
    assert bench.files("src") == {"d1.tsv": b"one\n", "d2.tsv": b"two, new\n"}
    assert (first / "d1.tsv").samefile(bench.folder("src") / "d1.tsv")
    assert (first / "d2.tsv").read_bytes() == b"two\n"


def test_dataload_c29_same_label_other_content(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    first = bench.folder("src")
    web["/d1.tsv"] = Resource(b"one, new\n", modified=1_700_000_000 + 1)
    release = bench.dump("src")
    assert release.startswith("2023-11-15-") and bench.folder("src") != first
    assert (first / "d1.tsv").read_bytes() == b"one\n"
    assert bench.files("src") == {"d1.tsv": b"one, new\n", "d2.tsv": b"two\n"}
    assert bench.dump("src") == NOTHING


def test_dataload_c30_etag_is_the_release(bench: Bench, web: Web) -> None:
    web["/a"] = Resource(b"x", modified=None, etag='W/"abc"')
    bench.plugin("src", web.url("/a"))
    assert bench.dump("src") == "abc"
    assert bench.dump("src") == NOTHING


def test_dataload_c31_neither_date_nor_etag(bench: Bench, web: Web) -> None:
    web["/a"] = Resource(b"x", modified=None)
    bench.plugin("src", web.url("/a"))
    release = bench.dump("src")
    assert Release.read(bench.folder("src")).release == release  # type: ignore[union-attr]
    before = bench.doc("src")
    assert bench.dump("src") == NOTHING  # found out by downloading and comparing
    assert bench.doc("src") == before
    web["/a"] = Resource(b"y", modified=None)
    assert bench.dump("src") not in (release, NOTHING)
    assert bench.files("src") == {"a": b"y"}


def test_dataload_c31_head_404(bench: Bench, web: Web) -> None:
    bench.plugin("src", web.url("/gone"))
    with pytest.raises(FetchError, match=f"^HTTP 404 for {web.url('/gone')}$"):
        bench.dump("src")
    assert bench.doc("src")["download"]["status"] == "failed"


def test_dataload_c32_failed_download_keeps_the_good_release(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    good = bench.folder("src")
    web["/d2.tsv"] = Resource(b"new", modified=1_700_000_000 + 3 * DAY, faults=[404])
    with pytest.raises(FetchError, match="HTTP 404"):
        bench.dump("src")
    doc = bench.doc("src")
    assert doc["download"]["err"] == f"HTTP 404 for {web.url('/d2.tsv')}"
    assert "Traceback" in doc["download"]["tb"]
    assert doc["last_good"]["data_folder"] == str(good) == doc["download"]["data_folder"]
    assert bench.files("src")["d2.tsv"] == b"two\n"
    assert [attempt["status"] for attempt in doc["history"]] == ["success", "failed"]
    assert not list(bench.context.archive.rglob("*.part"))


def test_dataload_c34_after_a_failure_the_next_dump_is_done(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    good = web["/d2.tsv"]
    del web.resources["/d2.tsv"]
    with pytest.raises(FetchError):
        bench.dump("src")
    web["/d2.tsv"] = good
    assert bench.dump("src") == "2023-11-15"
    assert bench.doc("src")["download"]["status"] == "success"


def test_dataload_c35_uncompress(bench: Bench, web: Web) -> None:
    import bz2
    import gzip
    import io
    import lzma
    import tarfile
    import zipfile

    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("in/e.txt", "e")
    web["/a.zip"] = buffer.getvalue()
    web["/b.txt.gz"] = gzip.compress(b"b")
    web["/c.txt.xz"] = lzma.compress(b"c")
    web["/d.txt.bz2"] = bz2.compress(b"d")
    web["/f.txt.zst"] = bytes.fromhex("28b52ffd2001090000") + b"f"  # a frame with one block as it is
    for name, mode in (("/t.tar.gz", "w:gz"), ("/u.tar", "w"), ("/v.tbz2", "w:bz2"), ("/w.tgz", "w:gz")):
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode=mode) as tar:  # type: ignore[call-overload]
            info = tarfile.TarInfo(f"{name[1]}.txt")
            info.size = 1
            tar.addfile(info, io.BytesIO(name[1].encode()))
        web[name] = buffer.getvalue()
    bench.plugin("src", [web.url(path) for path in web.resources], uncompress=True)
    bench.dump("src")
    unpacked = {name: data for name, data in bench.files("src").items() if name.endswith(".txt")}
    assert unpacked == {f"{n}.txt": n.encode() for n in "bcdftuvw"} | {"in/e.txt": b"e"}
    web["/b.txt.gz"] = Resource(gzip.compress(b"B"), modified=1_700_000_000 + DAY)
    bench.dump("src")
    assert bench.files("src")["b.txt"] == b"B" and bench.files("src")["in/e.txt"] == b"e"


def test_archive_in_a_folder_is_unpacked_beside_itself(bench: Bench, tmp_path: Path) -> None:
    import gzip

    (tmp_path / "data" / "deep").mkdir(parents=True)
    for place in (".", "deep"):
        (tmp_path / "data" / place / "a.txt.gz").write_bytes(gzip.compress(place.encode()))
    bench.plugin("src", (tmp_path / "data").as_uri(), uncompress=True)
    bench.dump("src")
    files = bench.files("src")
    assert (files["a.txt"], files["deep/a.txt"]) == (b".", b"deep")


def test_damaged_description_of_a_release_is_as_none(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    description = bench.folder("src") / ".hubkernel-release.json"
    description.unlink()
    description.write_text("{")
    bench.dump("src")
    assert bench.files("src") == {"d1.tsv": b"one\n", "d2.tsv": b"two\n"}


def test_uncompress_switched_on_later(bench: Bench, web: Web) -> None:
    import gzip

    web["/b.txt.gz"] = gzip.compress(b"b")
    bench.plugin("src", web.url("/b.txt.gz"))
    bench.dump("src")
    bench.plugin("src", web.url("/b.txt.gz"), uncompress=True)
    web.requests.clear()
    assert bench.dump("src") != NOTHING
    assert bench.files("src")["b.txt"] == b"b" and web.gets() == []


def test_dataload_c39_a_failing_download_ends_the_dump(tmp_path: Path, web: Web) -> None:
    bench = Bench(tmp_path, parallel=1)
    for number in range(4):
        web[f"/{number}"] = Resource(b"x", faults=[404])
    bench.plugin("src", [web.url(f"/{number}") for number in range(4)])
    with pytest.raises(FetchError, match="HTTP 404"):
        bench.dump("src")
    bench.close()


def test_dataload_c42_disabled(bench: Bench, web: Web) -> None:
    web["/a"] = b"x"
    bench.plugin("src", web.url("/a"), disabled=True, schedule="* * * * *")
    assert bench.dump("src") == "Disabled"
    assert asyncio.run(bench.manager.dump_all()) == {}
    assert bench.manager.schedules() == {}
    assert web.requests == []


def test_dataload_c45_mark_success(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    with pytest.raises(DumpError, match="no release yet"):
        bench.mark_success("src")
    bench.dump("src")
    del web.resources["/d2.tsv"]
    with pytest.raises(FetchError):
        bench.dump("src")
    before = bench.doc("src")
    (dry,) = bench.mark_success("src")
    assert dry["_id"] == "src" and dry["download"]["status"] == "success" and "err" not in dry["download"]
    assert bench.doc("src") == before
    bench.mark_success("src", dry_run=False)
    assert bench.doc("src")["download"]["status"] == "success"


def test_dataload_c46_sixth_field_is_seconds(bench: Bench, web: Web) -> None:
    web["/a"] = b"x"
    bench.plugin("src", web.url("/a"), schedule="* * * * * */10")
    assert bench.manager.schedules() == {"src": "* * * * * */10"}
    runs = CronSim(cron_expression("* * * * * */10"), datetime(2025, 1, 1))  # noqa: DTZ001 - wall time
    assert {next(runs).second for _ in range(12)} == {0, 10, 20, 30, 40, 50}


def test_a_dump_is_scheduled_by_the_hub(bench: Bench, web: Web) -> None:
    web["/a"] = b"x"
    bench.plugin("src", web.url("/a"), schedule="0 3 * * *")
    bench.plugin("other", web.url("/a"))
    with pytest.raises(DumpError, match="need a running hub"):
        bench.dump("src", schedule=True)
    asked: list[tuple[str, str]] = []
    bench.manager.scheduler = lambda *schedule: asked.append(schedule)
    assert bench.dump("src", schedule=True) == "src is scheduled: 0 3 * * *"
    assert asked == [("src", "0 3 * * *")]
    with pytest.raises(DumpError, match="other has no schedule"):
        bench.dump("other", schedule=True)
    assert web.requests == []


def test_release_function_uses_constants_of_its_file(bench: Bench, web: Web) -> None:
    web["/a"] = b"x"
    code = "import re\nLABEL = 'v1'\n\ndef label(self):\n    return re.sub('v', 'V', LABEL) + self.SRC_URLS[0][-1]\n"
    bench.plugin("src", web.url("/a"), code=code, release="parser:label")
    assert bench.dump("src") == "V1a"


def test_release_function_may_use_the_client(bench: Bench, web: Web) -> None:
    web["/a"] = b"x"
    web["/version"] = b"7.1"
    code = (
        "def label(self):\n"
        "    url = self.__class__.SRC_URLS[0].replace('/a', '/version')\n"
        "    return self.client.get(url, allow_redirects=True, verify=False).text\n"
    )
    bench.plugin("src", web.url("/a"), code=code, release="parser:label")
    assert bench.dump("src") == "7.1"


def test_failing_release_function_names_the_line(bench: Bench, web: Web) -> None:
    web["/a"] = b"x"
    folder = bench.plugin("src", web.url("/a"), code="def label(self):\n    return {}['v']\n", release="parser:label")
    with pytest.raises(DumpError, match=rf"parser:label failed: {folder}/parser.py:5: KeyError: 'v'"):
        bench.dump("src")


@pytest.mark.parametrize("value", ["None", "''"])
def test_release_function_without_a_label(bench: Bench, web: Web, value: str) -> None:
    web["/a"] = b"x"
    bench.plugin("src", web.url("/a"), code=f"def label():\n    return {value}\n", release="parser:label")
    with pytest.raises(DumpError, match="has to return the release's label"):
        bench.dump("src")


def test_label_never_leaves_the_archive(bench: Bench, web: Web) -> None:
    web["/a"] = b"x"
    bench.plugin("src", web.url("/a"), code="def label():\n    return '../../up/1.0'\n", release="parser:label")
    assert bench.dump("src") == "../../up/1.0"
    assert bench.folder("src").parent == bench.context.archive / "src"


def test_local_file_and_folder(bench: Bench, tmp_path: Path) -> None:
    data = tmp_path / "my data"
    (data / "deep").mkdir(parents=True)
    (data / "a.txt").write_text("a")
    (data / "deep" / "b.txt").write_text("b")
    (data / ".hidden").write_text("no")
    bench.plugin("folder", data.as_uri())
    bench.plugin("file", (data / "a.txt").as_uri())
    bench.dump("folder")
    bench.dump("file")
    assert bench.files("folder") == {"a.txt": b"a", "deep/b.txt": b"b"}
    assert bench.files("file") == {"a.txt": b"a"}
    (data / "a.txt").write_text("changed")
    assert bench.dump("folder") != NOTHING
    assert bench.files("folder") == {"a.txt": b"changed", "deep/b.txt": b"b"}
    (data / "a.txt").touch()
    assert bench.dump("folder") == NOTHING


@pytest.mark.parametrize(
    ("url", "message"),
    [("file:///no/such", "no such file or folder"), ("file://server/x", "three slashes")],
)
def test_local_urls_that_cannot_be(bench: Bench, url: str, message: str) -> None:
    bench.plugin("src", url)
    with pytest.raises(FetchError, match=message):
        bench.dump("src")


def test_force_downloads_again_and_keeps_the_release(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    folder = bench.folder("src")
    web.requests.clear()
    assert bench.dump("src", force=True) == "2023-11-15"
    assert sorted(web.gets()) == ["/d1.tsv", "/d2.tsv"] and bench.folder("src") == folder


def test_deleted_release_is_dumped_again(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    (bench.folder("src") / "d1.tsv").unlink()
    bench.dump("src")
    assert bench.files("src") == {"d1.tsv": b"one\n", "d2.tsv": b"two\n"}


def test_files_of_a_release_are_read_only(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    assert (bench.folder("src") / "d1.tsv").stat().st_mode & 0o222 == 0


def test_two_urls_with_one_file_name(bench: Bench, web: Web) -> None:
    web["/2020/a.tar.gz"] = b"x"
    web["/2021/a.tar.gz"] = b"y"
    bench.plugin("src", [web.url("/2020/a.tar.gz"), web.url("/2021/a.tar.gz")])
    bench.dump("src")
    assert bench.files("src") == {"a.tar.gz": b"x", "a-2.tar.gz": b"y"}


def test_an_unknown_source(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    with pytest.raises(UnknownPluginError, match="no source 'scr': did you mean 'src'"):
        bench.dump("scr")


def test_dump_all_does_the_others_and_names_the_failed(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.plugin("bad", web.url("/gone"))
    with pytest.raises(DumpError, match=r"1 of 2 dumps failed\nbad: HTTP 404 for"):
        asyncio.run(bench.manager.dump_all())
    assert bench.doc("src")["download"]["status"] == "success"


def test_one_dump_of_a_source_at_a_time(bench: Bench, web: Web) -> None:
    two_files(bench, web)

    async def both() -> list[object]:
        runs = [bench.manager.dump_src("src") for _ in range(2)]
        return await asyncio.gather(*runs, return_exceptions=True)

    first, second = asyncio.run(both())
    assert first == "2023-11-15" and "is being dumped already" in str(second)


def test_clean_stale_status(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.dump("src")
    bench.state["src_dump"].update_one({"_id": "src"}, {"$set": {"download.status": "downloading"}})
    assert bench.manager.clean_stale_status() == ["src"]
    assert bench.doc("src")["download"]["status"] == "canceled"
    assert bench.dump("src") == "2023-11-15"


def test_dump_info(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    bench.plugin("secret", f"http://user:pass@127.0.0.1:{web.server.server_port}/d1.tsv")
    bench.dump("src")
    info = {entry["_id"]: entry for entry in bench.manager.dump_info()}
    assert info["src"]["download"]["status"] == "success" and info["src"]["last_good"]["release"] == "2023-11-15"
    assert "pass" not in json.dumps(info["secret"], default=str)


def test_cancel_is_recorded(bench: Bench, web: Web) -> None:
    two_files(bench, web)
    web.gate = threading.Event()

    async def cancel() -> None:
        task = asyncio.ensure_future(bench.manager.dump_src("src"))
        await asyncio.to_thread(web.halfway.wait, 30)
        task.cancel()
        web.gate.set()  # type: ignore[union-attr]
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(cancel())
    assert bench.doc("src")["download"]["status"] == "canceled"


def test_truncated_download_is_an_error(bench: Bench, web: Web) -> None:
    web["/a"] = Resource(b"x" * 1000, modified=None, faults=[Cut(500)] * 9)
    bench.plugin("src", web.url("/a"))
    with pytest.raises(FetchError, match=r"/a: .*\(tried 5 times\)"):
        bench.dump("src")
    assert not list(bench.context.archive.rglob("a"))
