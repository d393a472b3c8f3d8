"""Logs to read, files to send: below their roots only."""

from __future__ import annotations

import gzip
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.hub.uploads import Uploads
from tests.compat.studio.conftest import Rig, Session


@pytest.fixture
def logs(rig: Rig) -> Path:
    folder = rig.home.logs
    (folder / "dataload").mkdir(exist_ok=True)
    (folder / "ten.log").write_text("".join(f"line {number}\n" for number in range(1, 11)))
    (folder / "dataload" / "dump_mysrc.log").write_text("dumped\n")
    (folder / "dataload" / "upload_mysrc.log").write_text("uploaded\n")
    with gzip.open(folder / "ten.log.2026-01-01.gz", "wt") as packed:
        packed.write("old\nolder\n")
    (rig.home.root / "secret.txt").write_text("planted")
    return folder


def test_core_c44_logs_are_listed_as_json(hub: Session, logs: Path) -> None:
    answer = hub.get("/logs/?json")
    assert answer.headers["Content-Type"] == "application/json"
    assert {"hub.log", "dataload/"} <= set(answer.json())
    assert hub.get("/logs/dataload/?json&filter=dump_mysrc,nothing").json() == ["dump_mysrc.log"]
    assert {"dump_mysrc.log", "upload_mysrc.log"} <= set(hub.get("/logs/dataload/?json&filter=").json())


def test_core_c44_logs_are_listed_as_a_page(hub: Session, logs: Path) -> None:
    (logs / "<b>.log").write_text("")
    page = hub.get("/logs/")
    assert page.headers["Content-Type"].startswith("text/html")
    assert '<a href="hub.log">hub</a>' in page.text
    assert "&lt;b&gt;" in page.text
    assert "<b>" not in page.text
    assert '<a href="../log/hub.log">hub.log</a>' in hub.get("/logs/hub.log").text


def test_core_c45_the_last_lines_of_a_log(hub: Session, logs: Path) -> None:
    answer = hub.get("/log/ten.log?lines=3")
    assert answer.text == "line 8\nline 9\nline 10\n\n***Logs were capped at 3 lines***\n"
    assert answer.headers["Content-Disposition"] == "attachment; filename*=UTF-8''ten.log"
    assert hub.get("/log/ten.log?lines=10").text == (logs / "ten.log").read_text()
    assert hub.get("/log/ten.log").text == (logs / "ten.log").read_text()
    (logs / "open.log").write_text("a\nb")
    assert hub.get("/log/open.log?lines=1").text == "b\n\n***Logs were capped at 1 lines***\n"


def test_a_packed_log_is_unpacked(hub: Session, logs: Path) -> None:
    answer = hub.get("/log/ten.log.2026-01-01.gz?lines=1")
    assert answer.text == "older\n\n***Logs were capped at 1 lines***\n"
    assert answer.headers["Content-Disposition"].endswith("ten.log.2026-01-01")


def test_the_audit_log_is_for_developers(rig: Rig, hub: Session, logs: Path) -> None:
    (logs / "audit.log").write_text("{}\n")
    (logs / "audit.log.1").write_text("{}\n")
    assert {"audit.log", "audit.log.1"} <= set(hub.get("/logs/?json").json())
    assert hub.get("/log/audit.log").text == "{}\n"
    operator = rig.session("operator-token")
    assert not [name for name in operator.get("/logs/?json").json() if "audit" in name]
    for path in ("/log/audit.log", "/log/audit.log.1", "/logs/audit.log", "/log/dataload/..%2faudit.log"):
        assert operator.error("GET", path)[0] == 404, path


@pytest.mark.parametrize("lines", ["0", "-1", "x", "1e3", "999999999"])
def test_lines_is_a_number(hub: Session, logs: Path, lines: str) -> None:
    assert hub.error("GET", f"/log/ten.log?lines={lines}")[0] == 400


OUTSIDE = [
    "../secret.txt",
    "..%2fsecret.txt",
    "%2e%2e/secret.txt",
    "dataload/..%2f..%2fsecret.txt",
    "/etc/hostname",
    "%2fetc%2fhostname",
    "..%5csecret.txt",
    "link.txt",
    "nosuch.log",
    "%00",
]


@pytest.mark.parametrize("path", OUTSIDE)
@pytest.mark.parametrize("kind", ["logs", "log"])
def test_core_c46_nothing_outside_of_the_logs_is_shown(
    rig: Rig, hub: Session, logs: Path, path: str, kind: str
) -> None:
    link = logs / "link.txt"
    if not link.is_symlink():
        link.symlink_to(rig.home.root / "secret.txt")
    # The client would tidy up the path, so it is sent as it is.
    status, body = raw_get(rig, f"/developer-token/{kind}/{path}")
    assert status == 404
    assert b"planted" not in body


def raw_get(rig: Rig, path: str) -> tuple[int, bytes]:
    with socket.create_connection(("127.0.0.1", rig.studio.port), timeout=30) as raw:
        raw.sendall(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := raw.recv(65536):
            answer += chunk
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


# Files to send.


@pytest.fixture
def root(rig: Rig, tmp_path: Path) -> Iterator[Path]:
    """Where files go, of this test only."""
    before = rig.studio.context.uploads
    rig.studio.context.uploads = Uploads(tmp_path / "uploads", 1_000_000)
    yield tmp_path / "uploads"
    rig.studio.context.uploads = before


def form(name: str, data: bytes, kind: str = "application/octet-stream") -> dict[str, object]:
    return {"files": {"file": (name, data, kind)}}


def test_core_c47_a_file_arrives_whole(hub: Session, root: Path) -> None:
    data = os.urandom(900_000)
    assert hub.result("POST", "/dataupload/mysrc", **form("my data.bin", data)) == "ok"
    assert (root / "mysrc" / "my data.bin").read_bytes() == data
    assert hub.result("POST", "/dataupload/mysrc", **form("my data.bin", b"new")) == "ok"
    assert (root / "mysrc" / "my data.bin").read_bytes() == b"new"
    assert [path.name for path in (root / "mysrc").iterdir()] == ["my data.bin"]


@pytest.mark.parametrize("name", ["../../escape.txt", "/etc/escape.txt", "..", ".hidden", "a/b"])
def test_core_c47_a_file_name_that_leads_elsewhere_is_refused(hub: Session, root: Path, name: str) -> None:
    status, _ = hub.error("POST", "/dataupload/mysrc", **form(name, b"x"))
    assert status == 403
    assert not list(root.parent.rglob("*escape*"))


@pytest.mark.parametrize("source", ["..", "%2e%2e", "..%2f..", ".x", "a%2fb"])
def test_core_c47_so_is_such_a_source(rig: Rig, root: Path, source: str) -> None:
    body = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n'
    body += b"Content-Type: application/octet-stream\r\n\r\nx\r\n--B--\r\n"
    with socket.create_connection(("127.0.0.1", rig.studio.port), timeout=30) as raw:
        head = f"POST /developer-token/dataupload/{source} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n"
        raw.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=B\r\n\r\n" + body)
        assert raw.recv(1000).startswith(b"HTTP/1.1 403")
    assert not root.exists()


def test_core_c47_what_is_no_file_gets_one_clear_answer(hub: Session, root: Path) -> None:
    assert hub.error("POST", "/dataupload/mysrc", **form("x", b"x", "text/plain"))[0] == 400
    assert hub.error("POST", "/dataupload/mysrc", content=b"no form")[0] == 400
    assert hub.error("POST", "/dataupload/mysrc", content=b"")[0] == 400
    headers = {"Content-Type": "multipart/form-data; boundary=B"}
    assert hub.error("POST", "/dataupload/mysrc", content=b"--B\r\nnonsense", headers=headers)[0] == 400
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_a_file_that_is_too_large_leaves_nothing(hub: Session, root: Path) -> None:
    status, text = hub.error("POST", "/dataupload/mysrc", **form("big", b"x" * 1_000_001))
    assert (status, "upload_limit" in text) == (413, True)
    assert not [path for path in root.rglob("*") if path.is_file()]


def test_an_upload_that_breaks_off_leaves_nothing(rig: Rig, hub: Session, root: Path) -> None:
    with socket.create_connection(("127.0.0.1", rig.studio.port), timeout=30) as raw:
        head = "POST /developer-token/dataupload/mysrc HTTP/1.1\r\nHost: x\r\nContent-Length: 5000\r\n"
        body = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n'
        body += b"Content-Type: application/octet-stream\r\n\r\n" + b"y" * 1000
        raw.sendall(head.encode() + b"Content-Type: multipart/form-data; boundary=B\r\n\r\n" + body)
        while not (root / "mysrc").exists() or not list((root / "mysrc").iterdir()):
            hub.result("GET", "/")
    while list((root / "mysrc").iterdir()):
        hub.result("GET", "/")
