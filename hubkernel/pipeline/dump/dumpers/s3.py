"""Files in buckets of Amazon S3 and of what speaks its language (MinIO, Ceph, R2 ...). Needs the extra ``s3``."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from hubkernel.pipeline.credentials import CredentialError, resolve
from hubkernel.pipeline.dump.dumpers.base import DumperException
from hubkernel.pipeline.dump.dumpers.lastmodified import LastModifiedBaseDumper
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.fetch import safe_name
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.transfer import Damaged, Origin, Patience, Retry, patiently, transfer

_PIECE = 1 << 16
"""Bytes asked for at once: what of a piece came before a connection broke is lost."""
_OPTIONS = ("endpoint_url", "region", "anonymous", "release", "versionId")
_RELEASES = ("modified", "etag", "version")
_RETRIED = {408, 425, 429, 500, 502, 503, 504}


class S3Dumper(LastModifiedBaseDumper):
    """``s3://bucket/key`` is a file, ``s3://bucket/folder/`` all files below it, at the same paths in the release.

    Options stand behind the url (``?endpoint_url=...&anonymous=true``) or are the attributes below. ``client`` is the
    ``s3`` client of boto3.
    """

    ENDPOINT_URL: str | None = None
    """Of a server that is not Amazon's."""
    REGION: str | None = None
    ANONYMOUS = False
    """Ask without any login, as public buckets want it."""
    RELEASE_FROM = "modified"
    """What the release of the last url is: its date (``modified``), its ``etag``, or its ``version`` id."""

    def prepare_client(self) -> None:
        self.client = self._make_client({})

    def release_client(self) -> None:
        clients, self.client = [self._client, *self.__dict__.pop("_special", {}).values()], None
        for client in clients:
            if client is not None:
                client.close()

    def list_files(self, url: str) -> list[RemoteFile]:
        """The file, or those of the folder. Raises :class:`FetchError`."""
        place = S3Place.of(url)
        if place.key and not place.key.endswith("/"):
            return super().list_files(url)
        found = patiently(self.worker, lambda: self._list(place), Patience(url, self.policy))
        if not found:
            raise FetchError(f"{url}: there is no file")
        return found

    def set_release(self) -> None:
        url = self._urls()[-1]
        wanted = S3Place.of(url).options.get("release", self.RELEASE_FROM)
        if wanted not in _RELEASES:
            raise DumperException(
                f"{self.src_name}: the release is {wanted!r}, but has to be of {', '.join(_RELEASES)}"
            )
        if wanted == "modified":
            return super().set_release()
        last = self.list_files(url)
        kind = _S3Object.version if wanted == "version" else _S3Object.etag
        labels = [kind(_S3Object(self, file.url)) for file in last]
        missing = [file.url for file, label in zip(last, labels, strict=True) if not label]
        if missing:
            raise FetchError(f"{missing[0]}: has no {wanted}; is versioning on for the bucket?")
        self.release = labels[0] if len(labels) == 1 else hashlib.sha256(" ".join(labels).encode()).hexdigest()[:16]

    def describe(self, remotefile: str) -> RemoteFile:
        """Size, ETag and date. Raises :class:`FetchError`."""
        return patiently(self.worker, _S3Object(self, remotefile).look, Patience(remotefile, self.policy))

    def download(self, remotefile: str, localfile: str) -> ReleaseFile:
        """Raises :class:`FetchError`."""
        file = transfer(self.worker, _S3Object(self, remotefile), Path(localfile), self.policy)
        return file.model_copy(update={"name": self.name_of(localfile)})

    def client_for(self, options: dict[str, str]) -> Any:
        """The client for an url with options."""
        own = {name: value for name, value in options.items() if name not in ("release", "versionId")}
        if not own:
            return self.client
        special = self.__dict__.setdefault("_special", {})
        key = tuple(sorted(own.items()))
        if key not in special:
            special[key] = self._make_client(own)
        return special[key]

    def _list(self, place: S3Place) -> list[RemoteFile]:
        found = []
        with explained(place.url):
            pages = self.client_for(place.options).get_paginator("list_objects_v2")
            for page in pages.paginate(Bucket=place.bucket, Prefix=place.key):
                self.worker.check()
                found += [_listed(place, entry) for entry in page.get("Contents", ()) if not entry["Key"].endswith("/")]
        return found

    def _make_client(self, options: dict[str, str]) -> Any:
        try:
            import boto3
            from botocore import UNSIGNED
            from botocore.config import Config
        except ImportError:
            raise FetchError("s3:// needs the package boto3: pip install 'hubkernel[s3]'") from None
        endpoint = options.get("endpoint_url", self.ENDPOINT_URL)
        anonymous = options.get("anonymous", str(self.ANONYMOUS)).lower() in ("true", "yes", "1", "y")
        config = Config(
            signature_version=UNSIGNED if anonymous else None,
            connect_timeout=self.policy.connect_timeout,
            read_timeout=self.policy.timeout,
            retries={"total_max_attempts": 1},  # transfer() is the patient one
        )
        login = {} if anonymous else self._login(endpoint)
        region = options.get("region", self.REGION)
        return boto3.session.Session().client("s3", endpoint_url=endpoint, region_name=region, config=config, **login)

    def _login(self, endpoint: str | None) -> dict[str, str]:
        host = (urlsplit(endpoint).hostname if endpoint else None) or "s3.amazonaws.com"
        reference = self.policy.logins.get(host)
        if reference is None:
            return {}  # boto3 looks in its own places
        try:
            key, _, secret = resolve(reference).partition(":")
        except CredentialError as error:
            raise FetchError(f"s3 at {host}: {error}") from None
        return {"aws_access_key_id": key, "aws_secret_access_key": secret}


@dataclass(frozen=True)
class S3Place:
    """What an ``s3://`` url says."""

    url: str
    bucket: str
    key: str
    options: dict[str, str]

    @classmethod
    def of(cls, url: str) -> S3Place:
        """Raises :class:`FetchError` for an url that says something else."""
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        unknown = options.keys() - set(_OPTIONS)
        if unknown:
            raise FetchError(f"{url}: unknown option {min(unknown)}; there are {', '.join(_OPTIONS)}")
        if parts.scheme != "s3" or not parts.netloc:
            raise FetchError(f"{url}: write s3://bucket/key for a file, s3://bucket/folder/ for all files below it")
        return cls(url, parts.netloc, unquote(parts.path).removeprefix("/"), options)

    def at(self, key: str) -> str:
        """The url of another key there."""
        query = urlsplit(self.url).query
        return f"s3://{self.bucket}/{quote(key)}{'?' if query else ''}{query}"


def _listed(place: S3Place, entry: dict[str, Any]) -> RemoteFile:
    below = entry["Key"].removeprefix(place.key)
    return RemoteFile(
        url=place.at(entry["Key"]),
        name="/".join(safe_name(step) for step in below.split("/") if step),
        size=entry["Size"],
        etag=entry["ETag"],
        modified=entry["LastModified"],
    )


class _S3Object(Origin):
    def __init__(self, dumper: S3Dumper, url: str) -> None:
        self.dumper, self.url, self.place = dumper, url, S3Place.of(url)
        self.where = {"Bucket": self.place.bucket, "Key": self.place.key}
        if version := self.place.options.get("versionId"):
            self.where["VersionId"] = version
        self.head: dict[str, Any] = {}

    @property
    def client(self) -> Any:
        return self.dumper.client_for(self.place.options)

    def look(self) -> RemoteFile:
        with explained(self.url):
            self.head = self.client.head_object(**self.where)
        name, head = safe_name(self.place.key.rpartition("/")[2]), self.head
        found = {"size": head["ContentLength"], "etag": head["ETag"], "modified": head["LastModified"]}
        return RemoteFile(url=self.url, name=name, **found)

    def checksum(self, remote: RemoteFile) -> tuple[str, str] | None:
        """The ETag, if it is the MD5 of the content: not for what was uploaded in parts or is encrypted by a key."""
        plain = self.head.get("ServerSideEncryption", "AES256") == "AES256" and "SSECustomerAlgorithm" not in self.head
        digest = (remote.etag or "").strip('"')
        return ("md5", digest) if plain and re.fullmatch("[0-9a-f]{32}", digest) else None

    @contextmanager
    def read(self, remote: RemoteFile, start: int) -> Iterator[tuple[int, Iterable[bytes]]]:
        begin = {"Range": f"bytes={start}-"} if start else {}
        with explained(self.url):
            answer = self.client.get_object(**self.where, IfMatch=remote.etag, **begin)
        goes_on = answer.get("ContentRange", "").startswith(f"bytes {start}-")
        try:
            yield start if goes_on else 0, self._chunks(answer["Body"])
        finally:
            answer["Body"].close()

    def _chunks(self, body: Any) -> Iterator[bytes]:
        while True:
            with explained(self.url):
                chunk = body.read(_PIECE)
            if not chunk:
                return
            yield chunk

    def etag(self) -> str:
        return (self.dumper.described(self.url) or self.look()).etag.strip('"')  # type: ignore[union-attr]

    def version(self) -> str:
        patiently(self.dumper.worker, self.look, Patience(self.url, self.dumper.policy))
        found: str = self.head.get("VersionId", "")
        return "" if found == "null" else found


@contextmanager
def explained(url: str) -> Iterator[None]:
    """Turns what the server, the network or boto3 says into :class:`Retry` or :class:`FetchError`."""
    from botocore import exceptions as known

    try:
        yield
    except known.ClientError as error:
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        said = error.response.get("Error", {}).get("Message") or error.response.get("Error", {}).get("Code")
        if status == 412:
            raise Damaged(f"{url}: changed while it was downloaded") from None
        kind = Retry if status in _RETRIED else FetchError
        raise kind(f"S3 {status} for {url}: {said}") from None
    except known.FlexibleChecksumError as error:
        raise Damaged(f"{url}: {error}") from None
    except (known.HTTPClientError, known.ConnectionError, known.IncompleteReadError) as error:
        raise Retry(f"{url}: {error}") from None
    except known.NoCredentialsError:
        raise FetchError(f"{url}: no login for it was found; a public bucket takes anonymous=true") from None
    except known.BotoCoreError as error:
        raise FetchError(f"{url}: {error}") from None
