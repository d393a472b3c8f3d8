"""The terminal in the browser, and what the websocket shows."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import pytest

from tests.server_ext.rest.served import Served, serve
from tests.server_ext.rest.test_endpoints import error

Next = Callable[[], dict[str, Any]]


def shown(following: Next, *, until: str = "output") -> list[tuple[str, str]]:
    """What the terminal shows, up to a kind of event."""
    lines: list[tuple[str, str]] = []
    while not lines or lines[-1][0] != until:
        event = following()
        if event["entity"] == "shell":
            lines.append((event["op"], event["data"]["text"]))
    return lines


def test_core_c48_a_line_is_run_and_shown(served: Served) -> None:
    with served.events() as following:
        assert served.put("shell", {"cmd": "typed(3, dry_run=True)"}).status_code == 200
        assert shown(following) == [("input", "typed(3, dry_run=True)"), ("output", "[3, True, None]\n")]
        assert served.put("shell", {"cmd": "typed 4"}).status_code == 200
        assert shown(following) == [("input", "typed 4"), ("output", "[4, False, None]\n")]


def test_core_c48_what_is_no_command_is_refused(served: Served) -> None:
    assert "no command 'nope'" in error(served.put("shell", {"cmd": "nope()"}), 404)["error"]
    assert "Command not allowed: 1+1" in error(served.put("shell", {"cmd": "1+1"}), 403)["error"]
    assert served.put("shell", {"cmd": ""}).status_code == 200
    error(served.put("shell", {}), 400)
    error(served.put("shell", {"cmd": 5}), 400)
    error(served.put("shell", content=b"{nope"), 400)
    assert "'count' takes" in error(served.put("shell", {"cmd": "typed('x')"}), 400)["error"]
    assert "oops" in error(served.put("shell", {"cmd": "bug()"}), 400)["error"]


def test_core_c48_a_name_that_is_no_command_is_unknown(tmp_path: Any) -> None:
    hooks = tmp_path / "home" / "hooks"
    hooks.mkdir(parents=True)
    (hooks / "hello.py").write_text("from os.path import join\n_private = join\nnumber = 5\n")
    with serve(tmp_path / "home") as served:
        assert {"join", "number"} <= set(served.server.namespace)
        for line in ("number()", "join('a', 'b')", "_private('a')", "jm()", "hub()", "__import__('os')"):
            error(served.put("shell", {"cmd": line}), 404)


def test_the_end_of_a_job_is_shown(served: Served) -> None:
    with served.events() as following:
        served.put("shell", {"cmd": "boom()"})
        lines = shown(following)
        assert lines[0] == ("input", "boom()")
        id = int(lines[1][1][1:].partition("]")[0])
        assert lines[1] == ("output", f"[{id}] RUN boom()\n")
        ((_, end),) = shown(following)
        assert end.startswith(f"[{id}] ERR {{")
        assert end.endswith("} boom(): finished ['kaboom']\n")


def test_a_chain_is_one_job(served: Served) -> None:
    served.server.go.set()
    with served.events() as following:
        served.put("shell", {"cmd": "slow(1) && slow(2)"})
        assert shown(following)[1][1].endswith("RUN slow(n=1) && slow(n=2)\n")
        assert shown(following)[0][1].endswith("slow(n=1) && slow(n=2): finished ['done', 'done']\n")


def test_the_echo_goes_to_its_own_user_only(served: Served) -> None:
    with served.events(X_Hubkernel_User="ann") as ann, served.events(X_Hubkernel_User="bob") as bob:
        since = served.server.bus.last
        for name in ("ann", "bob"):
            served.put("shell", {"cmd": f"kw('{name}')"}, headers={"X-Hubkernel-User": name})
        for name, following in (("ann", ann), ("bob", bob)):
            lines = shown(following)
            assert lines[0] == ("input", f"kw('{name}')")
            assert name in lines[1][1]
        served.server.bus.publish("source", "last", "update")
        for following in (ann, bob):
            assert following()["id"] == "last"
    with served.events(since, X_Hubkernel_User="bob") as replayed:
        assert "ann" not in str(shown(replayed))


def test_what_is_replayed_to_a_plain_request_is_the_users_own_too(served: Served) -> None:
    since = served.server.bus.last
    served.put("shell", {"cmd": "kw('ann')"}, headers={"X-Hubkernel-User": "ann"})
    headers = {"X-Hubkernel-User": "bob"}
    for path in (f"events?since={since}",):
        assert "ann" not in served.request("GET", path, headers=headers).text


def test_core_c61_each_change_is_one_event_after_its_commit(served: Served) -> None:
    with served.events() as following:
        id = served.put("boom").json()["result"]["id"]
        ops = []
        while not ops or ops[-1] != ("update", "failed"):
            event = following()
            assert (event["entity"], event["id"]) == ("job", id)
            ops.append((event["op"], event["data"]["state"]))
        assert ops == [("insert", "created"), ("update", "running"), ("update", "failed")]
        assert served.put("config", {"name": "hub_name", "value": "Other"}).status_code == 200
        event = following()
        assert (event["entity"], event["id"]) == ("config", "hub_name")
        served.delete("config", {"name": "hub_name"})
        while (event := following())["entity"] == "job":
            pass
        assert (event["entity"], event["id"], event["op"]) == ("config", "hub_name", "delete")


def test_core_c64_nobody_listening_is_no_error(tmp_path: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING), serve(tmp_path / "home") as served:
        served.put("config", {"name": "hub_name", "value": "Other"})
        served.post("buildconf", {"name": "r", "doc_type": "t", "sources": ["none"]})
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]
