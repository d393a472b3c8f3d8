"""The demo's parsers on a true excerpt of the Human Phenotype Ontology (tests/data/hpo)."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from hubkernel.demo.install import PACKAGED, PLUGINS, install
from hubkernel.pipeline.plugins import load_plugin

EXCERPT = Path(__file__).parents[1] / "data" / "hpo"


def parse(name: str, folder: Path = EXCERPT) -> dict[str, dict[str, Any]]:
    documents = list(load_plugin(PACKAGED / name).parser()(str(folder)))
    by_id = {document["_id"]: document for document in documents}
    assert len(by_id) == len(documents)
    return by_id


def test_terms() -> None:
    terms = parse("hpo_terms")
    assert len(terms) == 60
    assert terms["HP:0000001"] == {
        "_id": "HP:0000001",
        "name": "All",
        "obsolete": False,
        "comment": "Root of all terms in the Human Phenotype Ontology.",
        "xrefs": ["UMLS:C0444868"],
    }
    kidney = terms["HP:0000003"]
    assert kidney["parents"] == ["HP:0000107"] and kidney["alt_ids"] == ["HP:0004715"]
    assert kidney["synonyms"][0] == {"text": "Multicystic dysplastic kidney", "scope": "EXACT"}
    assert kidney["xrefs"] == ["SNOMEDCT_US:204962002", "SNOMEDCT_US:82525005", "UMLS:C3714581"]
    assert terms["HP:0000057"] == {
        "_id": "HP:0000057",
        "name": "obsolete Clitoromegaly",
        "obsolete": True,
        "replaced_by": ["HP:0008665"],
    }


def test_terms_quotes_types_and_references() -> None:
    compulsive = parse("hpo_terms")["HP:0000722"]
    assert 'the feeling that one "has to" perform them' in compulsive["definition"]
    layperson = compulsive["synonyms"][0]
    assert (layperson["scope"], layperson["type"], len(layperson["refs"])) == ("EXACT", "layperson", 5)


def test_every_parent_is_a_term() -> None:
    terms = parse("hpo_terms")
    assert {parent for term in terms.values() for parent in term.get("parents", [])} <= terms.keys()


def test_genes() -> None:
    genes = parse("hpo_genes")
    assert len(genes) == 57 and genes.keys() <= parse("hpo_terms").keys()
    rows = [line.split("\t") for line in (EXCERPT / "phenotype_to_genes.txt").read_text().splitlines()[1:]]
    assert sum(len(gene["diseases"]) for term in genes.values() for gene in term["genes"]) == len(rows)
    first = genes["HP:0000003"]["genes"]
    assert [gene["symbol"] for gene in first] == sorted(gene["symbol"] for gene in first)
    assert {"ncbi", "symbol", "diseases"} == first[0].keys()


def test_diseases() -> None:
    diseases = parse("hpo_diseases")
    assert len(diseases) == 49 and diseases.keys() <= parse("hpo_terms").keys()
    rows = [line.split("\t") for line in (EXCERPT / "phenotype.hpoa").read_text().splitlines()[5:]]
    for key, qualifier in (("diseases", ""), ("excluded_diseases", "NOT")):
        count = sum(len(document.get(key, [])) for document in diseases.values())
        assert count == sum(row[2] == qualifier for row in rows) > 0


def test_a_row_with_everything(tmp_path: Path) -> None:
    header = (EXCERPT / "phenotype.hpoa").read_text().splitlines()[:5]
    row = "OMIM:1\tSome disease\tNOT\tHP:1\tPMID:1;PMID:2\tPCS\tHP:0003593\t1/3\tMALE\tHP:0012828\tP\ta[1];b[2]"
    (tmp_path / "phenotype.hpoa").write_text("\n".join([*header, row, row.replace("NOT", "")]) + "\n")
    annotation = {
        "id": "OMIM:1",
        "name": "Some disease",
        "evidence": "PCS",
        "frequency": "1/3",
        "onset": "HP:0003593",
        "sex": "male",
        "aspect": "P",
        "reference": ["PMID:1", "PMID:2"],
        "modifier": ["HP:0012828"],
        "curation": ["a[1]", "b[2]"],
    }
    (document,) = parse("hpo_diseases", tmp_path).values()
    assert document == {"_id": "HP:1", "excluded_diseases": [annotation], "diseases": [annotation]}


@pytest.mark.parametrize(
    ("name", "file"), [("hpo_genes", "phenotype_to_genes.txt"), ("hpo_diseases", "phenotype.hpoa")]
)
def test_other_columns_are_refused(tmp_path: Path, name: str, file: str) -> None:
    (tmp_path / file).write_text("hpo_id\tsomething\n")
    with pytest.raises(ValueError, match=f"{file} has columns"):
        parse(name, tmp_path)


@pytest.mark.parametrize("name", PLUGINS)
def test_release_is_that_of_the_ontology(name: str) -> None:
    manifest = json.loads((PACKAGED / name / "manifest.json").read_text())
    url = EXCERPT.joinpath(Path(manifest["dumper"]["data_url"]).name).as_uri()
    release = load_plugin(PACKAGED / name).function(manifest["dumper"]["release"])
    assert release(SimpleNamespace(SRC_URLS=[url])) == "2025-01-16"


@pytest.mark.parametrize("name", PLUGINS)
def test_files_without_a_release_are_refused(name: str, tmp_path: Path) -> None:
    for file in ("hp.obo", "phenotype.hpoa", "phenotype_to_genes.txt"):
        (tmp_path / file).write_text("nothing\n")
    file = {"hpo_terms": "hp.obo", "hpo_diseases": "phenotype.hpoa"}.get(name, "phenotype_to_genes.txt")
    release = load_plugin(PACKAGED / name).function("release:hpo_release")
    with pytest.raises(ValueError, match="in the header of"):
        release(SimpleNamespace(SRC_URLS=[(tmp_path / file).as_uri()]))


@pytest.mark.parametrize("name", PLUGINS)
def test_mapping_covers_all_fields(name: str) -> None:
    mapping = load_plugin(PACKAGED / name).mapping()
    assert mapping is not None
    fields = {key for document in parse(name).values() for key in document} - {"_id"}
    assert fields <= mapping(None).keys()


@pytest.mark.parametrize("name", PLUGINS)
def test_plugins_are_ordinary(name: str) -> None:
    """They know nothing of this hub, so that another can run them."""
    for file in (PACKAGED / name).glob("*.py"):
        assert "hubkernel" not in file.read_text()
    assert load_plugin(PACKAGED / name).warnings == []


def test_install_points_at_the_data_and_leaves_users_folders_alone(tmp_path: Path) -> None:
    plugins, upstream = tmp_path / "plugins", tmp_path / "up stream"
    assert [folder.name for folder in install(plugins, upstream)] == list(PLUGINS)
    plugin = load_plugin(plugins / "hpo_terms")
    assert plugin.manifest.dumper.data_url == [(upstream / "hp.obo").as_uri()]
    (plugins / "hpo_terms" / "parser.py").write_text("# mine")
    assert install(plugins, upstream) == []
    assert (plugins / "hpo_terms" / "parser.py").read_text() == "# mine"
