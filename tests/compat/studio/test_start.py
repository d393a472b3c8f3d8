"""How Studio's server starts and ends with the hub."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import websocket

from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer


@pytest.fixture
def home(tmp_path: Path) -> HubHome:
    return HubHome(tmp_path / "home").create()


@pytest.fixture
def server(home: HubHome) -> Iterator[HubServer]:
    home.config_file.write_text("studio_port = 0\nskip_uploader_poll = true\n")
    server = HubServer.open(home)
    server.run_in_thread()
    yield server
    server.shutdown()


def test_a_named_token_opens_the_hub_until_it_is_revoked(server: HubServer) -> None:
    token = server.launch("create_token", "studio", role="operator")
    url = server.services.studio.url.replace("<token>", token)
    assert url.startswith("http://127.0.0.1:")
    assert httpx.get(url).json()["result"]["name"] == "BioThings Hub"
    assert httpx.put(f"{url}/config", json={"name": "HUB_NAME", "value": "x"}).status_code == 403
    server.launch("revoke_token", "studio")
    assert httpx.get(url).status_code == 404


def test_the_feature_is_on_where_there_is_a_port(server: HubServer) -> None:
    assert "studio" in server.features
    assert "studio" not in server.unavailable
    assert server.launch("status")["hub"]["studio"] == server.services.studio.url


def test_without_a_port_there_is_no_server(home: HubHome) -> None:
    server = HubServer.open(home)
    server.run_in_thread()
    try:
        assert server.services.studio is None
        assert "studio" not in server.features
    finally:
        server.shutdown()


def test_a_feature_without_a_port_says_what_is_missing(home: HubHome) -> None:
    server = HubServer.open(home, features=["job", "studio"])
    server.configure()
    try:
        assert server.unavailable["studio"] == "the setting studio_port has no value"
    finally:
        server.shutdown()


def test_the_end_of_the_hub_ends_all_of_it(home: HubHome) -> None:
    home.config_file.write_text("studio_port = 0\n")
    server = HubServer.open(home)
    server.run_in_thread()
    url = server.services.studio.url.replace("<token>", server.launch("create_token", "studio"))
    server.shutdown()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)
    assert not [thread.name for thread in threading.enumerate() if thread.name in ("studio", "studio-events")]


def test_core_c63_the_end_of_the_hub_is_told_before_the_connection_ends(server: HubServer) -> None:
    url = server.services.studio.url.replace("<token>", server.launch("create_token", "studio")).replace("http", "ws")
    connection = websocket.create_connection(f"{url}/ws/websocket", timeout=30, suppress_origin=True)
    connection.send('{"op": "ping"}')
    while "pong" not in connection.recv():
        pass
    server.shutdown()
    told = []
    with contextlib.suppress(websocket.WebSocketConnectionClosedException):
        while message := connection.recv():
            told.append(json.loads(message))
    connection.shutdown()
    alerts = [json.loads(item["data"]["msg"]) for item in told if item.get("obj") == "event"]
    assert alerts == [{"type": "alert", "msg": "Hub is stopping", "event": "hub_stop"}]


def test_a_port_that_is_taken_stops_the_start(server: HubServer, tmp_path: Path) -> None:
    other = HubHome(tmp_path / "other").create()
    other.config_file.write_text(f"studio_port = {server.services.studio.port}\n")
    second = HubServer.open(other)
    with pytest.raises(OSError, match=r"studio_port .* choose another"):
        second.run_in_thread()


def test_the_hub_knows_nothing_of_it_without_a_port(tmp_path: Path) -> None:
    code = """
import sys
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
server = HubServer.open(HubHome(__import__("pathlib").Path(sys.argv[1])).create())
server.run_in_thread()
server.shutdown()
print([name for name in sys.modules if name.startswith(("hubkernel.compat.studio", "tornado"))])
"""
    done = subprocess.run(
        [sys.executable, "-c", code, str(tmp_path / "bare")], capture_output=True, text=True, timeout=100, check=True
    )
    assert done.stdout.strip() == "[]"
