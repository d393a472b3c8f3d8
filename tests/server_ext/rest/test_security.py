"""What nobody gets through the web door."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from hubkernel.hub.commands import Role
from hubkernel.server_ext.access import HubUser
from tests.server_ext.rest.served import SITE_TOKEN, OwnHub, Served, serve
from tests.server_ext.rest.test_endpoints import error, launch

EVIL = "http://evil.example"
REQUESTS = [
    ("GET", "hub"),
    ("GET", ""),
    ("GET", "status"),
    ("GET", "openapi.json"),
    ("GET", "logs/"),
    ("GET", "log/hub.log"),
    ("GET", "metrics"),
    ("GET", "jobs"),
    ("GET", "events"),
    ("GET", "nowhere"),
    ("PUT", "slow"),
    ("PUT", "shell"),
    ("POST", "call/status"),
    ("POST", "dataupload/src"),
    ("PUT", "dataupload/src/file"),
    ("PATCH", "dataupload/src/file"),
    ("HEAD", "dataupload/src/file"),
    ("DELETE", "jobs/1"),
]


@pytest.fixture
def stranger(served: Served) -> Iterator[httpx.Client]:
    """A client that has no token."""
    with httpx.Client(base_url=f"{served.url}hubkernel/api/", timeout=30) as client:
        yield client


@pytest.fixture
def roles(served: Served) -> Iterator[dict[str, httpx.Client]]:
    """A client of each role, with a token of its own."""
    tokens = served.app.tokens
    assert tokens is not None
    known = {f"token-of-{role.name}": HubUser(f"some-{role.name}", role=role) for role in Role}
    before, tokens.user = tokens.user, lambda token: known.get(token) or before(token)  # type: ignore[method-assign]
    clients = {
        role.name: httpx.Client(
            base_url=f"{served.url}hubkernel/api/",
            headers={"Authorization": f"token token-of-{role.name}"},
            timeout=30,
        )
        for role in Role
    }
    yield clients
    for client in clients.values():
        client.close()
    tokens.user = before  # type: ignore[method-assign]


@pytest.mark.parametrize(("method", "path"), REQUESTS)
def test_without_a_token_nothing_is_told(served: Served, stranger: httpx.Client, method: str, path: str) -> None:
    jobs = served.result("commands")
    for headers in (
        {},
        {"Authorization": "token wrong"},
        {"Authorization": f"Basic {served.token}"},
        {"Cookie": "x=1"},
    ):
        answer = stranger.request(method, path, headers=headers)
        assert answer.status_code == 403, (headers, answer.text)
        assert "BioThings" not in answer.text
    assert stranger.request(method, path, params={"token": "wrong"}).status_code == 403
    assert served.result("commands") == jobs
    assert not (served.home.dataupload / "src").exists()


@pytest.mark.parametrize(("method", "path"), [r for r in REQUESTS if r[0] != "GET"])
def test_a_browser_session_needs_the_xsrf_token(served: Served, method: str, path: str) -> None:
    if method == "HEAD":
        return
    with httpx.Client(base_url=served.url, timeout=30) as browser:
        browser.get(f"api/status?token={SITE_TOKEN}")
        assert browser.get("hubkernel/api/hub").status_code == 200, "the session is good for reading"
        answer = browser.request(method, f"hubkernel/api/{path}")
        assert "_xsrf" in error(answer, 403)["error"]


def test_with_the_xsrf_token_a_session_works(served: Served) -> None:
    with httpx.Client(base_url=served.url, timeout=30) as browser:
        browser.get(f"lab?token={SITE_TOKEN}")
        browser.get("login")
        xsrf = browser.cookies.get("_xsrf")
        assert xsrf
        answer = browser.put("hubkernel/api/pair/a/both", json={"new": "b"}, headers={"X-XSRFToken": xsrf})
        assert answer.json()["result"] == ["a", "b"]


def test_a_foreign_page_is_not_answered(served: Served) -> None:
    with httpx.Client(base_url=served.url, timeout=30) as browser:
        browser.get(f"api/status?token={SITE_TOKEN}")
        for path in ("status", "logs/", "hub"):
            answer = browser.get(f"hubkernel/api/{path}", headers={"Origin": EVIL})
            assert answer.status_code in (403, 404)
            assert answer.headers.get("Access-Control-Allow-Origin") != EVIL
            assert "BioThings" not in answer.text


@pytest.mark.parametrize(
    ("method", "path", "body", "needed"),
    [
        ("GET", "status", None, "viewer"),
        ("PUT", "slow", {"n": 1}, "operator"),
        ("POST", "call/slow", {}, "operator"),
        ("POST", "buildconf", {}, "operator"),
        ("DELETE", "jobs/{job}", None, "operator"),
        ("PUT", "shell", {"cmd": "slow()"}, "operator"),
        ("PUT", "dataupload/mine/file", "bytes", "operator"),
        ("PUT", "rule", {}, "developer"),
        ("POST", "call/rule", {}, "developer"),
        ("PUT", "config", {"name": "hub_name", "value": "taken"}, "developer"),
        ("PUT", "shell", {"cmd": "rule()"}, "developer"),
    ],
)
def test_a_role_does_not_reach_further(
    served: Served, roles: dict[str, httpx.Client], method: str, path: str, body: Any, needed: str
) -> None:
    served.server.go.set()
    path = path.format(job=launch(served, "boom")["id"])
    for name in ("viewer", "operator", "developer"):
        more: dict[str, Any] = {"content": b"x"} if body == "bytes" else {} if body is None else {"json": body}
        answer = roles[name].request(method, path, **more)
        if Role[name] < Role[needed]:
            assert needed in error(answer, 403)["error"]
        else:
            assert answer.status_code != 403, answer.text


def test_nobody_speaks_for_others_but_the_hubs_own_user(served: Served, roles: dict[str, httpx.Client]) -> None:
    headers = {"X-Hubkernel-Role": "developer", "X-Hubkernel-User": "root"}
    error(roles["viewer"].put("rule", json={}, headers=headers), 403)
    assert roles["viewer"].get("hub", headers=headers).json()["role"] == "viewer"


def test_the_audit_log_is_for_developers(served: Served, roles: dict[str, httpx.Client]) -> None:
    (served.server.log_folder / "audit.log.1").write_text("older\n")
    (served.server.log_folder / "link.log").symlink_to("audit.log.1")
    for name in ("viewer", "operator"):
        for path in ("log/audit.log.1", "log/link.log", "log/audit.log.1?follow", "log/./audit.log.1"):
            assert "developer" in error(roles[name].get(path), 403)["error"]
    assert roles["developer"].get("log/audit.log.1").text == "older\n"


PROBES = [
    "__import__('os').system('touch {file}')",
    "open('{file}', 'w')",
    "{{7*7}}",
    "${{jndi:ldap://127.0.0.1/}}",
    "'; touch {file}; '",
    "$(touch {file})",
    "lambda: open('{file}', 'w')",
]


@pytest.mark.parametrize("probe", PROBES)
def test_arguments_are_never_evaluated(served: Served, probe: str) -> None:
    file = served.home.root / "evaluated"
    text = probe.format(file=file)
    assert served.result("kwg/1", b=text, other=text)["b"] == text
    assert served.get(f"kwg/{text}".replace("?", "")).status_code in (200, 404)
    assert served.post("kwp/1", {"b": text}).json()["result"]["b"] == text
    error(served.get("typed", count=text), 400)
    for line in (text, f"kw({text})", f"kw(1, b={text})", f"kw(1) && {text}", f"typed(*{text})", f"typed(**{text})"):
        answer = served.put("shell", {"cmd": line})
        assert answer.status_code in (200, 400, 403, 404), answer.text
    assert not file.exists()


def test_bodies_have_a_limit(served: Served) -> None:
    body = b'{"n": "' + b"x" * (17 * 1024 * 1024) + b'"}'
    assert "limit" in error(served.put("slow", content=body), 413)["error"]
    deep = b"[" * 100_000
    error(served.put("slow", content=deep), 400)


def test_a_slow_client_keeps_nobody_waiting(served: Served) -> None:
    """Heads and bodies that never end, and readers that never read."""
    (served.server.log_folder / "long.log").write_bytes(b"x" * 20_000_000)
    base = f"{served.serverapp.base_url}hubkernel/api/"
    auth = f"Host: 127.0.0.1\r\nAuthorization: token {served.token}\r\n"
    heads = [
        f"GET {base}status HTTP/1.1\r\nHost: 127.",
        f"PUT {base}slow HTTP/1.1\r\n{auth}Content-Length: 100\r\n\r\n{{",
        f"PUT {base}dataupload/slow/file HTTP/1.1\r\n{auth}Content-Length: 1000\r\n\r\nabc",
        f"GET {base}log/long.log HTTP/1.1\r\n{auth}\r\n",
        f"GET {base}log/long.log?follow HTTP/1.1\r\n{auth}\r\n",
    ]
    connections = [socket.create_connection(("127.0.0.1", served.serverapp.port)) for _ in heads * 8]
    try:
        for connection, head in zip(connections, heads * 8, strict=True):
            connection.sendall(head.encode())
        for _ in range(20):
            assert served.get("status").status_code == 200
        assert served.result("kwg/1")["a"] == "1"
        assert served.put("pair/a/both", {"new": "b"}).status_code == 200
    finally:
        for connection in connections:
            connection.close()
    assert served.get("log/long.log", lines=1).status_code == 200


def test_errors_do_not_show_the_token(served: Served, capfd: pytest.CaptureFixture[str]) -> None:
    answer = served.client.get(f"hubkernel/api/nowhere?token={served.token}", headers={"Authorization": ""})
    assert served.token not in answer.text
    assert served.token not in capfd.readouterr().err


def test_every_path_below_a_base_url(tmp_path: Any) -> None:
    from traitlets.config import Config

    config = Config()
    config.ServerApp.base_url = "/user/ann/"
    with serve(tmp_path / "home", OwnHub.open, config) as served:
        assert served.url.endswith("/user/ann/")
        answer = served.put("slow", {})
        assert answer.headers["Location"].startswith("/user/ann/hubkernel/api/jobs/")
        assert served.get("openapi.json").json()["servers"] == [{"url": "/user/ann/hubkernel/api"}]
        assert served.readonly("status").status_code == 200
        assert served.get("logs/").status_code == 200
        served.server.go.set()
