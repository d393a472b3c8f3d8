"""Plugins written in a cell: two files, errors by the lines of the cell, and the first documents."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.cell import CellOptionsError, cell_options, preview_bundles
from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import PluginManager
from hubkernel.pipeline.plugins.cells import CellError
from hubkernel.store import open_state

CELL = """\
dumper:
  data_url: file:///nowhere/planets.csv
---
import csv

def load_data(folder):
    with open(folder + "/planets.csv") as rows:
        for row in csv.DictReader(rows):
            yield {"_id": row["name"], "radius": float(row["radius"])}
"""


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PluginManager]:
    root = tmp_path / "hub"
    state = open_state(f"sqlite://{root / 'state.db'}")
    yield PluginManager(PipelineContext(root, state, "", "", jobs=None))  # type: ignore[arg-type]
    state.close()


@pytest.fixture
def data(tmp_path: Path) -> str:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "planets.csv").write_text("name,radius\nVenus,6051.8\nEarth,6371\nMars,x\n")
    return str(tmp_path / "data")


def write(manager: PluginManager, cell: str = CELL, name: str = "planets", **options: Any) -> dict[str, Any]:
    return asyncio.run(manager.plugin_cell(name, cell, **options))


def test_a_cell_becomes_a_plugin_with_a_preview(manager: PluginManager, data: str) -> None:
    found = write(manager, data_folder=data, limit=2)
    assert (found["name"], found["warnings"]) == ("planets", [])
    documents = [{"_id": "Venus", "radius": 6051.8}, {"_id": "Earth", "radius": 6371.0}]
    assert found["preview"] == {"planets": {"documents": documents, "error": None}}
    assert sorted(path.name for path in Path(found["folder"]).iterdir()) == [".cell.json", "manifest.yaml", "parser.py"]
    manager.load_all()
    assert list(manager.plugins) == ["planets"] and manager.broken == {}


def test_an_error_of_the_parser_has_the_line_of_the_cell(manager: PluginManager, data: str) -> None:
    about = write(manager, data_folder=data)["preview"]["planets"]
    assert [document["_id"] for document in about["documents"]] == ["Venus", "Earth"]
    line = 1 + CELL.splitlines().index('            yield {"_id": row["name"], "radius": float(row["radius"])}') + 1
    assert about["error"] == f"cell line {line}: ValueError: could not convert string to float: 'x'"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        (
            "  data_url:",
            "  data_ulr:",
            "cell line 3: dumper.data_ulr: unknown key 'data_ulr': did you mean 'data_url'?",
        ),
        (
            "def load_data(",
            "def load_dta(",
            "uploader.parser: no function 'load_data' in the cell: did you mean 'load_dta'",
        ),
        ("import csv", "import csv(", "cell line 5: SyntaxError"),
        ("dumper:", "dumper: [", "cell line 4: not YAML"),
        ("---\n", "", "a plugin's cell is a manifest"),
    ],
)
def test_faults_have_the_lines_of_the_cell_and_change_nothing(
    manager: PluginManager, old: str, new: str, expected: str
) -> None:
    folder = Path(write(manager)["folder"])
    before = {path.name: path.read_text() for path in folder.iterdir()}
    with pytest.raises(CellError) as caught:
        write(manager, CELL.replace(old, new))
    assert expected in str(caught.value)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert [path.name for path in manager.context.plugins.iterdir()] == ["planets"]


def test_the_cell_may_be_run_again_and_keeps_other_files(manager: PluginManager, data: str) -> None:
    folder = Path(write(manager, data_folder=data)["folder"])
    (folder / "helper.py").write_text("NAME = 'radius_km'\n")
    again = CELL.replace("import csv\n", "import csv\nfrom helper import NAME\n").replace('"radius":', "NAME:")
    documents = write(manager, again, data_folder=data, limit=1)["preview"]["planets"]["documents"]
    assert documents == [{"_id": "Venus", "radius_km": 6051.8}]


def test_what_no_cell_has_written_is_not_overwritten(manager: PluginManager) -> None:
    folder = manager.context.plugins / "planets"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text("{}")
    with pytest.raises(CellError, match="a plugin that no cell has written"):
        write(manager)
    write(manager, overwrite=True)
    (folder / "parser.py").write_text("# by hand\n")
    with pytest.raises(CellError, match="was edited since the cell wrote it"):
        write(manager)
    assert (folder / "parser.py").read_text() == "# by hand\n"


def test_the_line_of_the_magic() -> None:
    given = cell_options("plugin planets --data '/a b' --limit 3")
    assert given == {"name": "planets", "data_folder": "/a b", "limit": 3, "overwrite": False}
    with pytest.raises(CellOptionsError, match="%%hub plugin NAME"):
        cell_options("plugin planets --lmit 3")


def test_how_the_first_documents_look(manager: PluginManager, data: str) -> None:
    shown = "\n".join(bundle["text/plain"] for bundle in preview_bundles(write(manager, data_folder=data)))
    assert "planets: the first 2 document(s)" in shown and "Venus" in shown and "then an error: cell line" in shown
    nothing = "\n".join(bundle["text/plain"] for bundle in preview_bundles(write(manager)))
    assert "`%hub dump planets` brings it" in nothing
