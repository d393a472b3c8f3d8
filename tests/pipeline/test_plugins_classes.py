"""Plugins of classes: what a child process finds in their code, and that the hub runs none of it."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import PluginCodeError, PluginManager, load_function, load_plugin
from hubkernel.pipeline.plugins.discovery import Discovery, Request
from hubkernel.store import open_state

IMPORTS = """\
from hubkernel.pipeline.dump.dumpers.base import BaseDumper
from hubkernel.pipeline.upload.storages import CheckSizeStorage, MergerStorage
from hubkernel.pipeline.upload.uploaders import BaseSourceUploader, DummySourceUploader, ParallelizedSourceUploader
"""
SDK = """\
import biothings.hub.dataload.uploader
from biothings import config
from biothings.hub.dataload.dumper import BaseDumper
from biothings.hub.dataload.uploader import BaseSourceUploader, DummySourceUploader, ParallelizedSourceUploader
from biothings.utils.storage import CheckSizeStorage, MergerStorage

assert issubclass(BaseSourceUploader, biothings.hub.dataload.uploader.BaseSourceUploader) and config.logger
"""
DUMP = """
class MyBase(BaseDumper):
    MAX_PARALLEL_DUMP = 2

class Mine(MyBase):
    SRC_NAME = "mine"
    SRC_ROOT_FOLDER = "/data/mine_files"
    SRC_URLS = ["http://x.org/a"]
    SCHEDULE = "0 12 * * *"
    AUTO_UPLOAD = False
"""
UPLOAD = """
from .values import NAME

class First(BaseSourceUploader):
    name = NAME
    main_source = "mine"
    keep_archive = 2
    storage_class = (CheckSizeStorage, MergerStorage)
    __metadata__ = {"src_meta": {"url": "http://x.org"}}

class Second(ParallelizedSourceUploader):
    name = "mine_second"
    main_source = "mine"

class Third(DummySourceUploader):
    name = "mine_third"
    main_source = "mine"
"""


def write(folder: Path, **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, code in files.items():
        (folder / f"{name}.py").write_text(textwrap.dedent(code))
    return folder


def advanced(folder: Path) -> Path:
    init = "from .dump import MyBase, Mine\nfrom .upload import *\n"
    return write(folder, __init__=init, dump=IMPORTS + DUMP, upload=IMPORTS + UPLOAD, values="NAME = 'mine_first'\n")


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PluginManager]:
    root = tmp_path / "hub"
    state = open_state(f"sqlite://{root / 'state.db'}")
    yield PluginManager(PipelineContext(root, state, "", "", jobs=None))  # type: ignore[arg-type]
    state.close()


def test_a_folder_of_classes(tmp_path: Path) -> None:
    folder = advanced(tmp_path / "some-folder")
    plugin = load_plugin(folder)
    dumper = plugin.dumper
    assert (plugin.name, plugin.loader, plugin.manifest) == ("mine", "advanced", None)
    assert dumper is not None
    assert (dumper.target, dumper.source, dumper.folder) == ("__init__:Mine", "mine", "mine_files")
    assert (dumper.urls, dumper.schedule, dumper.auto_upload) == (("http://x.org/a",), "0 12 * * *", False)
    assert (dumper.max_parallel, dumper.bases) == (2, ("MyBase", "BaseDumper"))
    first, second, third = plugin.specs.values()
    assert (first.name, first.target, first.duplicates) == ("mine_first", "__init__:First", "merge")
    assert (first.keep_archive, first.metadata) == (2, {"url": "http://x.org"})
    assert (second.parallel, second.loads, second.keep_archive) == (True, True, None)
    assert (third.dummy, third.loads, third.source) == (True, False, "mine")
    assert not [name for name in sys.modules if "some_folder" in name], "its code ran in this process"
    assert load_function(folder, dumper.target).__name__ == "Mine"


def test_classes_of_submodules_count_if_the_package_has_none(tmp_path: Path) -> None:
    folder = write(tmp_path / "deep", __init__="", script="raise SystemExit('no class here')\n")
    write(folder / "parts", __init__="", dump=SDK + DUMP)
    write(folder, upload=SDK + UPLOAD, values="NAME = 'x'\n")
    plugin = load_plugin(folder)
    assert plugin.dumper and plugin.dumper.target == "parts.dump:Mine"
    assert [spec.target for spec in plugin.specs.values()] == ["upload:First", "upload:Second", "upload:Third"]


@pytest.mark.parametrize(
    ("init", "reason"),
    [
        ("import os\n\n1 / 0\n", r"__init__.py:3: ZeroDivisionError"),
        ("def x(:\n", r"__init__.py:1: SyntaxError"),
        ("import os\nos._exit(3)\n", r"ended \(status 3\)"),
        ("raise SystemExit(1)\n", r"__init__.py:1: SystemExit"),
        (IMPORTS + "class D(BaseDumper):\n    SRC_NAME = 'x'\n    SCHEDULE = 'daily'\n", r"SCHEDULE of D: 'daily'"),
        (IMPORTS + "class U(BaseSourceUploader):\n    name = 'x'\n    storage_class = int\n", r"is no storage class"),
    ],
)
def test_broken_code_is_a_broken_plugin(tmp_path: Path, init: str, reason: str) -> None:
    with pytest.raises(PluginCodeError, match=reason):
        load_plugin(write(tmp_path / "bad", __init__=init))


def test_code_that_hangs_costs_only_itself(manager: PluginManager) -> None:
    root = manager.context.plugins
    advanced(root / "works")
    manager.load_all()
    write(root / "a_hangs", __init__="import threading\nthreading.Event().wait()\n")
    manager.discovery.timeout = 0.5
    manager.load_all()
    assert list(manager.plugins) == ["mine"]
    assert "was not imported within 0.5 seconds" in manager.broken["a_hangs"]


def test_answers_are_kept_until_a_file_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = advanced(tmp_path / "p")
    asked = []
    ask = Discovery._ask
    monkeypatch.setattr(Discovery, "_ask", lambda self, requests: asked.append(len(requests)) or ask(self, requests))
    request = Request(str(folder))
    before = Discovery(tmp_path / "kept.json").look([request])[request]
    assert Discovery(tmp_path / "kept.json").look([request])[request] == before
    write(folder, values="NAME = 'another_name'\n")
    after = Discovery(tmp_path / "kept.json").look([request])[request]
    assert asked == [1, 0, 1]
    assert [spec.name for spec in after.uploaders] == ["another_name", "mine_second", "mine_third"]


def test_packages_of_a_hub(manager: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As large hubs have it: a package of packages that import each other by their full names, and a ``config``."""
    write(tmp_path, config="ROOT = '/archive'\n")
    hub = write(tmp_path / "hub_c", __init__="raise RuntimeError('the hub itself never imports this')\n")
    write(hub, __init__="")
    sources = write(hub / "sources", __init__="", common="PREFIX = 'gene_'\n")
    upload = "from hub_c.sources.common import PREFIX\nimport config\n" + IMPORTS
    upload += "class Info(BaseSourceUploader):\n    name = PREFIX + 'info'\n    main_source = 'entrez'\n"
    dump = (
        IMPORTS
        + "import config\nclass D(BaseDumper):\n    SRC_NAME = 'entrez'\n    SRC_ROOT_FOLDER = config.ROOT + '/e'\n"
    )
    write(sources / "entrez", __init__="from .dump import D\nfrom .upload import Info\n", dump=dump, upload=upload)
    more = IMPORTS + "class More(BaseSourceUploader):\n    name = 'gene_more'\n    main_source = 'entrez'\n"
    write(sources / "more", __init__="", upload=more)
    alone = IMPORTS + "class Alone(BaseSourceUploader):\n    name = 'alone'\n"
    write(sources / "alone", __init__=alone)
    write(sources / "wrong", __init__="import no_such_library_c\n")
    monkeypatch.syspath_prepend(tmp_path)
    manager.load_sources(["hub_c.sources.entrez", "hub_c.sources.more", "hub_c.sources.alone", "hub_c.sources.wrong"])
    entrez = manager["entrez"]
    assert entrez.dumper and (entrez.dumper.folder, entrez.module) == ("e", "hub_c.sources.entrez")
    assert {name: spec.target for name, spec in entrez.specs.items()} == {
        "gene_info": "hub_c.sources.entrez:Info",
        "gene_more": "hub_c.sources.more.upload:More",
    }
    assert manager["alone"].dumper is None
    assert f"{sources}/wrong/__init__.py:1: ModuleNotFoundError" in manager.broken["wrong"]
    assert "hub_c" not in sys.modules and "config" not in sys.modules
    manager.load_all()
    assert set(manager.plugins) == {"entrez", "alone"} and set(manager.broken) == {"wrong"}
    write(sources, bases="class SomeUploader: 'not one of ours, and not a source'\n")
    manager.sources = ["hub_c.sources"]
    manager.load_all()
    assert set(manager.plugins) == {"entrez", "alone"} and set(manager.broken) == {"wrong"}


def test_code_of_a_hub_is_imported_again_when_any_file_of_it_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = write(tmp_path / "hub_again", __init__="", shared="VALUE = 1\n")
    folder = write(hub / "one", __init__="from hub_again.shared import VALUE\ndef value():\n    return VALUE\n")
    monkeypatch.syspath_prepend(tmp_path)
    target = "hub_again.one:value"
    first = load_function(folder, target)
    assert first() == 1 and load_function(folder, target) is first
    write(hub, shared="VALUE = 1 + 1\n")
    assert load_function(folder, target)() == 2
    for name in [name for name in sys.modules if name.startswith("hub_again")]:
        monkeypatch.delitem(sys.modules, name)


def test_two_dumpers_of_one_source(tmp_path: Path) -> None:
    twice = IMPORTS + "".join(f"class {name}(BaseDumper):\n    SRC_NAME = 'x'\n" for name in ("A", "B"))
    with pytest.raises(Exception, match="source 'x' has __init__:A and __init__:B: a source has one dumper"):
        load_plugin(write(tmp_path / "twice", __init__=twice))
