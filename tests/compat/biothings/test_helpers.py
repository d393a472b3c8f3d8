"""The helpers, beyond their cases: what they lose, change and refuse."""

from __future__ import annotations

import bz2
import copy
import gzip
import io
import math
import tarfile
import zipfile
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hubkernel.compat.biothings.utils import common, dataload, dotfield, dotstring, parsers, serializer
from hubkernel.compat.biothings.utils.exclude_ids import ExcludeFieldsById
from hubkernel.pipeline.dump.errors import UnpackError
from hubkernel.pipeline.merge import MergeConflictError

texts = st.sampled_from(["-", "", "x", "1", "2.5", "a,b", "yes"])
values = st.recursive(
    texts | st.integers(-3, 3) | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from("abc"), inner, max_size=3),
    max_leaves=8,
)
documents = st.dictionaries(st.sampled_from("abcd"), values, max_size=4)
bounded = settings(max_examples=40, deadline=None)


def leaves(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [leaf for inner in value.values() for leaf in leaves(inner)]
    if isinstance(value, list):
        return [leaf for inner in value for leaf in leaves(inner)]
    return [value]


@bounded
@given(documents)
def test_sweeping_twice_is_sweeping_once_and_takes_nothing_else(document: dict[str, Any]) -> None:
    kept = [leaf for leaf in leaves(document) if leaf not in ("-", "")]
    swept = dataload.dict_sweep(document)
    assert [leaf for leaf in leaves(swept) if leaf not in ("-", "")] == kept
    assert not any(isinstance(value, str) and value in ("-", "") for value in swept.values())
    assert dataload.dict_sweep(copy.deepcopy(swept)) == swept


@bounded
@given(documents)
def test_texts_and_any_values_are_swept_alike(document: dict[str, Any]) -> None:
    other = copy.deepcopy(document)
    assert dataload.dict_sweep(document, vals=["-", ""]) == dataload.dict_sweep(other, vals=["-", "", ("no", "such")])


@bounded
@given(documents)
def test_unlist_and_numbers_keep_every_leaf(document: dict[str, Any]) -> None:
    before = leaves(document)
    assert leaves(dataload.unlist(copy.deepcopy(document))) == before
    converted = leaves(dataload.value_convert_to_number(copy.deepcopy(document)))
    assert list(map(str, converted)) == list(map(str, before))
    assert list(map(str, leaves(dataload.int_convert(document)))) == list(map(str, before))


def test_dict_sweep_of_what_python_holds_for_equal() -> None:
    document = {"a": 0, "b": False, "c": 0.0, "d": [False, 0, True], "e": [[0]]}
    assert dataload.dict_sweep(document, vals=[0]) == {"b": False, "d": [False, True], "e": [[0]]}
    assert dataload.dict_sweep({"a": math.nan, "b": [math.nan, 1]}, vals=[math.nan]) == {"b": [1]}
    assert dataload.dict_sweep({"a": math.nan})["a"] is not None
    assert dataload.dict_sweep({"a": "x", "b": "y"}, vals="x") == {"b": "y"}
    assert dataload.dict_sweep({"a": {"k": 1}, "b": 1}, vals=[{"k": 1}]) == {"b": 1}


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("007", 7), (" 7 ", 7), ("+1", 1), ("-1.50", -1.5), (".5", 0.5), ("1.", 1.0), ("1e5", 1e5), ("1.5E-3", 0.0015),
        ("٣", 3), ("1_000", "1_000"), ("nan", "nan"), ("inf", "inf"), ("1e999", "1e999"), ("0x1", "0x1"),
        ("", ""), ("-", "-"),
        ("2020-01-01", "2020-01-01"), ("1,5", "1,5"), ("9" * 5000, "9" * 5000),
    ],
)  # fmt: skip
def test_to_number(text: str, number: Any) -> None:
    found = dataload.to_number(text)
    assert found == number and type(found) is type(number)
    assert dataload.value_convert_to_number({"a": text, "b": [text]}) == {"a": number, "b": [number]}


def test_a_skipped_key_protects_texts_and_lists_but_no_objects() -> None:
    document = {"p": {"a": "1", "p": "1"}, "q": [{"a": "1"}, "2"], "r": ["1", {"q": "2", "s": "3"}]}
    converted = dataload.value_convert_to_number(document, skipped_keys=["p", "q"])
    assert converted == {"p": {"a": 1, "p": "1"}, "q": [{"a": "1"}, "2"], "r": [1, {"q": "2", "s": 3}]}


def test_conversions_in_lists_of_objects_keep_each_value() -> None:
    document = {"a": [{"b": "1"}, {"b": "2"}], "c": {"d": ["1.5", "x"]}, "e": "9"}
    assert dataload.int_convert(copy.deepcopy(document), include_keys=["a.b"])["a"] == [{"b": 1}, {"b": 2}]
    assert dataload.float_convert(document, exclude_keys=["e"])["c"] == {"d": [1.5, "x"]}
    assert document["e"] == "9"


def test_booleans_at_paths() -> None:
    document = {"a": "TRUE", "b": [{"c": "N"}, {"c": ["f", "maybe"]}], "d": "yes", "e": None}
    converted = dataload.boolean_convert(document, ["a", "b.c", "a.z", "e", "nope"])
    assert converted == {"a": True, "b": [{"c": False}, {"c": [False, None]}], "d": "yes", "e": False}


def test_merging_loses_nothing() -> None:
    first: dict[str, Any] = {"rel": {"x": 1}, "when": date(2020, 1, 1)}
    merged = dataload.merge_struct(first, {"rel": [{"x": 2}, {"x": 3}], "when": date(2021, 1, 1)})
    assert merged is first and merged["rel"] == [{"x": 1}, {"x": 2}, {"x": 3}] and len(merged["when"]) == 2
    assert dataload.merge_struct([{"x": 1}], {"x": 2}) == [{"x": 1}, {"x": 2}]
    with pytest.raises(MergeConflictError, match="'a'"):
        dataload.merge_struct({"a": 1}, {"a": {"b": 1}})
    assert dataload.merge_root_keys({"_id": 1, "a": "a"}, {"_id": 1, "b": 2}) == {"_id": 1, "a": "a", "b": 2}
    assert dataload.merge_root_keys({"a": [1]}, {"a": 2}) == {"a": [1, 2]}
    rows = [{"_id": 1, "x": {"a": 1, "b": [1]}}, {"_id": 1, "x": {"a": 2, "b": [2]}}]
    assert dataload.merge_duplicate_rows(rows, "x") == {"_id": 1, "x": {"a": [1, 2], "b": [1, 2]}}


def test_rows_and_lists() -> None:
    assert dataload.list2dict([["A", "b", 1, 2], ["A", "b", 3, 4]], (0, 1)) == {("A", "b"): [(1, 2), (3, 4)]}
    assert dataload.normalized_value([3, "a", None, 3]) == [3, "a"]
    assert dataload.listsort([[2, "a"], [1, "b"]], 0) == [[1, "b"], [2, "a"]]
    assert dataload.list_split({"a": "x, y", "b": {"c": "z"}}, ",") == {"a": ["x", "y"], "b": {"c": "z"}}
    target: dict[str, Any] = {"a": "c"}
    dataload.dict_apply(target, "a", "b")
    assert target == {"a": ["b", "c"]}


def test_tables(tmp_path: Path) -> None:
    file = tmp_path / "t.csv"
    file.write_text('#\nk,v\n"a,1",2\nb,3,4\n')
    read = dataload.tabfile_feeder(str(file), header=2, sep=",", assert_column_no=2)
    assert next(read) == ["a,1", "2"]
    with pytest.raises(ValueError, match=r"got 3, should be 2 \(.*t\.csv, line 4\)"):
        next(read)
    assert dataload.tab2list(io.StringIO("h\nx\ty\n"), [1, 0]) == [["y", "x"]]
    for helper in (dataload.tab2dict, dataload.tab2dict_iter):
        with pytest.raises(FileNotFoundError):
            list(helper(str(tmp_path / "none"), [0, 1], 0))
    file.write_text("1\n2\n\n\n3\n")
    assert list(dataload.rec_handler(str(file))) == ["1\n2\n", "3\n"]


def test_unpacking_takes_all_kinds_and_leaves_the_folder_alone(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr("in/e.txt", "e")
    (tmp_path / "b.txt.gz").write_bytes(gzip.compress(b"b"))
    (tmp_path / "c.txt.bz2").write_bytes(bz2.compress(b"c"))
    with tarfile.open(tmp_path / "d.tar.gz", "w:gz") as tar:
        info = tarfile.TarInfo("d.txt")
        info.size = 1
        tar.addfile(info, io.BytesIO(b"d"))
    for _ in range(2):  # again is no error
        common.uncompressall(str(tmp_path))
    assert [(tmp_path / name).read_text() for name in ("in/e.txt", "b.txt", "c.txt", "d.txt")] == ["e", "b", "c", "d"]
    assert common.anyfile((str(tmp_path / "d.tar.gz"), "d.txt"), "rb").read() == b"d"
    with pytest.raises(KeyError, match=r"no member 'z': it has d\.txt"):
        common.anyfile((str(tmp_path / "d.tar.gz"), "z"))
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("../../x", "")
    with pytest.raises(UnpackError, match="outside of"):
        common.unzipall(str(tmp_path), "evil.zip")


def test_objects_on_disk_and_small_helpers(tmp_path: Path) -> None:
    for compress in ("gzip", "bz2", "lzma", "none"):
        common.dump({"a": [1]}, str(tmp_path / compress), compress=compress)
        assert common.loadobj(str(tmp_path / compress)) == {"a": [1]}
    opened, name = common.safewfile(str(tmp_path / "gzip"))
    opened.close()
    assert name == str(tmp_path / "gzip_1")
    assert [common.timesofar(0, t1=seconds) for seconds in (1.5, 61, 3661.5)] == ["1.5s", "1m1.0s", "1h1m1.5s"]
    assert common.SubStr("abcdef", "b", "e") == "cd" and common.addsuffix("p/a.b.txt", "_1") == "p/a.b_1.txt"
    assert common.split_ids('"CDK2 CDK3"\nCDk4,a|b') == ["CDK2 CDK3", "CDk4", "a", "b"]
    assert common.filter_dict({"a": [{"b": 1, "c": 2}], "d": 1}, ["a.b", "d", "z"]) == {"a": [{"c": 2}]}
    assert common.merge({"a": {"b": 1}, "c": 1}, {"a": {"__REPLACE__": True, "e": 3}, "c": {"__REMOVE__": True}}) == {
        "a": {"e": 3}
    }
    assert common.dotdict({"a": {"b": 1}}).a.b == 1 and common.dotdict({}).x is None
    assert common.find_value_in_doc("x.y", "3*7", {"x": [{"y": "34567"}]})
    assert list(common.traverse({"a": {"b": 1}, "c": [{"d": 2}]}, leaf_node=True)) == [("a.b", 1), ("c.d", 2)]


def test_paths_and_exclusion() -> None:
    assert dotfield.parse_dot_fields({"a": 1, "b.c": 2, "b.a.c": 3}) == {"a": 1, "b": {"c": 2, "a": {"c": 3}}}
    assert dotfield.compose_dot_fields_by_fields({"a": {"b": 1}}, ["a.b"]) == {"a.b": 1}
    assert list(dotstring.key_value({"a": [{"b": 1}, {"b": 2}]}, "a.b")) == [1, 2]
    assert dotstring.set_key_value({"a": [{"b": 1}]}, "a.b", 9) == {"a": [{"b": 9}]}
    assert serializer.to_json({"a": {1}, "d": date(2020, 1, 2), 3: None}) == '{"a":[1],"d":"2020-01-02","3":null}'

    @ExcludeFieldsById({"x"}, ["a", "b.c"], min_list_size=2)
    def load(folder: str) -> Any:
        """Documents."""
        yield {"_id": "x", "a": [1, 2, 3], "b": {"c": [1, 2]}}
        yield {"_id": "y", "a": [1, 2, 3]}

    assert list(load("")) == [{"_id": "x", "b": {"c": [1, 2]}}, {"_id": "y", "a": [1, 2, 3]}]
    assert load.__name__ == "load"


def test_parsers_name_the_line_that_is_no_json(tmp_path: Path) -> None:
    (tmp_path / "a.ndjson").write_text('{"_id": "1"}\n{oops\n')
    documents = parsers.ndjson_parser(str(tmp_path))
    assert next(documents) == {"_id": "1"}
    with pytest.raises(ValueError, match=r"a\.ndjson, line 2: no JSON"):
        next(documents)
    with pytest.raises(FileNotFoundError, match=r"no file in .* matches \*\.xml"):
        next(parsers.ndjson_parser(["*.xml"])(str(tmp_path)))
