"""A hub that is served: a real Jupyter server with our extension, on its own loop in a thread of the test."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
from jupyter_server.serverapp import ServerApp
from traitlets.config import Config

from hubkernel.hub.commands import CommandDefinition, Role
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.owned import OwnedHub
from hubkernel.server_ext.app import Duty, HubKernelApp

SITE_TOKEN = "site-token"


class OwnHub(HubServer):
    """A hub with commands that show how arguments, values and errors travel."""

    def configure_commands(self) -> None:
        super().configure_commands()
        self.go = threading.Event()
        """What ``slow`` waits for."""
        for name in ("slow", "boom", "refuse"):
            self.commands[name] = getattr(self, f"_{name}")
        reads: list[Callable[..., Any]] = [self._kw, self._typed, self._values, self._pair, self._bug]
        for function in reads:
            self.commands[function.__name__[1:]] = CommandDefinition(function, tracked=False, role=Role.viewer)
        self.commands["reset_synced"] = self._pair
        self.commands["later"] = CommandDefinition(self._later, tracked=False, role=Role.viewer)
        self.commands["rule"] = CommandDefinition(lambda: "ruled", tracked=False, role=Role.developer)
        self.add_api_endpoint("slow", "slow", "put", force_bodyargs=True)
        self.add_api_endpoint("boom", "boom", "put")
        self.add_api_endpoint("refuse", "refuse", "put")
        self.add_api_endpoint("bug", "bug", "put")
        self.add_api_endpoint("kwg", "kw", "get")
        self.add_api_endpoint("kwf", "kw", "get", force_bodyargs=True)
        self.add_api_endpoint("kwp", "kw", "post")
        self.add_api_endpoint("typed", "typed", "get")
        self.add_api_endpoint("values", "values", "get")
        self.add_api_endpoint("later", "later", "get")
        self.add_api_endpoint("pair", "pair", "put", suffix="both")
        self.add_api_endpoint("rule", "rule", "put")

    async def _slow(self, n: int = 1) -> str:
        """Wait until the test says go."""
        while not self.go.is_set():
            await asyncio.sleep(0.01)
        return "done"

    async def _boom(self) -> None:
        raise RuntimeError("kaboom")

    def _refuse(self) -> None:
        raise ValueError("x")

    def _bug(self) -> None:
        raise ZeroDivisionError("oops")

    def _kw(self, a, b=2, **kw):  # type: ignore[no-untyped-def]
        return {"a": a, "b": b, "kwargs": kw}

    def _typed(self, count: int = 1, dry_run: bool = False, names: list[str] | None = None) -> list[Any]:
        return [count, dry_run, names]

    def _values(self) -> dict[str, Any]:
        when = datetime(2024, 1, 2, 3, 4, 5)  # noqa: DTZ001
        return {"nan": float("nan"), "naive": when, "set": {1}, 5: "five"}

    def _pair(self, old: str, new: str) -> list[str]:
        return [old, new]

    async def _later(self) -> int:
        await asyncio.sleep(0)
        return 7


class Served:
    """``served.get("status")``, ``served.put("slow", {"n": 3})`` ...: paths below ``hubkernel/api/``.

    With the hub's own token unless ``headers`` say otherwise.
    """

    def __init__(self, home: HubHome, make: Callable[[HubHome], HubServer], config: Config | None = None) -> None:
        self.home = home
        self._ready: threading.Event = threading.Event()
        self._error: BaseException | None = None
        self._config = config or Config()
        self._make = make
        self._thread = threading.Thread(target=self._main, name="jupyter-server", daemon=True)
        self._thread.start()
        assert self._ready.wait(60)
        if self._error is not None:
            self._thread.join(30)
            raise self._error
        self.url = f"http://127.0.0.1:{self.serverapp.port}{self.serverapp.base_url}"
        assert self.app.tokens is not None
        self.token = self.app.tokens.own
        self.client = httpx.Client(base_url=self.url, timeout=30, headers={"Authorization": f"token {self.token}"})

    @property
    def server(self) -> Any:
        return self.app.rest.server  # type: ignore[union-attr]

    def _main(self) -> None:
        self.loop = asyncio.new_event_loop()
        asyncio.set_event_loop(self.loop)
        try:
            self.loop.run_until_complete(self._start())
        except BaseException as error:
            self._error = error
        self._ready.set()
        if self._error is None:
            self.loop.run_forever()
        if hasattr(self, "app"):
            self.loop.run_until_complete(self._stop())
        self.loop.run_until_complete(self.loop.shutdown_asyncgens())
        self.loop.run_until_complete(self.loop.shutdown_default_executor())
        self.loop.close()

    async def _start(self) -> None:
        owned = OwnedHub(self.home, "host")
        config = Config()
        config.ServerApp.ip, config.ServerApp.port, config.ServerApp.open_browser = "127.0.0.1", 0, False
        config.ServerApp.allow_root, config.ServerApp.root_dir = True, str(self.home.root)
        config.ServerApp.jpserver_extensions = {"hubkernel": True}
        config.ServerApp.log_level = logging.ERROR
        config.IdentityProvider.token = SITE_TOKEN
        config.HubKernelApp.home_folder = str(self.home.root)
        config.merge(self._config)
        server = ServerApp(config=config)
        server.init_signal = lambda: None
        server.stop = lambda **how: None  # a hub that does not start wants its server to end; here the test does that
        server.initialize(argv=[], find_extensions=False)
        self.serverapp = server
        points = server.extension_manager.extension_points
        self.app: HubKernelApp = points["hubkernel"].app
        self.app._owned, self.app.duty = owned, Duty(owned, self._make, lambda: None)
        await self.app._start_jupyter_server_extension(server)
        if self.app.duty.failure is not None:
            raise self.app.duty.failure

    async def _stop(self) -> None:
        await self.serverapp._cleanup()
        self.serverapp.http_server.stop()
        await self.serverapp.http_server.close_all_connections()
        self.serverapp.kernel_manager.context.destroy()
        pending = asyncio.all_tasks() - {asyncio.current_task()}
        for task in pending:
            task.cancel()
        await asyncio.gather(*pending, return_exceptions=True)

    def close(self) -> None:
        self.client.close()
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(30)
        assert not self._thread.is_alive()

    # What tests ask.

    def request(self, method: str, path: str, body: Any = None, **more: Any) -> httpx.Response:
        if body is not None:
            more["json"] = body
        return self.client.request(method, f"hubkernel/api/{path}", **more)

    def get(self, path: str, **params: Any) -> httpx.Response:
        return self.request("GET", path, params=params or None)

    def put(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request("PUT", path, body, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request("POST", path, body, **more)

    def delete(self, path: str, body: Any = None, **more: Any) -> httpx.Response:
        return self.request("DELETE", path, body, **more)

    def readonly(self, path: str, method: str = "GET", **more: Any) -> httpx.Response:
        return self.client.request(method, f"hubkernel/readonly/api/{path}", **more)

    def result(self, path: str, **params: Any) -> Any:
        """The result in the envelope of a GET."""
        answer = self.get(path, **params)
        assert answer.status_code == 200, answer.text
        found = answer.json()
        assert list(found) == ["result", "status"]
        assert found["status"] == "ok"
        return found["result"]

    def finished(self, id: int) -> dict[str, Any]:
        """The launched command, once its job has ended."""
        self.hub.job(id).wait(30)
        found: dict[str, Any] = self.result(f"command/{id}")
        return found

    @property
    def hub(self) -> Any:
        """The hub itself, as this process has it."""
        return self.app._owned.hub  # type: ignore[union-attr]

    @contextmanager
    def events(self, since: int | None = None, **headers: str) -> Iterator[Callable[[], dict[str, Any]]]:
        """The websocket of events, behind its greeting; what it yields returns the next event."""
        import websocket

        query = "" if since is None else f"?since={since}"
        given = {"Authorization": f"token {self.token}", **headers}
        socket = websocket.create_connection(
            f"{self.url.replace('http', 'ws', 1)}hubkernel/api/events{query}",
            header=[f"{name.replace('_', '-')}: {value}" for name, value in given.items()],
            timeout=30,
        )
        try:
            assert json.loads(socket.recv())["op"] == "hello"
            yield lambda: json.loads(socket.recv())
        finally:
            socket.close()


@contextmanager
def serve(
    folder: Path, make: Callable[[HubHome], HubServer] | None = None, config: Config | None = None, **arguments: Any
) -> Iterator[Served]:
    """A served :class:`OwnHub` in a new home; ``arguments`` are those of its constructor."""
    home = HubHome(folder).create()
    served = Served(home, make or (lambda home: OwnHub.open(home, **arguments)), config)
    try:
        yield served
    finally:
        served.close()
