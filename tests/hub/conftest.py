from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.hub.home import HubHome
from hubkernel.store import StateStore, open_state


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubHome:
    """A hub home of this test, also the one that a plain HubServer finds."""
    monkeypatch.setenv("HUBKERNEL_HOME", str(tmp_path / "home"))
    return HubHome.find().create()


@pytest.fixture
def state(home: HubHome) -> Iterator[StateStore]:
    store = open_state(home.state_url)
    yield store
    store.close()
