"""Dumpers for the web."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from pathlib import Path, PurePosixPath

from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException
from hubkernel.pipeline.dump.dumpers.lastmodified import LastModifiedBaseDumper
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.fetch import HttpPolicy, download, name_in, probe, safe_name, shown
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile

_PAGES = {"", ".html", ".htm", ".xhtml", ".xml", ".php", ".asp", ".aspx", ".jsp", ".cgi"}
"""Suffixes of files that may well be a page."""


class HTTPDumper(BaseDumper):
    """Downloads over HTTP what your ``create_todump_list`` lists."""

    VERIFY_CERT = True
    IGNORE_HTTP_CODE: list[int] = []
    """A file that is answered with one of these is left out of the release, which is logged and recorded."""
    RESOLVE_FILENAME = False
    """Take the file name that the server gives, if it gives one, instead of that of ``localfile``."""
    ACCEPT_HTML = False
    """Whether a page may arrive where data are expected, judged by the name of the file."""
    HEADERS: Mapping[str, str] = {}
    """Sent with each request."""

    def prepare_client(self) -> None:
        from hubkernel.pipeline.dump.session import Session

        policy = self.policy
        self._client = Session(
            follow_redirects=True, timeout=policy.timeout, verify=self.VERIFY_CERT, headers=dict(self.HEADERS)
        )

    def release_client(self) -> None:
        if self._client is not None:
            self._client.close()
            self._client = None

    def describe(self, remotefile: str) -> RemoteFile | None:
        try:
            (found,) = probe(self.worker, remotefile, self.http_policy())
        except FetchError as error:
            if error.code is None:
                raise
            return None  # the download tells, perhaps it is only HEAD that the server does not like
        return found

    def download(self, remotefile: str, localfile: str, headers: Mapping[str, str] | None = None) -> list[ReleaseFile]:
        """``headers`` are sent besides :attr:`HEADERS`: override it and hand them on. Returns what became of the file:
        itself, or nothing if the server's answer is one to ignore.
        """
        remote = self.described(remotefile) or RemoteFile(url=remotefile, name="")
        local = Path(localfile)
        if self.RESOLVE_FILENAME and remote.name:
            local = local.with_name(safe_name(remote.name))
            self._take_part(Path(localfile), local)
        name = self._name_below(local)
        remote = remote.model_copy(update={"name": name, "url": remotefile})
        try:
            file = download(self.worker, remote, local, Path(f"{local}.part"), self.http_policy(headers or {}))
        except FetchError as error:
            if error.code not in self.IGNORE_HTTP_CODE:
                raise
            self.logger.warning("%s: left out, the server answers %s", shown(remotefile), error.code)
            return []
        self._refuse_page(remotefile, local)
        return [file]

    def http_policy(self, headers: Mapping[str, str] | None = None) -> HttpPolicy:
        policy = self.policy
        return HttpPolicy(
            policy.attempts,
            policy.backoff,
            policy.timeout,
            policy.connect_timeout,
            policy.logins,
            headers={**self.HEADERS, **(headers or {})},
            verify=self.VERIFY_CERT,
            final=frozenset(self.IGNORE_HTTP_CODE),
        )

    def _name_below(self, local: Path) -> str:
        root = Path(self.new_data_folder)
        return local.relative_to(root).as_posix() if local.is_relative_to(root) else local.name

    def _take_part(self, planned: Path, local: Path) -> None:
        part = Path(f"{planned}.part")
        if planned != local and part.exists():
            part.replace(f"{local}.part")

    def _refuse_page(self, url: str, local: Path) -> None:
        if self.ACCEPT_HTML or PurePosixPath(local.name.lower()).suffix in _PAGES:
            return
        with local.open("rb") as file:
            start = file.read(512)
        if re.match(rb"(\xef\xbb\xbf)?\s*<(!doctype\s+html|html[\s>])", start, re.IGNORECASE):
            local.unlink()
            raise FetchError(
                f"{shown(url)}: a web page came where {local.name} was asked for. It may tell that the file is not "
                "there, or wants a login; ACCEPT_HTML = True takes it nevertheless"
            )


class LastModifiedHTTPDumper(HTTPDumper, LastModifiedBaseDumper):
    """Dumps :attr:`SRC_URLS` when the server's dates, ETags or sizes change."""

    LAST_MODIFIED = "Last-Modified"
    """Header with the date."""
    ETAG = "ETag"
    """Header with the ETag."""
    RESOLVE_FILENAME = True

    def describe(self, remotefile: str) -> RemoteFile | None:
        if (self.LAST_MODIFIED.lower(), self.ETAG.lower()) != ("last-modified", "etag"):
            return self._described_by_own_headers(remotefile)
        try:
            (found,) = probe(self.worker, remotefile, self.http_policy())
        except FetchError as error:
            if error.code in self.IGNORE_HTTP_CODE:
                return None
            raise
        return found

    def _described_by_own_headers(self, remotefile: str) -> RemoteFile | None:
        response = self.client.head(remotefile)
        if response.status_code in self.IGNORE_HTTP_CODE:
            return None
        if response.status_code != 200:
            raise FetchError(f"HTTP {response.status_code} for {shown(remotefile)}", response.status_code)
        date, length = response.headers.get(self.LAST_MODIFIED), response.headers.get("content-length", "")
        return RemoteFile(
            url=remotefile,
            name=name_in(remotefile),
            size=int(length) if length.isdigit() else None,
            etag=response.headers.get(self.ETAG) or None,
            modified=_date(date, remotefile, self.LAST_MODIFIED),
        )


def _date(text: str | None, url: str, header: str) -> datetime | None:
    if not text:
        return None
    for read in (parsedate_to_datetime, datetime.fromisoformat):
        try:
            return read(text).astimezone(UTC)
        except ValueError:
            continue
    raise DumperException(f"{shown(url)}: the header {header} is {text!r}, which is no date")


class WgetDumper(HTTPDumper):
    """Downloads what your ``create_todump_list`` lists. The name is of old: nothing is left to the program ``wget``."""
