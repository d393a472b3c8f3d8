"""Files that are shared on Google Drive."""

from __future__ import annotations

import re
from collections.abc import Mapping
from html.parser import HTMLParser
from urllib.parse import urlencode, urljoin

from hubkernel.pipeline.dump.dumpers.http import LastModifiedHTTPDumper
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.transfer import Patience, Retry, patiently

_IDS = (r"[?&]id=([\w-]+)", r"/d/([\w-]+)", r"gdrive://([\w-]+)/?$", r"^([\w-]{10,})$")
_FORM = "download-form"
_RETRIED = {429, 500, 502, 503, 504}
_PAGE = 1 << 20


class GoogleDriveDumper(LastModifiedHTTPDumper):
    """Files that everybody who has the link may read. A remote is the link, or ``gdrive://<id>``, or the id alone.

    The page that asks whether a file that was not scanned for viruses is to be downloaded is answered with yes.
    """

    RESOLVE_FILENAME = False
    DRIVE_URL = "https://drive.usercontent.google.com/download"

    def list_files(self, url: str) -> list[RemoteFile]:
        """The file, by the name it has on the drive. Raises :class:`FetchError`."""
        found = self.described(url)
        return [found] if found else []

    def describe(self, remotefile: str) -> RemoteFile | None:
        found = super().describe(self.link(remotefile))
        return found.model_copy(update={"url": remotefile}) if found else None

    def download(self, remotefile: str, localfile: str, headers: Mapping[str, str] | None = None) -> list[ReleaseFile]:
        """Raises :class:`FetchError`, also if a page came instead of the file."""
        made = super().download(self.link(remotefile), localfile, headers)
        return [file.model_copy(update={"url": remotefile}) for file in made]

    def link(self, remotefile: str) -> str:
        """The url behind which the bytes of the file are. Raises :class:`FetchError`."""
        if remotefile.startswith(self.DRIVE_URL):
            return remotefile
        place = f"{self.DRIVE_URL}?{urlencode({'id': file_id(remotefile), 'export': 'download', 'confirm': 't'})}"
        page = patiently(self.worker, lambda: self._page(place, remotefile), Patience(remotefile, self.policy))
        if page is None:
            return place
        if _FORM not in page.forms:
            raise FetchError(f"{remotefile}: Google Drive does not give it: {page.said()}")
        action, fields = page.forms[_FORM]
        return f"{urljoin(place, action)}?{urlencode(fields)}"

    def _page(self, place: str, remotefile: str) -> _Page | None:
        """The page that comes instead of the file; None if it is the file."""
        import httpx

        try:
            with self.client.stream("GET", place) as response:
                kind = response.headers.get("content-type", "")
                if response.status_code in _RETRIED:
                    raise Retry(f"HTTP {response.status_code} for {remotefile}")
                if not response.is_success:
                    hint = "is it shared with everybody who has the link?"
                    raise FetchError(f"HTTP {response.status_code} for {remotefile}: {hint}", response.status_code)
                if "content-disposition" in response.headers or not kind.startswith("text/html"):
                    return None
                return _Page(self._text(response))
        except httpx.TransportError as error:
            raise Retry(f"{remotefile}: {str(error) or type(error).__name__}") from None

    def _text(self, response: object) -> str:
        text = ""
        for piece in response.iter_text():  # type: ignore[attr-defined]
            text += piece
            if len(text) > _PAGE:
                break
        return text


def file_id(remotefile: str) -> str:
    """The id in any of the forms of a link. Raises :class:`FetchError` if there is none."""
    for pattern in _IDS:
        if found := re.search(pattern, remotefile):
            return found[1]
    raise FetchError(
        f"{remotefile!r} is no link to a file on Google Drive: it looks like https://drive.google.com/file/d/<id>/view"
    )


class _Page(HTMLParser):
    """The forms of a page (id -> where it leads and its hidden fields), and what it says."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.forms: dict[str, tuple[str, dict[str, str]]] = {}
        self._form: dict[str, str] | None = None
        self._text: dict[str, str] = {}
        self._place = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        said = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = {}
            self.forms[said.get("id", "")] = (said.get("action", ""), self._form)
        elif tag == "input" and self._form is not None and "name" in said:
            self._form[said["name"]] = said.get("value", "")
        self._place = "caption" if "caption" in said.get("class", "") else tag

    def handle_endtag(self, tag: str) -> None:
        self._place = ""
        if tag == "form":
            self._form = None

    def handle_data(self, data: str) -> None:
        self._text[self._place] = self._text.get(self._place, "") + data

    def said(self) -> str:
        """Why there is no file."""
        found = self._text.get("caption") or self._text.get("title") or "it sent a page that says nothing"
        return " ".join(found.split())
