from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from hubkernel.api import LocalHub
from hubkernel.facade import Hub
from tests.doors.fake import FakeServer

if TYPE_CHECKING:
    from tests.doors.serving import Serving


@pytest.fixture
def server(tmp_path: Path) -> FakeServer:
    return FakeServer(tmp_path / "home")


@pytest.fixture
def api(server: FakeServer) -> Iterator[LocalHub]:
    hub = LocalHub(server)  # type: ignore[arg-type]
    yield hub
    hub.close()


@pytest.fixture(scope="session")
def jupyter_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A Jupyter server with the extension, for all tests of one worker; ``use()`` gives it the hub of a test."""
    from tests.doors.serving import serving

    with serving(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


@pytest.fixture
def hub(api: LocalHub) -> Hub:
    return Hub(lambda: api)


@pytest.fixture
def shell(api: LocalHub, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """An IPython shell that has loaded the extension; its hub is the fake one."""
    from IPython.core.interactiveshell import InteractiveShell
    from traitlets.config import Config

    from hubkernel import client

    config = Config()
    config.HistoryManager.hist_file = ":memory:"
    config.HistoryManager.enabled = False
    monkeypatch.setattr(client, "connect", lambda home=None, door="": api)
    InteractiveShell.clear_instance()
    shell = InteractiveShell.instance(config=config)
    shell.run_line_magic("load_ext", "hubkernel")
    yield shell
    if getattr(shell, "hubkernel_extension", None) is not None:
        shell.run_line_magic("unload_ext", "hubkernel")
    InteractiveShell.clear_instance()
