"""The hub that a notebook or a terminal opens for its user."""

from __future__ import annotations

from pathlib import Path

from hubkernel import client
from hubkernel.hub.server import HubServer
from tests.e2e.homes import hpo_home


def test_only_its_user_tells_it_to_upload(tmp_path: Path) -> None:
    """Otherwise an upload right after a dump is refused, depending on the second in which it is typed."""
    assert HubServer.DEFAULT_MANAGERS_ARGS["upload"]["poll_schedule"]
    home = hpo_home(tmp_path / "home")
    try:
        hub = client.connect(home)
        assert "upload_pending" not in hub.call("sch")
        hub.call("dump", "hpo_terms").result(60)
        assert "hpo_terms" in hub.call("upload", "hpo_terms").result(60)
    finally:
        client.disconnect(home)
