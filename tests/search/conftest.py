"""Both engines for one suite: the embedded one, and a real server (``HUBKERNEL_TEST_ELASTICSEARCH``, else an old one).

What a test expects is what Elasticsearch 8 does; ``since`` says what an older server does not do, and that is checked.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from elasticsearch import ApiError, Elasticsearch, helpers

from hubkernel.search import client
from tests.search.samples import DOCUMENTS, SETTINGS, mappings


class Bench:
    """One engine under test: its client, and indices that are removed at the end."""

    def __init__(self, es: Elasticsearch, version: tuple[int, int]) -> None:
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


# One worker for all tests of the server: some ask for all the indices that there are.
ENGINES: list[Any] = [
    "embedded",
    pytest.param("server", marks=[pytest.mark.service, pytest.mark.xdist_group("elasticsearch")]),
]


@pytest.fixture(scope="session", params=ENGINES)
def engine(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    if request.param == "embedded":
        es = client(f"embedded://{tmp_path_factory.mktemp('search')}")
    else:
        es = client(request.getfixturevalue("elasticsearch_url"), request_timeout=60)
    major, minor, *_ = es.info()["version"]["number"].split(".")
    bench = Bench(es, (int(major), int(minor)))
    yield bench
    bench.close()


@pytest.fixture
def bench(engine: Bench, request: pytest.FixtureRequest) -> Bench:
    """The engine; a test of what it is too old for must fail then, with the reason that the mark gives."""
    mark = request.node.get_closest_marker("since")
    if mark is not None and engine.version < mark.args[0]:
        reason = f"Elasticsearch {'.'.join(map(str, engine.version))}: {mark.args[1]}"
        request.applymarker(pytest.mark.xfail(reason=reason, raises=(ApiError, AssertionError), strict=True))
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
    config.addinivalue_line("markers", "since(version, reason): what servers before that version do not do, and why")
