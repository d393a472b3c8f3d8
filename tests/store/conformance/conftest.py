"""Every test of this folder runs on every implementation; those on MongoDB need a real mongod."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from pymongo import MongoClient

from hubkernel.store import DocumentStore, StateCollection, StateStore, open_state, open_store

BACKENDS = [pytest.param("sqlite"), pytest.param("mongo", marks=pytest.mark.service)]


def at_database(mongod_url: str, database: str) -> str:
    """The url of one database of the server."""
    server, _, options = mongod_url.partition("/?")
    return f"{server.rstrip('/')}/{database}{'?' + options if options else ''}"


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def mongo_database_url(mongod_url: str) -> Iterator[str]:
    """A database of the test's own."""
    name = f"hk_{uuid.uuid4().hex}"
    yield at_database(mongod_url, name)
    with MongoClient(mongod_url) as client:
        client.drop_database(name)


@pytest.fixture
def store_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return f"sqlite://{tmp_path}/store" if backend == "sqlite" else request.getfixturevalue("mongo_database_url")


@pytest.fixture
def state_url(backend: str, tmp_path: Path, request: pytest.FixtureRequest) -> str:
    return f"sqlite://{tmp_path}/state.db" if backend == "sqlite" else request.getfixturevalue("mongo_database_url")


@pytest.fixture
def store(store_url: str) -> Iterator[DocumentStore]:
    opened = open_store(store_url)
    yield opened
    opened.close()


@pytest.fixture
def state(state_url: str) -> Iterator[StateStore]:
    opened = open_state(state_url)
    yield opened
    opened.close()


@pytest.fixture
def docs(state: StateStore) -> StateCollection:
    """One state collection."""
    return state["things"]
