from __future__ import annotations

from pathlib import Path

import pytest

from hubkernel.hub.home import HubHome


def test_a_path_wins_over_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HUBKERNEL_HOME", str(tmp_path / "env"))
    assert HubHome.find(tmp_path / "given").root == tmp_path / "given"
    assert HubHome.find().root == tmp_path / "env"


def test_the_nearest_marker_upward_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBKERNEL_HOME", raising=False)
    deep = tmp_path / "project" / "a" / "b"
    deep.mkdir(parents=True)
    (tmp_path / "project" / ".hubkernel").mkdir()
    monkeypatch.chdir(deep)
    assert HubHome.find().root == tmp_path / "project" / ".hubkernel"


def test_without_any_it_is_the_platforms_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HUBKERNEL_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    assert HubHome.find().root == tmp_path / "data" / "hubkernel"


def test_a_relative_path_becomes_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert HubHome.find("here").root == tmp_path / "here"


def test_keys_and_locks_are_for_the_owner_only(tmp_path: Path) -> None:
    home = HubHome(tmp_path / "home").create()
    assert [folder.stat().st_mode & 0o777 for folder in (home.root, home.run, home.ssh)] == [0o700] * 3
    assert home.plugins.is_dir()


def test_a_file_in_its_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(NotADirectoryError, match=r"home is a file.*HUBKERNEL_HOME"):
        HubHome(tmp_path / "home").create()


def test_urls_are_absolute(tmp_path: Path) -> None:
    home = HubHome(tmp_path)
    assert home.state_url == f"sqlite://{tmp_path}/state.db"
    assert home.store_url == f"sqlite://{tmp_path}/store"
    assert home.search_url == f"embedded://{tmp_path}/search"
