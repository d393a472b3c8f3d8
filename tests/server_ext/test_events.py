"""The websocket of events."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import websocket

from hubkernel.hub.events import EventBus
from tests.doors.fake import FakeServer
from tests.doors.serving import SITE_TOKEN, Serving


class Client:
    def __init__(self, served: Serving, query: str = "", **given: Any) -> None:
        url = f"{served.url.replace('http', 'ws', 1)}hubkernel/api/events{query}"
        header = given.pop("header", [f"Authorization: token {served.owner.token}"])
        self.socket = websocket.create_connection(url, header=header, timeout=10, http_no_proxy=["*"], **given)

    def next(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.socket.recv())
        return found

    def close(self) -> None:
        self.socket.close()
        self.socket.shutdown()  # which close() leaves out once the other side has closed


@pytest.fixture
def opened(served: Serving) -> Iterator[Any]:
    clients: list[Client] = []

    def open(query: str = "", **given: Any) -> Client:
        clients.append(Client(served, query, **given))
        return clients[-1]

    yield open
    for client in clients:
        client.close()


def test_the_first_frame_says_where_we_are(opened: Any, server: FakeServer, rest: httpx.Client) -> None:
    server.bus.publish("source", "a", "update")
    hello = opened().next()
    assert (hello["entity"], hello["op"], hello["seq"]) == ("bus", "hello", 1)
    assert hello["data"]["epoch"] == rest.get("hub").json()["epoch"]


def test_events_come_as_they_happen_to_all(opened: Any, server: FakeServer) -> None:
    clients = [opened() for _ in range(5)]
    for client in clients:
        client.next()
    for number in range(200):
        server.bus.publish("source", number, "update", {"n": number})
    for client in clients:
        assert [client.next()["id"] for _ in range(200)] == list(range(200))


def test_what_was_missed_is_replayed(opened: Any, server: FakeServer) -> None:
    for number in range(10):
        server.bus.publish("source", number, "update")
    client = opened("?since=7")
    assert [client.next()["seq"] for _ in range(4)] == [10, 8, 9, 10]
    server.bus.publish("source", "new", "update")
    assert client.next()["id"] == "new"


def test_numbers_of_another_hub_process_mean_nothing(opened: Any, server: FakeServer) -> None:
    for number in range(3):
        server.bus.publish("source", number, "update")
    client = opened("?since=1&epoch=another")
    assert client.next()["op"] == "hello"
    server.bus.publish("source", "new", "update")
    assert client.next()["id"] == "new"


def test_a_client_that_is_too_slow_is_told_what_it_missed(opened: Any, served: Serving, server: FakeServer) -> None:
    """Nothing is kept for it but the ring that all share."""
    client = opened()
    client.next()
    text = "x" * 100_000
    ring = server.bus._ring.maxlen
    assert ring is not None
    for number in range(ring // 100):
        server.bus.publish("source", number, "update", {"text": text})
    server.bus._ring.clear()  # as if a whole ring had passed
    for number in range(3):
        server.bus.publish("source", f"last {number}", "update")
    seen = [client.next()]
    while seen[-1]["id"] != "last 2":
        seen.append(client.next())
    gap = next(event for event in seen if event["op"] == "gap")
    assert gap["data"]["first"] == gap["seq"] + 1
    numbers = [event["seq"] for event in seen]
    assert numbers == sorted(numbers)


def test_a_plain_get_answers_with_what_there_is(rest: httpx.Client, server: FakeServer) -> None:
    for number in range(4):
        server.bus.publish("source", number, "update")
    found = rest.get("events?since=2").json()
    assert ([event["id"] for event in found["events"]], found["seq"]) == ([2, 3], 4)


def test_the_end_of_the_hub_is_told_after_its_last_event(
    opened: Any, served: Serving, server: FakeServer, rest: httpx.Client
) -> None:
    client = opened()
    client.next()
    rest.post("call/dump", json={"args": ["x"]})
    assert client.next()["op"] == "insert"
    server.shutdown()
    assert client.next()["data"]["state"] == "interrupted"
    opcode, data = client.socket.recv_data()
    assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 1001)


@pytest.mark.parametrize("header", [[], ["Authorization: token wrong"], ["Cookie: username-x=y"]])
def test_nobody_listens_without_a_good_token(opened: Any, header: list[str]) -> None:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        opened(header=header)
    assert caught.value.status_code == 403


def test_a_foreign_page_cannot_listen_with_the_cookie(opened: Any, served: Serving, nobody: httpx.Client) -> None:
    nobody.get("hub", headers={"Authorization": f"token {SITE_TOKEN}"})
    cookie = "; ".join(f"{name}={value}" for name, value in nobody.cookies.items())
    assert opened(header=[], cookie=cookie).next()["op"] == "hello"
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        opened(header=[], cookie=cookie, origin="http://evil.example")
    assert caught.value.status_code == 403


def test_what_a_client_says_changes_nothing(opened: Any, server: FakeServer) -> None:
    client = opened()
    client.next()
    client.socket.send("{}")
    client.socket.send_binary(b"\xff" * 1000)
    server.bus.publish("source", "still here", "update")
    assert client.next()["id"] == "still here"


def test_the_ring_is_all_that_is_kept() -> None:
    bus = EventBus(10)
    for number in range(100):
        bus.publish("source", number, "update")
    assert len(bus.since(0)) == 11
