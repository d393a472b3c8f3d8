from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from hubkernel.api import LocalHub
from tests.doors.conftest import jupyter_server, server  # noqa: F401 - fixtures
from tests.doors.fake import FakeServer
from tests.doors.serving import Serving


@pytest.fixture
def served(jupyter_server: Serving, server: FakeServer) -> Iterator[Serving]:  # noqa: F811
    """The Jupyter server with a fake hub in it."""
    hub = LocalHub(server)  # type: ignore[arg-type]
    jupyter_server.use(hub)
    yield jupyter_server
    hub.close()


@pytest.fixture
def rest(served: Serving) -> Iterator[httpx.Client]:
    """A client with the hub's own token, that speaks JSON."""
    headers = {"Authorization": f"token {served.owner.token}"}
    with httpx.Client(base_url=f"{served.url}hubkernel/api/", headers=headers, trust_env=False) as client:
        yield client


@pytest.fixture
def nobody(served: Serving) -> Iterator[httpx.Client]:
    """A client without a token."""
    with httpx.Client(base_url=f"{served.url}hubkernel/api/", trust_env=False) as client:
        yield client
