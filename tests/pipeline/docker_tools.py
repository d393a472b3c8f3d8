"""A docker engine's HTTP interface on a unix socket: the answers that an engine gives, for a machine without one."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import socketserver
import tarfile
import tempfile
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DATE = 1_700_000_000
VERSION = {"Version": "27.3.1", "ApiVersion": "1.47", "MinAPIVersion": "1.24", "Os": "linux", "Arch": "amd64"}
_LINK = 1 << 27


@dataclass
class Fake:
    """One container."""

    status: str = "running"
    labels: dict[str, str] = field(default_factory=dict)
    files: dict[str, bytes | str] = field(default_factory=dict)
    """Content by path; a text is a symbolic link's target."""
    created: dict[str, Any] = field(default_factory=dict)


class Docker:
    """``commands`` says what running one does: exit code, output, errors."""

    def __init__(self, folder: Path) -> None:
        self.socket = folder / "docker.sock"
        self.images: dict[str, dict[str, str]] = {}
        self.containers: dict[str, Fake] = {}
        self.volumes: dict[str, dict[str, str]] = {}
        self.commands: dict[str, Callable[[Fake], tuple[int, str, str]]] = {}
        self.execs: dict[str, tuple[str, int]] = {}
        self.requests: list[str] = []
        self.starts_as = "running"
        self.gate = threading.Event()
        self.asked = threading.Event()
        self.gate.set()
        docker = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *args: Any) -> None:
                pass

            def address_string(self) -> str:
                return "local"

            def do(self) -> None:
                docker.answer(self)

            do_GET = do_POST = do_HEAD = do_DELETE = do

        class Server(socketserver.ThreadingUnixStreamServer):
            daemon_threads = True

            def handle_error(self, *args: Any) -> None:
                """Connections that clients break are what these tests are about."""

        self.server = Server(str(self.socket), Handler)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.01})
        self.thread.start()

    @property
    def url(self) -> str:
        return f"unix://{self.socket}"

    def done(self, word: str) -> list[str]:
        return [request for request in self.requests if word in request]

    def close(self) -> None:
        self.gate.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()

    def answer(self, handler: BaseHTTPRequestHandler) -> None:
        parts = urlsplit(handler.path)
        path = parts.path.removeprefix(f"/v{VERSION['ApiVersion']}")
        body = json.loads(handler.rfile.read(int(handler.headers.get("Content-Length") or 0)) or b"null")
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requests.append(f"{handler.command} {path}")
        for method, pattern, action in ROUTES:
            if method == handler.command and (found := re.fullmatch(pattern, path)):
                return action(self, handler, body, query, *found.groups())  # type: ignore[no-any-return]
        send(handler, 404, {"message": "page not found"})


def send(handler: BaseHTTPRequestHandler, status: int, body: Any = None, **headers: str) -> None:
    content = json.dumps(body).encode() if body is not None else b""
    handler.send_response(status)
    handler.send_header("Content-Type", "application/json")
    for name, value in headers.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)


def version(docker: Docker, handler: Any, body: Any, query: Any) -> None:
    send(handler, 200, VERSION)


def image(docker: Docker, handler: Any, body: Any, query: Any, name: str) -> None:
    if name not in docker.images:
        return send(handler, 404, {"message": f"No such image: {name}"})
    return send(handler, 200, {"Id": "sha256:1", "Config": {"Labels": docker.images[name] or None}})


def container(docker: Docker, handler: Any, body: Any, query: Any, name: str) -> None:
    if name not in docker.containers:
        return send(handler, 404, {"message": f"No such container: {name}"})
    fake = docker.containers[name]
    return send(handler, 200, {"Id": name, "State": {"Status": fake.status}, "Config": {"Labels": fake.labels or None}})


def create(docker: Docker, handler: Any, body: Any, query: Any) -> None:
    fake = Fake("created", {**docker.images[body["Image"]], **body["Labels"]}, created=body)
    docker.containers[query["name"]] = fake
    send(handler, 201, {"Id": query["name"], "Warnings": []})


def change(docker: Docker, handler: Any, body: Any, query: Any, name: str, verb: str) -> None:
    states = {"start": docker.starts_as, "stop": "exited", "pause": "paused", "unpause": "running"}
    docker.containers[name].status = states[verb]
    handler.send_response(204)
    handler.end_headers()


def remove(docker: Docker, handler: Any, body: Any, query: Any, kind: str, name: str) -> None:
    {"containers": docker.containers, "volumes": docker.volumes}[kind].pop(name)  # type: ignore[attr-defined]
    handler.send_response(204)
    handler.end_headers()


def volume(docker: Docker, handler: Any, body: Any, query: Any, name: str) -> None:
    if name not in docker.volumes:
        return send(handler, 404, {"message": f"get {name}: no such volume"})
    return send(handler, 200, {"Name": name, "Labels": docker.volumes[name] or None})


def create_volume(docker: Docker, handler: Any, body: Any, query: Any) -> None:
    docker.volumes[body["Name"]] = body["Labels"]
    send(handler, 201, {"Name": body["Name"]})


def make_exec(docker: Docker, handler: Any, body: Any, query: Any, name: str) -> None:
    number = f"exec{len(docker.execs)}"
    shell, option, command = body["Cmd"]
    assert (shell, option) == ("sh", "-c") and docker.containers[name].status == "running"
    docker.execs[number] = (command, 0)
    docker.execs[number + ".in"] = (name, 0)
    send(handler, 201, {"Id": number})


def start_exec(docker: Docker, handler: Any, body: Any, query: Any, number: str) -> None:
    command, name = docker.execs[number][0], docker.execs[number + ".in"][0]
    docker.asked.set()
    docker.gate.wait(60)
    code, output, errors = docker.commands[command](docker.containers[name])
    docker.execs[number] = (command, code)
    frames = b"".join(
        bytes([stream, 0, 0, 0]) + len(text).to_bytes(4, "big") + text.encode()
        for stream, whole in ((1, output), (2, errors))
        for text in (whole[:5], whole[5:])
        if text
    )
    handler.send_response(200)
    handler.send_header("Content-Type", "application/vnd.docker.raw-stream")
    handler.send_header("Connection", "close")
    handler.end_headers()
    handler.wfile.write(frames[:3])
    handler.wfile.flush()
    handler.wfile.write(frames[3:])
    handler.close_connection = True


def show_exec(docker: Docker, handler: Any, body: Any, query: Any, number: str) -> None:
    send(handler, 200, {"ID": number, "Running": False, "ExitCode": docker.execs[number][1]})


def archive(docker: Docker, handler: Any, body: Any, query: Any, name: str) -> None:
    path = query["path"]
    content = docker.containers[name].files.get(path)
    if content is None:
        return send(handler, 404, {"message": f"Could not find the file {path} in container {name}"})
    link = content if isinstance(content, str) else ""
    stat = {"name": path.rpartition("/")[2], "size": len(content), "mode": _LINK if link else 0o644, "linkTarget": link}
    stat["mtime"] = "2023-11-14T22:13:20.123456789Z"
    handler.send_response(200)
    handler.send_header("Content-Type", "application/x-tar")
    handler.send_header("X-Docker-Container-Path-Stat", base64.b64encode(json.dumps(stat).encode()).decode())
    packed = tar(stat["name"], content if isinstance(content, bytes) else b"")  # type: ignore[arg-type]
    handler.send_header("Content-Length", str(len(packed)))
    handler.end_headers()
    if handler.command == "GET":
        handler.wfile.write(packed)
    return None


def tar(name: str, content: bytes) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as writer:
        info = tarfile.TarInfo(name)
        info.size, info.mtime = len(content), DATE
        writer.addfile(info, io.BytesIO(content))
    return packed.getvalue()


ROUTES: list[tuple[str, str, Callable[..., None]]] = [
    ("GET", "/version", version),
    ("GET", "/images/(.+)/json", image),
    ("GET", "/containers/([^/]+)/json", container),
    ("POST", "/containers/create", create),
    ("POST", "/containers/([^/]+)/(start|stop|pause|unpause)", change),
    ("DELETE", "/(containers|volumes)/([^/]+)", remove),
    ("GET", "/volumes/([^/]+)", volume),
    ("POST", "/volumes/create", create_volume),
    ("POST", "/containers/([^/]+)/exec", make_exec),
    ("POST", "/exec/([^/]+)/start", start_exec),
    ("GET", "/exec/([^/]+)/json", show_exec),
    ("HEAD", "/containers/([^/]+)/archive", archive),
    ("GET", "/containers/([^/]+)/archive", archive),
]


@contextmanager
def docker_engine() -> Iterator[Docker]:
    folder = Path(tempfile.mkdtemp())  # the path of a socket has to be short
    docker = Docker(folder)
    try:
        yield docker
    finally:
        docker.close()
        shutil.rmtree(folder)
