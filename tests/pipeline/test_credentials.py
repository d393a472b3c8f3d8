from __future__ import annotations

import base64
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from hubkernel.jobs.context import current
from hubkernel.pipeline.credentials import CredentialError, authorization, check_reference, resolve
from hubkernel.pipeline.dump import FetchError
from hubkernel.pipeline.dump.fetch import Policy, probe
from tests.pipeline.dump_tools import fetch


def test_a_login_is_read_where_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_LOGIN", "me:pw")
    file = tmp_path / "login"
    file.write_text("me:filed\nmore\n")
    file.chmod(0o600)
    kept = {("data", "me"): "me:kept"}
    monkeypatch.setitem(
        sys.modules, "keyring", SimpleNamespace(get_password=lambda service, user: kept.get((service, user)))
    )
    assert resolve("env:MY_LOGIN") == "me:pw"
    assert resolve(f"file:{file}") == "me:filed"
    assert resolve("keyring:data/me") == "me:kept"


@pytest.mark.parametrize("reference", ["env:MISSING_LOGIN", "file:/nowhere/at/all", "keyring:data/nobody"])
def test_a_reference_to_nothing_says_so(reference: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", SimpleNamespace(get_password=lambda service, user: None))
    with pytest.raises(CredentialError, match=reference):
        resolve(reference)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "login"
    file.write_text("me:pw")
    file.chmod(0o644)
    with pytest.raises(CredentialError, match="others may read it; run: chmod 600") as caught:
        resolve(f"file:{file}")
    assert "me:pw" not in str(caught.value)


def test_without_keyring_the_error_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keyring", None)
    with pytest.raises(CredentialError, match=r"pip install 'hubkernel\[keyring\]'"):
        resolve("keyring:data/me")


@pytest.mark.parametrize("text", ["me:planted", "planted", "env:", "keyring:planted", ""])
def test_what_is_no_reference_is_not_repeated(text: str) -> None:
    with pytest.raises(CredentialError, match="write where the login is, not the login") as caught:
        check_reference(text)
    assert "planted" not in str(caught.value)


@pytest.mark.parametrize(
    ("login", "header"),
    [
        ("me:pw", f"Basic {base64.b64encode(b'me:pw').decode()}"),
        ("Bearer abc:d", "Bearer abc:d"),
        ("token abc", "token abc"),
    ],
)
def test_the_header(login: str, header: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_LOGIN", login)
    logins = {"data.org": "env:MY_LOGIN", "localhost": "env:MY_LOGIN"}
    assert authorization(logins, "https", "data.org") == header
    assert authorization(logins, "http", "localhost") == header
    assert authorization(logins, "https", "other.org") is None
    with pytest.raises(CredentialError, match=r"not sent over http: use https"):
        authorization(logins, "http", "data.org")


def test_a_login_of_no_known_form(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_LOGIN", "planted")
    with pytest.raises(CredentialError, match="neither user:password nor") as caught:
        authorization({"data.org": "env:MY_LOGIN"}, "https", "data.org")
    assert "planted" not in str(caught.value)


class Private:
    """A server on the loopback that wants a login for ``/private`` and sends ``/away`` to another name of itself."""

    def __init__(self) -> None:
        self.seen: list[tuple[str, str, str | None]] = []
        private = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: object) -> None:
                pass

            def do_HEAD(self) -> None:
                private.answer(self)

            do_GET = do_HEAD

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        given = request.headers.get("Authorization")
        self.seen.append((request.path, request.headers["Host"].partition(":")[0], given))
        if request.path == "/away":
            request.send_response(302)
            request.send_header("Location", f"http://localhost:{self.server.server_port}/there")
        else:
            request.send_response(200 if given or request.path == "/there" else 401)
        request.send_header("Content-Length", "4" if request.path != "/away" else "0")
        request.end_headers()
        if request.command == "GET" and request.path != "/away":
            request.wfile.write(b"data")

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"


@pytest.fixture
def private() -> Iterator[Private]:
    private = Private()
    yield private
    private.server.shutdown()
    private.thread.join()
    private.server.server_close()


def policy() -> Policy:
    return Policy(attempts=1, backoff=0.0, timeout=20.0, logins={"127.0.0.1": "env:MY_LOGIN"})


def test_a_download_logs_in(private: Private, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_LOGIN", "me:planted")
    (remote,) = probe(current(), private.url("/private"), policy())
    file = fetch(current(), remote, str(tmp_path), policy())
    assert (tmp_path / "files" / file.name).read_bytes() == b"data"
    header = f"Basic {base64.b64encode(b'me:planted').decode()}"
    assert {given for _, _, given in private.seen} == {header}
    kept = [path for path in tmp_path.rglob("*") if path.is_file() and b"planted" in path.read_bytes()]
    assert not kept and "planted" not in repr(policy())


def test_a_redirect_to_another_host_gets_no_login(private: Private, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_LOGIN", "me:planted")
    probe(current(), private.url("/away"), policy())
    assert [(path, host, given is not None) for path, host, given in private.seen] == [
        ("/away", "127.0.0.1", True),
        ("/there", "localhost", False),
    ]


def test_a_login_that_is_not_there_is_named(private: Private, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MY_LOGIN", raising=False)
    with pytest.raises(FetchError, match="/private: env:MY_LOGIN: there is nothing there"):
        probe(current(), private.url("/private"), policy())
    assert private.seen == []
