"""The page of the terminal: who gets it, what it may do, and the files that belong to it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import httpx
import pytest
from traitlets.config import Config

from hubkernel.server_ext.terminal import STATIC
from tests.doors.serving import SITE_TOKEN, serving
from tests.server_ext.rest.served import OwnHub, Served, serve

PAGE = "hubkernel/terminal"


@pytest.fixture
def stranger(served: Served) -> Iterator[httpx.Client]:
    """A browser that has no token."""
    with httpx.Client(base_url=served.url, timeout=30) as client:
        yield client


def test_the_page_is_served_and_may_only_use_its_own_server(served: Served) -> None:
    answer = served.client.get(PAGE)
    assert (answer.status_code, answer.headers["Content-Type"]) == (200, "text/html; charset=utf-8")
    assert answer.headers["Cache-Control"] == "no-store"
    policy = dict(rule.split(" ", 1) for rule in answer.headers["Content-Security-Policy"].split("; "))
    assert policy["default-src"] == policy["base-uri"] == policy["form-action"] == "'none'"
    assert policy["script-src"] == policy["style-src"] == policy["connect-src"] == "'self'"
    assert policy["frame-ancestors"] == "'self'"
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert served.token not in answer.text
    for inline in (r"<script(?![^>]*\ssrc=)", r"<style", r"\sstyle=", r"\son\w+=", r"https?://"):
        assert not re.search(inline, answer.text), inline


def test_its_files_are_there_for_everybody(served: Served, stranger: httpx.Client) -> None:
    for file in STATIC.iterdir():
        answer = stranger.get(f"{PAGE}/{file.name}")
        assert answer.content == file.read_bytes()
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert (
            answer.headers["Content-Type"]
            .partition(";")[0]
            .endswith({".js": "/javascript", ".css": "/css"}[file.suffix])
        )
    linked = re.findall(r'(?:src|href)="(terminal/[^"]+)"', served.client.get(PAGE).text)
    assert len(linked) == 2
    assert all(stranger.get(f"hubkernel/{path}").status_code == 200 for path in linked)


@pytest.mark.parametrize("path", ["../app.py", "%2e%2e/app.py", "..%2Fterminal.html", "%2Fetc%2Fpasswd", "x.js"])
def test_no_other_files_are(served: Served, path: str) -> None:
    asking = HTTPConnection("127.0.0.1", served.serverapp.port, timeout=30)  # which leaves the path as it is
    asking.request("GET", f"/{PAGE}/{path}")
    assert asking.getresponse().status in (403, 404)
    asking.close()


def test_no_data_gets_into_the_page_as_markup() -> None:
    code = "".join(file.read_text() for file in STATIC.glob("*.js"))
    for way in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "Function(", "DOMParser"):
        assert way not in code


def test_an_owner_process_tells_nobody(served: Served, stranger: httpx.Client) -> None:
    for query in ("", "?token=wrong"):
        answer = stranger.get(f"{PAGE}{query}")
        assert (answer.status_code, answer.text) == (403, "a token is needed: hubkernel url shows it\n")
    assert stranger.get(f"{PAGE}?token={served.token}").status_code == 200


def test_it_is_read_only(served: Served) -> None:
    assert served.client.post(PAGE).status_code == 405


def test_without_the_feature_there_is_no_page(tmp_path: Path) -> None:
    features = ["job", "config", "dump", "upload", "dataplugin", "source", "ws"]
    with serve(tmp_path / "home", lambda home: OwnHub.open(home, features=features)) as served:
        answer = served.client.get(PAGE)
    assert (answer.status_code, answer.text) == (404, "this hub does not have the feature 'terminal'\n")


def test_a_jupyter_server_lets_its_own_users_log_in_first(tmp_path: Path) -> None:
    """Below a base url, to a hub that another server has; with the cookie of the site, and its XSRF token."""
    with serve(tmp_path / "owner") as owner, serving(tmp_path, Config(), "/user/ann/") as site:
        site.use(owner.hub)
        with httpx.Client(base_url=site.url, timeout=30) as browser:
            answer = browser.get(PAGE)
            assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/user/ann/login")
            assert browser.get(PAGE, params={"token": SITE_TOKEN}).status_code == 200
            assert browser.get(PAGE).status_code == 200
            line = {"args": ["typed 4"]}
            assert browser.post("hubkernel/api/call/run", json=line).status_code == 403
            xsrf = {"X-XSRFToken": browser.cookies["_xsrf"]}
            answer = browser.post("hubkernel/api/call/run", json=line, headers=xsrf)
            assert answer.json() == {"result": [4, False, None]}


@pytest.mark.filterwarnings("ignore:Extension endpoints without:Warning")
def test_so_does_one_that_is_closed_to_all_others(tmp_path: Path) -> None:
    config = Config()
    config.ServerApp.allow_unauthenticated_access = False
    with serving(tmp_path, config) as site, httpx.Client(base_url=site.url, timeout=30) as browser:
        answer = browser.get(PAGE)
        assert (answer.status_code, answer.headers["Location"].partition("?")[0]) == (302, "/login")
        assert browser.get(f"{PAGE}/terminal.js").status_code == 200
