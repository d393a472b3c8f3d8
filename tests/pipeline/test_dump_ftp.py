"""FTP dumpers against a real server: what they say of files, downloads that break, logins, TLS."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.jobs.context import current
from hubkernel.pipeline.dump import FetchError
from hubkernel.pipeline.dump.dumpers.base import Surroundings
from hubkernel.pipeline.dump.dumpers.ftp import FTPDumper, LastModifiedFTPDumper
from hubkernel.pipeline.dump.transfer import Policy
from tests.pipeline.dump_tools import bench_in
from tests.pipeline.ftp_tools import (
    DATE,
    Fault,
    Ftp,
    answers,
    changes,
    drops,
    ftp_server,
    self_signed,
    stalls,
    truncates,
)

BODY = bytes(range(256)) * 400


@pytest.fixture
def ftp(tmp_path: Path) -> Iterator[Ftp]:
    with ftp_server(tmp_path / "server") as ftp:
        ftp["pub/a.tsv"] = BODY
        yield ftp


@pytest.fixture
def dumper(ftp: Ftp, tmp_path: Path) -> Iterator[FTPDumper]:
    with of_server(ftp, tmp_path) as dumper:
        yield dumper


@contextmanager
def of_server(ftp: Ftp, tmp_path: Path, kind: type[Any] = FTPDumper, **policy: Any) -> Iterator[Any]:
    dumper = kind("src")
    patience = Policy(**{"attempts": 3, "backoff": 0.0, "timeout": 20.0, **policy})
    dumper.surroundings = Surroundings(staging=str(tmp_path / "staging"), policy=patience)
    if kind is FTPDumper:
        dumper.FTP_HOST, dumper.CWD_DIR = ftp.address, "pub"
    yield dumper
    dumper.release_client()


def get(dumper: FTPDumper, tmp_path: Path, name: str = "a.tsv") -> bytes:
    local = tmp_path / "staging" / "1" / name
    dumper.download(name, str(local))
    assert [file.name for file in local.parent.iterdir()] == [name]  # no .part, no note
    return local.read_bytes()


def test_download_keeps_the_date_of_the_server(dumper: FTPDumper, tmp_path: Path) -> None:
    assert get(dumper, tmp_path) == BODY
    assert (tmp_path / "staging" / "1" / "a.tsv").stat().st_mtime == DATE  # MDTM is UTC, whatever the zone here is


def test_plugins_talk_to_the_server_themselves(dumper: FTPDumper, ftp: Ftp) -> None:
    ftp["pub/b.tsv"] = b"b"
    assert sorted(dumper.client.nlst()) == ["a.tsv", "b.tsv"]
    assert dumper.client.sendcmd("MDTM a.tsv") == "213 20231114221320"
    assert dumper.describe("a.tsv").size == len(BODY)  # though nlst() has left the connection in text mode


def test_example_of_the_guide(ftp: Ftp, tmp_path: Path) -> None:
    guide = Path(__file__).parents[2] / "docs" / "plugin-authors" / "protocols.md"
    names: dict[str, Any] = {}
    exec(guide.read_text("utf-8").split("```python\n")[1].split("```")[0], names)
    ftp["pub/2023.tsv.gz"], ftp["pub/2024.tsv.gz"] = b"old", b"\r\n\n"
    with of_server(ftp, tmp_path, names["Dumper"]) as dumper:
        dumper.FTP_HOST, dumper.CWD_DIR = ftp.address, "pub"
        dumper.create_todump_list()
        assert dumper.release == "2024"
        (entry,) = dumper.to_dump
        dumper.download(entry["remote"], entry["local"])
        assert Path(dumper.new_data_folder, "2024.tsv.gz").read_bytes() == b"\r\n\n"
        dumper.surroundings.current_folder, dumper.to_dump = dumper.new_data_folder, []
        dumper.create_todump_list()
        assert dumper.to_dump == []


@pytest.mark.parametrize(
    ("content", "age", "better"),
    [(BODY, 0, False), (BODY, 5, True), (BODY, -5, False), (BODY[1:], 0, True), (BODY + b"x", 0, False)],
    ids=["same", "remote newer", "remote older", "remote larger", "remote smaller"],
)
def test_newer_or_larger_is_better(dumper: FTPDumper, tmp_path: Path, content: bytes, age: int, better: bool) -> None:
    local = tmp_path / "a.tsv"
    local.write_bytes(content)
    os.utime(local, (DATE - age,) * 2)
    assert dumper.remote_is_better("a.tsv", str(local)) is better


def test_what_is_not_here_is_better_there(dumper: FTPDumper, tmp_path: Path) -> None:
    assert dumper.remote_is_better("a.tsv", str(tmp_path / "none"))
    assert dumper.remote_is_better("a.tsv", None)


def test_server_that_knows_neither_date_nor_size(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    ftp.unknown = {"MDTM", "SIZE"}
    (tmp_path / "a.tsv").write_bytes(BODY)
    assert dumper.remote_is_better("a.tsv", str(tmp_path / "a.tsv"))
    assert get(dumper, tmp_path) == BODY


def test_broken_download_goes_on_where_it_was(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    ftp.faults = [drops(4000), drops(3000)]
    assert get(dumper, tmp_path) == BODY
    assert ftp.asked("REST") == ["REST 4000", "REST 7000"]


def test_truncated_download_is_noticed(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    ftp.faults = [truncates(4000)]
    assert get(dumper, tmp_path) == BODY
    assert ftp.asked("REST") == ["REST 4000"]


def test_server_that_cannot_go_on(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    ftp.unknown = {"REST"}
    ftp.faults = [drops(4000)]
    assert get(dumper, tmp_path) == BODY


@pytest.mark.parametrize(
    "faults",
    [
        [answers("425 Cannot open data connection"), answers("450 Busy")],
        [answers("421 Too many connections")],
        [answers("426 Connection closed; transfer aborted")] * 2,
    ],
    ids=["425", "421", "426"],
)
def test_passing_trouble_is_waited_out(dumper: FTPDumper, ftp: Ftp, tmp_path: Path, faults: list[Fault]) -> None:
    ftp.faults = list(faults)
    assert get(dumper, tmp_path) == BODY


def test_lasting_trouble_is_one_error(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    ftp.faults = [answers("450 Busy")] * 9
    with pytest.raises(FetchError, match=rf"^{ftp.url('pub/a.tsv')}: 450 Busy \(tried 3 times\)$"):
        get(dumper, tmp_path)


def test_silent_server_is_left_and_asked_again(ftp: Ftp, tmp_path: Path) -> None:
    with of_server(ftp, tmp_path, attempts=100) as dumper:
        dumper.FTP_TIMEOUT = 0.2
        ftp.faults = [stalls()]
        assert get(dumper, tmp_path) == BODY
    assert len(ftp.asked("RETR")) >= 2


def test_server_that_stays_silent_is_one_error(ftp: Ftp, tmp_path: Path) -> None:
    with of_server(ftp, tmp_path, attempts=1, timeout=0.2) as dumper:
        ftp.faults = [stalls()]
        with pytest.raises(FetchError, match=r"(said nothing for 0.2 s|timed out) \(tried 1 times\)$"):
            get(dumper, tmp_path)


def test_cancel_does_not_wait_for_a_silent_server(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    class Impatient(type(current())):  # type: ignore[misc]
        def check(self) -> None:
            if ftp.stalled.is_set():
                raise CancelledWork

    assert dumper.surroundings
    dumper.surroundings.worker = Impatient()
    ftp.faults = [stalls()]
    with pytest.raises(CancelledWork):
        get(dumper, tmp_path)


def test_file_that_changes_meanwhile_is_downloaded_anew(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    new = BODY[::-1] + b"more"
    ftp.faults = [drops(4000), changes(new)]
    assert get(dumper, tmp_path) == new


def test_file_that_changes_in_between_is_not_mixed(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    ftp.faults = [drops(1000)] * 3
    with pytest.raises(FetchError):
        get(dumper, tmp_path)
    assert (tmp_path / "staging" / "1" / "a.tsv.part").stat().st_size == 3000
    ftp["pub/a.tsv"] = b"x" + BODY
    assert get(dumper, tmp_path) == b"x" + BODY
    assert ftp.asked("REST")[-1] == "REST 2000"


def test_next_process_goes_on(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    ftp.faults = [drops(1000)] * 3
    with pytest.raises(FetchError):
        get(dumper, tmp_path)
    with of_server(ftp, tmp_path) as another:
        assert get(another, tmp_path) == BODY
    assert ftp.asked("REST")[-1] == "REST 3000"


def test_missing_file_is_not_asked_for_twice(dumper: FTPDumper, ftp: Ftp, tmp_path: Path) -> None:
    with pytest.raises(FetchError, match=rf"^FTP 550 .* for {ftp.url('pub/none.tsv')}$"):
        get(dumper, tmp_path, "none.tsv")
    assert len(ftp.asked("SIZE")) == 1


def test_wrong_login_is_not_tried_again(dumper: FTPDumper, ftp: Ftp) -> None:
    dumper.FTP_USER, dumper.FTP_PASSWD = "me", "wrong"
    with pytest.raises(FetchError, match=r"^FTP 530 .* for ftp://") as caught:
        dumper.describe("a.tsv")
    assert len(ftp.asked("PASS")) == 1 and "wrong" not in str(caught.value)


def test_full_server_is_tried_again(dumper: FTPDumper, ftp: Ftp) -> None:
    ftp.refusals = ["530 Sorry, the maximum number of clients (100) are already connected", "421 Later"]
    assert dumper.describe("a.tsv").size == len(BODY)
    assert len(ftp.asked("PASS")) == 3


def test_nobody_listens(tmp_path: Path) -> None:
    with ftp_server(tmp_path / "server") as ftp:
        pass
    with of_server(ftp, tmp_path) as dumper, pytest.raises(FetchError, match=r"^ftp://.*refused \(tried 3 times\)$"):
        dumper.prepare_client()


def test_no_host_is_said() -> None:
    with pytest.raises(FetchError, match="FTP_HOST has to name a server, not ''"):
        FTPDumper("src").describe("a")


def test_password_by_reference(dumper: FTPDumper, ftp: Ftp, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTP_PASSWORD_OF_TEST", "secret")
    dumper.FTP_USER, dumper.FTP_PASSWD = "me", "env:FTP_PASSWORD_OF_TEST"
    assert dumper.describe("a.tsv").size == len(BODY)
    assert ftp.asked("USER") == ["USER me"]


def test_login_of_the_hub(ftp: Ftp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FTP_LOGIN_OF_TEST", "me:secret")
    with of_server(ftp, tmp_path, logins={"127.0.0.1": "env:FTP_LOGIN_OF_TEST"}) as dumper:
        assert dumper.describe("a.tsv").size == len(BODY)
    assert ftp.asked("USER") == ["USER me"]


def test_login_of_the_hub_is_not_sent_in_the_clear(ftp: Ftp, tmp_path: Path) -> None:
    with of_server(ftp, tmp_path, logins={"ftp.invalid": "env:NOWHERE"}) as dumper:
        dumper.FTP_HOST = "ftp.invalid"
        with pytest.raises(FetchError, match=r"^ftp://ftp.invalid/pub: the login .* is not sent over ftp: use ftps$"):
            dumper.describe("a.tsv")


def test_over_tls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = self_signed(tmp_path / "server.pem")
    with ftp_server(tmp_path / "server", certificate) as ftp, of_server(ftp, tmp_path, LastModifiedFTPDumper) as dumper:
        ftp["a.tsv"] = BODY
        url, local = ftp.url("a.tsv", "ftps"), tmp_path / "a.tsv"
        with pytest.raises(FetchError, match=r"^ftps://.*: self.signed certificate$"):
            dumper.download(url, str(local))
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
        dumper.download(url, str(local))
    assert local.read_bytes() == BODY


def test_urls_of_two_servers(ftp: Ftp, tmp_path: Path) -> None:
    with ftp_server(tmp_path / "other") as other, of_server(ftp, tmp_path, LastModifiedFTPDumper) as dumper:
        other["b c.tsv"] = b"b"
        login = ftp.url("pub/a.tsv").replace("://", "://me:secret@")
        dumper.SRC_URLS = [login, other.url("b%20c.tsv")]
        dumper.RELEASE_FORMAT = "%Y.%m"
        dumper.create_todump_list()
        assert dumper.release == "2023.11"
        assert [Path(entry["local"]).name for entry in dumper.to_dump] == ["a.tsv", "b c.tsv"]
        for entry in dumper.to_dump:
            dumper.download(entry["remote"], entry["local"])
    assert ftp.asked("USER") == ["USER me"] and other.asked("USER") == ["USER anonymous"]
    found = {file.name: file.read_bytes() for file in Path(dumper.new_data_folder).iterdir()}
    assert found == {"a.tsv": BODY, "b c.tsv": b"b"}


def test_manifest_from_list_to_release(ftp: Ftp, tmp_path: Path) -> None:
    with bench_in(tmp_path / "home") as bench:
        ftp["pub/b.tsv"] = b"b"
        bench.plugin("src", [ftp.url("pub/b.tsv"), ftp.url("pub/a.tsv")])
        assert bench.dump("src") == "2023-11-14"
        assert bench.files("src") == {"a.tsv": BODY, "b.tsv": b"b"}
        assert bench.dump("src") == "Nothing to dump"
        ftp["pub/a.tsv"] = new = BODY * 2
        os.utime(ftp.folder / "pub/a.tsv", (DATE + 86400,) * 2)
        ftp.faults = [drops(1000)] * 9
        with pytest.raises(FetchError):
            bench.dump("src")
        assert bench.files("src") == {"a.tsv": BODY, "b.tsv": b"b"}
        ftp.faults, before = [], len(ftp.asked("RETR"))
        first = bench.folder("src")
        assert bench.dump("src") == "2023-11-15"
        assert bench.files("src") == {"a.tsv": new, "b.tsv": b"b"}
        assert len(ftp.asked("RETR")) == before + 1
        assert ftp.asked("REST")[-1] == "REST 5000"  # where the failed dump was
        assert (bench.folder("src") / "b.tsv").samefile(first / "b.tsv")
