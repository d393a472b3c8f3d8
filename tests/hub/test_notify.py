"""Notifications, to real receivers on loopback, and to ones that are dead, slow, or say no."""

from __future__ import annotations

import hashlib
import hmac
import json
import logging
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from hubkernel.hub import notify
from hubkernel.hub.home import HubHome
from hubkernel.hub.notify import PAUSES, Receiver, Reply, post
from hubkernel.hub.server import HubServer
from tests.hub.test_server import done, plugin, wait_until


class Web:
    """Takes POSTs on loopback; answers with the next of ``answers``, or 204."""

    def __init__(self) -> None:
        self.got: list[tuple[str, dict[str, str], bytes]] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        web = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args: Any) -> None:
                pass

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                web.got.append((self.path, {name.lower(): value for name, value in self.headers.items()}, body))
                status, headers = web.answers.pop(0) if web.answers else (204, {})
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", "0")
                self.end_headers()

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}{path}"

    def messages(self, path: str) -> list[dict[str, Any]]:
        return [json.loads(body) for got, _, body in self.got if got == path]

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    web = Web()
    yield web
    web.close()


Open = Callable[..., HubServer]


@pytest.fixture
def open_hub(home: HubHome) -> Iterator[Open]:
    made: list[HubServer] = []

    def start(**settings: Any) -> HubServer:
        tables = {name: value for name, value in settings.items() if isinstance(value, dict)}
        lines = [f"{name} = {json.dumps(value)}" for name, value in settings.items() if name not in tables]
        for name, table in tables.items():
            lines += [f"[{name}]", *(f"{key} = {json.dumps(value)}" for key, value in table.items())]
        home.config_file.write_text("\n".join(lines))
        made.append(HubServer.open(home))
        made[-1].run_in_thread()
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


def events(web: Web, path: str) -> list[str]:
    return [message["event"] for message in web.messages(path)]


def test_a_failed_job_is_told(open_hub: Open, home: HubHome, web: Web) -> None:
    plugin(home, "colors", {"1": "red"})
    server = open_hub(
        notify_webhooks={"pager": web.url("/hook")}, slack_webhook=web.url("/slack"), slack_mentions=["<!here>"]
    )
    done(server, "dump", "colors")
    (home.plugins / "colors" / "parser.py").write_text(
        "def load(folder):\n    raise ValueError('no luck')\n    yield\n"
    )
    with pytest.raises(Exception, match="no luck"):
        done(server, "upload", "colors")
    wait_until(lambda: len(web.got) == 4)
    server.shutdown()
    assert events(web, "/hook") == ["hub.start", "job.failed", "hub.stop"]
    message = web.messages("/hook")[1]
    assert (message["level"], message["hub"]) == ("error", "BioThings Hub")
    assert message["text"].startswith("job 2 upload(src='colors') failed: ") and "no luck" in message["text"]
    assert (message["data"]["id"], message["data"]["source"]) == (2, "colors")
    slack = web.messages("/slack")[1]
    assert slack["text"].startswith("<!here> *BioThings Hub*: job 2 upload(src='colors') failed: ")
    assert {field["title"] for field in slack["attachments"][0]["fields"]} >= {"command", "source", "error"}
    assert "<!here>" not in web.messages("/slack")[0]["text"]
    headers = next(headers for path, headers, _ in web.got if path == "/hook")
    assert (headers["x-hubkernel-event"], headers["content-type"]) == ("hub.start", "application/json")


def test_which_events_is_a_setting(open_hub: Open, web: Web) -> None:
    server = open_hub(notify_webhooks={"all": web.url("/hook")}, notify_events=["schedule.*", "upgrade.*", "log.error"])
    server.bus.publish("schedule", "dump:x", "failed", {"error": "no luck"})
    server.bus.publish("upgrade", "hubkernel", "available", {"latest": "9.0"})
    logging.getLogger("mine").warning("not this", extra={"notify": True})
    logging.getLogger("mine").error("but mongodb://ann:hunter2@host", extra={"notify": True})
    wait_until(lambda: len(web.got) == 3)
    assert [message["text"] for message in web.messages("/hook")] == [
        "schedule dump:x failed: no luck",
        "hubkernel 9.0 is available",
        "but mongodb://ann:********@host",
    ]
    done(server, "setconf", "notify_events", ["notify"])
    assert done(server, "notify", "hello") is True
    server.shutdown()
    assert events(web, "/hook")[3:] == ["notify"]


def test_webhooks_are_signed(open_hub: Open, web: Web) -> None:
    server = open_hub(notify_webhooks={"pager": web.url("/hook")}, notify_secret="planted-key")
    wait_until(lambda: len(web.got) == 1)
    _, headers, body = web.got[0]
    signed = headers["x-hubkernel-timestamp"].encode() + b"." + body
    expected = hmac.new(b"planted-key", signed, hashlib.sha256).hexdigest()
    assert headers["x-hubkernel-signature"] == f"sha256={expected}"
    assert b"planted-key" not in body
    assert "planted-key" not in json.dumps(done(server, "config"))


def test_a_hook_may_change_or_withhold_it(open_hub: Open, home: HubHome, web: Web) -> None:
    home.hooks.mkdir()
    (home.hooks / "tell.py").write_text(
        "def notification(message):\n"
        "    if message['text'] == 'secret':\n        return False\n"
        "    if message['text'] == 'loud':\n        return {**message, 'text': 'LOUD'}\n"
    )
    server = open_hub(notify_webhooks={"pager": web.url("/hook")}, notify_events=["notify"])
    assert [done(server, "notify", text) for text in ("secret", "loud", "plain")] == [False, True, True]
    server.shutdown()
    assert [message["text"] for message in web.messages("/hook")] == ["LOUD", "plain"]


def test_a_dead_receiver_holds_up_nothing(
    open_hub: Open, home: HubHome, web: Web, monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin(home, "colors", {"1": "red"})
    gate = threading.Event()
    refused: list[str] = []

    def dead(url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        if url.endswith("/dead"):
            refused.append(url)
            gate.wait(60)
            raise OSError("connection refused")
        return post(url, body, headers)

    monkeypatch.setattr(notify.Notifier.__init__, "__defaults__", (dead,))
    server = open_hub(
        notify_webhooks={"dead": "http://127.0.0.1:1/dead", "alive": web.url("/hook")}, notify_events=["job.*"]
    )
    for _ in range(3):
        done(server, "dump", "colors", force=True)
    wait_until(lambda: len(web.got) == 3 and len(refused) == 1)
    assert [job.state for job in server.jobs.list()] == ["done"] * 3

    def counts() -> tuple[int, int, int]:
        status = done(server, "status")["hub"]["notifications"]
        return status["alive"]["sent"], status["dead"]["sent"], status["dead"]["waiting"]

    wait_until(lambda: counts() == (3, 0, 3))  # what has arrived is counted when its answer is read
    gate.set()
    server.shutdown()


def test_a_secret_url_is_shown_nowhere(
    open_hub: Open, home: HubHome, web: Web, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    server = open_hub(slack_webhook=web.url("/services/planted"), notify_webhooks={"x": "http://127.0.0.1:1/planted"})
    wait_until(lambda: done(server, "status")["hub"]["notifications"]["slack"]["sent"] == 1)
    wait_until(lambda: done(server, "status")["hub"]["notifications"]["x"]["error"] != "")
    shown = json.dumps([done(server, "status"), done(server, "config")], default=str)
    server.shutdown()
    assert "planted" not in shown + (home.logs / "hub.log").read_text() + repr(server.config)
    assert not [record for record in caplog.records if record.name == "httpx"]
    assert "planted" not in caplog.text


# One receiver.


class Answers:
    """Answers as told; remembers deliveries and pauses."""

    def __init__(self, *answers: Reply | OSError) -> None:
        self.answers = list(answers)
        self.ids: list[str] = []
        self.pauses: list[float] = []
        self.receiver = Receiver("r", "http://x", lambda message: ({}, message), self.post, pause=self.pause)

    def post(self, url: str, body: bytes, headers: Mapping[str, str]) -> Reply:
        self.ids.append(headers["X-Hubkernel-Delivery"])
        answer = self.answers.pop(0) if self.answers else Reply(200)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        return False

    def deliver(self, *texts: str) -> dict[str, Any]:
        for text in texts:
            self.receiver.put({"text": text})
        wait_until(lambda: not self.receiver.status()["waiting"])
        self.receiver.close()
        return self.receiver.status()


def test_it_is_tried_again_with_growing_pauses() -> None:
    web = Answers(OSError("refused"), Reply(503), Reply(429, retry_after=20.0), Reply(200))
    status = web.deliver("x")
    assert (status["sent"], status["given_up"], status["error"]) == (1, 0, "")
    assert web.pauses == [1.0, 5.0, 30.0]
    assert len(set(web.ids)) == 1, "a receiver can tell a repetition"


def test_a_receiver_says_when_to_come_again() -> None:
    web = Answers(Reply(429, retry_after=20.0), Reply(503, retry_after=99_999.0))
    web.deliver("x")
    assert web.pauses == [20.0, PAUSES[-1]]


def test_it_is_given_up_in_the_end(caplog: pytest.LogCaptureFixture) -> None:
    web = Answers(*[OSError("refused")] * 6)
    status = web.deliver("x", "y")
    assert (status["sent"], status["given_up"]) == (1, 1)
    assert web.pauses == list(PAUSES)
    assert "is given up for r: refused" in caplog.text


@pytest.mark.parametrize("code", [301, 400, 401, 404, 410])
def test_a_refusal_is_not_repeated(code: int) -> None:
    web = Answers(Reply(code))
    status = web.deliver("x")
    assert (status["given_up"], status["error"], web.pauses) == (1, f"HTTP {code}", [])


def test_the_oldest_is_dropped_when_too_many_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(notify, "QUEUE", 2)
    web = Answers()
    begun, gate = threading.Event(), threading.Event()
    answer = web.receiver.post

    def slow(*args: Any) -> Reply:
        begun.set()
        gate.wait(30)
        return answer(*args)

    web.receiver.post = slow
    web.receiver.put({"text": "first"})
    assert begun.wait(30)
    for text in ("second", "third", "fourth"):
        web.receiver.put({"text": text})
    gate.set()
    web.receiver.close()
    assert (web.receiver.status()["sent"], web.receiver.status()["dropped"]) == (3, 2)


def test_what_waits_is_tried_once_more_at_the_end() -> None:
    web = Answers(OSError("refused"), OSError("refused"))
    paused = threading.Event()
    web.receiver.pause = lambda seconds: paused.set() or web.receiver._ending.wait(30)  # type: ignore[func-returns-value]
    web.receiver.put({"text": "x"})
    assert paused.wait(30)
    web.receiver.close(30)
    assert len(web.ids) == 2
    assert web.receiver.status()["given_up"] == 1
