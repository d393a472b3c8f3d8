"""A real hub with a dummy source, served to Studio; and what a Studio does with it."""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import pytest
import websocket

from hubkernel.compat.studio.server import Studio, start_studio
from hubkernel.hub.commands import CommandDefinition, Role
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer

ORIGIN = "http://studio.example"
TIMEOUT = 30.0
ROWS = {"1": "red", "2": "green", "3": "blue"}
PARSER = """
import csv
from pathlib import Path

def load(folder):
    with Path(folder, "data.csv").open() as file:
        for row in csv.DictReader(file):
            yield {"_id": row["id"], "color": {"label": row["label"]}}
"""


@dataclass(frozen=True)
class Whose:
    name: str
    role: Role


TOKENS = {
    "developer-token": Whose("ada", Role.developer),
    "operator-token": Whose("olga", Role.operator),
    "viewer-token": Whose("vera", Role.viewer),
    "other-token": Whose("otto", Role.operator),
}


class DummyHub(HubServer):
    """Commands that do what the cases of the old REST API need."""

    def before_configure(self) -> None:
        self.blocked = threading.Event()
        self.entered = threading.Semaphore(0)
        for name, method in (("slow", "put"), ("boom", "put"), ("values", "get"), ("refuses", "get"), ("bug", "get")):
            self.add_api_endpoint(name, name, method, force_bodyargs=True)
        self.add_api_endpoint("kwg", "kw", "get")
        self.add_api_endpoint("kwb", "kw", "get", force_bodyargs=True)
        self.add_api_endpoint("kwp", "kw", "post")
        self.add_api_endpoint("waits", "waits", "get")

    def configure_commands(self) -> None:
        super().configure_commands()
        self.commands["slow"] = self.slow
        self.commands["boom"] = self.boom
        for function in (self.kw, self.values, self.refuses, self.bug, self.waits, self.secret_line):
            self.commands[function.__name__] = CommandDefinition(function, tracked=False, role=Role.viewer)

    async def slow(self, n: int) -> str:
        """Ends once it may."""
        await asyncio.to_thread(self.blocked.wait, TIMEOUT)
        return "done"

    async def boom(self, n: int) -> None:
        raise RuntimeError("kaboom")

    def kw(self, a, b=2, **kw):
        return {"a": a, "b": b, "kwargs": kw}

    def values(self) -> dict[str, Any]:
        return {"nan": float("nan"), "naive": datetime(2024, 1, 2, 3, 4, 5), "set": {2, 1}, 3: "three"}  # noqa: DTZ001

    def refuses(self) -> None:
        raise ValueError("x")

    def bug(self) -> None:
        raise RuntimeError("a bug with postgres://user:planted-password@db/x")

    def secret_line(self, text: str) -> None:
        """Nothing is done with it."""

    def waits(self) -> str:
        self.entered.release()
        self.blocked.wait(TIMEOUT)
        return "done"


def write_plugin(home: HubHome, name: str, rows: Mapping[str, str] = ROWS) -> None:
    data = home.root.parent / f"data-{name}"
    data.mkdir()
    (data / "data.csv").write_text("id,label\n" + "".join(f"{id},{label}\n" for id, label in rows.items()))
    folder = home.plugins / name
    folder.mkdir(parents=True)
    (folder / "parser.py").write_text(PARSER)
    manifest = {
        "version": "1.0",
        "__metadata__": {"license": "CC0", "url": "http://colors.example"},
        "dumper": {"data_url": [f"file://{data}/data.csv"]},
        "uploader": {"parser": "parser:load", "on_duplicates": "error"},
    }
    (folder / "manifest.json").write_text(json.dumps(manifest))


SETTINGS = f"""
executor_url = "thread://?workers=2"
studio_origins = ["{ORIGIN}"]
skip_uploader_poll = true
"""


class Session:
    """What one Studio does: its hub url has a token."""

    def __init__(self, rig: Rig, token: str) -> None:
        self._rig = rig
        self.url = f"http://127.0.0.1:{rig.studio.port}/{token}"
        self.client = httpx.Client(timeout=TIMEOUT)
        self._sockets: list[websocket.WebSocket] = []

    def request(self, method: str, path: str, **more: Any) -> httpx.Response:
        return self.client.request(method, self.url + path, **more)

    def get(self, path: str, **more: Any) -> httpx.Response:
        return self.request("GET", path, **more)

    def put(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request("PUT", path, json={} if body is None else body, **more)

    def result(self, method: str, path: str, **more: Any) -> Any:
        """What stands in the envelope of a good answer."""
        answer = self.request(method, path, **more)
        assert answer.status_code == 200, answer.text
        assert answer.headers["Content-Type"] == "application/json"
        body = answer.json()
        assert list(body) == ["result", "status"]
        assert body["status"] == "ok"
        return body["result"]

    def error(self, method: str, path: str, **more: Any) -> tuple[int, str]:
        """Status and text of an answer that is an error."""
        answer = self.request(method, path, **more)
        body = answer.json()
        assert body.keys() == {"error", "status", "code"}, body
        assert (body["status"], body["code"]) == ("error", answer.status_code)
        return answer.status_code, body["error"]

    def finished(self, launched: Mapping[str, Any]) -> dict[str, Any]:
        """A launched command once it has ended."""
        self._rig.studio.context.hub.job(launched["id"]).wait(TIMEOUT)
        found: dict[str, Any] = self.result("GET", f"/command/{launched['id']}")
        assert found["is_done"] is True
        return found

    def run(self, method: str, path: str, body: Any = None) -> dict[str, Any]:
        return self.finished(self.result(method, path, json={} if body is None else body))

    def socket(self, path: str = "/ws/websocket", **more: Any) -> Socket:
        address = self.url.replace("http:", "ws:") + path
        found = Socket(websocket.create_connection(address, timeout=TIMEOUT, suppress_origin=True, **more))
        self._sockets.append(found.connection)
        return found

    def close(self) -> None:
        for connection in self._sockets:
            connection.close()
            connection.shutdown()  # close() leaves the socket open if the other side has ended already
        self.client.close()


class Socket:
    """A raw websocket."""

    def __init__(self, connection: websocket.WebSocket) -> None:
        self.connection = connection

    def ready(self) -> Socket:
        """Once this returns, nothing that happens is missed."""
        self.send({"op": "ping"})
        self.until(lambda message: message == {"op": "pong"})
        return self

    def send(self, value: Any) -> None:
        self.connection.send(value if isinstance(value, str) else json.dumps(value))

    def receive(self) -> Any:
        return json.loads(self.connection.recv())

    def until(self, wanted: Callable[[Any], bool]) -> list[Any]:
        """All messages up to the first that is wanted."""
        found: list[Any] = []
        end = time.monotonic() + TIMEOUT
        while not found or not wanted(found[-1]):
            assert time.monotonic() < end, found
            found.append(self.receive())
        return found


@dataclass
class Rig:
    server: DummyHub
    studio: Studio
    home: HubHome
    _sessions: list[Session]

    def session(self, token: str = "developer-token") -> Session:
        self._sessions.append(Session(self, token))
        return self._sessions[-1]

    def close_sessions(self) -> None:
        while self._sessions:
            self._sessions.pop().close()


def make_rig(folder: Path, **server_args: Any) -> Rig:
    home = HubHome(folder / "home").create()
    write_plugin(home, "mvcgi")
    home.config_file.write_text(SETTINGS)
    server = DummyHub.open(home, **server_args)
    server.run_in_thread()
    return Rig(server, start_studio(server, TOKENS.get), home, [])


def end_rig(rig: Rig) -> None:
    rig.close_sessions()
    rig.server.blocked.set()
    rig.studio.close()
    rig.server.shutdown()


@pytest.fixture(scope="module")
def module_rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    rig = make_rig(tmp_path_factory.mktemp("studio"))
    yield rig
    end_rig(rig)


@pytest.fixture
def rig(module_rig: Rig) -> Iterator[Rig]:
    """One hub a module."""
    module_rig.server.blocked.clear()
    yield module_rig
    module_rig.server.blocked.set()
    module_rig.close_sessions()


@pytest.fixture
def fresh_rig(tmp_path: Path) -> Iterator[Rig]:
    """A hub of this test only."""
    rig = make_rig(tmp_path)
    yield rig
    end_rig(rig)


@pytest.fixture
def hub(rig: Rig) -> Session:
    """Studio with the token of a developer."""
    return rig.session()
