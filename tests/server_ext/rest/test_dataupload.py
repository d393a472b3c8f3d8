from __future__ import annotations

import hashlib
import random
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_ext.rest.served import Served, serve
from tests.server_ext.rest.test_endpoints import error

KIND = "application/octet-stream"
LIMIT = 3_000_000


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("home")
    (folder / "hubkernel.toml").write_text(f"upload_limit = {LIMIT}\n")
    with serve(folder) as served:
        yield served


@pytest.fixture(scope="module")
def root(shared: Served) -> Path:
    return shared.home.dataupload


def send(served: Served, name: str, content: bytes, filename: str = "data.bin", kind: str = KIND, **more: object):  # type: ignore[no-untyped-def]
    return served.post(f"dataupload/{name}", files={"file": (filename, content, kind)}, **more)


def test_core_c47_a_file_is_uploaded(served: Served, root: Path) -> None:
    answer = send(served, "mysrc", b"content", "a file.txt")
    assert answer.json() == {"result": "ok", "status": "ok", "size": 7}
    assert (root / "mysrc" / "a file.txt").read_bytes() == b"content"
    assert [path.name for path in (root / "mysrc").iterdir()] == ["a file.txt"]
    send(served, "mysrc", b"newer", "a file.txt")
    assert (root / "mysrc" / "a file.txt").read_bytes() == b"newer"


def test_core_c47_a_name_does_not_lead_out(served: Served, root: Path) -> None:
    answer = send(served, "mysrc", b"x", "../../escape.txt")
    assert "no plain file name" in error(answer, 403)["error"]
    for name in ("..%2f..", "%2e%2e", ".hidden", "a%2fb"):
        error(send(served, name, b"x"), 403)
    error(served.put("dataupload/mysrc/..%2fescape.txt", content=b"x"), 403)
    assert not list(root.parent.rglob("*escape*"))


def test_core_c47_a_wrong_part_is_one_error(served: Served, root: Path) -> None:
    answer = send(served, "mysrc", b"{}", "x.json", "application/json")
    assert "must be of type application/octet-stream" in error(answer, 400)["error"]
    assert "multipart/form-data" in error(served.post("dataupload/mysrc", {"no": "form"}), 400)["error"]
    assert "multipart/form-data" in error(served.post("dataupload/mysrc"), 400)["error"]
    no_end = b'--XbX\r\nContent-Disposition: form-data; name="f"; filename="cut.txt"\r\nContent-Type: '
    no_end += KIND.encode() + b"\r\n\r\nabc"
    headers = {"Content-Type": "multipart/form-data; boundary=XbX"}
    answer = served.post("dataupload/mysrc", content=no_end, headers=headers)
    assert "before its closing boundary" in error(answer, 400)["error"]
    assert not [path for path in root.rglob("*") if "cut" in path.name or path.name == "x.json"]


@pytest.mark.parametrize("size", [1, 7, 4096])
def test_core_c47_the_bytes_are_the_same_whatever_the_chunks(served: Served, root: Path, size: int) -> None:
    content = random.Random(1).randbytes(100 if size < 10 else 100_000) + b"\r\n--XbX\r\r\n--Xb"
    content = content.replace(b"\r\n--XbX", b"")
    head = f'--XbX\r\nContent-Disposition: form-data; name="f"; filename="c{size}"\r\nContent-Type: {KIND}\r\n\r\n'
    body = head.encode() + content + b"\r\n--XbX--\r\n"
    chunks = (body[at : at + size] for at in range(0, len(body), size))
    headers = {"Content-Type": "multipart/form-data; boundary=XbX"}
    answer = served.post("dataupload/chunks", content=chunks, headers=headers)
    assert answer.json()["size"] == len(content)
    assert (root / "chunks" / f"c{size}").read_bytes() == content


def test_a_large_file_arrives_whole(served: Served, root: Path) -> None:
    content = random.Random(2).randbytes(LIMIT)
    assert send(served, "large", content).status_code == 200
    found = (root / "large" / "data.bin").read_bytes()
    assert hashlib.sha256(found).digest() == hashlib.sha256(content).digest()
    assert served.put("dataupload/large/plain.bin", content=content).status_code == 201
    assert (root / "large" / "plain.bin").read_bytes() == content


def test_what_is_too_large_is_refused(served: Served, root: Path) -> None:
    for more in (1, 5):
        chunks = (b"x" * 100_000 for _ in range(LIMIT // 100_000 + more))
        answer = served.put("dataupload/big/chunked", content=chunks)
        assert f"more than the {LIMIT}" in error(answer, 413)["error"]
    headers = {"Upload-Offset": "0", "Upload-Length": str(LIMIT + 1)}
    answer = served.request("PATCH", "dataupload/big/part", content=b"x", headers=headers)
    error(answer, 413)
    assert not list(root.glob("big/*"))


def test_a_large_announcement_is_refused_before_it_is_sent(served: Served) -> None:
    with socket.create_connection(("127.0.0.1", served.serverapp.port), timeout=30) as connection:
        path = f"{served.serverapp.base_url}hubkernel/api/dataupload/big/x"
        head = f"PUT {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {served.token}\r\n"
        connection.sendall(f"{head}Content-Length: {10**15}\r\nExpect: 100-continue\r\n\r\n".encode())
        assert connection.recv(65536).startswith(b"HTTP/1.1 413 ")


def test_an_upload_is_resumed_where_it_broke_off(served: Served, root: Path) -> None:
    path = "dataupload/resumed/file.bin"
    assert served.request("HEAD", path).status_code == 404
    with socket.create_connection(("127.0.0.1", served.serverapp.port), timeout=30) as connection:
        target = f"{served.serverapp.base_url}hubkernel/api/{path}"
        head = f"PUT {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: token {served.token}\r\n"
        connection.sendall(f"{head}Content-Length: 10\r\n\r\nabc".encode())
        part = root / "resumed" / ".file.bin.part"
        wait_until(lambda: part.exists() and part.stat().st_size == 3)
        busy = served.put(path, content=b"0123456789")
        assert "uploaded by somebody else" in error(busy, 409)["error"]
    wait_until(lambda: served.put("dataupload/resumed/probe", content=b"").status_code == 201)
    headers = {"Upload-Length": "10", "Upload-Offset": "3"}
    wait_until(lambda: served.request("PATCH", path, content=b"", headers=headers).status_code == 204)
    far = served.request("HEAD", path)
    assert (far.status_code, far.headers["Upload-Offset"]) == (200, "3")
    assert "Upload-Length" not in far.headers
    wrong = served.request("PATCH", path, content=b"xyz", headers={**headers, "Upload-Offset": "2"})
    assert "3 bytes are here already" in error(wrong, 409)["error"]
    assert wrong.headers["Upload-Offset"] == "3"
    more = served.request("PATCH", path, content=b"defg", headers=headers)
    assert (more.status_code, more.headers["Upload-Offset"], more.content) == (204, "7", b"")
    assert not (root / "resumed" / "file.bin").exists()
    last = served.request("PATCH", path, content=b"hij", headers={**headers, "Upload-Offset": "7"})
    assert (last.status_code, last.json()["size"]) == (201, 10)
    assert (root / "resumed" / "file.bin").read_bytes() == b"abcdefghij"
    done = served.request("HEAD", path)
    assert (done.headers["Upload-Offset"], done.headers["Upload-Length"]) == ("10", "10")


def test_more_bytes_than_announced_are_refused(served: Served, root: Path) -> None:
    headers = {"Upload-Length": "2", "Upload-Offset": "0"}
    answer = served.request("PATCH", "dataupload/odd/file", content=b"abc", headers=headers)
    assert "more bytes than the 2" in error(answer, 422)["error"]
    for headers in ({}, {"Upload-Length": "2"}, {"Upload-Length": "2", "Upload-Offset": "-1"}):
        answer = served.request("PATCH", "dataupload/odd/file", content=b"abc", headers=headers)
        assert "Upload-" in error(answer, 400)["error"]
    assert not (root / "odd" / "file").exists()


def test_a_folder_in_the_way_is_no_lasting_harm(served: Served, root: Path) -> None:
    (root / "blocked" / "name").mkdir(parents=True)
    for _ in range(2):
        error(send(served, "blocked", b"x", "name"), 422)
        error(served.put("dataupload/blocked/name", content=b"x"), 422)
    (root / "blocked" / "name").rmdir()
    assert send(served, "blocked", b"x", "name").status_code == 200


def test_an_upload_is_an_event(served: Served) -> None:
    since = served.server.bus.last
    send(served, "told", b"12345", "it")
    (event,) = [event for event in served.server.bus.since(since) if event.entity == "upload"]
    assert (event.id, event.op, event.data["size"]) == ("told/it", "insert", 5)


def test_uploads_go_where_the_settings_say(tmp_path: Path) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / "hubkernel.toml").write_text('upload_folder = "incoming"\n')
    with serve(home) as served:
        assert send(served, "src", b"x", "f").status_code == 200
    assert (home / "incoming" / "src" / "f").read_bytes() == b"x"


def test_uploads_can_be_switched_off(tmp_path: Path) -> None:
    with serve(tmp_path / "home", dataupload_config=False) as served:
        error(send(served, "src", b"x"), 404)
        assert "dataupload" not in served.result("")["features"]


def wait_until(condition) -> None:  # type: ignore[no-untyped-def]
    """Of something that another thread of this process will do."""
    import time

    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)
