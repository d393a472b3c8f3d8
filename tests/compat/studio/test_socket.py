"""The websocket: pings, changes, logs, the terminal, the end."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from datetime import datetime
from typing import Any

import pytest
import websocket

from hubkernel.compat.studio import feed as feeds
from hubkernel.compat.studio import shapes
from hubkernel.hub.commands import Role
from tests.compat.studio.conftest import TIMEOUT, Rig, Session, Socket, Whose


def changes(messages: list[Any], obj: str) -> list[dict[str, Any]]:
    return [message for message in messages if message.get("obj") == obj]


def test_core_c60_a_ping_gets_a_pong_with_and_without_sockjs(hub: Session) -> None:
    raw = hub.socket()
    raw.send({"op": "ping"})
    assert raw.receive() == {"op": "pong"}
    framed = hub.socket("/ws/123/abcdef/websocket")
    assert framed.connection.recv() == "o"
    framed.send(json.dumps([json.dumps({"op": "ping"})]))
    assert framed.connection.recv() == 'a[{"op":"pong"}]'


@pytest.mark.parametrize(
    ("sent", "reply"),
    [
        ("hello", "malformed json message: hello"),
        ('{"no":"op"}', 'malformed socket message: {"no": "op"}'),
        ("5", "malformed socket message: 5"),
        ("[" * 50_000, "malformed json message: " + "[" * 200),
    ],
)
def test_core_c60_malformed_messages_are_told_and_end_the_session(hub: Session, sent: str, reply: str) -> None:
    raw = hub.socket()
    raw.send(sent)
    assert raw.receive() == {"error": reply}
    with pytest.raises(websocket.WebSocketConnectionClosedException):
        while True:
            raw.connection.recv_data_frame(control_frame=False)
    framed = hub.socket("/ws/123/abcdef/websocket")
    assert framed.connection.recv() == "o"
    framed.send(json.dumps([sent]))
    assert json.loads(framed.connection.recv()[1:]) == [{"error": reply}]
    assert framed.connection.recv() == 'c[3000,"Go away!"]'


def test_other_operations_are_ignored(hub: Session) -> None:
    raw = hub.socket()
    raw.send({"op": "subscribe"})
    raw.send({"op": "ping"})
    assert raw.receive() == {"op": "pong"}


@pytest.mark.parametrize("frame", ["{", "[1]"])
def test_a_broken_frame_ends_the_connection(hub: Session, frame: str) -> None:
    framed = hub.socket("/ws/123/abcdef/websocket")
    assert framed.connection.recv() == "o"
    framed.send(frame)
    opcode, data = framed.connection.recv_data()
    assert (opcode, int.from_bytes(data[:2], "big")) == (websocket.ABNF.OPCODE_CLOSE, 1002)


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"x" * 100_000])
def test_bytes_and_huge_frames_end_the_connection_only(hub: Session, payload: bytes) -> None:
    raw = hub.socket().ready()
    raw.connection.send_binary(payload)
    try:
        opcode, _ = raw.connection.recv_data()
        assert opcode == websocket.ABNF.OPCODE_CLOSE
    except ConnectionError:
        pass  # what was not read of a huge frame resets the connection
    hub.socket().ready()


def test_core_c61_each_change_is_told_once(rig: Rig, hub: Session) -> None:
    socket = hub.socket().ready()
    launched = hub.result("PUT", "/slow", json={"n": 61})
    told = socket.until(lambda message: message.get("op") == "insert_one")
    assert changes(told, "command") == [{"_id": launched["id"], "obj": "command", "op": "insert_one"}]
    rig.server.blocked.set()
    hub.finished(launched)
    socket.send({"op": "ping"})
    rest = changes(socket.until(lambda message: message == {"op": "pong"}), "command")
    assert all(item == {"_id": launched["id"], "obj": "command", "op": "update_one"} for item in rest)
    assert len(rest) == 2  # it runs, it is done


def test_core_c61_a_setting_is_told_by_its_old_name(fresh_rig: Rig) -> None:
    hub = fresh_rig.session()
    socket = hub.socket().ready()
    hub.result("PUT", "/config", json={"name": "HUB_NAME", "value": '"Mine"'})
    told = socket.until(lambda message: message.get("obj") == "config")
    assert told[-1]["_id"] == "HUB_NAME"


def test_a_gap_in_the_events_means_that_everything_may_have_changed(rig: Rig, hub: Session) -> None:
    socket = hub.socket().ready()
    rig.server.bus.publish("bus", None, "dispatched")
    rig.server.bus.publish("bus", None, "gap", {"after": 1, "first": 5})
    told = socket.until(lambda message: message.get("obj") == "command")
    assert [message["obj"] for message in told if "obj" in message] == list(shapes.ENTITIES)


def test_core_c62_log_records_are_shown(hub: Session) -> None:
    socket = hub.socket().ready()
    logging.getLogger("hub").info("x")
    (record,) = socket.until(lambda message: message.get("op") == "log" and message["logger"] == "hub")[-1:]
    assert record.keys() == {"_id", "op", "msg", "logger", "level", "ts"}
    assert (record["msg"], record["level"]) == ("x", "INFO")
    assert isinstance(record["_id"], int)
    datetime.fromisoformat(record["ts"])


def test_a_viewer_sees_no_logs(rig: Rig) -> None:
    viewer, operator = rig.session("viewer-token").socket().ready(), rig.session("operator-token").socket().ready()
    logging.getLogger("hub").warning("only for operators")
    operator.until(lambda message: message.get("msg") == "only for operators")
    viewer.send({"op": "ping"})
    assert not [m for m in viewer.until(lambda message: message == {"op": "pong"}) if m.get("op") == "log"]


def test_secrets_are_not_shown(hub: Session) -> None:
    socket = hub.socket().ready()
    logging.getLogger("hub").warning("connecting to %s", "mongodb://user:planted-password@host/db")
    (record,) = socket.until(lambda message: message.get("op") == "log")[-1:]
    assert record["msg"] == "connecting to mongodb://user:********@host/db"


def test_core_c63_all_clients_hear_that_the_hub_stops(fresh_rig: Rig) -> None:
    hub = fresh_rig.session()
    raw, framed = hub.socket().ready(), hub.socket("/ws/123/abcdef/websocket")
    assert framed.connection.recv() == "o"
    fresh_rig.studio.close()
    told = raw.until(lambda message: message.get("obj") == "event")[-1]
    assert told["data"]["level"] == "CRITICAL"
    assert json.loads(told["data"]["msg"]) == {"type": "alert", "msg": "Hub is stopping", "event": "hub_stop"}
    frames = []
    while not frames or not frames[-1].startswith("c"):
        frames.append(framed.connection.recv())
    assert frames[-1] == 'c[3000,"Go away!"]'
    assert "hub_stop" in frames[-2]


@pytest.mark.parametrize(("name", "text"), [("hub_stop", "Hub is stopping"), ("hub_restart", "Hub is restarting")])
def test_core_c63_what_ends_the_hub_is_told_once(fresh_rig: Rig, name: str, text: str) -> None:
    raw = fresh_rig.session().socket().ready()
    fresh_rig.server.alerts.alert(name, text)
    told = raw.until(lambda message: message.get("obj") == "event")[-1]
    assert json.loads(told["data"]["msg"]) == {"type": "alert", "msg": text, "event": name}
    fresh_rig.studio.close()
    rest = []
    with contextlib.suppress(websocket.WebSocketConnectionClosedException):
        while message := raw.connection.recv():
            rest.append(message)
    assert not [item for item in rest if "alert" in item]


def test_core_c64_without_clients_nothing_is_logged(rig: Rig, hub: Session, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        hub.run("PUT", "/boom", {"n": 64})
        hub.run("PUT", "/source/mvcgi/dump")
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
    assert not [record for record in caplog.records if "studio" in record.name and record.name != feeds.ACCESS]


def test_clients_that_come_and_go_are_forgotten(rig: Rig, hub: Session) -> None:
    sockets = [hub.socket().ready() for _ in range(5)]
    assert len(rig.studio.feed) == 5
    for socket in sockets:
        socket.connection.close()
    listener = rig.session().socket().ready()
    while len(rig.studio.feed) > 1:
        listener.ready()


def test_a_slow_client_costs_a_bounded_number_of_messages_and_is_told(rig: Rig, hub: Session) -> None:
    slow = hub.socket().ready()
    number = rig.studio._thread.run(flood(rig.studio.feed), TIMEOUT)
    told = slow.until(lambda message: "too slowly" in str(message.get("msg")))
    assert len(told) < number
    assert slow.receive() == {"obj": "source", "op": "update"}


async def flood(feed: feeds.Feed) -> int:
    """Log, on the feed's own loop, until a client has lost something."""
    for number in range(200_000):
        feed.logged("hub", "INFO", "y" * feeds.LONGEST)
        waiting = [text for client in feed._clients for text in client.outbox._waiting]
        assert len(waiting) <= feeds.WAITING * len(feed)
        if any("too slowly" in text for text in waiting):
            return number
        await asyncio.sleep(0)
    raise AssertionError("nothing was lost")


@pytest.fixture
def valid(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> dict[str, Whose]:
    """The tokens there are, looked at again after a moment."""
    monkeypatch.setattr("hubkernel.compat.studio.sockets.HEARTBEAT", 0.05)
    tokens = {"developer-token": Whose("ada", Role.developer)}
    monkeypatch.setattr(rig.studio.context, "check", tokens.get)
    return tokens


def test_a_token_that_is_revoked_ends_its_connections(valid: dict[str, Whose], hub: Session) -> None:
    framed = hub.socket("/ws/123/abcdef/websocket")
    assert framed.connection.recv() == "o"
    assert framed.connection.recv() == "h"
    valid.clear()
    while (frame := framed.connection.recv()) == "h":
        pass
    assert frame == 'c[3000,"Go away!"]'


def test_so_it_does_where_messages_never_cease(rig: Rig, valid: dict[str, Whose], hub: Session) -> None:
    raw = hub.socket().ready()
    valid.clear()
    rig.studio.feed.from_thread(rig.studio.feed.logged, "hub", "INFO", "x")
    with contextlib.suppress(websocket.WebSocketConnectionClosedException, ConnectionError):
        while raw.connection.recv():  # until the hub ends it
            rig.studio.feed.from_thread(rig.studio.feed.logged, "hub", "INFO", "x")
    hub.error("GET", "/status")


# The terminal.


def shell_lines(socket: Socket, count: int) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    while len(found) < count:
        message = socket.receive()
        if message.get("op") == "shell":
            found.append((message["type"], message["cmd"]))
    return found


def test_core_c48_a_command_echoes_and_answers_over_the_websocket(hub: Session) -> None:
    socket = hub.socket().ready()
    answer = hub.put("/shell", {"cmd": "kw(5, b='x')"})
    assert (answer.status_code, answer.content) == (200, b"")
    assert shell_lines(socket, 2) == [("input", "kw(5, b='x')"), ("output", "{'a': 5, 'b': 'x', 'kwargs': {}}")]


def test_endless_output_is_cut(rig: Rig, hub: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    socket = hub.socket().ready()
    hub.put("/shell", {"cmd": f"kw('{'z' * 200_000}')"})
    typed, said = shell_lines(socket, 2)
    assert all(len(line) < feeds.LONGEST_OUTPUT + 100 for _, line in (typed, said))
    assert said[1].endswith("more characters)")


@pytest.mark.parametrize(
    ("body", "status", "error"),
    [
        ({"cmd": "nope()"}, 404, "HTTP 404: No such command: nope"),
        ({"cmd": "hello()"}, 404, "HTTP 404: No such command: hello"),
        ({"cmd": "1+1"}, 403, "HTTP 403: Command not allowed: 1+1"),
        ({"cmd": "__import__('os').system('id')"}, 403, "HTTP 403: Command not allowed: __import__('os').system('id')"),
        ({"cmd": "kw(open('/etc/passwd'))"}, 403, "HTTP 403: Command not allowed: kw(open('/etc/passwd'))"),
        ({"cmd": "status() && status()"}, 403, "HTTP 403: Command not allowed: status() && status()"),
        ({"cmd": "refuses()"}, 400, "HTTP 400: Error: x"),
        ({"cmd": "refuses(1)"}, 400, "HTTP 400: Error: refuses: too many positional arguments; it is refuses()"),
        ({}, 400, "Missing argument cmd"),
        ({"cmd": 5}, 400, "Missing argument cmd"),
    ],
)
def test_core_c48_other_lines_are_refused(
    hub: Session, body: dict[str, Any], status: int, error: str, rig: Rig
) -> None:
    rig.server.namespace["hello"] = lambda: "of a hook"
    assert hub.error("PUT", "/shell", json=body) == (status, error)


def test_core_c48_an_empty_line_is_enter(hub: Session) -> None:
    assert hub.put("/shell", {"cmd": ""}).status_code == 200
    assert hub.error("PUT", "/shell", content=b"{")[1].startswith("Invalid JSON payload")


def test_core_c49_a_job_is_shown_while_it_runs_and_when_it_ends(rig: Rig, hub: Session) -> None:
    socket = hub.socket().ready()
    hub.put("/shell", {"cmd": "slow(2)"})
    (typed, started) = shell_lines(socket, 2)
    assert typed == ("input", "slow(2)")
    assert started[1].endswith("slow(n=2)")
    hub.put("/shell", {"cmd": ""})
    (entered,) = shell_lines(socket, 1)
    assert " RUN {" in entered[1]
    rig.server.blocked.set()
    (ended,) = shell_lines(socket, 1)
    assert ended[1].startswith(entered[1].partition(" RUN")[0])
    assert " OK {" in ended[1]
    assert ended[1].endswith("slow(n=2): finished \ndone ")
    hub.put("/shell", {"cmd": "boom(1)"})
    failed = shell_lines(socket, 3)[-1][1]
    assert " ERR {" in failed
    assert failed.endswith("boom(n=1): finished ['RuntimeError: kaboom'] ")


def test_core_c56_what_a_user_types_is_for_that_user_only(rig: Rig) -> None:
    mine, others = rig.session("operator-token"), rig.session("other-token")
    me, other, viewer = mine.socket().ready(), others.socket().ready(), rig.session("viewer-token").socket().ready()
    mine.put("/shell", {"cmd": "secret_line('mine')"})
    assert shell_lines(me, 1) == [("input", "secret_line('mine')")]
    for socket in (other, viewer):
        socket.send({"op": "ping"})
        heard = socket.until(lambda message: message == {"op": "pong"})
        assert not [message for message in heard if message.get("op") == "shell"]


def test_every_command_in_the_terminal_needs_its_role(rig: Rig) -> None:
    assert rig.session("viewer-token").error("PUT", "/shell", json={"cmd": "status()"})[0] == 403
    status, text = rig.session("operator-token").error("PUT", "/shell", json={"cmd": "setconf('hub_name', 'x')"})
    assert status == 403
    assert "developer" in text
