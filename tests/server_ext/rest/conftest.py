from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.server_ext.rest.served import OwnHub, Served, serve


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One served hub for the tests of a module; they leave nothing that would disturb others."""
    with serve(tmp_path_factory.mktemp("home")) as served:
        yield served


@pytest.fixture
def served(shared: Served) -> Iterator[Served]:
    """The module's hub, with a ``slow`` that waits."""
    assert isinstance(shared.server, OwnHub)
    shared.server.go.clear()
    yield shared
    shared.server.go.set()
