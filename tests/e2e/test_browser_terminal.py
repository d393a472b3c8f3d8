"""The terminal in a real browser, of a real owner process."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Keys

from hubkernel import client
from hubkernel.hub.home import HubHome
from tests.doors.serving import SITE_TOKEN, serving
from tests.e2e.homes import add_slow_source, hpo_home
from tests.server_ext.owners import end, owner_of, until
from tests.services import ServiceMissingError, browser, missing

pytestmark = [pytest.mark.service, pytest.mark.xdist_group("owner processes")]


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[HubHome]:
    """A home with small plugins whose owner runs; it is gone afterwards."""
    home = hpo_home(tmp_path / "hub")
    add_slow_source(home)
    monkeypatch.setenv("HUBKERNEL_PLACEMENT", "attach")
    client.connect(home).about()
    yield home
    client.disconnect(home)
    end(home)


class Terminal:
    """The page as a person has it: keys go in, and text is read."""

    def __init__(self, chrome: Any, address: str) -> None:
        self.chrome = chrome
        chrome.get(address)
        until(lambda: self.text("link") == "connected", "the connection of the page")

    def text(self, id: str) -> str:
        return str(self.chrome.execute_script("return document.getElementById(arguments[0]).textContent", id))

    @property
    def line(self) -> str:
        return str(self.chrome.execute_script("return document.getElementById('line').value"))

    def keys(self, *keys: str) -> None:
        self.chrome.switch_to.active_element.send_keys(*keys)

    def type(self, line: str) -> None:
        self.keys(line, Keys.ENTER)

    def shows(self, *texts: str) -> None:
        until(lambda: all(text in self.text("output") for text in texts), f"{texts} in {self.text('output')!r}")

    def complaints(self) -> list[str]:
        """What the browser itself said: errors of the code, and what the policy forbids."""
        found = self.chrome.get_log("browser")
        return [entry["message"] for entry in found if entry["source"] != "network"]


@pytest.fixture
def chrome(tmp_path: Path) -> Iterator[Any]:
    try:
        with browser.opened(tmp_path / "profile") as chrome:
            yield chrome
    except ServiceMissingError as error:
        missing(error)


def address(home: HubHome, token: str = "") -> str:
    owner = owner_of(home)
    return f"{owner.url}hubkernel/terminal?token={token or owner.token}"


def test_a_person_works_in_it_with_the_keyboard(home: HubHome, chrome: Any) -> None:
    terminal = Terminal(chrome, address(home))
    assert "token" not in chrome.current_url
    until(lambda: str(home.root) in terminal.text("where"))

    terminal.type("status")
    terminal.shows("❯ status", "BioThings Hub", "running")

    terminal.keys("dump_a", Keys.TAB)
    until(lambda: terminal.line == "dump_all ")
    terminal.keys(Keys.CONTROL, "c", Keys.NULL)
    assert terminal.line == ""
    terminal.keys("dump hpo_terms chec", Keys.TAB)
    until(lambda: terminal.line == "dump hpo_terms check_only=")
    terminal.keys(Keys.CONTROL, "c", Keys.NULL)

    terminal.type("dump hpo_terms")
    terminal.shows("[1] done", "dump(src='hpo_terms')", "2025-01-16")
    terminal.type("dump?")
    terminal.shows("Dump one source; returns its release")
    terminal.type("dump(open('x'))")
    terminal.shows("^")
    terminal.type("nope <img src=x onerror=alert(1)>")
    terminal.shows("no command 'nope'")
    assert not chrome.find_elements("tag name", "img")

    terminal.keys(Keys.ARROW_UP, Keys.ARROW_UP, Keys.ARROW_UP)
    assert terminal.line == "dump?"
    terminal.keys(Keys.ARROW_DOWN, Keys.ARROW_DOWN, Keys.ARROW_DOWN)
    assert terminal.line == ""
    terminal.keys(Keys.CONTROL, "l", Keys.NULL)
    assert terminal.text("output") == ""
    assert not terminal.complaints()


def test_a_job_is_followed_and_cancelled(home: HubHome, chrome: Any) -> None:
    terminal = Terminal(chrome, address(home))
    terminal.type("dump slow")
    terminal.shows("[1] done")
    terminal.type("upload slow")
    terminal.shows("[2] running upload(src='slow')")
    job = client.connect(home).job(2)
    terminal.keys(Keys.CONTROL, "c", Keys.NULL)
    assert "Cancel job 2?" in terminal.text("prompt")
    terminal.type("n")
    assert "Cancel" not in terminal.text("prompt")
    assert job.state == "running"
    terminal.keys(Keys.CONTROL, "c", Keys.NULL)
    terminal.type("y")
    terminal.shows("job 2 is asked to end", "[2] cancelled")
    assert job.wait(60).state == "cancelled"
    assert not chrome.find_elements("tag name", "progress")
    assert not terminal.complaints()


def test_a_viewer_is_refused_by_the_hub(home: HubHome, chrome: Any) -> None:
    token = client.connect(home).call("create_token", "vera", "viewer")
    terminal = Terminal(chrome, address(home, token))
    until(lambda: "vera, viewer" in terminal.text("where"))
    terminal.type("sources")
    terminal.shows("hpo_terms")
    terminal.type("dump hpo_terms")
    terminal.shows("dump is for operators; you are viewer")
    assert client.connect(home).jobs() == []


def test_a_jupyter_server_that_only_attaches_has_it_too(home: HubHome, chrome: Any, tmp_path: Path) -> None:
    """Below a base url, and by the cookie of the site alone once the person has logged in."""
    with serving(tmp_path, base_url="/user/ann/") as site:
        site.use(client.connect(home))
        Terminal(chrome, f"{site.url}hubkernel/terminal?token={SITE_TOKEN}")
        terminal = Terminal(chrome, f"{site.url}hubkernel/terminal")
        terminal.type("dump hpo_terms && upload hpo_terms")
        terminal.shows("[1] done", "2025-01-16")
        terminal.type("count hpo_terms")
        terminal.shows("count hpo_terms60")
        assert not terminal.complaints()
        chrome.get("about:blank")
