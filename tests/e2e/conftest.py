from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel import cli
from hubkernel.hub.home import HubHome
from tests.e2e.homes import add_slow_source, hpo_home


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HubHome:
    home = hpo_home(tmp_path / "hub")
    add_slow_source(home)
    monkeypatch.setenv("HUBKERNEL_HOME", str(home))
    return home


@pytest.fixture
def jupyter(tmp_path: Path, home: HubHome, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Jupyter's folders, empty but for the kernel ``hub``."""
    cli.main(["install-kernel", "--prefix", str(tmp_path / "prefix")])
    monkeypatch.setenv("JUPYTER_PATH", str(tmp_path / "prefix/share/jupyter"))
    for name in ("JUPYTER_RUNTIME_DIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "IPYTHONDIR"):
        monkeypatch.setenv(name, str(tmp_path / name.lower()))
    return tmp_path


@pytest.fixture
def kernel(jupyter: Path) -> Iterator[Any]:
    """A running kernel ``hub`` and its client: ``(manager, client)``."""
    from jupyter_client.manager import start_new_kernel

    manager, client = start_new_kernel(kernel_name="hub", transport_encryption="auto")
    try:
        yield manager, client
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
