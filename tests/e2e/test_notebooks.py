"""Notebooks without a browser: nbclient and papermill, with the kernel "Hub" and with the plain Python kernel."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError
from traitlets.config import Config

from hubkernel.display import JOB_MIME
from hubkernel.hub.home import HubHome
from hubkernel.owner import read_owner

NOTEBOOKS = Path(__file__).parents[2] / "notebooks"
ENCRYPTED = Config({"KernelManager": {"transport_encryption": "auto"}})


def notebook(*cells: str, kernel: str = "hub") -> Any:
    spec = {"name": kernel, "display_name": kernel, "language": "python"}
    return nbformat.v4.new_notebook(
        metadata={"kernelspec": spec}, cells=[nbformat.v4.new_code_cell(cell) for cell in cells]
    )


def execute(nb: Any, folder: Path) -> Any:
    resources = {"metadata": {"path": str(folder)}}
    return NotebookClient(nb, timeout=100, resources=resources, config=ENCRYPTED).execute()


def texts(cell: Any) -> list[str]:
    return [output["data"]["text/plain"] for output in cell.outputs if "data" in output]


@pytest.mark.service
def test_the_saved_notebook_holds_final_states(jupyter: Path) -> None:
    nb = execute(notebook("%hub dump hpo_terms", "%%hub\nupload hpo_terms\ncount hpo_terms"), jupyter)
    live = [output["data"] for cell in nb.cells for output in cell.outputs if JOB_MIME in output.get("data", {})]
    assert [data[JOB_MIME]["state"] for data in live] == ["done", "done"]
    assert all("<b>done</b>" in data["text/html"] for data in live)
    assert texts(nb.cells[1])[-1] == "60"
    nbformat.validate(nb)


@pytest.mark.service
def test_a_failed_command_fails_the_notebook_in_one_line(jupyter: Path) -> None:
    nb = notebook("%hub upload hpo_terms", "after = 1")
    with pytest.raises(CellExecutionError, match="JobFailedError"):
        execute(nb, jupyter)
    error = nb.cells[0].outputs[-1]
    assert error.ename == "JobFailedError"
    assert len(error.traceback) <= 2
    assert not nb.cells[1].outputs


@pytest.mark.service
def test_the_extension_works_in_the_plain_python_kernel(jupyter: Path, home: HubHome) -> None:
    from ipykernel.kernelspec import install

    install(prefix=str(jupyter / "prefix"))
    cells = (
        "%load_ext hubkernel",
        "%hub dump hpo_terms",
        "hub.sources()",
        "%unload_ext hubkernel",
        "'hub' in globals()",
    )
    nb = execute(notebook(*cells, kernel="python3"), jupyter)
    assert "hpo_terms     2025-01-16  success" in texts(nb.cells[2])[0]
    assert texts(nb.cells[4]) == ["False"]
    assert read_owner(home.run) is None


@pytest.mark.service
def test_papermill_runs_a_notebook_with_parameters(jupyter: Path) -> None:
    nb = notebook("src = 'none'", "%hub dump $src && upload $src", "hub.docs(src).to_pandas().shape[0]")
    nb.cells[0].metadata["tags"] = ["parameters"]
    nbformat.write(nb, jupyter / "in.ipynb")
    done = subprocess.run(
        [sys.executable, "-m", "papermill", "in.ipynb", "out.ipynb", "-p", "src", "hpo_terms", "--no-progress-bar"],
        cwd=jupyter,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    out = nbformat.read(jupyter / "out.ipynb", as_version=4)
    assert texts(out.cells[-1]) == ["60"]


# ------------------------------------------------------------------------------------------------------- the tutorials


@pytest.mark.service
def test_the_first_tutorial_tells_its_story(jupyter: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the excerpt, in a home of its own; what it shows is checked where it has to be true for any data."""
    monkeypatch.setenv("HUBKERNEL_HOME", str(tmp_path / "tutorial"))
    monkeypatch.setenv("HUBKERNEL_TUTORIAL_DATA", str(Path(__file__).parents[1] / "data" / "hpo"))
    nb = execute(nbformat.read(NOTEBOOKS / "01-first-hub.ipynb", as_version=4), tmp_path)
    code = [cell for cell in nb.cells if cell.cell_type == "code"]
    shown = "\n".join(text for cell in code for text in texts(cell))
    for words in (
        "hpo_diseases  2025-01-16  success  success",
        "Seizure",
        "HP:0001250",
        "<Docs hpo_terms: 60 documents>",
    ):
        assert words in shown
    assert any("image/svg+xml" in output.get("data", {}) for cell in code for output in cell.outputs)


def test_tutorials_are_stored_without_outputs() -> None:
    stored = sorted(NOTEBOOKS.glob("*.ipynb"))
    assert stored
    for path in stored:
        nb = nbformat.read(path, as_version=4)
        nbformat.validate(nb)
        assert not [cell for cell in nb.cells if cell.cell_type == "code" and (cell.outputs or cell.execution_count)]
