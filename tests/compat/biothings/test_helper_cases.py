"""The acceptance cases of the helpers, by their numbers."""

from __future__ import annotations

import gzip
import json
import lzma
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hubkernel.compat.biothings.utils import common, dataload
from hubkernel.pipeline.plugins import load_function
from hubkernel.pipeline.plugins.loader import check_function

Write = Callable[..., Path]


def test_dataload_c72_dict_sweep_drops_empty_values_and_what_they_leave_empty() -> None:
    document = {"a": "-", "b": {"c": ""}, "e": "unknown", "f": 0, "g": None}
    assert dataload.dict_sweep(document) == {"f": 0, "g": None}


def test_dataload_c73_dict_sweep_skips_no_item_of_a_list() -> None:
    assert dataload.dict_sweep({"a": [".", "-", "x", "."]}) == {"a": ["x"]}


def test_dataload_c74_dict_sweep_of_given_values() -> None:
    document = {"gene": [None, None], "site": ["Intron", None], "s": 1}
    swept = dataload.dict_sweep(document, vals=[None], remove_invalid_list=True)
    assert swept == {"site": ["Intron"], "s": 1}


def test_dataload_c75_unlist_at_any_depth() -> None:
    assert dataload.unlist({"a": [1], "c": [{"d": [2]}], "e": []}) == {"a": 1, "c": {"d": 2}, "e": []}


def test_dataload_c76_unlist_only_what_is_named() -> None:
    assert dataload.unlist_incexcl({"k1": ["v"], "k2": ["w"]}, include_keys=["k1"]) == {"k1": "v", "k2": ["w"]}


def test_dataload_c77_numbers_but_those_of_skipped_keys() -> None:
    document = {"a": "1", "b": "1.5", "c": "x", "chrom": "1"}
    converted = dataload.value_convert_to_number(document, skipped_keys=["chrom"])
    assert converted == {"a": 1, "b": 1.5, "c": "x", "chrom": "1"}
    assert type(converted["a"]) is int


def test_dataload_c78_int_convert_keeps_lists() -> None:
    assert dataload.int_convert({"a": ["1", "2"]}) == {"a": [1, 2]}


def test_dataload_c79_to_boolean_in_any_case() -> None:
    assert dataload.to_boolean("True") is True
    assert dataload.to_boolean("no") is False
    assert dataload.to_boolean(2) is True


def test_dataload_c80_list2dict() -> None:
    rows = [["A", "a", 1], ["B", "a", 2], ["A", "b", 3]]
    assert dataload.list2dict(rows, 0) == {"A": [("a", 1), ("b", 3)], "B": ("a", 2)}


def test_dataload_c81_tab2dict_and_its_iterator(tmp_path: Path) -> None:
    file = tmp_path / "t.tsv"
    file.write_text("k\tv\nA\t1\nA\t2\nB\t3\n")
    assert dataload.tab2dict(str(file), [0, 1], 0) == {"A": ["1", "2"], "B": "3"}
    assert list(dataload.tab2dict_iter(str(file), [0, 1], 0)) == [{"A": ["1", "2"]}, {"B": "3"}]


def test_dataload_c82_dupline_seperator() -> None:
    rows = list(dataload.dupline_seperator(["a", "b1,b2", "c1,c2"], ",", [1, 2]))
    assert rows == [("a", "b1", "c1"), ("a", "b1", "c2"), ("a", "b2", "c1"), ("a", "b2", "c2")]


def test_dataload_c83_dict_convert() -> None:
    assert dataload.dict_convert({"A b": 1}, keyfn=lambda key: key.lower().replace(" ", "_")) == {"a_b": 1}


def test_dataload_c84_iter_n() -> None:
    assert list(common.iter_n(range(5), 2)) == [(0, 1), (2, 3), (4,)]


def test_dataload_c85_normalized_value() -> None:
    assert dataload.normalized_value([3, 1, 1]) == [1, 3]
    assert dataload.normalized_value([1]) == 1


def test_dataload_c86_anyfile_reads_members_and_compressed_files(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("m.txt", "in a zip\n")
        archive.writestr("n.txt", "no")
    for name, opener in (("b.gz", gzip.open), ("c.xz", lzma.open)):
        with opener(tmp_path / name, "wt", encoding="utf-8") as file:
            file.write(f"{name} é\n")
    with common.anyfile((str(tmp_path / "a.zip"), "m.txt")) as member:
        assert member.read() == "in a zip\n"
    for name in ("b.gz", "c.xz"):
        with common.open_anyfile(str(tmp_path / name)) as file:
            assert list(file) == [f"{name} é\n"]


@pytest.fixture
def plugin(tmp_path: Path) -> Write:
    def write(name: str, **files: str) -> Path:
        folder = tmp_path / name
        folder.mkdir()
        for file, text in files.items():
            (folder / f"{file}.py").write_text(text)
        return folder

    return write


def test_dataload_c15_a_parser_imports_its_neighbours_relatively(plugin: Write) -> None:
    folder = plugin(
        "one",
        parser="from .helper import X\nfrom biothings.utils.dataload import unlist\ndef f(d):\n    yield unlist(X)\n",
        helper="X = {'_id': ['1']}\n",
    )
    assert list(load_function(folder, "parser:f")("")) == [{"_id": "1"}]


def test_dataload_c17_a_parser_of_an_installed_module_gets_its_kwargs(
    plugin: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    package = tmp_path / "site" / "c17hub" / "dataload"
    package.mkdir(parents=True)
    (package / "data_parsers.py").write_text(
        "def load_obo(folder, obofile, prefix):\n    yield {'_id': prefix, 'file': f'{folder}/{obofile}'}\n"
    )
    monkeypatch.syspath_prepend(tmp_path / "site")
    parse = load_function(plugin("two"), "c17hub.dataload.data_parsers:load_obo")
    assert list(parse("rel", obofile="a.obo", prefix="DOID")) == [{"_id": "DOID", "file": "rel/a.obo"}]


def test_dataload_c18_the_parsers_that_need_no_code(plugin: Write, tmp_path: Path) -> None:
    (tmp_path / "b.ndjson").write_text('{"_id": "1"}\n\n{"_id": "2"}\n')
    with gzip.open(tmp_path / "c.ndjson.gz", "wt") as file:
        file.write('{"_id": "3"}\n')
    (tmp_path / "d.json").write_text(json.dumps([{"_id": "4"}]))
    folder = plugin("three")

    def ids(target: str, **kwargs: Any) -> list[str]:
        assert check_function(folder, f"biothings.utils.parsers:{target}") is None
        return [d["_id"] for d in load_function(folder, f"biothings.utils.parsers:{target}")(str(tmp_path), **kwargs)]

    assert ids("ndjson_parser", patterns=["*.ndjson"]) == ["1", "2"]
    assert ids("ndjson_parser") == ["1", "2", "3"]
    assert ids("json_array_parser", patterns=["*.json"]) == ["4"]
    made = load_function(folder, "biothings.utils.parsers:ndjson_parser")(["*.ndjson", "c*"])
    assert [document["_id"] for document in made(str(tmp_path))] == ["1", "2", "3"]
