from __future__ import annotations

import gzip
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.server_ext.rest.served import Served
from tests.server_ext.rest.test_endpoints import error


@pytest.fixture(scope="module")
def logs(shared: Served) -> Path:
    """The hub's folder of logs, with some in it."""
    root: Path = shared.server.log_folder
    (root / "dataload").mkdir(parents=True, exist_ok=True)
    (root / "hub.log").write_text("".join(f"line {number}\n" for number in range(10)))
    (root / "empty.log").touch()
    (root / "dataload" / "dump_mysrc.log").write_text("dumped\n")
    (root / "dataload" / "upload_mysrc.log").write_text("uploaded\n")
    (root / "hub.log.2026-01-01.gz").write_bytes(gzip.compress(b"old 1\nold 2\n"))
    (root.parent / "secret.txt").write_text("secret")
    (root / "out").symlink_to(root.parent / "secret.txt")
    return root


def test_core_c44_folders_are_listed_as_json(served: Served, logs: Path) -> None:
    for path in ("logs/", "logs/?json", "logs"):
        answer = served.get(path)
        assert answer.headers["Content-Type"].startswith("application/json")
        assert {"hub.log", "dataload/", "hub.log.2026-01-01.gz"} <= set(answer.json())
        assert "out" not in answer.json()
    assert served.get("logs/dataload/?json&filter=dump").json() == ["dump_mysrc.log"]
    assert served.get("logs/dataload?filter=dump,upload").json() == ["dump_mysrc.log", "upload_mysrc.log"]
    assert served.get("logs/dataload", filter="").json() == ["dump_mysrc.log", "upload_mysrc.log"]
    assert "log/hub.log has it" in error(served.get("logs/hub.log"), 404)["error"]
    error(served.get("logs/nowhere"), 404)


def test_core_c45_the_last_lines(served: Served, logs: Path) -> None:
    answer = served.get("log/hub.log", lines=3)
    assert answer.text == "line 7\nline 8\nline 9\n\n***Logs were capped at 3 lines***\n"
    assert answer.headers["Content-Type"] == "text/plain; charset=UTF-8"
    assert "hub.log" in answer.headers["Content-Disposition"]
    assert served.get("log/hub.log", lines=10).text == (logs / "hub.log").read_text()
    assert served.get("log/hub.log").text == (logs / "hub.log").read_text()
    assert served.get("log/empty.log", lines=3).text == ""


def test_core_c45_packed_logs_are_unpacked(served: Served, logs: Path) -> None:
    answer = served.get("log/hub.log.2026-01-01.gz")
    assert answer.text == "old 1\nold 2\n"
    assert answer.headers["Content-Disposition"].endswith("hub.log.2026-01-01")
    assert served.get("log/hub.log.2026-01-01.gz", lines=1).text.startswith("old 2\n")


def raw(served: Served, path: str) -> tuple[int, bytes]:
    """A request whose path no client makes nicer."""
    with socket.create_connection(("127.0.0.1", served.serverapp.port), timeout=30) as connection:
        head = f"GET {served.serverapp.base_url}hubkernel/api/{path} HTTP/1.1\r\nHost: 127.0.0.1\r\n"
        connection.sendall(f"{head}Authorization: token {served.token}\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while block := connection.recv(65536):
            answer += block
    return int(answer.split()[1]), answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize(
    "path",
    [
        "../../config.py",
        "../secret.txt",
        "/etc/hostname",
        "%2e%2e/secret.txt",
        "%2e%2e%2fsecret.txt",
        "..%2fsecret.txt",
        "%252e%252e%252fsecret.txt",
        "dataload/../../secret.txt",
        "dataload%2f..%2f..%2fsecret.txt",
        "..\\secret.txt",
        "out",
        "%00",
        "hub.log%00.txt",
        "%2fetc%2fhostname",
    ],
)
@pytest.mark.parametrize("what", ["log", "logs"])
def test_core_c46_nothing_leaves_the_root(served: Served, logs: Path, what: str, path: str) -> None:
    status, body = raw(served, f"{what}/{path}")
    assert status in (403, 404), body
    assert b"secret" not in body.replace(b"secret.txt", b"")


@pytest.mark.parametrize("lines", ["-1", "many", "1e3", "99999999999"])
def test_a_wrong_number_of_lines_is_refused(served: Served, logs: Path, lines: str) -> None:
    assert "lines is" in error(served.get("log/hub.log", lines=lines), 400)["error"]


def test_a_log_is_followed(served: Served, logs: Path) -> None:
    file = logs / "live.log"
    file.write_text("one\ntwo\n")
    with served.client.stream("GET", "hubkernel/api/log/live.log?follow&lines=1") as answer:
        lines = answer.iter_lines()
        assert next(lines) == "two"
        with file.open("a") as log:
            log.write("three\n")
        assert next(lines) == "three"
        file.write_text("4\n")
        assert next(lines) == "4"
        (logs / "new.log").write_text("five, in a new file\n")
        (logs / "new.log").replace(file)
        assert next(lines) == "five, in a new file"
    assert "packed" in error(served.get("log/hub.log.2026-01-01.gz?follow"), 400)["error"]


def test_a_large_log_is_not_held_in_memory(served: Served, logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hubkernel.server_ext import logs as module

    written: list[int] = []
    original = module.LogHandler.write

    def write(self: Any, chunk: Any) -> None:
        written.append(len(chunk))
        original(self, chunk)

    monkeypatch.setattr(module.LogHandler, "write", write)
    content = b"x" * 99 + b"\n"
    (logs / "large.log").write_bytes(content * 20_000)
    assert len(served.get("log/large.log").content) == 2_000_000
    assert max(written) <= module.BLOCK
