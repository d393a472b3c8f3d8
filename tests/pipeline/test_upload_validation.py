"""Documents are checked against pydantic models: those of the plugin, or made from its mapping."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.pipeline.upload import InvalidDocumentsError, NoModelError, ParserError, validating, validation
from hubkernel.pipeline.upload.schema import class_name, model_source
from hubkernel.pipeline.upload.validating import Fault, Findings, field_of
from tests.pipeline.class_tools import of_classes
from tests.pipeline.hub_tools import Hub, run

MAPPING = {
    "symbol": {"type": "keyword"},
    "taxid": {"type": "integer"},
    "score": {"type": "float"},
    "seen": {"type": "date"},
    "rel": {"properties": {"ok": {"type": "boolean"}, "x": {"type": "long"}}},
    "go.BP": {"type": "text"},
    "class": {"type": "long"},
    "_private": {"type": "long"},
    "model_x": {"type": "long"},
    "place": {"type": "geo_point"},
}
GOOD: dict[str, Any] = {
    "symbol": ["CDK2", "cdk2"],
    "taxid": 9606,
    "score": [1, 2.5],
    "seen": "2024-05-06",
    "rel": [{"ok": True}, {"x": [1, 2], "more": "y"}],
    "go.BP": "x",
    "class": 1,
    "place": {"lat": 1},
    "unmapped": None,
}


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    hub = Hub(tmp_path)
    yield hub
    hub.close()


def source(hub: Hub, documents: list[dict[str, Any]], mapping: Any = MAPPING, **manifest: Any) -> Path:
    code = f"def load(folder):\n    return {documents!r}\ndef mapping(cls):\n    return {mapping!r}\n"
    return hub.plugin("s", code, uploader={"mapping": "parser:mapping", **manifest}).folder


def faults(error: InvalidDocumentsError) -> dict[str, tuple[int, list[str]]]:
    return {fault["field"]: (fault["count"], fault["examples"]) for fault in error.faults}


def test_documents_are_checked_against_the_mapping_before_they_are_put_in_place(hub: Hub) -> None:
    good = [{"_id": "a", **GOOD}, {"_id": "b"}]
    source(hub, good)
    assert hub.upload("s", validate=True)["s"]["count"] == 2
    bad: list[dict[str, Any]] = [
        {"_id": "1", "taxid": "human", "rel": {"x": "many"}},
        {"_id": "2", "taxid": [1, "mouse"], "seen": "soon"},
        {"_id": "3", "class": {}, "go.BP": 7},
        *good,
    ]
    source(hub, bad)
    with pytest.raises(InvalidDocumentsError) as caught:
        hub.upload("s", validate=True)
    assert faults(caught.value) == {
        "taxid": (2, ["1", "2"]),
        "rel.x": (1, ["1"]),
        "seen": (1, ["2"]),
        "class": (1, ["3"]),
        "go.BP": (1, ["3"]),
    }
    message = str(caught.value)
    assert message.startswith("s: 3 of 5 documents do not fit the model:\n  taxid: ")
    assert message.endswith("The old data is kept (2 documents of release 1).")
    assert sorted(hub.context.store.names()) == ["s"] and sorted(hub.documents("s")) == ["a", "b"]
    document = hub.context.state["src_dump"].find_one({"_id": "s"})
    assert document is not None
    record = document["validate"]["jobs"]["s"]
    assert (record["status"], record["checked"], record["invalid"], record["model_file"]) == ("failed", 5, 3, None)
    shown = hub.sources.get_source("s")["validate"]["sources"]["s"]
    assert (shown["status"], shown["invalid"], shown["error"][:20]) == ("failed", 3, "s: 3 of 5 documents ")
    assert hub.upload("s")["s"]["count"] == 5
    with pytest.raises(InvalidDocumentsError, match="3 of 5"):
        run(hub.uploads.validate_src("s"))


def test_a_valid_collection_becomes_an_archive_as_in_any_upload(hub: Hub) -> None:
    for number in range(3):
        source(hub, [{"_id": str(number)}])
        hub.upload("s", validate=True)
    assert len(hub.context.store.names()) == 3 and hub.documents("s") == {"2": {}}
    assert run(hub.uploads.versions("s"))["s"][1]["count"] == 1 and hub.leftovers() == []


def test_the_model_is_written_and_may_then_be_changed(hub: Hub) -> None:
    folder = source(hub, [{"_id": "1", "taxid": 9606}])
    hub.upload("s")
    (file,) = run(hub.uploads.save_pydantic_model("s"))
    assert Path(file) == folder / "validation" / "s_model.py" and hub.uploads.get_validations("s") == ["s_model.py"]
    expected = {"s": {"model_file": "s_model.py", "checked": 1, "invalid": 0, "faults": []}}
    assert run(hub.uploads.validate_src("s")) == expected
    with pytest.raises(NoModelError, match=r"s_model.py is there already: overwrite=True writes it anew"):
        run(hub.uploads.save_pydantic_model("s"))
    text = Path(file).read_text()
    strict = text.replace("taxid: int | list[int] | None = Field(None)", "taxid: int = Field(gt=9606)")
    assert strict != text
    (folder / "validation" / "strict.py").write_text(strict)
    with pytest.raises(InvalidDocumentsError, match="taxid: Input should be greater than 9606"):
        run(hub.uploads.validate_src("s", model_file="strict.py"))
    with pytest.raises(NoModelError, match=r"no model 'strikt.py' in .*: did you mean 'strict.py'\?"):
        run(hub.uploads.validate_src("s", model_file="strikt.py"))
    Path(file).write_text("1 / 0\n")
    with pytest.raises(ParserError, match=r"s_model.py:1: ZeroDivisionError"):
        run(hub.uploads.validate_src("s"))
    Path(file).write_text("class Other: pass\n")
    with pytest.raises(ParserError, match=r"no function 's' in .*s_model.py"):
        run(hub.uploads.validate_src("s"))


def test_without_a_model_and_a_mapping_nothing_can_be_validated(hub: Hub) -> None:
    hub.plugin("s", "def load(folder):\n    raise AssertionError\n")
    with pytest.raises(NoModelError, match=r"s cannot be validated: write its model into validation/s_model.py, or"):
        hub.upload("s", validate=True)
    with pytest.raises(NoModelError, match="s has no mapping to make a model of"):
        run(hub.uploads.save_pydantic_model("s"))


def test_auto_validate_of_a_class(hub: Hub) -> None:
    code = """
    class Up(BaseSourceUploader):
        name = "s"
        auto_validate = True
        @classmethod
        def get_mapping(cls):
            return {"v": {"type": "long"}}
        def load_data(self, folder):
            return [{"_id": "1", "v": "x"}]
    """
    of_classes(hub, "s", code, auto_validate=True)
    with pytest.raises(InvalidDocumentsError, match=r"v: .*\(1, e.g. '1'\)"):
        hub.upload("s")
    assert hub.context.store.names() == []


def test_ranges_are_checked_apart_and_counted_together(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    source(hub, [{"_id": f"{n:03}", "taxid": n if n % 3 else "x"} for n in range(100)])
    hub.upload("s")
    monkeypatch.setattr(validation, "RANGE", 30)
    with pytest.raises(InvalidDocumentsError) as caught:
        run(hub.uploads.validate_src("s"))
    ((count, examples),) = faults(caught.value).values()
    assert count == 34 and len(examples) == 5 and str(caught.value).startswith("s: 34 of 100 documents")


def test_what_is_kept_of_faults_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(validating, "KINDS", 3)
    findings = Findings()
    for number in range(50):
        findings.add(Fault(f"f{number}", "t", "m"), 1, [str(number)])
    other = Findings(10, 2)
    other.update(findings)
    assert len(findings.faults) == len(other.faults) == 4
    assert (other.worst()[0].field, other.worst()[0].count, len(other.worst()[0].examples)) == ("...", 47, 5)
    assert sum(fault.count for fault in other.faults.values()) == 50


@pytest.mark.parametrize(
    ("location", "field"),
    [
        (("a", "list[int]", 0), "a"),
        (("b", "list[x]", 1, "c"), "b.c"),
        (("b", 1, "c", "int"), "b.c"),
        (("missing",), "missing"),
        ((), ""),
    ],
)
def test_fields_are_named_as_the_document_has_them(location: tuple[str | int, ...], field: str) -> None:
    assert field_of({"a": [1], "b": [{}, {"c": 1}]}, location).removesuffix(".") == field


def test_a_model_can_be_made_of_any_names() -> None:
    odd = {
        name: {"type": "long"} for name in ["a b", "a_b", "1st", "def", "__x", "copy", "date", "dict", "Date", "x" * 99]
    }
    names: dict[str, Any] = {}
    text = model_source("2-odd.Name", {**odd, "date": {"type": "date"}, "in": {"properties": odd}})
    exec(compile(text, "model", "exec", dont_inherit=True), names)
    model = names[class_name("2-odd.Name")]
    assert class_name("2-odd.Name") == "n2_odd_name"
    model.model_validate({"_id": "1", **dict.fromkeys(odd, 3), "in": [{name: [4] for name in odd}]})
    for name in odd:
        with pytest.raises(ValueError, match="validation error"):
            model.model_validate({name: "soon" if name == "date" else "x"})
