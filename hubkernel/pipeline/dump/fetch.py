"""Look at urls and download them: ``file://`` (a file or a folder) and ``http(s)://``.

A download goes to ``*.part`` first, is resumed after a break or a kill, is checked against the announced length, and
gets its own name only when it is complete and on disk.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import unquote, urlsplit
from urllib.request import url2pathname

from hubkernel.executors import Worker
from hubkernel.pipeline.credentials import CredentialError, authorization
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.transfer import (
    CHUNK,
    Patience,
    Policy,
    Retry,
    full_disk_explained,
    part_writer,
    settle,
    shown,
    size_of,
    stoppable,
    sync_folder,
)

if TYPE_CHECKING:
    import httpx

__all__ = [
    "HttpPolicy",
    "Policy",
    "download",
    "full_disk_explained",
    "local_path",
    "name_in",
    "probe",
    "safe_name",
    "shown",
    "sync_folder",
]

T = TypeVar("T")

_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_NO_HEAD = {400, 403, 405, 501}
"""Answers to a HEAD request by servers that only understand GET."""


def probe(worker: Worker, url: str, policy: Policy) -> list[RemoteFile]:
    """The files behind an url: one, or those of a folder (``file://`` only). Raises :class:`FetchError`."""
    scheme = urlsplit(url).scheme.lower()
    if scheme == "file":
        return list(_local_files(url))
    if scheme in ("http", "https"):
        return [stoppable(worker, _http_file(url, policy))]
    raise FetchError(f"{shown(url)}: {scheme}:// is none of http, https and file")


def download(worker: Worker, remote: RemoteFile, target: Path, part: Path, policy: Policy) -> ReleaseFile:
    """Download to ``part``, going on where an earlier try ended, then rename to ``target``.

    The caller vouches that an existing ``part`` is the beginning of this very file. Raises :class:`FetchError`.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part.parent.mkdir(parents=True, exist_ok=True)
    with full_disk_explained(part):
        if urlsplit(remote.url).scheme.lower() == "file":
            digest = _copy(worker, remote, part)
        else:
            digest = stoppable(worker, _Download(worker, remote, part, policy).run())
    size = part.stat().st_size
    settle(part, target)
    return ReleaseFile(**{**remote.model_dump(), "size": size}, sha256=digest)


def safe_name(name: str) -> str:
    """One plain file name from whatever a server or an url says; never a path, never hidden."""
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "_", last).strip().lstrip(".")
    return clean[-200:] or "data"


# --- file:// --------------------------------------------------------------------------------------------------------


def local_path(url: str) -> Path:
    """The path of a ``file://`` url. Raises :class:`FetchError` for one on another machine."""
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost"):
        raise FetchError(f"{url}: a file url has three slashes, as in file:///{parts.netloc}{parts.path}")
    return Path(url2pathname(parts.path))


def _local_files(url: str) -> Iterator[RemoteFile]:
    path = local_path(url)
    if path.is_dir():
        files = sorted(file for file in path.rglob("*") if file.is_file() and not _hidden(file.relative_to(path)))
        if not files:
            raise FetchError(f"{url}: the folder is empty")
        for file in files:
            yield _local_file(file.as_uri(), file, file.relative_to(path).as_posix())
    elif path.is_file():
        yield _local_file(url, path, safe_name(path.name))
    else:
        raise FetchError(f"{url}: no such file or folder")


def _hidden(path: Path) -> bool:
    return any(step.startswith(".") for step in path.parts)


def _local_file(url: str, path: Path, name: str) -> RemoteFile:
    stat = path.stat()
    etag = f"{stat.st_mtime_ns:x}-{stat.st_size:x}-{stat.st_ino:x}"
    modified = datetime.fromtimestamp(stat.st_mtime, UTC)
    return RemoteFile(url=url, name=name, size=stat.st_size, etag=etag, modified=modified)


def _copy(worker: Worker, remote: RemoteFile, part: Path) -> str:
    source = local_path(remote.url)
    try:
        with source.open("rb") as reader, part_writer(worker, part, 0, remote.size, remote.name) as writer:
            while chunk := reader.read(CHUNK):
                writer.write(chunk)
        after = _local_file(remote.url, source, remote.name)
    except FileNotFoundError:
        raise FetchError(f"{remote.url}: no such file or folder") from None
    except PermissionError:
        raise FetchError(f"{remote.url}: may not be read") from None
    if after != remote:
        raise FetchError(f"{remote.url}: changed while it was copied; dump again when it is complete")
    return writer.sha256()


# --- http(s):// -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class HttpPolicy(Policy):
    """What a dumper says of its server besides."""

    headers: Mapping[str, str] = field(default_factory=dict)
    verify: bool = True
    """Whether the server's certificate is looked at."""
    final: frozenset[int] = frozenset()
    """Answers that are not tried again."""


def _client(policy: Policy) -> httpx.AsyncClient:
    import httpx

    timeout = httpx.Timeout(policy.timeout, connect=policy.connect_timeout)
    special = policy if isinstance(policy, HttpPolicy) else HttpPolicy()
    headers = {"Accept-Encoding": "identity", "User-Agent": "hubkernel", **special.headers}
    login = _login(policy.logins)
    return httpx.AsyncClient(follow_redirects=True, timeout=timeout, headers=headers, auth=login, verify=special.verify)


def _login(logins: Mapping[str, str]) -> Callable[[httpx.Request], httpx.Request]:
    """Called by httpx for each request; a redirect to another host takes no login along."""

    def add(request: httpx.Request) -> httpx.Request:
        try:
            header = authorization(logins, request.url.scheme, request.url.host)
        except CredentialError as error:
            raise FetchError(f"{shown(str(request.url))}: {error}") from None
        if header is not None:
            request.headers["Authorization"] = header
        return request

    return add


async def _http_file(url: str, policy: Policy) -> RemoteFile:
    async def look() -> RemoteFile:
        response = await client.head(url)
        if response.status_code not in _NO_HEAD:
            return _described(url, _checked(response, url, policy))
        async with client.stream("GET", url) as response:
            return _described(url, _checked(response, url, policy))

    async with _client(policy) as client:
        return await _patiently(look, url, policy, lambda: 0)


def _described(url: str, response: httpx.Response) -> RemoteFile:
    headers = response.headers
    length = headers.get("content-length")
    encoded = headers.get("content-encoding", "identity") != "identity"
    return RemoteFile(
        url=url,
        name=_name(url, headers.get("content-disposition")),
        size=int(length) if length and length.isdigit() and not encoded else None,
        etag=headers.get("etag") or None,
        modified=_date(headers.get("last-modified")),
    )


def _name(url: str, disposition: str | None) -> str:
    message = Message()
    message["content-disposition"] = disposition or ""
    given = message.get_filename()
    return safe_name(given) if given else name_in(url)


def name_in(url: str) -> str:
    """The file name that an url ends with."""
    return safe_name(unquote(PurePosixPath(urlsplit(url).path).name))


def _date(text: str | None) -> datetime | None:
    try:
        return parsedate_to_datetime(text).astimezone(UTC) if text else None
    except ValueError:
        return None


def _checked(response: httpx.Response, url: str, policy: Policy) -> httpx.Response:
    if response.is_success:
        return response
    message = f"HTTP {response.status_code} for {shown(url)}"
    final = policy.final if isinstance(policy, HttpPolicy) else ()
    if response.status_code not in _RETRIED or response.status_code in final:
        raise FetchError(message, response.status_code)
    after = response.headers.get("retry-after", "")
    raise Retry(message, float(after) if after.isdigit() else None)


async def _patiently(action: Callable[[], Awaitable[T]], url: str, policy: Policy, gained: Callable[[], int]) -> T:
    """Try until it works, or until ``policy.attempts`` tries in a row brought less than a MiB more (``gained``)."""
    import httpx

    patience = Patience(url, policy, gained)
    while True:
        try:
            return await action()
        except (httpx.TransportError, Retry) as error:
            wait = patience.after(error)
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise FetchError(f"{shown(url)}: {error}") from None
        await asyncio.sleep(wait)


class _Download:
    """One file over HTTP, by as many requests as it takes."""

    def __init__(self, worker: Worker, remote: RemoteFile, part: Path, policy: Policy) -> None:
        self.worker = worker
        self.remote = remote
        self.part = part
        self.policy = policy

    async def run(self) -> str:
        """Returns the SHA-256 of the file."""
        async with _client(self.policy) as client:
            return await _patiently(
                lambda: self._once(client), self.remote.url, self.policy, lambda: size_of(self.part)
            )

    async def _once(self, client: httpx.AsyncClient) -> str:
        validator = self.remote.validator()
        have = size_of(self.part) if validator else 0
        headers = {"Range": f"bytes={have}-", "If-Range": validator} if have and validator else {}
        async with client.stream("GET", self.remote.url, headers=headers) as response:
            if response.status_code == 416:
                self.part.unlink()
                raise Retry(f"{shown(self.remote.url)}: the server cannot go on at byte {have}", 0)
            _checked(response, self.remote.url, self.policy)
            start = have if self._goes_on(response, have) else 0
            return await self._receive(response, start)

    def _goes_on(self, response: httpx.Response, have: int) -> bool:
        said = response.headers.get("content-range", "")
        return response.status_code == 206 and said.startswith(f"bytes {have}-")

    async def _receive(self, response: httpx.Response, start: int) -> str:
        if response.status_code == 206 and not start:
            self.part.unlink(missing_ok=True)
            raise Retry(f"{shown(self.remote.url)}: the server sent another range than asked for", 0)
        total = self._announced(response, start)
        name = self.remote.name
        with part_writer(self.worker, self.part, start, total or self.remote.size, name) as writer:
            async for chunk in response.aiter_bytes():  # as they come: what is here when the connection breaks is kept
                writer.write(chunk)
        received = size_of(self.part)
        if total is not None and received != total:
            raise Retry(f"{shown(self.remote.url)}: truncated download, {received:,} of {total:,} bytes")
        return writer.sha256()

    def _announced(self, response: httpx.Response, start: int) -> int | None:
        length = response.headers.get("content-length", "")
        encoded = response.headers.get("content-encoding", "identity") != "identity"
        return start + int(length) if length.isdigit() and not encoded else None
