"""Where indices live: named environments, each an engine with a url."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit, urlunsplit

from pydantic import BaseModel, ConfigDict, ValidationError

from hubkernel.pipeline.index.errors import NoSuchEnvironmentError
from hubkernel.search import client

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

DEFAULT = "localhub"
"""The environment that every hub has: its own search url."""


class IndexerArgs(BaseModel):
    model_config = ConfigDict(extra="forbid")

    args: dict[str, Any] = {}
    """For the ``Elasticsearch`` client: ``basic_auth``, ``request_timeout``, ...; not used by the embedded engine."""


class EnvironmentConfig(BaseModel):
    """``host``: ``embedded`` (the hub's own engine), ``embedded:///folder``, or ``[http(s)://]host:port``."""

    model_config = ConfigDict(extra="forbid")

    host: str
    indexer: IndexerArgs = IndexerArgs()
    index: list[dict[str, Any]] = []
    """Free text for people; not used."""


class Environments:
    """Opens a client when it is first needed and keeps it. Thread-safe as far as clients are."""

    def __init__(self, config: Mapping[str, Any] | None, search_url: str) -> None:
        given = dict((config or {}).get("env", {}))
        self._search_url = search_url
        self._configs = {DEFAULT: EnvironmentConfig(host="embedded")}
        for name, each in given.items():
            try:
                self._configs[name] = EnvironmentConfig.model_validate(each)
            except ValidationError as error:
                fault = error.errors()[0]
                where = ".".join(map(str, ("env", name, *fault["loc"])))
                raise ValueError(f"index configuration, {where}: {fault['msg']}") from error
        self._clients: dict[str, Elasticsearch] = {}

    @property
    def names(self) -> list[str]:
        return list(self._configs)

    def url(self, name: str) -> str:
        """Raises :class:`NoSuchEnvironmentError` with the nearest name."""
        if name not in self._configs:
            raise NoSuchEnvironmentError(name, self._configs)
        host = self._configs[name].host
        if host == "embedded":
            return self._search_url
        return host if "://" in host else f"http://{host}"

    def options(self, name: str) -> dict[str, Any]:
        """What the client of that environment is opened with."""
        return {} if self.url(name).startswith("embedded:") else dict(self._configs[name].indexer.args)

    def shown_host(self, name: str) -> str:
        """The url without user and password."""
        url = self.url(name)
        if url.startswith("embedded:"):
            return url
        parts = urlsplit(url)
        return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))

    def client(self, name: str) -> Elasticsearch:
        if name not in self._clients:
            self._clients[name] = client(self.url(name), **self.options(name))
        return self._clients[name]

    def close(self) -> None:
        """Close the clients; they are opened again when needed."""
        while self._clients:
            self._clients.popitem()[1].close()
