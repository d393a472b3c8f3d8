"""Downloads: broken, resumed, retried, refused; and kill -9 in the middle of one."""

from __future__ import annotations

import gzip
import importlib.util
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.jobs.context import current
from hubkernel.pipeline.dump import FetchError, UnpackError
from hubkernel.pipeline.dump.fetch import Policy, probe, safe_name, shown
from hubkernel.pipeline.dump.unpack import unpack
from tests.pipeline.dump_tools import DAY, Cut, Resource, Web, bench_in, fetch, web_server

FAST = Policy(attempts=3, backoff=0.0, timeout=20.0)
BODY = bytes(range(256)) * 40


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as web:
        yield web


def get(web: Web, folder: Path, path: str = "/a") -> bytes:
    (remote,) = probe(current(), web.url(path), FAST)
    file = fetch(current(), remote, str(folder), FAST)
    return (folder / "files" / file.name).read_bytes()


def ranges(web: Web) -> list[str | None]:
    return [asked for method, _, asked in web.requests if method == "GET"]


def test_broken_download_goes_on_where_it_was(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(BODY, faults=[Cut(4000), Cut(3000)])
    assert get(web, tmp_path) == BODY
    assert ranges(web) == [None, "bytes=4000-", "bytes=7000-"]


def test_without_validators_it_starts_anew(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(BODY, modified=None, faults=[Cut(4000)])
    assert get(web, tmp_path) == BODY
    assert ranges(web) == [None, None]


def test_server_without_ranges(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(BODY, ranges=False, faults=[Cut(4000)])
    assert get(web, tmp_path) == BODY


def test_file_that_changed_in_between_is_not_mixed(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(BODY, etag='"1"', faults=[Cut(1000)] * 3)
    (remote,) = probe(current(), web.url("/a"), FAST)
    with pytest.raises(FetchError):
        fetch(current(), remote, str(tmp_path), FAST)
    new = BODY[::-1]
    web["/a"] = Resource(new, etag='"2"')
    assert get(web, tmp_path) == new


def test_interrupted_download_is_resumed_by_the_next_dump(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(BODY, etag='"1"', faults=[Cut(1000), Cut(1000), Cut(1000)])
    with pytest.raises(FetchError, match=r"\(tried 3 times\)"):
        get(web, tmp_path)
    web.requests.clear()
    assert get(web, tmp_path) == BODY
    assert ranges(web) == ["bytes=3000-"]
    web.requests.clear()
    assert get(web, tmp_path) == BODY
    assert ranges(web) == []  # complete since then: nothing is downloaded


@pytest.mark.parametrize("code", [500, 502, 503, 504, 429, 408])
def test_passing_trouble_is_waited_out(web: Web, tmp_path: Path, code: int) -> None:
    web["/a"] = Resource(BODY, faults=[code, code])
    assert get(web, tmp_path) == BODY


def test_lasting_trouble_is_one_error(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(BODY, faults=[503] * 9)
    with pytest.raises(FetchError, match=rf"^HTTP 503 for {web.url('/a')} \(tried 3 times\)$"):
        get(web, tmp_path)


@pytest.mark.parametrize("code", [401, 403, 404, 410])
def test_refusal_is_not_retried(web: Web, tmp_path: Path, code: int) -> None:
    web["/a"] = Resource(BODY, faults=[code])
    with pytest.raises(FetchError, match=rf"^HTTP {code} for {web.url('/a')}$"):
        get(web, tmp_path)
    assert len(ranges(web)) == 1


@pytest.mark.parametrize("code", [403, 405, 501])
def test_server_that_knows_no_head(web: Web, tmp_path: Path, code: int) -> None:
    web["/a"] = Resource(BODY, head=code)
    (remote,) = probe(current(), web.url("/a"), FAST)
    assert remote.size == len(BODY) and remote.modified is not None
    assert get(web, tmp_path) == BODY


class Impatient(type(current())):  # type: ignore[misc]
    """A job that is cancelled as soon as half of the file is here."""

    def __init__(self, web: Web, part: Path) -> None:
        self.web = web
        self.part = part

    def check(self) -> None:
        if self.web.halfway.is_set() and self.part.exists() and self.part.stat().st_size:
            raise CancelledWork


def test_cancel_does_not_wait_for_a_silent_server(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(BODY * 100)
    web.gate = threading.Event()
    (remote,) = probe(current(), web.url("/a"), FAST)
    with pytest.raises(CancelledWork):
        fetch(Impatient(web, tmp_path / "files" / "a.part"), remote, str(tmp_path), FAST)
    assert not web.gate.is_set()
    web.gate.set()
    assert get(web, tmp_path) == BODY * 100


def test_nobody_listens() -> None:
    with web_server() as web:
        url = web.url("/a")
    with pytest.raises(FetchError, match=rf"^{url}: .*\(tried 3 times\)$"):
        probe(current(), url, FAST)


def test_encoded_answer_is_decoded(web: Web, tmp_path: Path) -> None:
    web["/a"] = Resource(gzip.compress(BODY), headers={"Content-Encoding": "gzip"})
    assert get(web, tmp_path) == BODY


def test_url_without_password() -> None:
    assert shown("https://me:secret@h:1/x?y=@") == "https://h:1/x?y=@"
    assert shown("https://h/x") == "https://h/x"


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("../../etc/passwd", "passwd"),
        ("/abs/x.txt", "x.txt"),
        ("..\\..\\x.txt", "x.txt"),
        (".hubkernel-release.json", "hubkernel-release.json"),
        ("..", "data"),
        ("", "data"),
        ("a\x00b:c.txt", "a_b_c.txt"),
        ("good name (1).tar.gz", "good name (1).tar.gz"),
    ],
)
def test_safe_name(given: str, name: str) -> None:
    assert safe_name(given) == name


def test_name_that_a_server_gives_stays_inside(web: Web, tmp_path: Path) -> None:
    header = 'attachment; filename="../../evil.txt"'
    web["/download"] = Resource(BODY, headers={"Content-Disposition": header})
    get_from = tmp_path / "in"
    (remote,) = probe(current(), web.url("/download"), FAST)
    assert remote.name == "evil.txt"
    fetch(current(), remote, str(get_from), FAST)
    assert [file.name for file in tmp_path.rglob("evil.txt")] == ["evil.txt"]
    assert (get_from / "files" / "evil.txt").read_bytes() == BODY


# --- archives -------------------------------------------------------------------------------------------------------


def zip_with(path: Path, name: str) -> Path:
    import zipfile

    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, "x")
    return path


def tar_with(path: Path, name: str, kind: bytes | None = None) -> Path:
    import io
    import tarfile

    with tarfile.open(path, "w:gz") as archive:
        info = tarfile.TarInfo(name)
        info.size = 1
        if kind:
            info.type, info.linkname, info.size = kind, "/etc/passwd", 0
        archive.addfile(info, io.BytesIO(b"x"))
    return path


@pytest.mark.parametrize("name", ["../out.txt", "/tmp/out.txt", "a/../../out.txt"])
def test_archive_never_writes_outside(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "release"
    folder.mkdir()
    for archive in (zip_with(tmp_path / "a.zip", name), tar_with(tmp_path / "a.tar.gz", name)):
        with pytest.raises(UnpackError, match="would be written outside of the release"):
            unpack(current(), archive, folder)
    assert list(folder.rglob("*")) == [] and not (tmp_path / "out.txt").exists()


def test_archive_never_overwrites(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "data.txt").write_text("downloaded")
    with pytest.raises(UnpackError, match="already has a file of that name"):
        unpack(current(), zip_with(tmp_path / "a.zip", "data.txt"), tmp_path / "r")
    assert (tmp_path / "r" / "data.txt").read_text() == "downloaded"


def test_links_in_an_archive_are_left_out(tmp_path: Path) -> None:
    import tarfile

    (tmp_path / "r").mkdir()
    archive = tar_with(tmp_path / "a.tar.gz", "link", tarfile.SYMTYPE)
    assert unpack(current(), archive, tmp_path / "r") == []
    assert list((tmp_path / "r").iterdir()) == []


@pytest.mark.parametrize("name", ["a.zip", "a.tar", "a.tar.gz", "a.gz", "a.bz2", "a.xz"])
def test_damaged_archive(tmp_path: Path, name: str) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / name).write_bytes(b"<html>not found</html>" * 40)
    with pytest.raises(UnpackError, match=f"^{name} is damaged"):
        unpack(current(), tmp_path / name, tmp_path / "r")


def test_cut_archive(tmp_path: Path) -> None:
    (tmp_path / "r").mkdir()
    (tmp_path / "a.gz").write_bytes(gzip.compress(os.urandom(100_000))[:50_000])
    with pytest.raises(UnpackError, match=r"^a.gz is damaged"):
        unpack(current(), tmp_path / "a.gz", tmp_path / "r")


def test_zst_works_or_says_what_it_needs(tmp_path: Path) -> None:
    frame = bytes.fromhex("28b52ffd2005290000") + b"hello"
    (tmp_path / "r").mkdir()
    (tmp_path / "a.txt.zst").write_bytes(frame)
    if any(importlib.util.find_spec(name) for name in ("compression", "zstandard")):
        assert unpack(current(), tmp_path / "a.txt.zst", tmp_path / "r") == ["a.txt"]
        assert (tmp_path / "r" / "a.txt").read_bytes() == b"hello"
    else:
        with pytest.raises(UnpackError, match=r"^a.txt.zst: needs Python 3.14, or: pip install zstandard$"):
            unpack(current(), tmp_path / "a.txt.zst", tmp_path / "r")


# --- the worst: killed, and no room -----------------------------------------------------------------------------------

DUMP = """
import sys
from pathlib import Path
from tests.pipeline.dump_tools import Bench, bench_in
bench = Bench(Path(sys.argv[1]))
bench.plugins.load_all()
print(bench.dump("src"), flush=True)
"""


def start_dump(root: Path, before: str = "") -> subprocess.Popen[str]:
    command = [sys.executable, "-c", before + DUMP, str(root)]
    folder = Path(__file__).parents[2]
    return subprocess.Popen(command, cwd=folder, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def test_dataload_c33_kill_in_the_middle_of_a_download(web: Web, tmp_path: Path) -> None:
    body = os.urandom(3_000_000)
    web["/a"] = Resource(b"old")
    with bench_in(tmp_path) as bench:
        bench.plugin("src", web.url("/a"))
        bench.dump("src")
        web["/a"] = Resource(body, modified=1_700_000_000 + DAY)
        web.gate = threading.Event()
        process = start_dump(tmp_path)
        assert web.halfway.wait(60)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        assert bench.doc("src")["download"]["status"] == "downloading"
        assert bench.files("src") == {"a": b"old"}  # the good release is still what an upload would take
        assert not [file for file in bench.context.archive.rglob("a") if file.read_bytes() not in (b"old", body)]
        web.gate.set()
        bench.manager.clean_stale_status()
        web.requests.clear()
        assert bench.dump("src") == "2023-11-15"
        assert bench.files("src") == {"a": body}
        assert not (bench.context.archive / "src" / ".incoming").exists()


def test_beginning_of_an_older_file_is_not_gone_on_with(web: Web, tmp_path: Path) -> None:
    new = BODY[::-1]
    with bench_in(tmp_path) as bench:
        bench.plugin("src", web.url("/a"))
        web["/a"] = Resource(BODY, etag='"1"', faults=[Cut(1000)] * 9)
        with pytest.raises(FetchError):
            bench.dump("src")
        web["/a"] = Resource(new, etag='"2"', faults=[404])
        with pytest.raises(FetchError):
            bench.dump("src")
        bench.dump("src")
        assert bench.files("src") == {"a": new}


LIMIT = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (1 << 20, 1 << 20))\n"


@pytest.mark.parametrize(
    ("name", "content"),
    [("a.gz", gzip.compress(bytes(3 << 20))), ("b", bytes(3 << 20))],
    ids=["unpacked", "downloaded"],
)
@pytest.mark.service
def test_full_disk_is_one_error_and_loses_nothing(web: Web, tmp_path: Path, name: str, content: bytes) -> None:
    web[f"/{name}"] = Resource(gzip.compress(b"old"))
    with bench_in(tmp_path) as bench:
        bench.plugin("src", web.url(f"/{name}"), uncompress=True)
        bench.dump("src")
        before = bench.files("src")
        web[f"/{name}"] = Resource(content, modified=1_700_000_000 + DAY)
        _, errors = start_dump(tmp_path, LIMIT).communicate(timeout=60)
        assert "DiskFullError: disk full while writing" in errors.splitlines()[-1]
        doc = bench.doc("src")
        assert doc["download"]["status"] == "failed" and doc["download"]["err"].startswith("disk full while writing")
        assert bench.files("src") == before
        assert bench.dump("src") == "2023-11-15"
        assert bench.files("src")[name] == content
