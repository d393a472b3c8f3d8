"""The official ``elasticsearch`` client for a server or, in process and without a socket, for the embedded engine.

Every client of one folder in this process shares one engine; when the last of them is closed or gone, so is the engine,
and another process may open the folder.
"""

from __future__ import annotations

import threading
import weakref
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

    from hubkernel.search.engine import Engine

_engines: dict[Path, tuple[Engine, int]] = {}
_lock = threading.Lock()


def client(url: str, **options: Any) -> Elasticsearch:
    """``embedded:///absolute/folder`` (made if it is not there) or ``http(s)://host:port``.

    ``options`` go to ``Elasticsearch(...)``. Raises ``ValueError`` for any other url and :class:`SearchBusyError` if
    another process owns the folder. Thread-safe; close it when it is not needed any more.
    """
    from elasticsearch import Elasticsearch
    from elasticsearch.serializer import OrjsonSerializer

    options = {"serializer": OrjsonSerializer(), **options}
    if url.startswith(("http:", "https:")):
        return Elasticsearch(url, **options)
    return Elasticsearch("http://embedded:9200", node_class=_node_class(folder_of(url)), **options)


def folder_of(url: str) -> Path:
    """The folder of an ``embedded:`` url; ``ValueError`` if it is something else."""
    parts = urlsplit(url)
    path = Path(unquote(parts.path))
    if parts.scheme != "embedded" or parts.netloc or not path.is_absolute():
        raise ValueError(f"no search engine for {url!r}: use embedded:///absolute/folder or http(s)://host:port")
    return path.resolve()


class _Response(NamedTuple):
    """What the transport expects of a node."""

    meta: Any
    body: bytes


def _node_class(folder: Path) -> type[Any]:
    import time

    from elastic_transport import ApiResponseMeta, BaseNode, HttpHeaders, NodeConfig

    from hubkernel.search import api_documents, api_indices, api_search  # noqa: F401 - they register their routes
    from hubkernel.search.rest import handle

    engine = _acquire(folder)

    class EmbeddedNode(BaseNode):
        """Hands requests to the engine instead of a socket."""

        def __init__(self, config: NodeConfig) -> None:
            super().__init__(config)
            self._release = weakref.finalize(self, _release, folder)

        def perform_request(
            self, method: str, target: str, body: bytes | None = None, headers: Any = None, request_timeout: Any = None
        ) -> Any:
            started = time.monotonic()
            answer = handle(engine, method, target, body)
            given = {"x-elastic-product": "Elasticsearch", "content-type": answer.content_type}
            meta = ApiResponseMeta(
                status=answer.status, http_version="1.1", headers=HttpHeaders(given),
                duration=time.monotonic() - started, node=self.config,
            )  # fmt: skip
            return _Response(meta, b"" if method == "HEAD" else answer.body)

        def close(self) -> None:
            self._release()

    return EmbeddedNode


def _acquire(folder: Path) -> Engine:
    from hubkernel.search.engine import Engine

    with _lock:
        engine, users = _engines.get(folder) or (Engine(folder), 0)
        _engines[folder] = (engine, users + 1)
        return engine


def _release(folder: Path) -> None:
    with _lock:
        engine, users = _engines[folder]
        if users > 1:
            _engines[folder] = (engine, users - 1)
            return
        del _engines[folder]
        engine.close()
