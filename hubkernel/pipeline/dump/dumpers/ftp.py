"""Files on FTP servers, also over TLS."""

from __future__ import annotations

import ftplib
import os
import re
import socket
import ssl
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path, PurePosixPath
from urllib.parse import quote, unquote, urlsplit

from hubkernel.pipeline.credentials import CredentialError, check_reference, resolve
from hubkernel.pipeline.dump.dumpers.base import BaseDumper
from hubkernel.pipeline.dump.dumpers.lastmodified import LastModifiedBaseDumper
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.fetch import safe_name
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.transfer import CHUNK, LOOK_UP, Origin, Patience, Retry, patiently, transfer

_BUSY = re.compile(r"too many|maximum|limit|connections|try again|later|busy", re.IGNORECASE)
"""What servers say beside 530 when it is not the login that is wrong."""
_UNKNOWN = ("500", "501", "502", "504")
"""Codes of servers that do not know a command."""
_LOCAL = ("localhost", "127.0.0.1", "::1")


class FTPDumper(BaseDumper):
    """Files of one server. A plugin's ``create_todump_list`` fills ``to_dump``; ``remote`` is relative to ``CWD_DIR``;
    ``client`` is an :class:`ftplib.FTP` that is logged in and stands in that folder.
    """

    FTP_HOST = ""
    """``host``, ``host:port``, or ``ftps://host`` for explicit TLS."""
    CWD_DIR = ""
    FTP_USER = ""
    FTP_PASSWD = ""
    """A password, or better where it is: ``env:NAME``, ``file:path``, ``keyring:service/user``."""
    FTP_TIMEOUT: float | None = None
    """Longest silence of the server in seconds; None leaves it to the hub."""
    BLOCK_SIZE: int | None = None
    """Bytes asked for at once; None: a MiB."""

    def prepare_client(self) -> None:
        """Connect and log in, with patience. Raises :class:`FetchError`."""

        def connect() -> ftplib.FTP:
            with self._explained(""):
                return self._connect()

        self.client = patiently(self.worker, connect, Patience(self._url(""), self.policy))

    def release_client(self) -> None:
        client, self.client = self._client, None
        if client is not None:
            with suppress(*ftplib.all_errors):
                client.sock.settimeout(LOOK_UP)
                client.quit()
            client.close()

    def remote_is_better(self, remotefile: str, localfile: str | None) -> bool:
        """Newer, or as old and larger; true too if the server says nothing, or if there is no local file."""
        try:
            local = Path(localfile or "").stat() if localfile else None
        except FileNotFoundError:
            local = None
        if local is None:
            return True
        remote = self.describe(remotefile)
        if remote.modified is None and remote.size is None:
            return True
        newer = remote.modified is not None and remote.modified.timestamp() > local.st_mtime
        return newer or (remote.size is not None and remote.size > local.st_size)

    def describe(self, remotefile: str) -> RemoteFile:
        """Size and date by SIZE and MDTM. Raises :class:`FetchError`."""
        look = _FTPFile(self, remotefile).look
        return patiently(self.worker, look, Patience(self._url(remotefile), self.policy))

    def download(self, remotefile: str, localfile: str) -> ReleaseFile:
        """The local file gets the date that the server gives. Raises :class:`FetchError`."""
        file = transfer(self.worker, _FTPFile(self, remotefile), Path(localfile), self.policy)
        if file.modified:
            os.utime(localfile, (file.modified.timestamp(),) * 2)
        return file.model_copy(update={"name": self.name_of(localfile)})

    # ------------------------------------------------------------------------------------------------- the connection

    def _address(self) -> tuple[str, int, bool]:
        parts = urlsplit(self.FTP_HOST if "://" in self.FTP_HOST else f"ftp://{self.FTP_HOST}")
        if not parts.hostname:
            raise FetchError(f"{type(self).__name__}: FTP_HOST has to name a server, not {self.FTP_HOST!r}")
        return parts.hostname, parts.port or ftplib.FTP_PORT, parts.scheme == "ftps"

    def _url(self, remotefile: str) -> str:
        host, port, tls = self._address()
        place = f"{host}:{port}" if port != ftplib.FTP_PORT else host
        path = PurePosixPath("/", self.CWD_DIR or "", remotefile)
        return f"{'ftps' if tls else 'ftp'}://{place}{quote(str(path))}"

    def _login(self, host: str, tls: bool) -> tuple[str, str]:
        try:
            if self.FTP_USER:
                return self.FTP_USER, _secret(self.FTP_PASSWD)
            reference = self.policy.logins.get(host)
            if reference is None:
                return "", ""
            if not tls and host not in _LOCAL:
                raise CredentialError(f"the login for {host} is not sent over ftp: use ftps")
            user, _, password = resolve(reference).partition(":")
        except CredentialError as error:
            raise FetchError(f"{self._url('')}: {error}") from None
        return user, password

    def _connect(self) -> ftplib.FTP:
        host, port, tls = self._address()
        user, password = self._login(host, tls)
        client = _FTPS(context=ssl.create_default_context()) if tls else ftplib.FTP()
        try:
            client.connect(host, port, timeout=self.policy.connect_timeout)
            assert client.sock
            client.timeout = self.silence
            client.sock.settimeout(self.silence)
            client.login(user, password)
            if isinstance(client, ftplib.FTP_TLS):
                client.prot_p()
            if self.CWD_DIR:
                client.cwd(self.CWD_DIR)
        except BaseException:
            client.close()
            raise
        return client

    @property
    def silence(self) -> float:
        """Seconds that the server may say nothing."""
        return self.FTP_TIMEOUT or self.policy.timeout

    def _connected(self) -> ftplib.FTP:
        if self._client is None:
            self.client = self._connect()
        client: ftplib.FTP = self._client
        return client

    def _drop(self) -> None:
        client, self.client = self._client, None
        if client is not None:
            client.close()

    @contextmanager
    def _explained(self, remotefile: str) -> Iterator[None]:
        """Turns what a server or the network says into :class:`Retry` or :class:`FetchError`."""
        url = self._url(remotefile)
        try:
            yield
        except ssl.SSLCertVerificationError as error:
            self._drop()
            raise FetchError(f"{url}: {error.verify_message}") from None
        except ftplib.error_perm as error:
            if str(error).startswith("530"):
                self._drop()
                if _BUSY.search(str(error)):
                    raise Retry(f"FTP {error} for {url}") from None
            raise FetchError(f"FTP {error} for {url}") from None
        except ftplib.all_errors as error:
            self._drop()
            raise Retry(f"{url}: {str(error) or type(error).__name__}") from None


def _secret(text: str) -> str:
    try:
        check_reference(text)
    except CredentialError:
        return text
    return resolve(text)


class _FTPS(ftplib.FTP_TLS):
    """Many servers take a data connection only with the TLS session of the control connection."""

    def ntransfercmd(self, cmd: str, rest: int | str | None = None) -> tuple[socket.socket, int | None]:
        connection, size = ftplib.FTP.ntransfercmd(self, cmd, rest)
        session = getattr(self.sock, "session", None)
        return self.context.wrap_socket(connection, server_hostname=self.host, session=session), size


class _FTPFile(Origin):
    def __init__(self, dumper: FTPDumper, path: str) -> None:
        self.dumper, self.path, self.url = dumper, path, dumper._url(path)

    def look(self) -> RemoteFile:
        with self.dumper._explained(self.path):
            client = self.dumper._connected()
            client.voidcmd("TYPE I")  # a plugin's nlst() left the other mode, which has no sizes and spoils files
            size, no_size = self._ask(client, "SIZE")
            date, no_date = self._ask(client, "MDTM")
            if no_size and no_date and no_size.startswith("550"):
                raise ftplib.error_perm(no_size)
        name = safe_name(PurePosixPath(self.path).name)
        return RemoteFile(url=self.url, name=name, size=_number(size), modified=_date(date))

    def _ask(self, client: ftplib.FTP, command: str) -> tuple[str, str]:
        """What the server says, or else why not."""
        try:
            return client.sendcmd(f"{command} {self.path}")[3:].strip(), ""
        except ftplib.error_perm as error:
            if not str(error).startswith(("550", *_UNKNOWN)):
                raise
            return "", str(error)

    @contextmanager
    def read(self, remote: RemoteFile, start: int) -> Iterator[tuple[int, Iterable[bytes]]]:
        with self.dumper._explained(self.path):
            client = self.dumper._connected()
            connection, start = self._retrieve(client, start)
        try:
            yield start, self._chunks(connection)
            self._farewell(client, connection)
        except BaseException:
            self.dumper._drop()
            raise
        finally:
            connection.close()

    def _retrieve(self, client: ftplib.FTP, start: int) -> tuple[socket.socket, int]:
        try:
            return client.transfercmd(f"RETR {self.path}", rest=start or None), start
        except ftplib.error_perm as error:
            if not start or not str(error).startswith(_UNKNOWN):
                raise
            return client.transfercmd(f"RETR {self.path}"), 0  # a server that knows no REST

    def _chunks(self, connection: socket.socket) -> Iterator[bytes]:
        connection.settimeout(LOOK_UP)
        while True:
            with self.dumper._explained(self.path):
                chunk = self._receive(connection)
            if not chunk:
                return
            yield chunk

    def _receive(self, connection: socket.socket) -> bytes:
        last = time.monotonic() + self.dumper.silence
        while True:
            self.dumper.worker.check()
            try:
                return connection.recv(self.dumper.BLOCK_SIZE or CHUNK)
            except TimeoutError:
                if time.monotonic() > last:
                    raise TimeoutError(f"the server said nothing for {self.dumper.silence:g} s") from None

    def _farewell(self, client: ftplib.FTP, connection: socket.socket) -> None:
        """The server's last word. A control connection that was silent during a long download is often lost by then:
        that ends it, but the sizes tell whether the file is complete.
        """
        if isinstance(connection, ssl.SSLSocket):
            with suppress(OSError):
                connection.unwrap()
        connection.close()
        try:
            client.voidresp()
        except ftplib.Error as error:
            with self.dumper._explained(self.path):
                raise ftplib.error_temp(str(error)) from None
        except (OSError, EOFError):
            self.dumper._drop()


class LastModifiedFTPDumper(LastModifiedBaseDumper):
    """Files named by ``ftp://`` and ``ftps://`` urls, of one or more servers; the path begins at the server's root.
    A url may hold a user; where the password is, the hub's operator says.
    """

    FTP_TIMEOUT: float | None = None
    BLOCK_SIZE: int | None = None

    def prepare_client(self) -> None:
        """The client is a dumper for each server, made when a url of it comes."""
        self.client = {}

    def release_client(self) -> None:
        servers, self.client = self._client or {}, None
        for server in servers.values():
            server.release_client()

    def describe(self, remotefile: str) -> RemoteFile:
        """Size and date. Raises :class:`FetchError`."""
        server, path = self._server(remotefile)
        return server.describe(path).model_copy(update={"url": remotefile})

    def download(self, remotefile: str, localfile: str) -> ReleaseFile:
        """The local file gets the date that the server gives. Raises :class:`FetchError`."""
        server, path = self._server(remotefile)
        file = server.download(path, localfile)
        return file.model_copy(update={"url": remotefile, "name": self.name_of(localfile)})

    def _server(self, url: str) -> tuple[FTPDumper, str]:
        parts = urlsplit(url)
        key = (parts.scheme, parts.netloc)
        if key not in self.client:
            server = self.client[key] = FTPDumper(self.src_name)
            server.surroundings = self.surroundings
            server.FTP_HOST = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"
            server.FTP_USER, server.FTP_PASSWD = unquote(parts.username or ""), unquote(parts.password or "")
            server.FTP_TIMEOUT, server.BLOCK_SIZE = self.FTP_TIMEOUT, self.BLOCK_SIZE
        return self.client[key], unquote(parts.path)


def _number(text: str) -> int | None:
    return int(text) if text.isdigit() else None


def _date(text: str) -> datetime | None:
    """MDTM's answer; by the standard it is UTC."""
    with suppress(ValueError):
        return datetime.strptime(text[:14], "%Y%m%d%H%M%S").replace(tzinfo=UTC)
    return None
