"""``hubkernel plugin``: what authors type."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hubkernel.cli import main
from hubkernel.pipeline.plugins.schema import manifest_schema


def test_new_validate_export_and_schema(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    assert main(["plugin", "new", str(folder), "--multi-uploaders"]) == 0
    assert main(["plugin", "validate", str(folder)]) == 0
    assert capsys.readouterr().out.endswith("mine: good (a dumper; mine_planets, mine_moons)\n")
    assert main(["plugin", "new", str(folder)]) == 1
    assert "exists already" in capsys.readouterr().err

    assert main(["plugin", "export", str(folder), str(tmp_path / "out")]) == 0
    assert "runs on no other kind of hub" in capsys.readouterr().out
    assert main(["plugin", "validate", "--json", str(tmp_path / "out" / "mine")]) == 0
    assert json.loads(capsys.readouterr().out) == {"name": "mine", "problems": [], "warnings": []}
    assert main(["plugin", "export", str(tmp_path / "out" / "mine"), str(tmp_path)]) == 1
    assert "is made of classes already" in capsys.readouterr().err

    assert main(["plugin", "schema"]) == 0
    assert json.loads(capsys.readouterr().out) == manifest_schema()


def test_validate_tells_all_that_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "mine"
    main(["plugin", "new", str(folder)])
    manifest = folder / "manifest.yaml"
    manifest.write_text(manifest.read_text().replace("parser:load_data", "parser:lod_data").replace("error ", "eror "))
    capsys.readouterr()
    assert main(["plugin", "validate", str(folder)]) == 1
    problems = capsys.readouterr().err.splitlines()
    assert ["parser: no function 'lod_data'" in problems[0], "'eror' is not allowed" in problems[1]] == [True, True]
    assert problems[2] == f"hubkernel: {folder} has 2 problem(s)"
    assert main(["plugin", "validate", "--json", str(folder)]) == 1
    assert len(json.loads(capsys.readouterr().out)["problems"]) == 2


@pytest.mark.service
def test_run_a_manifest_and_the_classes_that_it_stands_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HUBKERNEL_HOME", str(tmp_path / "home"))
    folder = tmp_path / "mine"
    main(["plugin", "new", str(folder), "--multi-uploaders", "--parallelizer"])
    main(["plugin", "export", str(folder), str(tmp_path / "out")])
    capsys.readouterr()
    assert main(["plugin", "run", str(folder), "--limit", "1"]) == 0
    first = capsys.readouterr().out
    assert "dump mine: 2006\nupload mine_planets: 5 document(s)\n" in first and '"_id": "earth"' in first
    assert main(["plugin", "run", str(tmp_path / "out" / "mine"), "--limit", "1"]) == 0
    assert capsys.readouterr().out == first
    assert not (tmp_path / "home").exists()

    (folder / "parser.py").write_text("def load_file(file):\n    yield {'_id': 1 / 0}\n\ndef load_moons(folder): ...\n")
    assert main(["plugin", "run", str(folder)]) == 1
    assert "parser.py:2: ZeroDivisionError" in capsys.readouterr().err.replace('", line ', ":")
