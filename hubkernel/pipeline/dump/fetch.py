"""Look at urls and download them: ``file://`` (a file or a folder) and ``http(s)://``.

A download goes to ``*.part`` first, is resumed after a break or a kill, is checked against the announced length, and
gets its own name only when it is complete and on disk.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import os
import re
import shutil
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.message import Message
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import unquote, urlsplit, urlunsplit
from urllib.request import url2pathname

from hubkernel.executors import Worker
from hubkernel.pipeline.credentials import CredentialError, authorization
from hubkernel.pipeline.dump.errors import DiskFullError, FetchError
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")

_CHUNK = 1 << 20
_LOOK_UP = 0.2
"""Seconds between two looks whether the job was cancelled."""
_RETRIED = {408, 425, 429, 500, 502, 503, 504}
_NO_HEAD = {400, 403, 405, 501}
"""Answers to a HEAD request by servers that only understand GET."""


@dataclass(frozen=True)
class Policy:
    """How patient a download is. Times in seconds."""

    attempts: int = 5
    """Tries in a row that bring nothing new before a download fails."""
    backoff: float = 0.5
    """Wait before the second try; doubled for each one after it, up to a minute."""
    timeout: float = 60.0
    """Longest silence of a server."""
    connect_timeout: float = 15.0
    logins: Mapping[str, str] = field(default_factory=dict)
    """Host -> reference to its login (:mod:`hubkernel.pipeline.credentials`)."""


def probe(worker: Worker, url: str, policy: Policy) -> list[RemoteFile]:
    """The files behind an url: one, or those of a folder (``file://`` only). Raises :class:`FetchError`."""
    scheme = urlsplit(url).scheme.lower()
    if scheme == "file":
        return list(_local_files(url))
    if scheme in ("http", "https"):
        return [_stoppable(worker, _http_file(url, policy))]
    raise FetchError(f"{shown(url)}: the protocol {scheme}:// cannot be dumped yet; use http, https or file")


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
            digest = _stoppable(worker, _Download(worker, remote, part, policy).run())
    size = part.stat().st_size
    part.replace(target)
    sync_folder(target.parent)
    return ReleaseFile(**{**remote.model_dump(), "size": size}, sha256=digest)


def shown(url: str) -> str:
    """An url without user and password, for messages and state."""
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2])) if "@" in parts.netloc else url


def safe_name(name: str) -> str:
    """One plain file name from whatever a server or an url says; never a path, never hidden."""
    last = re.split(r"[/\\]", name)[-1]
    clean = re.sub(r'[\x00-\x1f\x7f<>:"|?*]', "_", last).strip().lstrip(".")
    return clean[-200:] or "data"


@contextmanager
def full_disk_explained(file: Path) -> Iterator[None]:
    """Turns the system's error into :class:`DiskFullError`, which names the file and the room there is."""
    try:
        yield
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EFBIG, errno.EDQUOT):
            raise
        free = shutil.disk_usage(file.parent).free
        reason = "a file may not grow that big here" if error.errno == errno.EFBIG else f"{free:,} bytes are free"
        raise DiskFullError(f"disk full while writing {file}: {reason}; make room and dump again") from None


def sync_folder(folder: Path) -> None:
    """Make renames in a folder durable."""
    if os.name == "nt":
        return
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


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
    digest = hashlib.sha256()
    try:
        with source.open("rb") as reader, part.open("wb") as writer:
            while chunk := reader.read(_CHUNK):
                digest.update(chunk)
                writer.write(chunk)
                worker.progress(reader.tell(), remote.size, remote.name)
            _sync(writer)
        after = _local_file(remote.url, source, remote.name)
    except FileNotFoundError:
        raise FetchError(f"{remote.url}: no such file or folder") from None
    except PermissionError:
        raise FetchError(f"{remote.url}: may not be read") from None
    if after != remote:
        raise FetchError(f"{remote.url}: changed while it was copied; dump again when it is complete")
    return digest.hexdigest()


def _sync(writer: Any) -> None:
    writer.flush()
    os.fsync(writer.fileno())


# --- http(s):// -----------------------------------------------------------------------------------------------------


def _stoppable(worker: Worker, action: Coroutine[Any, Any, T]) -> T:
    """Run it to its end in this thread; a cancelled job ends it at once, however silent the server is."""

    async def run() -> T:
        task = asyncio.ensure_future(action)
        try:
            while not task.done():
                await asyncio.wait([task], timeout=_LOOK_UP)
                worker.check()
        finally:
            task.cancel()
            await asyncio.wait([task])
        return task.result()

    return asyncio.run(run())


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


class _Retry(Exception):  # noqa: N818 - a signal, handled here
    """Worth another try; ``wait`` is what the server asked for, in seconds."""

    def __init__(self, message: str, wait: float | None = None) -> None:
        super().__init__(message)
        self.wait = wait


def _checked(response: httpx.Response, url: str, policy: Policy) -> httpx.Response:
    if response.is_success:
        return response
    message = f"HTTP {response.status_code} for {shown(url)}"
    final = policy.final if isinstance(policy, HttpPolicy) else ()
    if response.status_code not in _RETRIED or response.status_code in final:
        raise FetchError(message, response.status_code)
    after = response.headers.get("retry-after", "")
    raise _Retry(message, float(after) if after.isdigit() else None)


async def _patiently(action: Callable[[], Awaitable[T]], url: str, policy: Policy, gained: Callable[[], int]) -> T:
    """Try until it works, or until ``policy.attempts`` tries in a row brought less than a MiB more (``gained``)."""
    import httpx

    failures, best = 0, gained()
    while True:
        try:
            return await action()
        except (httpx.TransportError, _Retry) as error:
            last = error
        except (httpx.InvalidURL, httpx.TooManyRedirects) as error:
            raise FetchError(f"{shown(url)}: {error}") from None
        failures = 0 if gained() >= best + _CHUNK else failures + 1
        best = max(best, gained())
        if failures >= policy.attempts:
            raise FetchError(_gave_up(last, url, policy.attempts)) from None
        wait = last.wait if isinstance(last, _Retry) else None
        await asyncio.sleep(min(60.0, policy.backoff * 2 ** max(failures - 1, 0) if wait is None else wait))


def _gave_up(error: Exception, url: str, attempts: int) -> str:
    if isinstance(error, _Retry):
        return f"{error} (tried {attempts} times)"
    return f"{shown(url)}: {error or type(error).__name__} (tried {attempts} times)"


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
            return await _patiently(lambda: self._once(client), self.remote.url, self.policy, self._size)

    def _size(self) -> int:
        return self.part.stat().st_size if self.part.exists() else 0

    async def _once(self, client: httpx.AsyncClient) -> str:
        validator = self.remote.validator()
        have = self._size() if validator else 0
        headers = {"Range": f"bytes={have}-", "If-Range": validator} if have and validator else {}
        async with client.stream("GET", self.remote.url, headers=headers) as response:
            if response.status_code == 416:
                self.part.unlink()
                raise _Retry(f"{shown(self.remote.url)}: the server cannot go on at byte {have}", 0)
            _checked(response, self.remote.url, self.policy)
            start = have if self._goes_on(response, have) else 0
            return await self._receive(response, start)

    def _goes_on(self, response: httpx.Response, have: int) -> bool:
        said = response.headers.get("content-range", "")
        return response.status_code == 206 and said.startswith(f"bytes {have}-")

    async def _receive(self, response: httpx.Response, start: int) -> str:
        if response.status_code == 206 and not start:
            self.part.unlink(missing_ok=True)
            raise _Retry(f"{shown(self.remote.url)}: the server sent another range than asked for", 0)
        total = self._announced(response, start)
        with self.part.open("r+b" if start else "wb") as file:
            digest = _hash_of(file, start)
            file.truncate(start)
            file.seek(start)
            async for chunk in response.aiter_bytes():  # as they come: what is here when the connection breaks is kept
                digest.update(chunk)
                file.write(chunk)
                self.worker.progress(file.tell(), total or self.remote.size, self.remote.name)
            _sync(file)
            received = file.tell()
        if total is not None and received != total:
            raise _Retry(f"{shown(self.remote.url)}: truncated download, {received:,} of {total:,} bytes")
        return str(digest.hexdigest())

    def _announced(self, response: httpx.Response, start: int) -> int | None:
        length = response.headers.get("content-length", "")
        encoded = response.headers.get("content-encoding", "identity") != "identity"
        return start + int(length) if length.isdigit() and not encoded else None


def _hash_of(file: Any, size: int) -> Any:
    digest = hashlib.sha256()
    file.seek(0)
    while size > 0 and (chunk := file.read(min(_CHUNK, size))):
        digest.update(chunk)
        size -= len(chunk)
    return digest
