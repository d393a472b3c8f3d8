"""Manifests and plugins: the acceptance cases, and faults that are all reported at once."""

from __future__ import annotations

import json
import re
import types
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import ManifestError, PluginError, PluginManager, UnknownPluginError, load_plugin
from hubkernel.store import open_state

MINIMAL: dict[str, Any] = {
    "version": "1.0",
    "dumper": {"data_url": "http://x.org/a.tsv"},
    "uploader": {"parser": "parser:load_data"},
}
PARSER = "def load_data(folder, **kwargs):\n    yield {'_id': folder, **kwargs}\n"


def make(folder: Path, manifest: Any = None, name: str = "manifest.json", **files: str) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    text = manifest if isinstance(manifest, str) else json.dumps(manifest or MINIMAL, indent=1)
    (folder / name).write_text(text)
    for module, code in ({"parser": PARSER} | files).items():
        (folder / f"{module}.py").write_text(code)
    return folder


def changed(**sections: Any) -> dict[str, Any]:
    manifest = json.loads(json.dumps(MINIMAL))
    for key, value in sections.items():
        manifest[key] = {**manifest.get(key, {}), **value} if isinstance(value, dict) and key in manifest else value
    return manifest


def faults(folder: Path) -> list[str]:
    with pytest.raises(ManifestError) as caught:
        load_plugin(folder)
    return [f"{problem.line} {problem.path}: {problem.message}" for problem in caught.value.problems]


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PluginManager]:
    root = tmp_path / "hub"
    state = open_state(f"sqlite://{root / 'state.db'}")
    yield PluginManager(PipelineContext(root, state, "", "", jobs=None))  # type: ignore[arg-type]
    state.close()


def test_dataload_c01_minimal(tmp_path: Path) -> None:
    plugin = load_plugin(make(tmp_path / "tiny"))
    dumper, uploader = plugin.manifest.dumper, plugin.uploader()
    assert dumper.data_url == ["http://x.org/a.tsv"]
    assert (uploader.on_duplicates, dumper.uncompress, dumper.schedule) == ("error", False, None)
    assert list(plugin.uploaders) == ["tiny"] and plugin.warnings == []
    assert list(plugin.parser()("f")) == [{"_id": "f"}]


def test_dataload_c02_yaml_is_the_same_and_json_wins(tmp_path: Path) -> None:
    import yaml

    folder = make(tmp_path / "p", yaml.safe_dump(MINIMAL), name="manifest.yaml")
    from_yaml = load_plugin(folder)
    make(folder, changed(display_name="json"))
    from_json = load_plugin(folder)
    assert from_json.manifest.display_name == "json"
    assert from_yaml.manifest == from_json.manifest.model_copy(update={"display_name": None})


def test_dataload_c03_uploaders_as_object(tmp_path: Path) -> None:
    manifest = {"version": "1.0", "dumper": MINIMAL["dumper"], "uploaders": {"parser": "parser:load_data"}}
    assert faults(make(tmp_path / "p", manifest)) == ["6 uploaders: is an object where a list is needed"]


def test_dataload_c04_both_uploader_and_uploaders(tmp_path: Path) -> None:
    both = changed(uploaders=[{"name": "a", "parser": "parser:load_data"}])
    assert "mutually exclusive" in faults(make(tmp_path / "p", both))[0]


def test_dataload_c05_unknown_key_is_kept_with_a_warning(tmp_path: Path) -> None:
    plugin = load_plugin(make(tmp_path / "p", changed(builder={"x": 1}, author={"name": "me"})))
    assert plugin.manifest.model_extra == {"builder": {"x": 1}, "author": {"name": "me"}}
    assert [warning.split(": ", 1)[1] for warning in plugin.warnings] == [
        "builder: unknown key 'builder' is kept and not used",
        "author: unknown key 'author' is kept and not used",
    ]


@pytest.mark.parametrize(
    ("typo", "meant"),
    [("parzer", "parser"), ("on_duplicate", "on_duplicates"), ("paralelizer", "parallelizer"), ("Parser", "parser")],
)
def test_typing_error_in_a_key(tmp_path: Path, typo: str, meant: str) -> None:
    section = {"parser": "parser:load_data"} if meant != "parser" else {}
    manifest = {**MINIMAL, "uploader": {**section, typo: "parser:load_data"}}
    line = 7 + len(section)
    expected = [f"{line} uploader.{typo}: unknown key '{typo}': did you mean '{meant}'?"]
    assert faults(make(tmp_path / "p", manifest)) == expected


@pytest.mark.parametrize(
    ("typo", "meant"), [("dumpr", "dumper"), ("metadata", "__metadata__"), ("require", "requires")]
)
def test_typing_error_in_a_root_key(tmp_path: Path, typo: str, meant: str) -> None:
    manifest = {key: value for key, value in MINIMAL.items() if key != meant}
    text = faults(make(tmp_path / "p", {**manifest, typo: MINIMAL.get(meant, {})}))
    assert len(text) == 1 and text[0].endswith(f"did you mean '{meant}'?")


def test_dataload_c06_no_dumper(tmp_path: Path) -> None:
    manifest = {key: value for key, value in MINIMAL.items() if key != "dumper"}
    assert faults(make(tmp_path / "p", manifest)) == ["1 dumper: 'dumper' is missing"]


def test_dataload_c07_c08_c09_two_faults_at_once(tmp_path: Path) -> None:
    manifest = changed(dumper={"data_url": []}, uploader={"on_duplicates": "ignoree"})
    assert faults(make(tmp_path / "p", manifest)) == [
        "4 dumper.data_url: is empty: give at least one",
        "8 uploader.on_duplicates: 'ignoree' is not allowed: use one of 'error', 'ignore', 'merge'",
    ]


@pytest.mark.parametrize(
    ("schedule", "why"),
    [("daily", ""), ("0 4 * *", ""), ("61 * * * *", " bad minute;"), ("0 4 * * 1 99", " bad second;")],
)
def test_a_schedule_that_no_clock_follows(tmp_path: Path, schedule: str, why: str) -> None:
    manifest = changed(dumper={"data_url": "https://example.org/a", "schedule": schedule})
    (fault,) = faults(make(tmp_path / "p", manifest))
    expected = f"{schedule!r} is no cron schedule:{why} write minute hour day month weekday [second]"
    assert fault.endswith(f"dumper.schedule: {expected}")


def test_faults_of_yaml_have_lines_too(tmp_path: Path) -> None:
    text = """\
version: 1.0
dumper:
  data_url:
    - http://x.org/a
    - x.org/b
  uncompress: "yes"
uploaders:
  - name: one
    parser: parser:load_data
  - parser: parser
  - name: one
    parser: parser:lod_data
"""
    assert faults(make(tmp_path / "p", text, name="manifest.yaml")) == [
        '1 version: is a number where a string is needed: write "1.0" in quotes',
        "5 dumper.data_url[1]: missing scheme in 'x.org/b': begin it with http://, https:// or file:///",
        "6 dumper.uncompress: is a string where true or false is needed",
        "10 uploaders[1].parser: 'parser' is not a function: write 'module:function', e.g. 'parser:load_data'",
        "10 uploaders[1]: 'name' is missing: each of several uploaders needs one, its collection's name",
        "11 uploaders[2].name: uploader 'one' is there twice (first on line 8): rename one",
        f"12 uploaders[2].parser: no function 'lod_data' in {tmp_path}/p/parser.py: did you mean 'load_data'?",
    ]


@pytest.mark.parametrize("key", ["display_name", "biothing_type", "requires", "__metadata__", "name"])
def test_null_is_an_error(tmp_path: Path, key: str) -> None:
    found = faults(make(tmp_path / "p", changed(**{key: None})))
    assert [text.split(" ", 1)[1] for text in found] == [f"{key}: is null: give a value or remove the key"]


def test_dataload_c10_requires_as_a_string(tmp_path: Path) -> None:
    plugin = load_plugin(make(tmp_path / "p", changed(requires="no_such_package>=2")))
    assert plugin.manifest.requires == ["no_such_package>=2"]
    assert plugin.warnings == ["needs no_such_package>=2: pip install 'no_such_package>=2'"]
    assert load_plugin(make(tmp_path / "q", changed(requires=["pytest>=1", "pydantic"]))).warnings == []


@pytest.mark.parametrize(
    ("requires", "warning"),
    [
        ("pytest>=1,<9999", None),
        ("pytest<1", r"needs pytest<1 \(.+ is installed\): pip install 'pytest<1'"),
        ("no_such_package; python_version < '3'", None),
        ("no such package", r"pip does not understand this"),
        ("no_such_package[extra]>=2", r"needs no_such_package\[extra\]>=2: pip install"),
    ],
)
def test_versions_of_what_is_required(tmp_path: Path, requires: str, warning: str | None) -> None:
    warnings = load_plugin(make(tmp_path / "p", changed(requires=requires))).warnings
    assert len(warnings) == (warning is not None)
    assert warning is None or re.search(warning, warnings[0])


@pytest.mark.parametrize("allowed", [pytest.param(True, marks=pytest.mark.service), False])
def test_required_packages_are_installed_only_if_that_is_allowed(
    manager: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, allowed: bool
) -> None:
    wheels, target = tmp_path / "wheels", tmp_path / "site"
    wheel(wheels, "hubkernel_c10_example")
    for name, value in {"NO_INDEX": "1", "FIND_LINKS": str(wheels), "TARGET": str(target)}.items():
        monkeypatch.setenv(f"PIP_{name}", value)
    monkeypatch.syspath_prepend(target)
    manager.install = allowed
    make(manager.context.plugins / "p", changed(requires=["hubkernel_c10_example>=1"]))
    plugin = manager.load(manager.context.plugins / "p")
    assert (target / "hubkernel_c10_example.py").is_file() == allowed
    assert plugin.warnings == (
        [] if allowed else [f"needs {(text := 'hubkernel_c10_example>=1')}: pip install '{text}'"]
    )


def wheel(folder: Path, name: str) -> None:
    folder.mkdir()
    with zipfile.ZipFile(folder / f"{name}-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(f"{name}.py", "")
        info = f"{name}-1.0.dist-info"
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


def test_dataload_c11_schemes(tmp_path: Path) -> None:
    mixed = make(tmp_path / "p", changed(dumper={"data_url": ["http://a/x", "ftp://b/y"]}))
    assert "urls of one dumper share one protocol, here are ftp and http" in faults(mixed)[0]
    load_plugin(make(tmp_path / "q", changed(dumper={"data_url": ["http://a/x", "https://b/y"]})))


@pytest.mark.parametrize("url", ["x.org/data.tsv", "/data/x.tsv", "data.tsv"])
def test_dataload_c12_url_without_scheme(tmp_path: Path, url: str) -> None:
    (fault,) = faults(make(tmp_path / "p", changed(dumper={"data_url": url})))
    assert f"missing scheme in '{url}'" in fault


def test_unknown_scheme(tmp_path: Path) -> None:
    (fault,) = faults(make(tmp_path / "p", changed(dumper={"data_url": "gopher://x/y"})))
    assert "no protocol for gopher://" in fault


@pytest.mark.parametrize("name", ["my-plug", "a", "2020_data"])
def test_dataload_c13_folder_names(tmp_path: Path, name: str) -> None:
    assert load_plugin(make(tmp_path / name)).name == name


def test_folder_name_that_cannot_be_a_source(tmp_path: Path) -> None:
    (fault,) = faults(make(tmp_path / "my plug.v2"))
    assert "cannot be a source's name" in fault
    assert load_plugin(make(tmp_path / "my plug.v2", changed(name="good"))).name == "good"


def test_dataload_c14_c15_imports_of_the_plugins_own_files(tmp_path: Path) -> None:
    parser = "from .helper import X\nimport helper\nimport sub.deep\n\ndef load_data(folder):\n"
    parser += "    import helper as again\n    yield {'_id': X, 'same': again is helper, 'deep': sub.deep.Y}\n"
    folder = make(tmp_path / "p", parser=parser, helper="import json\nX = json.loads('\"x\"')\n")
    make(folder / "sub", deep="Y = 1\n")
    assert list(load_plugin(folder).parser()("f")) == [{"_id": "x", "same": True, "deep": 1}]


def test_dataload_c16_two_plugins_with_the_same_file_names(tmp_path: Path) -> None:
    plugins = []
    for name in ("one", "two"):
        parser = "import helper\n\ndef load_data(folder, **kw):\n    yield {'_id': helper.NAME, **kw}\n"
        manifest = changed(uploader={"parser_kwargs": {"n": name}})
        plugins.append(load_plugin(make(tmp_path / name, manifest, parser=parser, helper=f"NAME = '{name}'\n")))
    parsed = [list(plugin.parser()("f", **plugin.uploader().parser_kwargs)) for plugin in plugins]
    assert parsed == [[{"_id": "one", "n": "one"}], [{"_id": "two", "n": "two"}]]


def test_dataload_c17_importable_module_as_parser(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    make(tmp_path / "lib" / "elsewhere_c17" / "parts", load="def obo(folder, prefix):\n    yield prefix + folder\n")
    monkeypatch.syspath_prepend(tmp_path / "lib")
    manifest = changed(uploader={"parser": "elsewhere_c17.parts.load:obo", "parser_kwargs": {"prefix": "DOID"}})
    plugin = load_plugin(make(tmp_path / "p", manifest))
    assert list(plugin.parser()("f", **plugin.uploader().parser_kwargs)) == ["DOIDf"]


def test_dataload_c18_a_factory_of_parsers_as_parser(tmp_path: Path) -> None:
    target = {"parser": "biothings.utils.parsers:ndjson_parser", "parser_kwargs": {"patterns": ["*.ndjson"]}}
    plugin = load_plugin(make(tmp_path / "p", changed(uploader=target)))
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "a.ndjson").write_text('{"_id": "1"}\n{"_id": "2"}\n')
    assert list(plugin.parser()(str(tmp_path / "data"), patterns=["*.ndjson"])) == [{"_id": "1"}, {"_id": "2"}]
    target["parser"] = "biothings.utils.parsers:ndjson_parsr"
    (fault,) = faults(make(tmp_path / "p", changed(uploader=target)))
    assert "did you mean 'ndjson_parser'?" in fault


def test_dataload_c24_name_and_class(tmp_path: Path) -> None:
    assert load_plugin(make(tmp_path / "folder", changed(name="other"))).name == "other"
    code = "from hubkernel.pipeline.dump.dumpers.base import BaseDumper\n"
    code += "from hubkernel.pipeline.upload.uploaders import MergerSourceUploader\n"
    code += "class Mine(BaseDumper):\n    SCHEDULE = '0 3 * * *'\n    AUTO_UPLOAD = False\n"
    code += "class Up(MergerSourceUploader):\n    name = 'not this'\n"
    manifest = {"version": "1.1", "dumper": {"class": "own.Mine"}, "uploader": {"class": "own:Up"}}
    plugin = load_plugin(make(tmp_path / "q", manifest, own=code))
    assert plugin.dumper and plugin.dumper.target == "own:Mine" and plugin.dumper.section is not None
    assert (plugin.dumper.source, plugin.dumper.schedule, plugin.dumper.auto_upload) == ("q", "0 3 * * *", False)
    assert [(spec.name, spec.target, spec.duplicates) for spec in plugin.specs.values()] == [("q", "own:Up", "merge")]
    manifest["dumper"] = {"class": "own.Mne"}
    (fault,) = faults(make(tmp_path / "q", manifest, own=code))
    assert fault.startswith("4 dumper.class: no class 'Mne' in") and fault.endswith("did you mean 'Mine'?")
    with pytest.raises(PluginError, match=r"dumper.class: own:Up is no dumper"):
        load_plugin(make(tmp_path / "q", {**manifest, "dumper": {"class": "own.Up"}}, own=code))


def test_dataload_c62_keylookup(manager: PluginManager) -> None:
    folder = make(manager.context.plugins / "p", changed(uploader={"keylookup": {"input_types": []}}))
    with pytest.raises(PluginError, match="p: keylookup: this hub has no key lookup: give it one"):
        manager.load(folder)
    manager.load_all()
    assert "no key lookup" in manager.broken["p"] and not manager.plugins
    with pytest.raises(ValueError, match="keylookup is 7: it takes a class, or 'module:Class'"):
        PluginManager(manager.context, keylookup=7)
    again = PluginManager(manager.context, keylookup=Path)
    assert again.load(folder).name == "p" and again.keylookup == f"{Path.__module__}:Path"


def test_missing_parser_file_and_function(tmp_path: Path) -> None:
    manifest = changed(dumper={"release": "verson:get"}, uploader={"parser": "parser:nothing"})
    folder = make(tmp_path / "p", manifest, version="def get(self):\n    return '1'\n")
    assert faults(folder) == [
        f"5 dumper.release: no file verson.py in {folder}, and no module 'verson' can be imported "
        "(did you mean 'version'?)",
        f"8 uploader.parser: no function 'nothing' in {folder}/parser.py",
    ]


def test_syntax_error_of_a_parser_names_its_line(tmp_path: Path) -> None:
    folder = make(tmp_path / "p", parser="x = 1\ndef load_data(:\n")
    (fault,) = faults(folder)
    assert f"{folder}/parser.py:2: SyntaxError" in fault


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"version": "1.0",\n "dumper": }', "2 : not JSON: Expecting value (column 12)"),
        ('{"version": "1.0",\n "version": "2"}', "2 version: the key is there twice (first on line 1): remove one"),
        ("[]", "1 : a manifest is an object with 'version', 'dumper' and 'uploader'"),
        ('{"version": NaN}', "1 : NaN is not JSON: use a number or a string"),
    ],
)
def test_broken_json(tmp_path: Path, text: str, message: str) -> None:
    assert message in faults(make(tmp_path / "p", text))


@pytest.mark.parametrize(
    ("text", "start"),
    [("version: [\ndumper: 1\n", "3 : not YAML"), ("a: 1\n\tb: 2\n", "2 : not YAML"), ("a: 1\n---\nb: 2\n", "2 : not")],
)
def test_broken_yaml(tmp_path: Path, text: str, start: str) -> None:
    (fault,) = faults(make(tmp_path / "p", text, name="manifest.yaml"))
    assert fault.startswith(start)


def test_yaml_anchors_and_merges(tmp_path: Path) -> None:
    text = """\
version: "1.0"
base: &base {parser: "parser:load_data", on_duplicates: ignore}
dumper: {data_url: "http://x/y"}
uploaders:
  - {<<: *base, name: one}
  - {<<: *base, name: two, on_duplicates: merge}
"""
    plugin = load_plugin(make(tmp_path / "p", text, name="manifest.yaml"))
    assert {name: str(spec.duplicates) for name, spec in plugin.specs.items()} == {
        "one": "ignore",
        "two": "merge",
    }


def test_not_utf8(tmp_path: Path) -> None:
    folder = make(tmp_path / "p")
    (folder / "manifest.json").write_bytes(b'{"version":\n "\xff"}')
    assert faults(folder) == ["2 : not UTF-8 text: save the file as UTF-8"]


# --- the manager ----------------------------------------------------------------------------------------------------


def test_broken_plugins_do_not_stop_the_others(manager: PluginManager) -> None:
    root = manager.context.plugins
    make(root / "good")
    make(root / "bad", {"version": "1.0"})
    (root / "advanced").mkdir()
    (root / "advanced" / "__init__.py").write_text("class Dumper: ...\n")
    (root / "__pycache__").mkdir()
    (root / "notes").mkdir()
    manager.load_all()
    assert list(manager.plugins) == ["good"] and set(manager.broken) == {"bad", "advanced"}
    assert (
        "no dumper class with SRC_NAME" in manager.broken["advanced"] and "'dumper' is missing" in manager.broken["bad"]
    )
    with pytest.raises(UnknownPluginError, match=r"source 'bad' is broken:\n.*manifest.json:1"):
        manager["bad"]


def test_unknown_source_names_the_nearest(manager: PluginManager) -> None:
    with pytest.raises(UnknownPluginError, match="no source 'x': there is none yet"):
        manager["x"]
    make(manager.context.plugins / "hpo_terms")
    manager.load_all()
    with pytest.raises(UnknownPluginError, match="did you mean 'hpo_terms'"):
        manager["hpo_term"]


def test_names_are_unique(manager: PluginManager, tmp_path: Path) -> None:
    make(manager.context.plugins / "one")
    make(manager.context.plugins / "two", changed(name="one"))
    manager.load_all()
    assert "belongs to the plugin in" in manager.broken["two"]
    collection = make(tmp_path / "three", changed(uploader={"name": "one"}))
    with pytest.raises(PluginError, match="collection 'one' belongs to plugin 'one'"):
        manager.load(collection)


def test_dataload_c22_register_is_remembered_and_unregister_keeps_the_folder(
    manager: PluginManager, tmp_path: Path
) -> None:
    folder = make(tmp_path / "mine")
    manager.register(folder)
    manager.load_all()
    assert manager["mine"].folder == folder
    manager.unregister("mine")
    manager.load_all()
    assert "mine" not in manager.plugins
    assert (folder / "parser.py").is_file()


def test_registered_folder_that_is_gone(manager: PluginManager, tmp_path: Path) -> None:
    folder = make(tmp_path / "mine")
    manager.register(folder)
    folder.rename(tmp_path / "moved")
    manager.load_all()
    assert "no such folder" in manager.broken["mine"]


def test_plugin_folders_and_source_list(
    manager: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    manager.context.plugin_folders.append(tmp_path / "more")
    make(tmp_path / "more" / "m1")
    make(tmp_path / "pkg_c24" / "s1")
    make(tmp_path / "pkg_c24" / "s2")
    (tmp_path / "pkg_c24" / "__init__.py").write_text("")
    make(tmp_path / "pkg_other" / "deep")
    manager.load_all()
    manager.load_sources(["pkg_c24", "pkg_other.deep", "pkg_none"])
    assert set(manager.plugins) == {"m1", "s1", "s2", "deep"}
    assert "cannot be imported" in manager.broken["pkg_none"]
    manager.load_all()
    assert set(manager.plugins) == {"m1", "s1", "s2", "deep"}
    import pkg_c24  # type: ignore[import-not-found]

    assert isinstance(pkg_c24, types.ModuleType)
    manager.load_sources(pkg_c24)
    assert set(manager.plugins) == {"m1", "s1", "s2", "deep"}


def test_uploaders_of_a_plugin(tmp_path: Path) -> None:
    sections = [{"name": "a", "parser": "parser:load_data"}, {"name": "b", "parser": "parser:load_data"}]
    manifest = {"version": "1.0", "dumper": MINIMAL["dumper"], "uploaders": sections}
    plugin = load_plugin(make(tmp_path / "p", manifest))
    assert list(plugin.uploaders) == ["a", "b"] and plugin.uploader("b").name == "b"
    with pytest.raises(UnknownPluginError, match="no uploader 'c': it has a, b"):
        plugin.uploader("c")
    with pytest.raises(UnknownPluginError, match="it has a, b"):
        plugin.uploader()


def test_load_again_after_a_change(manager: PluginManager) -> None:
    folder = make(manager.context.plugins / "one")
    manager.load_all()
    make(folder, {"version": "1.0"})
    with pytest.raises(ManifestError):
        manager.load(folder)
    assert list(manager.plugins) == ["one"]
    make(folder, changed(name="renamed"))
    manager.load(folder)
    assert list(manager.plugins) == ["renamed"]
