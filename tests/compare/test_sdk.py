"""Plugins of the field's shapes through the real SDK and through this hub, their documents compared one by one."""

from __future__ import annotations

import functools
import http.server
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from hubkernel.hub.home import HubHome
from tests.compare import data, differences, sides
from tests.compare.sides import Outcome
from tests.services import ServiceMissingError, missing, sdk

BY_COMMAND = ["terms_obo", "drugs_tsv", "assays_csv", "articles_xml", "genes_json"]
"""The SDK runs them with its command, on SQLite."""
BY_HUB = [
    *("variants_ignore", "pairs_merge", "parts_parallel", "clashes_error"),
    *("labels_class", "archive_class", "merged_class", "rootkeys_class"),
]
"""The SDK runs them in its hub, on mongod: its SQLite fails on them, or has another order, or its manifest cannot."""
PLUGINS = [*BY_COMMAND, *BY_HUB]
REFUSED = {"clashes_error"}
"""Their data are faulty: both sides have to refuse them and to show nothing of them."""

pytestmark = [
    pytest.mark.service,
    pytest.mark.xdist_group("sdk"),
    pytest.mark.timeout(600),  # the first use installs the SDK
]


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Of the data, served with their dates."""
    folder = tmp_path_factory.mktemp("data")
    data.write(folder)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()
    thread.join()


@pytest.fixture(scope="module")
def theirs(url: str, mongod_url: str, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Outcome]:
    try:
        sdk.python()
    except ServiceMissingError as error:
        missing(error)
    root = tmp_path_factory.mktemp("sdk")
    sides.install(root / "commands", BY_COMMAND, url)
    sides.install(root / "plugins", BY_HUB, url, sdk_forms=True)

    @functools.cache
    def hub() -> dict[str, Outcome]:
        return sides.sdk_hub(root, BY_HUB, mongod_url)

    return lambda name: hub()[name] if name in BY_HUB else sides.sdk_command(root / "commands" / name)


@pytest.fixture(scope="module")
def ours(url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Outcome]]:
    home = HubHome(tmp_path_factory.mktemp("home")).create()
    sides.install(home.plugins, PLUGINS, url)
    with sides.our_hub(home) as run:
        yield run


@pytest.mark.parametrize("name", PLUGINS)
def test_the_documents_are_those_of_the_sdk(
    name: str, theirs: Callable[[str], Outcome], ours: Callable[[str], Outcome]
) -> None:
    expected, found = theirs(name), ours(name)
    if name in REFUSED:
        assert expected.errors and not expected.collections
        assert found.errors and not found.collections
        return
    assert not expected.errors, f"the SDK failed:\n{expected.errors}"
    assert not found.errors, f"ours failed:\n{found.errors}"
    assert found.release == expected.release
    assert found.collections.keys() == expected.collections.keys()
    assert all(len(documents) >= 40 for documents in expected.collections.values()), "nothing to compare"
    judge(name, expected, found)


def judge(name: str, expected: Outcome, found: Outcome) -> None:
    allowed = [entry for entry in differences.ALLOWED if entry.plugin == name]
    met: set[str] = set()
    for collection, documents in expected.collections.items():
        bad, used = differences.judged(collection, documents, found.collections[collection], allowed)
        met |= used
        shown = "\n".join(map(str, bad[:10]))
        assert not bad, f"{len(bad)} differences in {collection} that nothing allows, among them:\n{shown}"
    assert {entry.id for entry in allowed} == met, "allowed differences that do not occur any more: take them out"


def test_sources_of_a_hub_give_the_documents_of_plugins(
    url: str, ours: Callable[[str], Outcome], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Packages below ``dataload/sources`` of a hub's own code, as mygene.info and its like have them."""
    names = ["labels_class", "archive_class"]
    code = tmp_path / "code"
    sides.install(code / "dataload" / "sources", names, url)
    for package in ("dataload", "dataload/sources"):
        (code / package / "__init__.py").touch()
    monkeypatch.syspath_prepend(code)
    home = HubHome(tmp_path / "home").create()
    home.config_file.write_text('active_datasources = ["dataload.sources"]\n')
    with sides.our_hub(home) as run:
        for name in names:
            as_source = run(name)
            assert not as_source.errors
            assert as_source.collections
            assert as_source == ours(name)
