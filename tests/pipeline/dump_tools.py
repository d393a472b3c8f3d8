"""A web server that misbehaves on demand, and a hub's worth of managers without a hub."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.dump import DumpManager, ReleaseFile, RemoteFile, downloading
from hubkernel.pipeline.dump.dumpers.base import Surroundings
from hubkernel.pipeline.dump.fetch import Policy
from hubkernel.pipeline.dump.staging import set_aside
from hubkernel.pipeline.dump.work import Item, Work, build, state_of
from hubkernel.pipeline.plugins import Plugin, PluginManager
from hubkernel.pipeline.plugins.discovery import Classes
from hubkernel.pipeline.plugins.specs import DumperSpec
from hubkernel.store import open_state

DAY = 86400


@dataclass
class Resource:
    """What an url of the test server answers."""

    content: bytes
    modified: float | None = 1_700_000_000.0  # 2023-11-14
    etag: str | None = None
    ranges: bool = True
    head: int = 200
    faults: list[Any] = field(default_factory=list)
    """Used up by one GET each: a status code, or a number of bytes after which the connection breaks (``cut(n)``)."""
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Cut:
    after: int


class Web:
    """``web["/a.tsv"] = Resource(...)``; ``requests`` has the method, path and Range of each request."""

    def __init__(self) -> None:
        self.resources: dict[str, Resource] = {}
        self.requests: list[tuple[str, str, str | None]] = []
        self.gate: threading.Event | None = None
        """If set, a GET sends half of its content and then waits for it."""
        self.halfway = threading.Event()
        web = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def do_HEAD(self) -> None:
                web.answer(self, body=False)

            def do_GET(self) -> None:
                web.answer(self, body=True)

        class Server(ThreadingHTTPServer):
            def handle_error(self, request: Any, client_address: Any) -> None:
                """Connections that clients break are what these tests are about."""

        self.server = Server(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    def __setitem__(self, path: str, resource: Resource | bytes) -> None:
        self.resources[path] = resource if isinstance(resource, Resource) else Resource(resource)

    def __getitem__(self, path: str) -> Resource:
        return self.resources[path]

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server.server_port}{path}"

    def gets(self) -> list[str]:
        return [path for method, path, _ in self.requests if method == "GET"]

    def close(self) -> None:
        if self.gate:
            self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, handler: BaseHTTPRequestHandler, *, body: bool) -> None:
        path = handler.path.partition("?")[0]
        self.requests.append((handler.command, path, handler.headers.get("Range")))
        resource = self.resources.get(path)
        if resource is None:
            self._status(handler, 404)
        elif not body and resource.head != 200:
            self._status(handler, resource.head)
        else:
            self._send(handler, resource, body)

    def _status(self, handler: BaseHTTPRequestHandler, code: int) -> None:
        handler.send_response(code)
        handler.send_header("Content-Length", "0")
        handler.end_headers()

    def _send(self, handler: BaseHTTPRequestHandler, resource: Resource, body: bool) -> None:
        fault = resource.faults.pop(0) if body and resource.faults else None
        if isinstance(fault, int):
            self._status(handler, fault)
            return
        start = self._start(handler, resource)
        content = resource.content[start:]
        handler.send_response(206 if start else 200)
        if start:
            size = len(resource.content)
            handler.send_header("Content-Range", f"bytes {start}-{size - 1}/{size}")
        handler.send_header("Content-Length", str(len(content)))
        if resource.modified is not None:
            handler.send_header("Last-Modified", formatdate(resource.modified, usegmt=True))
        if resource.etag:
            handler.send_header("ETag", resource.etag)
        for name, value in resource.headers.items():
            handler.send_header(name, value)
        handler.end_headers()
        if body:
            self._write(handler, content, fault)

    def _write(self, handler: BaseHTTPRequestHandler, content: bytes, fault: Cut | None) -> None:
        if isinstance(fault, Cut):
            handler.wfile.write(content[: fault.after])
            handler.close_connection = True
            return
        if self.gate and not self.gate.is_set():
            handler.wfile.write(content[: len(content) // 2])
            handler.wfile.flush()
            self.halfway.set()
            self.gate.wait(60)
            content = content[len(content) // 2 :]
        with suppress(ConnectionError):  # a client that was killed or cancelled
            handler.wfile.write(content)

    def _start(self, handler: BaseHTTPRequestHandler, resource: Resource) -> int:
        asked = handler.headers.get("Range", "")
        condition = handler.headers.get("If-Range")
        current = (resource.etag, formatdate(resource.modified, usegmt=True) if resource.modified else None)
        if not asked or not resource.ranges or (condition and condition not in current):
            return 0
        return int(asked.removeprefix("bytes=").split("-")[0])


@contextmanager
def web_server() -> Iterator[Web]:
    web = Web()
    try:
        yield web
    finally:
        web.close()


def fetch(worker: Any, remote: RemoteFile, folder: str, policy: Policy) -> ReleaseFile:
    """Download one file to ``<folder>/files`` as a dump does, from what an earlier call left there."""
    work = Work(folder, DumperSpec("src", "src", urls=(remote.url,)), Surroundings(folder, policy=policy))
    set_aside(Path(folder))
    dumper = build(worker, work)
    dumper.release = "files"
    item = Item(remote.url, remote.name, remote)
    (file,) = downloading.fetch(worker, work, state_of(dumper), item, trust=False).files
    return file


class Bench:
    """Managers over a folder; commands run to their end, outside of any job."""

    def __init__(self, root: Path, **dump_args: Any) -> None:
        self.root = root
        self.state = open_state(f"sqlite://{root / 'state.db'}")
        self.context = PipelineContext(root, self.state, f"sqlite://{root / 'store'}", "", jobs=None)  # type: ignore[arg-type]
        self.plugins = PluginManager(self.context)
        self.manager = DumpManager(self.context, self.plugins, backoff=0.0, **dump_args)

    def plugin(self, name: str, urls: str | list[str], *, code: str = "", **dumper: Any) -> Path:
        import json

        folder = self.context.plugins / name
        folder.mkdir(parents=True, exist_ok=True)
        manifest = {
            "version": "1.0",
            "dumper": {"data_url": urls, **dumper},
            "uploader": {"parser": "parser:load_data"},
        }
        (folder / "manifest.json").write_text(json.dumps(manifest))
        (folder / "parser.py").write_text("def load_data(folder):\n    yield {'_id': '1'}\n\n" + code)
        self.plugins.load(folder)
        return folder

    def classes(self, name: str, code: str, **known: Any) -> Path:
        """A plugin with the class ``Mine``; ``known`` is what the hub knows of it, as in :class:`DumperSpec`."""
        folder = self.context.plugins / name
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "dumper.py").write_text("from hubkernel.pipeline.dump.dumpers import *\n" + code)
        spec = DumperSpec(name, name, target="dumper:Mine", **known)
        self.plugins.plugins[name] = Plugin(name, folder, None, folder / "dumper.py", classes=Classes([spec]))
        return folder

    def dump(self, name: str, **kwargs: Any) -> str:
        return asyncio.run(self.manager.dump_src(name, **kwargs))

    def mark_success(self, name: str, **kwargs: Any) -> list[dict[str, Any]]:
        return self.manager.mark_success(name, **kwargs)

    def doc(self, name: str) -> dict[str, Any]:
        return self.state["src_dump"].find_one({"_id": name}) or {}

    def folder(self, name: str) -> Path:
        return Path(self.doc(name)["download"]["data_folder"])

    def files(self, name: str) -> dict[str, bytes]:
        folder = self.folder(name)
        found = [file for file in folder.rglob("*") if file.is_file() and not file.name.startswith(".hubkernel")]
        return {file.relative_to(folder).as_posix(): file.read_bytes() for file in found}

    def close(self) -> None:
        self.state.close()


@contextmanager
def bench_in(root: Path, **dump_args: Any) -> Iterator[Bench]:
    bench = Bench(root, **dump_args)
    yield bench
    bench.close()
