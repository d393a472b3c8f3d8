"""The pages for plugin authors say what the code does."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path
from typing import Any, get_args

import pytest

from hubkernel.pipeline.plugins import DumperSection, Manifest, UploaderSection, load_plugin
from hubkernel.pipeline.plugins.models import Section
from hubkernel.pipeline.plugins.reader import MANIFESTS
from tests.pipeline.dump_tools import Bench

DOCS = Path(__file__).parents[2] / "docs" / "plugin-authors"
TYPES = {
    "list[": "list of objects",
    "Urls": "text or list",
    "Requirements": "text or list",
    "bool": "true, false",
    "dict": "object",
    "Function": "`module:function`",
    "DumperSection": "object",
    "UploaderSection": "object",
}


def kind(annotation: Any) -> str:
    text = str(annotation)
    if "Literal" in text:
        return ", ".join(f"`{value}`" for value in get_args(annotation))
    return next((shown for name, shown in TYPES.items() if name in text), "text")


def table(model: type[Section]) -> str:
    """The reference of one section, from the model itself."""
    rows = ["| key | value | |", "|---|---|---|"]
    hints = model.__annotations__
    for name, field in model.model_fields.items():
        shown = kind(field.annotation) if "Literal" in str(field.annotation) else kind(hints[name])
        key = f"`{field.alias or name}`" + (" (needed)" if field.is_required() else "")
        rows.append(f"| {key} | {shown} | {field.description} |")
    return "\n".join(rows)


@pytest.mark.parametrize("model", [Manifest, DumperSection, UploaderSection])
def test_reference_has_every_key(model: type[Section]) -> None:
    expected = table(model)
    page = (DOCS / "manifest.md").read_text()
    assert expected in page, f"put this into docs/plugin-authors/manifest.md:\n{expected}"


def test_reference_names_the_files() -> None:
    page = (DOCS / "manifest.md").read_text()
    assert all(f"`{name}`" in page for name in MANIFESTS)


def code_blocks(page: Path) -> dict[str, str]:
    """The blocks that have a title, by it."""
    blocks = re.findall(r"^```\w+ title=(\S+)\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
    return {name.strip('"'): text for name, text in blocks}


def test_first_plugin_works_as_written(tmp_path: Path) -> None:
    files = code_blocks(DOCS / "first-plugin.md")
    folder = tmp_path / "hub" / "plugins" / "planets"
    folder.mkdir(parents=True)
    data = tmp_path / "planets.csv"
    data.write_text(files.pop("planets.csv"))
    for name, text in files.items():
        (folder / name).write_text(text.replace("file:///home/me/planets.csv", data.as_uri()))
    assert load_plugin(folder).warnings == []
    bench = Bench(tmp_path / "hub")
    bench.plugins.load_all()
    assert asyncio.run(bench.manager.dump_src("planets")) == "2006"
    documents = list(bench.plugins["planets"].parser()(str(bench.folder("planets"))))
    bench.close()
    shown = re.search(r"^```json\n(.*?)^```", (DOCS / "first-plugin.md").read_text(), re.MULTILINE | re.DOTALL)
    assert shown is not None and documents[0] == json.loads(shown.group(1))
    assert len(documents) == 3


def test_errors_are_shown_as_they_are(tmp_path: Path) -> None:
    """The faulty manifest of the page gives the messages of the page."""
    page = (DOCS / "manifest.md").read_text()
    faulty = re.search(r'^```yaml title="faulty"\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    shown = re.search(r'^```text title="messages"\n(.*?)^```', page, re.MULTILINE | re.DOTALL)
    assert faulty is not None and shown is not None
    folder = tmp_path / "mine"
    folder.mkdir()
    (folder / "manifest.yaml").write_text(faulty.group(1))
    (folder / "parser.py").write_text("def load_data(folder):\n    yield {}\n")
    with pytest.raises(ValueError) as caught:
        load_plugin(folder)
    assert str(caught.value).replace(f"{tmp_path}/", "") == shown.group(1).strip()
