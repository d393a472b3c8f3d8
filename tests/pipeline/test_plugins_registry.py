"""Plugins from a folder, a git repository and a zip file: added, updated and taken away."""

from __future__ import annotations

import asyncio
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hubkernel.pipeline.context import PipelineContext
from hubkernel.pipeline.plugins import PluginError, PluginManager, UnknownPluginError, fetching
from hubkernel.pipeline.plugins.fetching import FetchPluginError, Place
from hubkernel.store import open_state
from tests.pipeline.test_plugins import changed, make


@pytest.fixture
def manager(tmp_path: Path) -> Iterator[PluginManager]:
    root = tmp_path / "hub"
    state = open_state(f"sqlite://{root / 'state.db'}")
    yield PluginManager(PipelineContext(root, state, "", "", jobs=None))  # type: ignore[arg-type]
    state.close()


def git(folder: Path, *words: str) -> str:
    settings = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "init.defaultBranch=main"]
    done = subprocess.run(["git", *settings, *words], cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout.strip()


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """With a plugin at its top on ``main`` and at the tag ``v1``, and another one in ``more/deep`` on a branch."""
    folder = make(tmp_path / "my-repo", changed(display_name="one"))
    git(folder, "init", "-q")
    commit(folder, "first")
    git(folder, "tag", "v1")
    git(folder, "checkout", "-q", "-b", "side")
    make(folder / "more" / "deep")
    commit(folder, "deep")
    git(folder, "checkout", "-q", "main")
    return folder


def commit(folder: Path, message: str) -> None:
    git(folder, "add", "-A")
    git(folder, "commit", "-q", "-m", message)


def run(work: Any) -> Any:
    return asyncio.run(work)


def test_a_git_repository(manager: PluginManager, repository: Path) -> None:
    url = repository.as_uri()
    registered = run(manager.register_url(url))
    folder = Path(registered["folder"])
    assert registered["name"] == "my-repo" and manager.registry.fetched in folder.parents
    about = manager.registry.about("my-repo")
    assert about is not None
    assert (about["plugin"]["type"], about["plugin"]["url"], about["plugin"]["loader"]) == ("git", url, "manifest")
    assert about["download"]["release"].startswith("main ") and about["download"]["data_folder"] == str(folder)
    with pytest.raises(PluginError, match=r"registered already, as my-repo: dump_plugin\('my-repo'\)"):
        run(manager.register_url(url))
    manager.load_all()
    assert manager["my-repo"].display_name == "one"

    make(repository, changed(display_name="two"))
    commit(repository, "second")
    updated = run(manager.dump_plugin("my-repo"))
    assert updated["changed"] and manager["my-repo"].display_name == "two"
    assert run(manager.dump_plugin("my-repo", release="v1"))["release"].startswith("v1 ")
    assert manager["my-repo"].display_name == "one"

    make(repository, {"version": "1.0"})
    commit(repository, "broken")
    with pytest.raises(PluginError, match="'dumper' is missing"):
        run(manager.dump_plugin("my-repo", release="main"))
    manager.load_all()
    assert manager["my-repo"].display_name == "one", "the old code stays"

    assert run(manager.unregister_url(url)) == "my-repo"
    manager.load_all()
    assert "my-repo" not in manager.plugins and not list(manager.registry.fetched.iterdir())
    assert (repository / "parser.py").is_file()


@pytest.mark.parametrize("form", ["arguments", "as pip writes it"])
def test_a_branch_and_a_folder_of_it(manager: PluginManager, repository: Path, form: str) -> None:
    url = repository.as_uri()
    if form == "arguments":
        registered = run(manager.register_url(url, release="side", folder="more/deep"))
    else:
        registered = run(manager.register_url(f"git+{url}@side#subdirectory=more/deep"))
    assert registered["name"] == "deep" and registered["folder"].endswith("/more/deep")


def test_what_cannot_be_used_leaves_nothing(manager: PluginManager, repository: Path) -> None:
    with pytest.raises(FetchPluginError, match="no folder 'nowhere'"):
        run(manager.register_url(repository.as_uri(), folder="nowhere"))
    with pytest.raises(FetchPluginError, match="no branch, tag or commit 'mian'; is it 'main'"):
        run(manager.register_url(repository.as_uri(), release="mian"))
    make(repository, {"version": "1.0"})
    commit(repository, "broken")
    with pytest.raises(PluginError, match="'dumper' is missing"):
        run(manager.register_url(repository.as_uri()))
    assert manager.plugins == {} and not list(manager.registry.fetched.iterdir())


def pack(file: Path, *names: str, text: str = "") -> Path:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in names:
            archive.writestr(name, text)
    return file


def test_a_zip_file(manager: PluginManager, tmp_path: Path) -> None:
    folder = make(tmp_path / "src" / "plug")
    with zipfile.ZipFile(tmp_path / "plug.zip", "w") as archive:
        for file in folder.iterdir():
            archive.write(file, f"plug-main/{file.name}")
    registered = run(manager.register_url((tmp_path / "plug.zip").as_uri()))
    assert registered["name"] == "plug"
    assert not run(manager.dump_plugin("plug"))["changed"]
    run(manager.unregister_url(name="plug"))
    assert (tmp_path / "plug.zip").is_file() and not list(manager.registry.fetched.iterdir())
    run(manager.register_url(str(tmp_path / "plug.zip")))
    assert list(manager.plugins) == ["plug"]


@pytest.mark.parametrize("name", ["../evil.py", "a/../../evil.py", "/evil.py", "C:/evil.py", "..\\evil.py"])
def test_a_zip_file_that_leads_out_of_its_folder(manager: PluginManager, tmp_path: Path, name: str) -> None:
    with pytest.raises(FetchPluginError, match="leads out of the plugin's folder"):
        run(manager.register_url(str(pack(tmp_path / "p.zip", "manifest.json", name))))
    assert not list(tmp_path.rglob("evil.py"))


def test_a_zip_file_that_is_too_large(manager: PluginManager, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetching, "MAX_BYTES", 2000)
    with pytest.raises(FetchPluginError, match="holds more than"):
        run(manager.register_url(str(pack(tmp_path / "p.zip", "a.py", "b.py", text="x" * 1500))))
    (tmp_path / "q.zip").write_bytes(b"x" * 3000)
    with pytest.raises(FetchPluginError, match="is larger than"):
        run(manager.register_url(str(tmp_path / "q.zip")))
    (tmp_path / "r.zip").write_bytes(b"no zip file")
    with pytest.raises(FetchPluginError, match="no zip file that can be read"):
        run(manager.register_url(str(tmp_path / "r.zip")))


def test_dataload_c22_a_local_plugin_is_unregistered_and_its_folder_stays(
    manager: PluginManager, tmp_path: Path
) -> None:
    among, elsewhere = make(manager.context.plugins / "among"), make(tmp_path / "elsewhere")
    manager.load_all()
    run(manager.register_url("local://among"))
    run(manager.register_url(str(elsewhere)))
    assert set(manager.plugins) == {"among", "elsewhere"}
    for name in ("among", "elsewhere"):
        assert run(manager.unregister_url(name=name)) == name
    manager.load_all()
    assert manager.plugins == {}
    assert (among / "parser.py").is_file() and (elsewhere / "parser.py").is_file()
    run(manager.register_url("local://among"))
    manager.load_all()
    assert list(manager.plugins) == ["among"]
    with pytest.raises(UnknownPluginError, match="no plugin 'amongst' is registered: did you mean 'among'"):
        run(manager.unregister_url(name="amongst"))


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("https://github.com/o/r", Place("git", "https://github.com/o/r")),
        ("https://github.com/o/r/tree/dev/a/b", Place("git", "https://github.com/o/r", "dev", "a/b")),
        ("https://x.org/p.zip", Place("zip", "https://x.org/p.zip")),
        ("local://mine", Place("local", "mine")),
        ("/a/b", Place("local", "/a/b")),
    ],
)
def test_what_an_url_means(url: str, expected: Place) -> None:
    assert Place.of(url) == expected


def test_no_url_is_a_command() -> None:
    with pytest.raises(FetchPluginError, match="no url of a git repository"):
        Place.of("ext::sh -c x")


def test_a_folder_leads_not_out_of_the_code() -> None:
    with pytest.raises(FetchPluginError, match="leads out"):
        Place.of("https://github.com/o/r", folder="../..")
