from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.api import LocalHub
from hubkernel.hub.home import HubHome
from tests.ssh.tools import HASH, Held


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubHome:
    monkeypatch.setenv("HUBKERNEL_HOME", str(tmp_path / "home"))
    return HubHome.find().create()


@pytest.fixture(autouse=True)
def cheap_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who does not exist takes as long as the others here, whose hashes are made for tests."""
    monkeypatch.setattr("hubkernel.ssh.auth._nobody", lambda: HASH)


@pytest.fixture
def held(home: HubHome) -> Iterator[Held]:
    """A running hub whose commands a test holds up."""
    server = Held([], features=["config", "job"], name="Held Hub")
    server.home = home
    server.run_in_thread()
    yield server
    server.gate.set()
    server.shutdown()


@pytest.fixture
def hub(held: Held) -> Iterator[LocalHub]:
    hub = LocalHub(held)
    yield hub
    held.gate.set()
    hub.close()
