"""The Google Drive dumper against a loopback server that has its pages."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.pipeline.dump import FetchError
from hubkernel.pipeline.dump.dumpers.base import Surroundings
from hubkernel.pipeline.dump.dumpers.gdrive import GoogleDriveDumper, file_id
from hubkernel.pipeline.dump.transfer import Policy
from tests.pipeline.dump_tools import Cut, Resource, Web, bench_in, web_server

ID = "1aB-c_D2eF3gH4iJ5"
BODY = bytes(range(256)) * 40
FORM = """<html><head><title>Google Drive - Virus scan warning</title></head><body>
<p class="uc-warning-caption">Google Drive can't scan this file for viruses.</p>
<form id="download-form" action="{action}" method="get"><input type="submit" value="Download anyway"/>
<input type="hidden" name="id" value="{id}"><input type="hidden" name="confirm" value="t">
<input type="hidden" name="uuid" value="1-2-3"></form></body></html>"""
QUOTA = """<html><head><title>Google Drive - Quota exceeded</title></head><body>
<p class="uc-error-caption">Sorry, you can't view or download this file at this time.</p></body></html>"""
HTML = {"Content-Type": "text/html; charset=utf-8"}
FILE = {"Content-Disposition": 'attachment; filename="data.tsv"', "Content-Type": "application/octet-stream"}


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as web:
        web["/download"] = Resource(BODY, headers=FILE)
        yield web


@pytest.fixture
def dumper(web: Web, tmp_path: Path) -> Iterator[GoogleDriveDumper]:
    dumper = GoogleDriveDumper("src")
    dumper.DRIVE_URL = web.url("/download")
    policy = Policy(attempts=3, backoff=0.0, timeout=20.0)
    dumper.surroundings = Surroundings(staging=str(tmp_path / "staging"), policy=policy)
    dumper.release = "1"
    yield dumper
    dumper.release_client()


def get(dumper: GoogleDriveDumper, remote: str = ID) -> bytes:
    local = Path(dumper.new_data_folder, "mine.tsv")
    local.parent.mkdir(parents=True, exist_ok=True)
    (file,) = dumper.download(remote, str(local))
    assert (file.url, file.name) == (remote, "mine.tsv")
    return local.read_bytes()


@pytest.mark.parametrize(
    "link",
    [
        ID,
        f"gdrive://{ID}",
        f"https://drive.google.com/open?id={ID}",
        f"https://drive.google.com/uc?export=download&id={ID}",
        f"https://drive.google.com/file/d/{ID}/view?usp=sharing",
        f"https://drive.google.com/file/d/{ID}/edit",
    ],
)
def test_forms_of_a_link(link: str) -> None:
    assert file_id(link) == ID


def test_what_is_no_link() -> None:
    with pytest.raises(FetchError, match="is no link to a file on Google Drive: it looks like https://drive"):
        file_id("https://example.org/data")


def test_file(dumper: GoogleDriveDumper) -> None:
    assert get(dumper) == BODY


def test_page_that_asks_for_a_yes(dumper: GoogleDriveDumper, web: Web) -> None:
    page = FORM.format(action=web.url("/big"), id=ID)
    web["/download"] = Resource(page.encode(), headers=HTML)
    web["/big"] = Resource(BODY, headers=FILE, faults=[Cut(4000)])
    assert get(dumper) == BODY
    assert [asked for method, path, asked in web.requests if (method, path) == ("GET", "/big")] == [None, "bytes=4000-"]


def test_refusal_says_why(dumper: GoogleDriveDumper, web: Web) -> None:
    web["/download"] = Resource(QUOTA.encode(), headers=HTML)
    with pytest.raises(FetchError, match=rf"^{ID}: Google Drive does not give it: Sorry, you can't view or download"):
        get(dumper)


def test_file_that_is_not_shared(dumper: GoogleDriveDumper, web: Web) -> None:
    del web.resources["/download"]
    with pytest.raises(FetchError, match=rf"^HTTP 404 for {ID}: is it shared with everybody who has the link\?$"):
        get(dumper)


def test_passing_trouble_is_waited_out(dumper: GoogleDriveDumper, web: Web) -> None:
    web["/download"].faults = [503, 503]
    assert get(dumper) == BODY


def test_lasting_trouble_is_one_error(dumper: GoogleDriveDumper, web: Web) -> None:
    web["/download"].faults = [503] * 9
    with pytest.raises(FetchError, match=rf"^HTTP 503 for {ID} \(tried 3 times\)$"):
        get(dumper)


def test_manifest_from_list_to_release(web: Web, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(GoogleDriveDumper, "DRIVE_URL", web.url("/download"))
    with bench_in(tmp_path) as bench:
        bench.plugin("src", f"gdrive://{ID}")
        assert bench.dump("src") == "2023-11-14"
        assert bench.files("src") == {"data.tsv": BODY}
        assert bench.dump("src") == "Nothing to dump"
