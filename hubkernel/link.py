"""The connections to one owner: REST with keep-alive, and the websocket. Neither takes a proxy: it is not for us."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode, urlsplit

from hubkernel import wire

if TYPE_CHECKING:
    import urllib3
    import websocket

    from hubkernel.owner import Owner

API = "hubkernel/api"
CONNECT_TIMEOUT = 5.0
CONNECTIONS = 8
"""Kept open, for threads that ask at the same time; more are made when they are needed."""


class LinkError(ConnectionError):
    """The owner was lost. ``reached`` tells whether it may have got the question."""

    def __init__(self, error: BaseException, *, reached: bool) -> None:
        self.reached = reached
        super().__init__(str(error))


class Link:
    """To one owner. Any thread may use it; nothing is opened before that."""

    def __init__(self, owner: Owner) -> None:
        self.owner = owner
        self._address = urlsplit(owner.url)
        self._pool: urllib3.HTTPConnectionPool | None = None

    @property
    def _secure(self) -> bool:
        return self._address.scheme == "https"

    def _opened(self) -> urllib3.HTTPConnectionPool:
        import urllib3

        if self._pool is None:
            kind = urllib3.HTTPSConnectionPool if self._secure else urllib3.HTTPConnectionPool
            self._pool = kind(self._address.hostname or "", self._address.port, maxsize=CONNECTIONS, retries=False)
        return self._pool

    def ask(
        self,
        method: str,
        path: str,
        content: bytes | None = None,
        *,
        params: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | None = None,
    ) -> urllib3.BaseHTTPResponse:
        """One request below the API; waits as long as it takes unless there is a ``timeout`` in seconds.

        Raises :class:`LinkError`.
        """
        import urllib3

        given = {"Authorization": f"token {self.owner.token}", "Accept": wire.BSON, "Content-Type": wire.BSON}
        query = f"?{urlencode(params)}" if params else ""
        try:
            return self._opened().request(
                method,
                f"{self._address.path}{API}/{path}{query}",
                body=content,
                headers={**given, **(headers or {})},
                timeout=urllib3.Timeout(connect=CONNECT_TIMEOUT, read=timeout),
                redirect=False,
            )
        except (urllib3.exceptions.NewConnectionError, urllib3.exceptions.ConnectTimeoutError) as error:
            raise LinkError(error, reached=False) from None
        except urllib3.exceptions.HTTPError as error:
            raise LinkError(error, reached=True) from None

    def events(self, params: Mapping[str, Any]) -> websocket.WebSocket:
        """The websocket of events. Raises :class:`LinkError`."""
        import websocket

        query = f"?{urlencode(params)}" if params else ""
        url = f"{self.owner.url.replace('http', 'ws', 1)}{API}/events{query}"
        header = [f"Authorization: token {self.owner.token}", f"Accept: {wire.BSON}"]
        connection = websocket.WebSocket(skip_utf8_validation=True)
        try:
            # The library would take the proxy of the environment if it had to make the connection.
            connection.connect(url, header=header, timeout=CONNECT_TIMEOUT, socket=self._dial())
        except (websocket.WebSocketException, OSError) as error:
            connection.shutdown()
            raise LinkError(error, reached=False) from None
        return connection

    def _dial(self) -> socket.socket:
        host, port = self._address.hostname or "", self._address.port or (443 if self._secure else 80)
        plain = socket.create_connection((host, port), CONNECT_TIMEOUT)
        plain.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if not self._secure:
            return plain
        import ssl

        return ssl.create_default_context().wrap_socket(plain, server_hostname=host)

    def close(self) -> None:
        """Close what is not in use just now."""
        if self._pool is not None:
            self._pool.close()
