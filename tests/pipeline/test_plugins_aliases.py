"""``import biothings`` in code of plugins, and nowhere else."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from hubkernel.executors.process import ProcessExecutor
from hubkernel.pipeline.plugins import PluginCodeError, load_function
from hubkernel.pipeline.plugins.discovery import Discovery, Request
from hubkernel.pipeline.surroundings import Surroundings
from tests.pipeline.alias_works import call, name_of

Write = Callable[..., Path]
SECONDS = 60
PARSER = """
from biothings.utils.dataload import dict_sweep, unlist
import biothings.utils.dataload as dl
import biothings, biothings.hub.dataload.dumper
from biothings import config as btconfig
from biothings.hub.dataload.uploader import BaseSourceUploader
from biothings.utils.common import open_anyfile
from inner.deep import swept
import config
logging = btconfig.logger
biothings.config_for_app(config)

class Up(BaseSourceUploader):
    name = "up"

class Down(biothings.hub.dataload.dumper.BaseDumper):
    SRC_NAME = "up"

def f():
    from biothings.utils import dataload
    import biothings.utils.parsers
    assert dataload is dl is biothings.utils.dataload and swept is dict_sweep is dataload.dict_sweep
    assert dl.open_anyfile is open_anyfile and callable(biothings.utils.parsers.ndjson_parser)
    return [base.__module__ for base in (Up.__base__, Down.__base__)], dict_sweep({"a": "-", "b": ["x"]})
"""
OURS = ["hubkernel.pipeline.upload.uploaders", "hubkernel.pipeline.dump.dumpers.base"]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(code: str, **files: str) -> Path:
        folder = tmp_path / "plug"
        for name, text in {"parser": code, **files}.items():
            path = folder / (name.replace("__", "/") + ".py")
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_text(text)
        return folder

    return write


def real(name: str = "biothings") -> ModuleType:
    return importlib.import_module(name)


def test_the_shapes_of_imports_that_plugins_have(write: Write) -> None:
    folder = write(PARSER, inner__deep="def swept(): ...\nfrom biothings.utils.dataload import dict_sweep as swept\n")
    assert load_function(folder, "parser:f")() == (OURS, {"b": ["x"]})


def test_it_never_leaks_out_of_the_plugin(write: Write, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = write(PARSER, inner__deep="from biothings.utils.dataload import dict_sweep as swept\n")
    finders = list(sys.meta_path)
    load_function(folder, "parser:f")()
    assert not [name for name in sys.modules if name.partition(".")[0] in ("biothings", "config")]
    assert [type(finder).__name__ for finder in sys.meta_path if finder not in finders] in ([], ["_PluginFinder"])
    with pytest.raises(ModuleNotFoundError, match="No module named 'biothings'"):
        real()
    installed = ModuleType("biothings")
    monkeypatch.setitem(sys.modules, "biothings", installed)
    assert load_function(folder, "parser:f")() == (OURS, {"b": ["x"]})
    assert real() is installed


def test_a_module_config_of_the_hub_goes_before_ours(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "config.py").write_text("MINE = 7\n")
    monkeypatch.syspath_prepend(tmp_path)
    code = "import biothings, config\nbiothings.config_for_app(config)\nfrom biothings import config as both\n"
    folder = write(code + "def f():\n    return config.MINE, both.MINE, both.logger.name\n")
    try:
        assert load_function(folder, "parser:f")() == (7, 7, "hubkernel.plugins")
    finally:
        del sys.modules["config"]


UTILS = r"biothings\.utils"
MISSING = {
    "from biothings.utils.dataload import dict_sweeep": r"dataload\.dict_sweeep; did you mean 'dict_sweep'",
    "import biothings.utils.datalod": rf"no module {UTILS}\.datalod; did you mean {UTILS}\.dataload",
    "from biothings.utils import datalod": rf"no {UTILS}\.datalod; did you mean 'dataload'",
    "import biothings.hub.dataload.dumper as d; d.HTPDumper": r"dumper\.HTPDumper; did you mean 'HTTPDumper'",
    "from biothings.hub.datatransform import DataTransforMDB": r"DataTransforMDB; did you mean 'DataTransformMDB'",
    "from biothings.hub.autoupdate.dumper import X": r"biothings\.hub\.autoupdate; biothings\.hub has databuild",
    "import nosuch": "No module named 'nosuch'",
    "import config.sub": "No module named 'config'",
}


@pytest.mark.parametrize(("line", "error"), MISSING.items())
def test_what_is_missing_is_named_with_the_line_of_the_plugin(write: Write, line: str, error: str) -> None:
    with pytest.raises(PluginCodeError, match=rf"parser\.py:2: .*{error}"):
        load_function(write(f"\n{line}\ndef f(): ...\n"), "parser:f")


LOOKUP = """
from biothings.hub.datatransform import DataTransformMDB, nested_lookup
from biothings.hub.datatransform.datatransform_mdb import MongoDBEdge

class KeyLookup(DataTransformMDB):
    def __init__(self, *args, **kwargs):
        super().__init__({"a": MongoDBEdge("c", "c.a", "c.b")}, *args, **kwargs)

@KeyLookup(["a"], ["b"])
def f(folder):
    yield {"_id": nested_lookup({"a": [{"b": 1}]}, "a.b")}
"""


def test_who_looks_up_ids_can_be_loaded_and_fails_when_it_does(write: Write) -> None:
    parser = load_function(write(LOOKUP), "parser:f")
    with pytest.raises(NotImplementedError, match="KeyLookup: ids cannot be looked up yet; map them in load_data"):
        parser("folder")
    assert list(parser.__wrapped__("folder")) == [{"_id": [1]}]  # type: ignore[attr-defined]


def test_in_a_worker_all_that_a_plugin_pulls_in_gets_ours(
    write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package of a hub's sources too, although another biothings is installed, which the engine gets before."""
    site = tmp_path / "site"
    for path, text in {
        "biothings/__init__.py": "REAL = True\n",
        "hub/dataload/sources/x/__init__.py": "from .up import Up\n",
        "hub/dataload/sources/x/up.py": PARSER.replace("from inner.deep", "from hub.deep"),
        "hub/deep.py": "import importlib\nswept = importlib.import_module('biothings.utils.dataload').dict_sweep\n",
    }.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    monkeypatch.syspath_prepend(site)
    folder = write(
        "from hub.dataload.sources.x import Up\nfrom hub.dataload.sources.x.up import f as shapes, config\n"
        "import pickle\ndef f():\n"
        "    assert pickle.loads(pickle.dumps(Up)) is Up\n"
        "    return shapes(), config.DATA_ARCHIVE_ROOT, config.COLOUR\n"
    )
    here = Surroundings(f"sqlite://{tmp_path}/store", f"sqlite://{tmp_path}/state.db", "/arch", "/logs", {"COLOUR": 3})
    executor = ProcessExecutor(workers=1)
    try:
        run = executor.submit
        assert run(name_of, "biothings").future.result(SECONDS) == "biothings"
        answer = run(call, str(folder), "parser:f", here).future.result(SECONDS)
        assert answer == ((OURS, {"b": ["x"]}), "/arch", 3)
        assert run(name_of, "biothings").future.result(SECONDS) == "hubkernel.compat.biothings"
    finally:
        executor.close(force=True)
    assert real().REAL
    del sys.modules["biothings"]


def test_classes_are_found_with_the_settings_of_the_hub(write: Write, tmp_path: Path) -> None:
    """In the process that looks at them; what was kept of other settings does not count."""
    folder = write("", __init__="from .classes import Down, Up\n", classes=CLASSES)
    (folder / "parser.py").unlink()
    for colour in ("red", "blue"):
        here = Surroundings("sqlite:///s", "sqlite:///t", "/arch", "/logs", {"COLOUR": colour})
        look = Discovery(tmp_path / "kept.json", surroundings=lambda here=here: here).look
        (classes,) = look([Request(str(folder))]).values()
        assert not classes.problems
        (dumper,) = classes.dumpers
        assert (dumper.source, dumper.folder, dumper.schedule) == ("up", "up", "0 12 * * *")
        assert [(found.name, found.metadata) for found in classes.uploaders] == [("up", {"c": colour})]


CLASSES = """
import os
import biothings, config
biothings.config_for_app(config)
from config import DATA_ARCHIVE_ROOT
from biothings.hub.dataload.dumper import LastModifiedHTTPDumper
from biothings.hub.dataload.uploader import MergerSourceUploader

class Down(LastModifiedHTTPDumper):
    SRC_NAME = "up"
    SRC_ROOT_FOLDER = os.path.join(DATA_ARCHIVE_ROOT, SRC_NAME)
    SCHEDULE = "0 12 * * *"

class Up(MergerSourceUploader):
    name = "up"
    __metadata__ = {"src_meta": {"c": config.COLOUR}}
"""
