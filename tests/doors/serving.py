"""The extension in a Jupyter server of this process, on a thread: real HTTP and websockets, at little cost."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from jupyter_server.serverapp import ServerApp
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from traitlets.config import Config

from hubkernel import __version__
from hubkernel.api import HubAPI
from hubkernel.owner import PROTOCOL, Owner
from hubkernel.remote import RemoteHub
from hubkernel.server_ext.access import HubTokens
from hubkernel.server_ext.app import HubKernelApp

SITE_TOKEN = "the-site-s-own-token"


class QuietServerApp(ServerApp):  # type: ignore[misc]
    """Signals belong to the main thread, configuration to whoever runs the tests."""

    @property
    def config_file_paths(self) -> list[str]:
        return []

    def init_signal(self) -> None:
        pass


class Serving:
    """A running server. ``use(hub)`` makes it serve a hub; ``remote()`` is a way to it."""

    def __init__(self, folder: Path, config: Config | None = None, base_url: str = "/") -> None:
        self.folder, self.base_url = folder, base_url
        self._config = config or Config()
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._main, name="jupyter server", daemon=True)
        self._thread.start()
        if not self._ready.wait(60):
            raise RuntimeError("the Jupyter server does not start")

    def _main(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self.loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        config = Config(self._config)
        config.ServerApp.setdefault("root_dir", str(self.folder))
        config.ServerApp.base_url = self.base_url
        config.ServerApp.allow_root = True
        config.ServerApp.jpserver_extensions = {"hubkernel": True}
        config.ServerApp.cookie_secret = b"secret"
        config.IdentityProvider.token = SITE_TOKEN
        config.HubKernelApp.home_folder = str(self.folder / "home")
        self.server = QuietServerApp(config=config)
        self.server.initialize(argv=[], find_extensions=False, new_httpserver=False)
        self.app: HubKernelApp = self.server.web_app.settings["hubkernel"]
        self.app.tokens = HubTokens(self.folder / "home")
        http = HTTPServer(self.server.web_app, max_body_size=32 * 1024 * 1024)
        sockets = bind_sockets(0, "127.0.0.1")
        http.add_sockets(sockets)
        self.port = sockets[0].getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}{self.base_url}"
        self._ready.set()
        await self._end.wait()
        await self.app.stop_extension()
        http.stop()
        await http.close_all_connections()
        self.server.session_manager.close()

    def run(self, coroutine: Any) -> Any:
        """Run something on the server's loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self.loop).result(30)

    def use(self, hub: HubAPI) -> None:
        self.run(self.app.use(hub))

    @property
    def owner(self) -> Owner:
        assert self.app.tokens is not None
        return Owner(0, __version__, PROTOCOL, 0.0, "attach", self.url, self.app.tokens.own)

    def remote(self, home: Path) -> RemoteHub:
        return RemoteHub(str(home), lambda: self.owner, lambda: self.owner)

    def close(self) -> None:
        self.loop.call_soon_threadsafe(self._end.set)
        self._thread.join(30)


@contextmanager
def serving(folder: Path, config: Config | None = None, base_url: str = "/") -> Iterator[Serving]:
    server = Serving(folder, config, base_url)
    try:
        yield server
    finally:
        server.close()
