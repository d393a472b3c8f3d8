"""The HTTP interface of a docker engine, as far as a dump needs it."""

from __future__ import annotations

import base64
import json
import os
import ssl
from collections.abc import AsyncIterator, Coroutine, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from hubkernel.executors import Worker
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.transfer import Patience, Policy, Retry, part_writer, patiently, size_of, stoppable

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_LOCAL = "unix:///var/run/docker.sock"
_TAIL = 1 << 16
"""Bytes that are kept of what a command prints."""
_LINKS = 8
_LINK = 1 << 27
"""The bit of Go's file mode that says that it is a symbolic link."""


@dataclass(frozen=True)
class Connection:
    """Where an engine is."""

    url: str
    cert: str | None = None
    key: str | None = None
    ca: str | None = None


@dataclass(frozen=True)
class PathStat:
    """A file in a container."""

    name: str
    size: int
    modified: datetime
    link: str
    """Where it leads, if it is a symbolic link."""


def connection_of(name: str, config: Mapping[str, Mapping[str, Any]]) -> Connection:
    """The connection of that name; ``localhost``, and no name, are the engine of this machine unless configured.

    Raises :class:`FetchError`.
    """
    if name not in config and name in ("", "localhost"):
        return Connection(os.environ.get("DOCKER_HOST") or _LOCAL)
    if name not in config:
        known = ", ".join(config) or "none"
        raise FetchError(f"docker://{name}: the setting docker_config has no connection {name!r}; there are {known}")
    said = config[name]
    found = Connection(
        str(said.get("client_url", "")), said.get("tls_cert_path"), said.get("tls_key_path"), said.get("tls_ca_path")
    )
    scheme = urlsplit(found.url).scheme
    if scheme == "ssh":
        hint = "forward its socket (ssh -nNT -L /tmp/docker.sock:/var/run/docker.sock host) and use unix:///tmp/docker.sock"
        raise FetchError(f"docker://{name}: ssh cannot be used: {hint}")
    if scheme not in ("unix", "tcp", "http", "https"):
        raise FetchError(
            f"docker://{name}: client_url is {found.url!r}: begin it with unix://, tcp://, http:// or https://"
        )
    if scheme == "https" and not (found.cert and found.key):
        raise FetchError(f"docker://{name}: https needs tls_cert_path and tls_key_path")
    return found


class Engine:
    """Each call is a connection of its own, and ends at once when the job is cancelled. Raises :class:`FetchError`."""

    def __init__(self, connection: Connection, worker: Worker, policy: Policy) -> None:
        self.connection, self.worker, self.policy = connection, worker, policy
        self.place = f"docker at {connection.url}"
        self._version = ""

    def undisturbed(self) -> Engine:
        """The same engine, for what has to be done even though the job was cancelled."""
        engine = Engine(self.connection, _Deaf(), self.policy)
        engine._version = self._version
        return engine

    def call(self, method: str, path: str, body: Any = None, **query: str) -> Any:
        """The answer's JSON; None if it has none. Only what changes nothing is tried again."""
        return self._patiently(method, lambda: self._call(method, path, body, query))

    def find(self, path: str) -> Any:
        """The answer's JSON, None if there is no such thing."""
        return self._patiently("GET", lambda: self._call("GET", path, None, {}, missing_ok=True))

    def stat(self, container: str, path: str) -> PathStat:
        """Of the file itself if the path is a symbolic link."""
        return self._followed(container, path)[1]

    def archive(self, container: str, path: str, target: Path) -> PathStat:
        """Write the file, or the folder, to ``target`` as a tar archive."""
        real, stat = self._followed(container, path)
        url = f"/containers/{container}/archive?path={quote(real)}"
        self._patiently("GET", lambda: self._archive(url, target, stat))
        return stat

    def execute(self, container: str, command: list[str]) -> tuple[int, str, str]:
        """Run a command to its end: exit code and the last of what it printed, output and errors."""
        asked = {"Cmd": command, "AttachStdout": True, "AttachStderr": True}
        made = self.call("POST", f"/containers/{container}/exec", asked)["Id"]
        output, errors = self._patiently("POST", lambda: self._output(f"/exec/{made}/start"))
        return int(self.call("GET", f"/exec/{made}/json")["ExitCode"] or 0), output, errors

    def _followed(self, container: str, path: str) -> tuple[str, PathStat]:
        for _ in range(_LINKS):
            url = f"/containers/{container}/archive?path={quote(path)}"
            stat = self._patiently("HEAD", lambda url=url: self._stat(url))
            if not stat.link:
                return path, stat
            path = os.path.normpath(os.path.join(os.path.dirname(path), stat.link))  # noqa: PTH118, PTH120 - not here
        raise FetchError(f"{self.place}: {path} is a link that leads nowhere")

    # -------------------------------------------------------------------------------------------------------- over HTTP

    def _patiently(self, method: str, action: Any) -> Any:
        policy = self.policy if method in ("GET", "HEAD") else Policy(attempts=1)
        if not self._version:
            version = patiently(self.worker, lambda: self._run(self._ask_version()), Patience(self.place, self.policy))
            self._version = version
        return patiently(self.worker, lambda: self._run(action()), Patience(self.place, policy))

    def _run(self, action: Coroutine[Any, Any, T]) -> T:
        import httpx

        try:
            return stoppable(self.worker, action)
        except httpx.TransportError as error:
            raise Retry(f"{self.place}: {str(error) or type(error).__name__}") from None

    def _client(self) -> httpx.AsyncClient:
        import httpx

        parts = urlsplit(self.connection.url)
        timeout = httpx.Timeout(self.policy.timeout, connect=self.policy.connect_timeout)
        if parts.scheme == "unix":
            path = "/" + (parts.netloc + parts.path).lstrip("/")
            transport = httpx.AsyncHTTPTransport(uds=path, verify=False)  # no TLS here: its set-up would only cost time
            return httpx.AsyncClient(transport=transport, base_url="http://docker", timeout=timeout)
        if parts.scheme != "https":
            return httpx.AsyncClient(base_url=f"http://{parts.netloc}", timeout=timeout, verify=False)
        context = ssl.create_default_context(cafile=self.connection.ca)
        context.load_cert_chain(str(self.connection.cert), self.connection.key)
        return httpx.AsyncClient(base_url=f"https://{parts.netloc}", timeout=timeout, verify=context)

    @asynccontextmanager
    async def _stream(self, method: str, path: str, **more: Any) -> AsyncIterator[httpx.Response]:
        async with self._client() as client, client.stream(method, f"{self._version}{path}", **more) as response:
            yield response

    async def _ask_version(self) -> str:
        async with self._client() as client:
            return f"/v{_answer(self.place, '/version', await client.get('/version'))['ApiVersion']}"

    async def _call(
        self, method: str, path: str, body: Any, query: Mapping[str, str], *, missing_ok: bool = False
    ) -> Any:
        async with self._client() as client:
            response = await client.request(method, f"{self._version}{path}", json=body, params=query)
        if response.status_code == 404 and missing_ok:
            return None
        return _answer(self.place, path, response)

    async def _stat(self, path: str) -> PathStat:
        async with self._stream("HEAD", path) as response:
            if not response.is_success:
                where = path.partition("path=")[2]
                raise FetchError(
                    f"{self.place}: HTTP {response.status_code}: there is no file {where} in the container"
                )
            said = json.loads(base64.b64decode(response.headers["X-Docker-Container-Path-Stat"]))
        link = str(said.get("linkTarget") or "") if said.get("mode", 0) & _LINK else ""
        return PathStat(said["name"], said["size"], datetime.fromisoformat(said["mtime"]), link)

    async def _archive(self, path: str, target: Path, stat: PathStat) -> None:
        async with self._stream("GET", path) as response:
            if not response.is_success:
                await response.aread()
            _answer(self.place, path, response)
            with part_writer(self.worker, target, 0, stat.size, stat.name) as writer:
                async for chunk in response.aiter_bytes():
                    writer.write(chunk)
        if size_of(target) < stat.size:
            raise Retry(f"{self.place}: {stat.name} was truncated")

    async def _output(self, path: str) -> tuple[str, str]:
        """Frames of 8 bytes (which of the two, 0, 0, 0, length) and their content."""
        import httpx

        found, rest = {1: b"", 2: b""}, b""
        body, silent = {"Detach": False, "Tty": False}, httpx.Timeout(None, connect=self.policy.connect_timeout)
        async with self._stream("POST", path, json=body, timeout=silent) as response:
            if not response.is_success:
                await response.aread()
            _answer(self.place, path, response)
            async for chunk in response.aiter_bytes():
                rest += chunk
                while len(rest) >= 8 and len(rest) >= 8 + (size := int.from_bytes(rest[4:8], "big")):
                    found[rest[0]] = (found.get(rest[0], b"") + rest[8 : 8 + size])[-_TAIL:]
                    rest = rest[8 + size :]
        return found[1].decode("utf-8", "replace"), found[2].decode("utf-8", "replace")


class _Deaf:
    """A worker that is not cancelled."""

    def progress(self, done: float, total: float | None = None, message: str = "") -> None: ...

    def log(self, message: str) -> None: ...

    def check(self) -> None: ...


def _answer(place: str, path: str, response: httpx.Response) -> Any:
    if response.is_success or response.status_code == 304:  # 304: it is so already
        is_json = response.headers.get("content-type", "").startswith("application/json")
        return json.loads(response.content) if is_json else None
    try:
        said = json.loads(response.content)["message"]
    except (ValueError, KeyError):
        said = response.reason_phrase
    message = f"{place}: HTTP {response.status_code} for {path}: {said}"
    raise Retry(message) if response.status_code in (429, 502, 503, 504) else FetchError(message)
