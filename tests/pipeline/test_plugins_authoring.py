"""What helps to write plugins: templates, the schema for editors, and a manifest as classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from hubkernel.pipeline.plugins import PluginError, load_plugin
from hubkernel.pipeline.plugins.export import export_plugin
from hubkernel.pipeline.plugins.schema import manifest_schema
from hubkernel.pipeline.plugins.templates import new_plugin
from tests.pipeline.test_plugins import MINIMAL, changed, make

KINDS = [(several, parallel) for several in (False, True) for parallel in (False, True)]


@pytest.mark.parametrize(("several", "parallel"), KINDS)
def test_a_new_plugin_is_good(tmp_path: Path, several: bool, parallel: bool) -> None:
    files = new_plugin(tmp_path / "my-source", multi_uploaders=several, parallelizer=parallel)
    assert all(file.is_file() for file in files)
    plugin = load_plugin(tmp_path / "my-source")
    assert plugin.warnings == []
    assert list(plugin.specs) == (["my-source_planets", "my-source_moons"] if several else ["my-source"])
    assert [spec.parallel for spec in plugin.specs.values()] == [parallel, False][: len(plugin.specs)]
    jsonschema.validate(yaml.safe_load((tmp_path / "my-source" / "manifest.yaml").read_text()), manifest_schema())


def test_a_new_plugin_takes_nobodys_place(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    with pytest.raises(FileExistsError, match="exists already"):
        new_plugin(tmp_path / "there")
    with pytest.raises(ValueError, match="no name for a source"):
        new_plugin(tmp_path / "not good")
    assert [path.name for path in tmp_path.iterdir()] == ["there"]


GOOD = [
    MINIMAL,
    changed(dumper={"data_url": ["http://a/x", "https://b/y"]}, requires="one", extra=1),
    changed(uploader={"on_duplicates": "merge", "parser_kwargs": {"a": 1}}, requires=["one", "two>=2"]),
    {"version": "1.1", "dumper": {"class": "a.B"}, "uploaders": [{"name": "x", "class": "c:D"}]},
]
BAD: list[dict[str, Any]] = [
    {"version": "1.0"},
    changed(uploaders=[{"name": "a", "parser": "a:b"}]),
    changed(dumper={"data_url": []}),
    changed(uploader={"on_duplicates": "ignoree"}),
    changed(uploader={"parser": "parser"}),
    changed(dumper={"uncompress": "yes"}),
    changed(display_name=None),
    {"version": "1.0", "dumper": MINIMAL["dumper"], "uploaders": [{"parser": "a:b"}]},
    {"version": "1.0", "dumper": MINIMAL["dumper"], "uploaders": {"parser": "a:b"}},
]


def test_the_schema_takes_what_the_hub_takes_and_refuses_what_it_refuses() -> None:
    validator = jsonschema.validators.validator_for(manifest_schema())(manifest_schema())
    validator.check_schema(manifest_schema())
    assert [manifest for manifest in GOOD if not validator.is_valid(manifest)] == []
    assert [manifest for manifest in BAD if validator.is_valid(manifest)] == []


def test_a_manifest_as_classes(tmp_path: Path) -> None:
    manifest = {
        "version": "1.0",
        "__metadata__": {"url": "http://x.org", "license": "CC0-1.0"},
        "dumper": {
            "data_url": ["http://x.org/a.zip"],
            "uncompress": True,
            "release": "parser:rel",
            "schedule": "0 3 * * *",
        },
        "uploaders": [
            {"name": "one-a", "parser": "parser:load_data", "parser_kwargs": {"n": 1}, "on_duplicates": "merge"},
            {"name": "two", "parser": "parser:load_data", "parallelizer": "parser:jobs", "mapping": "parser:mapping"},
        ],
    }
    code = "def load_data(folder, **kw):\n    yield {'_id': folder, **kw}\n"
    code += "def rel(self): ...\ndef jobs(self): ...\ndef mapping(cls): ...\n"
    folder = make(tmp_path / "my-plug", manifest, parser=code)
    report = export_plugin(load_plugin(folder), tmp_path / "sources")
    target = tmp_path / "sources" / "my_plug"
    assert {part: (about["status"], about["file"], about["class"]) for part, about in report.items()} == {
        "dumper": ("ok", f"{target}/dump.py", "MyPlugDumper"),
        "uploader": ("ok", f"{target}/upload.py", "OneAUploader, TwoUploader"),
        "mapping": ("ok", f"{target}/upload.py", "OneAUploader, TwoUploader"),
    }
    assert sorted(path.name for path in target.iterdir()) == ["__init__.py", "dump.py", "parser.py", "upload.py"]
    for file in target.glob("*.py"):
        compile(file.read_text(), str(file), "exec")
    with pytest.raises(FileExistsError, match="exists already"):
        export_plugin(load_plugin(folder), tmp_path / "sources")
    export_plugin(load_plugin(folder), tmp_path / "sources", ["dumper"], purge=True)
    assert "upload" not in (target / "__init__.py").read_text()
    with pytest.raises(ValueError, match="what is 'dumpr'"):
        export_plugin(load_plugin(folder), tmp_path / "elsewhere", ["dumpr"])
    with pytest.raises(PluginError, match="in the plugin itself"):
        export_plugin(load_plugin(folder), folder)
    assert json.loads((folder / "manifest.json").read_text()) == manifest
