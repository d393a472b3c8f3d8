"""Both engines for one suite: the embedded one, and any real server named by ``HUBKERNEL_TEST_ELASTICSEARCH``.

What a test expects is what Elasticsearch 8 does; ``since`` tells what an older server cannot be asked for.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import Elasticsearch, helpers

from hubkernel.search import client
from tests.search.samples import DOCUMENTS, SETTINGS, mappings

SERVER = "HUBKERNEL_TEST_ELASTICSEARCH"


class Bench:
    """One engine under test: its client, and indices that are removed at the end."""

    def __init__(self, es: Elasticsearch, version: int) -> None:
        self.es = es
        self.version = version
        self._made: list[str] = []
        self._genes = ""

    def name(self) -> str:
        self._made.append(f"test_{uuid.uuid4().hex[:12]}")
        return self._made[-1]

    def index(self, documents: dict[str, Any] | None = None, **body: Any) -> str:
        name = self.name()
        self.es.indices.create(index=name, **body)
        if documents:
            self.fill(name, documents)
        return name

    def fill(self, name: str, documents: dict[str, Any]) -> None:
        actions = ({"_index": name, "_id": id, "_source": source} for id, source in documents.items())
        helpers.bulk(self.es, actions, refresh=True)

    def copy(self) -> str:
        """The genes, in an index that a test may change."""
        return self.index(DOCUMENTS, settings=SETTINGS, mappings=mappings())

    @property
    def genes(self) -> str:
        """The genes, in an index that no test changes."""
        if not self._genes:
            self._genes = self.copy()
        return self._genes

    def found(self, query: dict[str, Any], index: str = "", **options: Any) -> list[str]:
        answer = self.es.search(index=index or self.genes, query=query, size=100, **options)
        return sorted(hit["_id"] for hit in answer["hits"]["hits"])

    def asked(self, text: str, **options: Any) -> list[str]:
        """Ids that a query string finds, asked as BioThings asks."""
        body = {"query": text, "default_operator": "AND", "lenient": True, **options}
        return self.found({"query_string": body})

    def close(self) -> None:
        for name in self._made:
            for index in self.es.indices.get(index=name, ignore_unavailable=True):  # the name may be an alias by now
                self.es.indices.delete(index=index)
        self.es.close()


ENGINES: list[Any] = ["embedded"]
if SERVER in os.environ:  # nothing here can fetch one: it is judged where somebody has one
    ENGINES.append(pytest.param("server", marks=[pytest.mark.service, pytest.mark.xdist_group("es")]))


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if request.param == "embedded":
        es = client(f"embedded://{tmp_path_factory.mktemp('search')}")
    else:
        es = client(os.environ[SERVER], request_timeout=30)
    bench = Bench(es, int(es.info()["version"]["number"].split(".")[0]))
    yield bench
    bench.close()


@pytest.fixture
def bench(engine: Bench, request: pytest.FixtureRequest) -> Bench:
    mark = request.node.get_closest_marker("since")
    if mark is not None and engine.version < mark.args[0]:
        pytest.skip(f"Elasticsearch {engine.version} does not have this: since {mark.args[0]}")
    return engine


@pytest.fixture
def embedded(tmp_path: Path) -> Iterator[Callable[..., Elasticsearch]]:
    """Opens clients of one fresh embedded folder; ``embedded()`` again is a second client of it."""
    opened: list[Elasticsearch] = []

    def open_client(folder: Path = tmp_path / "search") -> Elasticsearch:
        opened.append(client(f"embedded://{folder}"))
        return opened[-1]

    yield open_client
    for each in opened:
        each.close()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "since(version): what Elasticsearch servers have from that major version on")
