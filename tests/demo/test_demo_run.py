"""The whole demo on the excerpt: the first run, the second, and the run after a new release."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hubkernel import client
from hubkernel.demo import run
from hubkernel.demo.data import FILES, Dataset
from hubkernel.hub.home import HubHome

EXCERPT = Path(__file__).parents[1] / "data" / "hpo"
NEW_TERM = "[Term]\nid: HP:9999999\nname: A new phenotype\nis_a: HP:0000001 ! All\n\n[Typedef]"


@pytest.fixture
def upstream(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "cache"
    folder.mkdir()
    for name in FILES:
        shutil.copy(EXCERPT / name, folder / name)
    monkeypatch.setattr(run, "prepare", lambda cache, version: folder)
    monkeypatch.setitem(run.DATASETS, "excerpt", Dataset("", "2025-01-16", 60, 57, 49))
    monkeypatch.setitem(run.DATASETS, "newer", Dataset("", "2025-03-03", 61, 57, 49))
    return folder


def test_first_second_and_newer_run(upstream: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    home = HubHome(tmp_path / "home")
    assert run.main(home, version="excerpt", cache=tmp_path) == 0
    first = capfd.readouterr().out
    assert "hpo_terms: 60 documents" in first and "no orphan" in first and "What to type next" in first
    assert "Arachnodactyly: Abnormally long and slender fingers" in first

    assert run.main(home, version="excerpt", cache=tmp_path) == 0
    second = capfd.readouterr().out
    assert "Nothing is new" in second and "upload:" not in second and "build:" not in second

    obo = (upstream / "hp.obo").read_text().replace("2025-01-16", "2025-03-03").replace("[Typedef]", NEW_TERM, 1)
    (upstream / "hp.obo").write_text(obo)
    assert run.main(home, version="newer", cache=tmp_path) == 0
    third = capfd.readouterr().out
    assert "hpo_terms: 2025-03-03" in third and "hpo_terms: 61 documents" in third
    assert "hpo_genes: Nothing to dump" in third and "hpo_genes: 57 documents" not in third

    hub = client.connect(home)
    try:
        assert hub.call("document", "hpo", "HP:9999999")["name"] == "A new phenotype"
        symbol = hub.call("document", "hpo", "HP:0001166")["genes"][0]["symbol"]
        assert hub.call("search", "hpo", f"genes.symbol:{symbol}")["total"] > 0
    finally:
        client.disconnect(home)


def test_wrong_counts_are_shown_and_fail(upstream: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    lines = (upstream / "phenotype_to_genes.txt").read_text() + "HP:7777777\tno such term\t1\tA1BG\tOMIM:1\n"
    (upstream / "phenotype_to_genes.txt").write_text(lines)
    assert run.main(HubHome(tmp_path / "home"), version="excerpt", cache=tmp_path) == 1
    output = capfd.readouterr().out
    assert "DIFFERENT" in output and "NOT as they must be" in output
