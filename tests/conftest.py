"""What every test gets: an empty home, and real services on demand."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.services import ServiceMissingError, missing

KEPT = ("HUBKERNEL_TEST_", "HUBKERNEL_REQUIRE_SERVICES")


def pytest_configure(config: pytest.Config) -> None:
    """Plain ``pytest`` needs Python only: service tests run with ``-m service`` (or any other ``-m``).

    A shell starts what it puts into the background with interrupts ignored, and every child inherits that; the tests of
    interrupts would wait for ever.
    """
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if not config.option.markexpr:
        config.option.markexpr = "not service"


def pytest_report_header(config: pytest.Config) -> str | None:
    left_out = config.option.markexpr == "not service"
    return 'services: left out (run all tests with -m "service or not service")' if left_out else None


@pytest.fixture(scope="session", autouse=True)
def empty_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """No test reads or writes the home of whoever runs it, nor their settings."""
    home = tmp_path_factory.mktemp("home")
    patch = pytest.MonkeyPatch()
    for name in list(os.environ):
        personal = name.startswith(("HUBKERNEL_", "JUPYTER_", "XDG_")) or name == "IPYTHONDIR"
        if personal and not name.startswith(KEPT):
            patch.delenv(name)
    patch.setenv("HOME", str(home))
    patch.setenv("HUBKERNEL_PLACEMENT", "embedded")  # a test that wants an owner process says so, and ends it
    yield home
    patch.undo()


@pytest.fixture(scope="session")
def shared_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that all workers of this session share."""
    root = tmp_path_factory.getbasetemp()
    return root.parent if "PYTEST_XDIST_WORKER" in os.environ else root


@pytest.fixture(scope="session")
def mongod_url(shared_root: Path) -> Iterator[str]:
    """A real mongod (replica set of one): ``$HUBKERNEL_TEST_MONGODB``, one on PATH, or that of the pinned wheel.

    One server a session, so use a database name of your own. Without one the test is skipped, or fails where services
    are required (``CI`` or ``HUBKERNEL_REQUIRE_SERVICES=1``).
    """
    from tests.services import mongod

    try:
        with mongod.shared(shared_root) as url:
            yield url
    except ServiceMissingError as error:
        missing(error)


@pytest.fixture(scope="session")
def elasticsearch_url(shared_root: Path) -> Iterator[str]:
    """A real Elasticsearch: ``$HUBKERNEL_TEST_ELASTICSEARCH``, or that of the pinned wheel, one a session."""
    from tests.services import elasticsearch

    try:
        with elasticsearch.shared(shared_root) as url:
            yield url
    except ServiceMissingError as error:
        missing(error)
