from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.server_ext.rest.served import Served, serve
from tests.server_ext.rest.test_endpoints import error, write_source


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With a read-only server on a port of its own, open to all."""
    folder = tmp_path_factory.mktemp("home")
    (folder / "hubkernel.toml").write_text("readonly_port = 0\nreadonly_open = true\n")
    with serve(folder) as served:
        write_source(served.home, "x")
        served.post("call/reload", {})
        yield served


@pytest.fixture(scope="module")
def reader(shared: Served) -> Iterator[httpx.Client]:
    """Somebody without a token, at the read-only server's own port."""
    assert shared.app.rest is not None and shared.app.rest.readonly_server is not None
    (listening, *_) = shared.app.rest.readonly_server._sockets.values()
    url = f"http://127.0.0.1:{listening.getsockname()[1]}{shared.serverapp.base_url}hubkernel/readonly/api/"
    with httpx.Client(base_url=url) as client:
        yield client


def test_core_c16_the_read_only_root(served: Served, reader: httpx.Client) -> None:
    for root in (served.readonly("").json()["result"], reader.get("").json()["result"]):
        assert root["name"] == "BioThings Hub (read-only)"
        assert "readonly" in root["features"]
        assert "terminal" not in root["features"]


def test_core_c17_only_get(served: Served, reader: httpx.Client) -> None:
    for ask in (served.readonly, lambda path, method="GET": reader.request(method, path)):
        wrong = ask("config", "PUT")
        error(wrong, 405)
        assert wrong.headers["Allow"] == "GET"
        error(ask("shell", "PUT"), 404)
        error(ask("source/x/dump", "PUT"), 404)
        error(ask("logs/"), 404)
        assert ask("source/x").json()["result"]["_id"] == "x"
        assert ask("status").status_code == 200


def test_nothing_else_is_on_its_port(served: Served, reader: httpx.Client) -> None:
    base = served.serverapp.base_url
    for path in ("hubkernel/api/hub", "hubkernel/api/call/status", "api/status", "tree", "hubkernel/api/events"):
        assert reader.get(f"http://{reader.base_url.netloc.decode()}{base}{path}").status_code == 404


def test_only_what_has_no_side_effects_is_there(served: Served) -> None:
    assert served.app.rest is not None
    routes = list(served.app.rest.readonly)
    assert {verb for route in routes for verb in route.verbs} == {"get"}
    commands = {route.verbs["get"].command for route in routes}
    assert all(not command.tracked and command.role.name == "viewer" for command in commands)
    before = served.result("commands")
    for route in routes:
        if route.argument is None:
            served.readonly(route.template)
    assert served.result("commands") == before


def test_the_readers_role_is_viewer_whoever_asks(served: Served) -> None:
    assert served.readonly("status").status_code == 200
    assert "rule" not in {route.endpoint for route in served.app.rest.readonly}  # type: ignore[union-attr]


def test_by_default_a_token_is_needed(tmp_path: Path) -> None:
    with serve(tmp_path / "home") as served:
        anonymous = httpx.Client(base_url=served.url)
        with anonymous:
            assert anonymous.get("hubkernel/readonly/api/status").status_code == 403
        assert served.readonly("status").status_code == 200


def test_a_port_that_is_taken_is_named(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        (tmp_path / "hubkernel.toml").write_text(f"readonly_port = {port}\n")
        with pytest.raises(OSError, match=f"readonly_port {port} of 127.0.0.1 cannot be had"), serve(tmp_path):
            pass


def taken_behind_a_free_one() -> socket.socket:
    """A listening socket; nobody has the port before it."""
    while True:
        taken = socket.create_server(("127.0.0.1", 0))
        try:
            socket.create_server(("127.0.0.1", taken.getsockname()[1] - 1)).close()
        except OSError:
            taken.close()
        else:
            return taken


def test_a_taken_port_that_nobody_chose_is_no_reason_to_fail(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with taken_behind_a_free_one() as taken, caplog.at_level("WARNING"):
        port = taken.getsockname()[1]
        (tmp_path / "hubkernel.toml").write_text(f"studio_port = {port - 1}\n")
        features = ["job", "config", "readonly"]  # not 'studio', whose own port may be taken by now
        with serve(tmp_path, features=features) as served:
            assert served.readonly("status").status_code == 200
    assert f"readonly_port {port} of 127.0.0.1 cannot be had" in caplog.text


def test_without_the_feature_there_is_none(tmp_path: Path) -> None:
    with serve(tmp_path / "home", features=["job", "config"]) as served:
        error(served.readonly("status"), 404)
