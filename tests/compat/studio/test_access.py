"""Who gets in, from where, and what is left of a token in logs."""

from __future__ import annotations

import logging
import socket
from types import SimpleNamespace
from typing import Any

import pytest
import websocket
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkernel.compat.studio.access import Origins, take_token
from hubkernel.hub.config import ConfigError, HubConfig
from hubkernel.hub.home import HubHome
from tests.compat.studio.conftest import ORIGIN, Rig, Session

NOT_FOUND = {"error": "Not Found", "status": "error", "code": 404}


REQUESTS = [("GET", "/status"), ("GET", "/no/such"), ("PUT", "/shell"), ("OPTIONS", "/status"), ("GET", "")]
WRONG = ["", "nope", "developer-toke", "developer-token2", "DEVELOPER-TOKEN", "%00", "..", "é"]


@pytest.mark.parametrize("token", WRONG)
def test_without_a_token_there_is_nothing_to_see(rig: Rig, token: str) -> None:
    session = rig.session(token)
    for method, path in REQUESTS:
        answer = session.request(method, path)
        assert (answer.status_code, answer.json()) == (404, NOT_FOUND), (method, path)


def test_the_token_is_the_first_part_of_the_path_only(rig: Rig, hub: Session) -> None:
    base = hub.url.rpartition("/")[0]
    for path in ("/x/developer-token/status", "/status?token=developer-token", "//developer-token/"):
        answer = hub.client.get(base + path, headers={"Authorization": "token developer-token"})
        assert answer.status_code == 404, path


@settings(deadline=None)
@given(st.text("/ab.%\x00", max_size=12))
def test_the_first_part_of_any_path_is_all_that_is_taken(rest: str) -> None:
    request: Any = SimpleNamespace(path=f"/secret/{rest}", uri=f"/secret/{rest}?q=secret", query="q=secret")
    assert take_token(request) == "secret"
    assert (request.path, request.uri, request.query) == (f"/{rest}", f"/{rest}", "")


@pytest.mark.parametrize("path", ["", "secret", "http://x/secret", "*"])
def test_what_is_no_path_has_no_token(path: str) -> None:
    request: Any = SimpleNamespace(path=path, uri=path, query="")
    assert take_token(request) == ""


@pytest.mark.parametrize("path", ["/ws/websocket", "/ws/1/abc/websocket"])
def test_a_websocket_needs_a_token_and_an_origin_that_may(rig: Rig, path: str) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        rig.session("nope").socket(path)
    assert caught.value.status_code == 404
    address = rig.session().url.replace("http:", "ws:") + path
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        websocket.create_connection(address, origin="http://evil.example")
    assert caught.value.status_code == 403
    websocket.create_connection(address, origin=ORIGIN).shutdown()


@pytest.mark.parametrize("origin", ["http://evil.example", "null", "https://studio.example", f"{ORIGIN}:81", "*", ""])
def test_pages_of_other_origins_are_refused(hub: Session, origin: str) -> None:
    for method in ("GET", "PUT", "OPTIONS", "POST"):
        answer = hub.request(method, "/status", headers={"Origin": origin})
        assert answer.status_code == 403
        assert not [name for name in answer.headers if name.startswith("access-control")]


def test_the_configured_origin_is_named_never_a_star(hub: Session) -> None:
    answer = hub.get("/status", headers={"Origin": ORIGIN.upper().replace("HTTP", "http")})
    assert answer.status_code == 200
    assert answer.headers["Vary"] == "Origin"
    assert answer.headers["Access-Control-Allow-Origin"].lower() == ORIGIN
    assert "Access-Control-Allow-Credentials" not in answer.headers
    info = hub.get("/ws/info", headers={"Origin": ORIGIN})
    assert info.headers["Access-Control-Allow-Credentials"] == "true"
    assert hub.get("/status").headers.get("Access-Control-Allow-Origin") is None


def test_a_browser_that_comes_from_a_public_page_is_told_that_it_may(hub: Session) -> None:
    asked = {"Origin": ORIGIN, "Access-Control-Request-Private-Network": "true"}
    assert hub.request("OPTIONS", "/status", headers=asked).headers["Access-Control-Allow-Private-Network"] == "true"


@pytest.mark.parametrize("origin", ["*", "studio.example", "http://*.example", "http://a.example/path", "ftp://x"])
def test_an_origin_that_is_none_is_refused_in_the_settings(home: HubHome, origin: str) -> None:
    home.config_file.write_text(f'studio_origins = ["{origin}"]\n')
    with pytest.raises(ConfigError, match="studio_origins"):
        HubConfig.load(home)


def test_a_slash_at_the_end_of_an_origin_does_no_harm() -> None:
    class Request:
        headers = {"Origin": "http://a.example"}

    request: Any = Request()
    assert not Origins(["HTTP://A.example/"]).foreign(request)


@pytest.fixture
def home(tmp_path: Any) -> HubHome:
    return HubHome(tmp_path).create()


PATHS = ["/status", "/no/such", "/bug", "/command/abc", "/logs/x", "/log/x", "/ws/info", "/dataupload/x", ""]


def test_no_token_ever_reaches_a_log(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    hub, wrong = rig.session(), rig.session("planted-wrong-token")
    with caplog.at_level(logging.DEBUG):
        for path in PATHS:
            for session in (hub, wrong):
                session.get(f"{path}?token=planted-query-token")
                session.put(path, headers={"Origin": "http://evil.example"})
        base = hub.url.rpartition("/")[0]
        for path in ("//developer-token/status", "/x/developer-token", "/developer-token%2fx/developer-token/"):
            assert hub.client.get(base + path).status_code == 404
        with socket.create_connection(("127.0.0.1", rig.studio.port)) as raw:
            raw.sendall(b"GET http://x/developer-token/status HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            assert raw.recv(1000).startswith(b"HTTP/1.1 404")
        hub.socket("/ws/1/abc/websocket?token=planted-query-token").send("{")
        hub.socket().ready()
        raw = socket.create_connection(("127.0.0.1", rig.studio.port))
        raw.sendall(b"GET /developer-token/status HTTP/1.1\r\nbad header\r\n\r\n")
        assert raw.recv(1000).startswith(b"HTTP/1.1 400")
        raw.close()
        hub.socket().ready()
    lines = [record for record in caplog.records if not record.name.startswith(("httpx", "httpcore", "websocket"))]
    text = "\n".join(logging.Formatter().format(record) for record in lines)
    assert "GET /status" in text
    assert "bug" in text
    assert not [planted for planted in ("developer-token", "planted-wrong", "planted-query") if planted in text]


def test_the_access_log_says_who(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "hubkernel.studio.access"):
        rig.session("operator-token").get("/commands?running=1")
        rig.session("nope").get("/status")
        rig.session().socket().ready()  # whose line comes after the others
    lines = [record.getMessage() for record in caplog.records if record.name == "hubkernel.studio.access"]
    assert lines[0].startswith("200 GET /commands olga ")
    assert lines[1].startswith("404 GET - - ")


def test_a_token_reaches_neither_events_nor_the_websocket(rig: Rig, hub: Session) -> None:
    listening = hub.socket().ready()
    rig.session().get("/bug")
    logging.getLogger("hub").info("the end")
    heard = listening.until(lambda message: message.get("msg") == "the end")
    assert not [message for message in heard if "developer-token" in str(message)]


ROLES = [
    ("viewer-token", "GET", "/status", 200),
    ("viewer-token", "GET", "/sources", 200),
    ("viewer-token", "PUT", "/source/mvcgi/dump", 403),
    ("viewer-token", "GET", "/logs/?json", 403),
    ("viewer-token", "GET", "/log/hub.log", 403),
    ("viewer-token", "POST", "/dataupload/x", 403),
    ("viewer-token", "PUT", "/config", 403),
    ("operator-token", "PUT", "/boom", 422),
    ("operator-token", "PUT", "/config", 403),
    ("operator-token", "DELETE", "/config", 403),
    ("operator-token", "GET", "/logs/?json", 200),
]


@pytest.mark.parametrize(("token", "method", "path", "status"), ROLES)
def test_each_command_needs_its_role(rig: Rig, token: str, method: str, path: str, status: int) -> None:
    if status == 422:
        assert rig.session(token).request(method, path, json={"n": 1}).status_code == 200
        return
    body = None if method == "GET" else {"name": "hub_name", "value": "x"}
    answer = rig.session(token).request(method, path, json=body)
    assert answer.status_code == status
    if status == 403:
        assert answer.json().keys() == {"error", "status", "code"}
        assert "role" in answer.json()["error"]


def test_what_is_above_the_role_is_refused_before_its_arguments_are_looked_at(rig: Rig) -> None:
    assert rig.session("viewer-token").error("PUT", "/source/mvcgi/dump", json={"bogus": 1})[0] == 403


def test_a_job_and_the_audit_log_say_who_ran_it(rig: Rig) -> None:
    operator, viewer = rig.session("operator-token"), rig.session("viewer-token")
    launched = operator.result("PUT", "/source/mvcgi/dump", json={"force": True})
    operator.finished(launched)
    record = rig.studio.context.hub.job(launched["id"]).record
    assert (record.user, record.door) == ("olga", "studio")
    viewer.error("PUT", "/source/mvcgi/dump", json={})
    lines = rig.server.launch("audit", door="studio")
    refused = next(line for line in lines if line["user"] == "vera")
    assert refused["outcome"].startswith("refused")
    assert any(line["user"] == "olga" and line["command"] == launched["cmd"] for line in lines)


def test_a_command_that_runs_others_gives_no_more_rights(rig: Rig) -> None:
    operator = rig.session("operator-token")
    for line in ("run(\"setconf('hub_name', 'stolen')\")", "run(\"dump('mvcgi') && setconf('hub_name', 'stolen')\")"):
        assert operator.error("PUT", "/shell", json={"cmd": line})[0] in (400, 403)
    assert operator.result("GET", "/")["name"] == "BioThings Hub"


def test_bodies_have_a_limit(hub: Session) -> None:
    status, text = hub.error("PUT", "/slow", content=b" " * (11 * 1024 * 1024))
    assert (status, "10485760 bytes" in text) == (413, True)
    assert hub.result("GET", "/")["name"]


def test_a_body_that_is_far_too_large_is_not_even_read(rig: Rig) -> None:
    raw = socket.create_connection(("127.0.0.1", rig.studio.port), timeout=30)
    raw.sendall(b"PUT /developer-token/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 999999999999\r\n\r\n")
    assert raw.recv(1000).startswith(b"HTTP/1.1 413")
    raw.close()


def test_a_stranger_with_a_large_body_is_turned_away_at_once(rig: Rig) -> None:
    raw = socket.create_connection(("127.0.0.1", rig.studio.port), timeout=30)
    raw.sendall(b"PUT /nope/slow HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n")
    assert raw.recv(1000).startswith(b"HTTP/1.1 404")
    raw.close()
