"""The connection to a MongoDB database, raw BSON out of it, and what its errors mean."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from struct import Struct
from typing import Any

from bson.codec_options import CodecOptions
from bson.raw_bson import RawBSONDocument
from pymongo import MongoClient, ReadPreference, WriteConcern
from pymongo.collection import Collection as PyMongoCollection
from pymongo.database import Database as PyMongoDatabase
from pymongo.errors import (
    AutoReconnect,
    ConfigurationError,
    CursorNotFound,
    DocumentTooLarge,
    InvalidURI,
    OperationFailure,
    PyMongoError,
    ServerSelectionTimeoutError,
)
from pymongo.read_concern import ReadConcern
from pymongo.uri_parser import parse_uri

from hubkernel.store.errors import DocumentTooLargeError, InvalidDocumentError, StoreError, StoreFullError

PREFIX = "hubkernel."
"""Begins the name of every MongoDB collection that is not a user's."""
RAW: CodecOptions[Any] = CodecOptions(document_class=RawBSONDocument)
DURABLE = WriteConcern(w="majority", j=True)
"""Acknowledged writes survive the end of the server, and of the primary; so does all that was written before them."""
EAGER = WriteConcern(w=1)
"""For bulk writes that a durable one follows."""

DUPLICATE_KEY = 11000
TOO_LARGE = frozenset({10334, 17419, 17420})
NO_SPACE = frozenset({14031, 12501})
SELECTION_MS = 10_000

# The server ended a cursor because its collection was dropped or renamed, or because it itself is going away.
_CURSOR_ENDED = frozenset({43, 175, 136, 237, 11600, 11601, 11602, 91, 189, 10107, 13435})
_int32 = Struct("<i").unpack_from
_ID_HEADER = b"\x02_id\0"

Plain = dict[str, Any]


class Connection:
    """A database of a MongoDB server, by url. Any thread; a forked child connects anew."""

    def __init__(self, url: str) -> None:
        try:
            parsed = parse_uri(url)
        except (InvalidURI, ConfigurationError, ValueError) as error:
            raise ValueError(f"bad MongoDB url: {error}") from None
        if not parsed["database"]:
            raise ValueError(f"the MongoDB url names no database: use mongodb://{_hosts(parsed)}/database")
        self.url = url
        self.where = f"MongoDB at {_hosts(parsed)}/{parsed['database']}"
        self._name: str = parsed["database"]
        self._defaults: Plain = {} if "serverselectiontimeoutms" in _lower(parsed["options"]) else _TIMEOUT
        self._lock = threading.Lock()
        self._client: tuple[int, MongoClient] | None = None
        # Clients of a parent process are kept, unused: closing one here would close the parent's connections.
        self._inherited: list[object] = []

    @property
    def client(self) -> MongoClient:
        with self._lock:
            if self._client is None or self._client[0] != os.getpid():
                self._inherited.append(self._client)
                self._client = (os.getpid(), MongoClient(self.url, appname="hubkernel", **self._defaults))
            return self._client[1]

    @property
    def db(self) -> PyMongoDatabase:
        """Reads see what was written before them, writes are durable, whatever the url's options say."""
        return self.client.get_database(
            self._name,
            read_preference=ReadPreference.PRIMARY,
            write_concern=DURABLE,
            read_concern=ReadConcern("local"),
        )

    def raw(self, name: str) -> PyMongoCollection:
        """A MongoDB collection whose documents stay bytes."""
        return self.db.get_collection(name, codec_options=RAW)

    def bulk(self, name: str) -> PyMongoCollection:
        """A MongoDB collection to write much to, before a durable write elsewhere."""
        return self.db.get_collection(name, write_concern=EAGER)

    def check(self) -> None:
        """Raises :class:`StoreError`, closed, if the server does not answer or refuses."""
        try:
            with self.translated():
                self.client.admin.command("ping")
                self.db.list_collection_names(filter={"name": PREFIX})
        except BaseException:
            self.close()
            raise

    def transactions(self) -> bool:
        """Whether the server has them: a replica set or a sharded cluster."""
        hello = self.client.admin.command("hello")
        return "setName" in hello or hello.get("msg") == "isdbgrid"

    def close(self) -> None:
        with self._lock:
            client, self._client = self._client, None
        if client is not None and client[0] == os.getpid():
            client[1].close()

    @contextmanager
    def translated(self) -> Iterator[None]:
        """Errors of pymongo as errors of the store."""
        try:
            yield
        except PyMongoError as error:
            raise self._store_error(error) from error

    def _store_error(self, error: PyMongoError) -> StoreError:
        text = " ".join(str(error).partition(", full error:")[0].split())[:300]
        code = error.code if isinstance(error, OperationFailure) else None
        if code in NO_SPACE or "No space left" in text:
            return StoreFullError(f"{self.where}: the server's disk is full: free some space and try again ({text})")
        if isinstance(error, DocumentTooLarge) or code in TOO_LARGE:
            return DocumentTooLargeError(f"{self.where}: a document is over 16 MiB as BSON: split it")
        if isinstance(error, ServerSelectionTimeoutError | AutoReconnect):
            return StoreError(f"{self.where} does not answer: is it running? ({text})")
        if code in (13, 18):
            return StoreError(f"{self.where} refuses: check user, password and rights in the url ({text})")
        return StoreError(f"{self.where}: {text}")


_TIMEOUT: Plain = {"serverSelectionTimeoutMS": SELECTION_MS}


def _lower(options: Any) -> set[str]:
    return {str(name).lower() for name in options}


def _hosts(parsed: Any) -> str:
    return ",".join(f"{host}:{port}" if port else str(host) for host, port in parsed["nodelist"])


def cursor_ended(error: PyMongoError) -> bool:
    """Whether a cursor can be opened again where this one ended."""
    if isinstance(error, AutoReconnect | CursorNotFound):
        return True
    return isinstance(error, OperationFailure) and error.code in _CURSOR_ENDED


def rows(batch: bytes) -> Iterator[tuple[str, bytes]]:
    """``(id, bytes)`` of each document in a raw batch."""
    start = 0
    while start < len(batch):
        stop = start + _int32(batch, start)[0]
        data = batch[start:stop]
        yield doc_id(data), data
        start = stop


def doc_id(data: bytes) -> str:
    """The ``_id`` of canonical bytes, without decoding the rest."""
    if data[4:9] != _ID_HEADER:
        raise InvalidDocumentError("a document has an _id that is no string: another tool has written it")
    return data[13 : 12 + _int32(data, 9)[0]].decode()
