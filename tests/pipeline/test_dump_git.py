"""The git dumper against a local bare repository."""

from __future__ import annotations

import os
import socket
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from hubkernel.executors import CancelledWork
from hubkernel.jobs.context import current
from hubkernel.pipeline.dump import FetchError
from hubkernel.pipeline.dump.dumpers import git
from hubkernel.pipeline.dump.dumpers.base import DumperException, Surroundings
from hubkernel.pipeline.dump.dumpers.git import Checkout, GitDumper, GitPlace, Patient, clone, find
from hubkernel.pipeline.dump.transfer import Policy
from tests.pipeline.dump_tools import bench_in

FAST = Policy(attempts=2, backoff=0.0, timeout=20.0)


class Repository:
    """A bare repository; ``commit`` writes into it through a working copy."""

    def __init__(self, root: Path) -> None:
        self.bare, self.work = root / "repo.git", root / "work"
        self.url = self.bare.as_uri()
        self.git("init", "--quiet", "--bare", "--initial-branch=trunk", str(self.bare), at=root)
        self.git("clone", "--quiet", str(self.bare), str(self.work), at=root)

    def git(self, *words: str, at: Path | None = None) -> str:
        author = {f"GIT_{who}_{what}": "me" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        done = subprocess.run(
            ["git", *words],
            cwd=at or self.work,
            env={**os.environ, **author},
            check=True,
            capture_output=True,
            text=True,
        )
        return done.stdout.strip()

    def commit(self, **files: str) -> str:
        for name, content in files.items():
            path = self.work / name.replace("__", "/")
            path.parent.mkdir(exist_ok=True)
            path.write_text(content)
        self.git("add", "--all")
        self.git("commit", "--quiet", "--message", "change")
        self.git("push", "--quiet", "origin", "HEAD:trunk")
        return self.git("rev-parse", "HEAD")


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> tuple[Repository, str, str]:
    """Two commits; ``v1`` (annotated) is the first, ``trunk`` and ``feature/x`` the second. Tests only read it."""
    repository = Repository(tmp_path_factory.mktemp("git"))
    first = repository.commit(a="one", sub__b="b")
    repository.git("tag", "-a", "v1", "-m", "first")
    second = repository.commit(a="two")
    (repository.work / "link").symlink_to("/etc/passwd")
    third = repository.commit()
    repository.git("push", "--quiet", "origin", "v1", "HEAD:refs/heads/feature/x")
    assert third != second
    return repository, first, third


def dumper(tmp_path: Path, **attributes: object) -> GitDumper:
    made = type("Mine", (GitDumper,), attributes)("src")
    made.surroundings = Surroundings(staging=str(tmp_path / "staging"), policy=FAST)
    return made


def dump(dumper: GitDumper, **kwargs: str) -> dict[str, str]:
    dumper.create_todump_list(**kwargs)
    (entry,) = dumper.to_dump
    made = dumper.download(entry["remote"], entry["local"])
    folder = Path(dumper.new_data_folder)
    found = {file.relative_to(folder).as_posix(): file.read_text() for file in folder.rglob("*") if file.is_file()}
    assert sorted(file.name for file in made) == sorted(found)  # no .git, nothing of the way there
    return found


def test_default_branch(shared: tuple[Repository, str, str], tmp_path: Path) -> None:
    repository, _, last = shared
    made = dumper(tmp_path, GIT_REPO_URL=repository.url)
    assert dump(made) == {"a": "two", "sub/b": "b", "link": "/etc/passwd"}  # a link is not followed: it is a text here
    assert made.release == f"trunk {last[:7]}"


def test_tag_branch_commit(shared: tuple[Repository, str, str], tmp_path: Path) -> None:
    repository, first, last = shared
    asked = {"v1": f"v1 {first[:7]}", "feature/x": f"feature/x {last[:7]}", first: first[:7], first[:10]: first[:7]}
    for number, (ref, release) in enumerate(asked.items()):
        made = dumper(tmp_path / str(number), GIT_REPO_URL=repository.url)
        assert dump(made, release=ref)["a"] == ("two" if "x" in ref else "one")
        assert made.release == release


def test_url_with_ref_and_folder(shared: tuple[Repository, str, str], tmp_path: Path) -> None:
    repository, first, _ = shared
    made = dumper(tmp_path, SRC_URLS=[f"git+{repository.url}@v1#subdirectory=sub"])
    assert dump(made) == {"b": "b"}
    assert made.release == f"v1 {first[:7]}"


@pytest.mark.parametrize("folder", ["none", "../..", "a"])
def test_folder_that_is_not_in_it(shared: tuple[Repository, str, str], tmp_path: Path, folder: str) -> None:
    made = dumper(tmp_path, GIT_REPO_URL=shared[0].url, SUBFOLDER=folder)
    with pytest.raises(FetchError, match="there is no folder"):
        dump(made)


def test_nothing_new_and_force(shared: tuple[Repository, str, str], tmp_path: Path) -> None:
    repository, _, last = shared
    made = dumper(tmp_path, GIT_REPO_URL=repository.url)
    assert made.surroundings
    made.surroundings.src_doc = {"download": {"release": f"trunk {last[:7]}"}}
    made.create_todump_list()
    assert made.to_dump == []
    made.create_todump_list(force=True)
    assert len(made.to_dump) == 1


def test_what_is_not_there(shared: tuple[Repository, str, str], tmp_path: Path) -> None:
    url = shared[0].url
    with pytest.raises(FetchError, match=r"no branch, tag or commit 'feature/y'; is it 'feature/x'\?$"):
        clone(url, "feature/y", tmp_path / "a", policy=FAST)
    with pytest.raises(FetchError, match=r"no branch, tag or commit '0123456789'$"):
        clone(url, "0123456789", tmp_path / "a", policy=FAST)
    with pytest.raises(FetchError, match=r"none.git: git ls-remote: .*does not appear to be a git repository"):
        clone(url.replace("repo.git", "none.git"), None, tmp_path / "a", policy=FAST)
    assert list(tmp_path.iterdir()) == []


def test_words_that_look_like_options(shared: tuple[Repository, str, str], tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with pytest.raises(FetchError):
        clone(f"--upload-pack=touch {mark}", None, tmp_path / "a", policy=FAST)
    with pytest.raises(FetchError):
        clone(shared[0].url, f"--upload-pack=touch {mark}", tmp_path / "a", policy=FAST)
    with pytest.raises(FetchError):
        clone(f"ext::touch {mark}", None, tmp_path / "a", policy=FAST)
    assert not mark.exists()


def test_clone_for_a_plugin(shared: tuple[Repository, str, str], tmp_path: Path) -> None:
    repository, first, _ = shared
    place = Path.cwd()
    assert clone(repository.url, "v1", tmp_path / "plugin", policy=FAST) == Checkout(repository.url, "v1", first)
    assert (tmp_path / "plugin" / "a").read_text() == "one"
    assert repository.git("remote", "get-url", "origin", at=tmp_path / "plugin") == repository.url
    assert Path.cwd() == place
    with pytest.raises(FetchError, match="is there already"):
        clone(repository.url, "v1", tmp_path / "plugin", policy=FAST)
    assert [entry.name for entry in tmp_path.iterdir()] == ["plugin"]


def test_environment_is_kept_but_for_another_repository(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://proxy")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "a.b")
    monkeypatch.setenv("GIT_LOGIN_OF_TEST", "me:secret")
    policy = Policy(logins={"example.org": "env:GIT_LOGIN_OF_TEST"})
    environment = git._environment("https://example.org/r.git", policy)
    assert environment["HTTPS_PROXY"] == "http://proxy" and environment["HOME"] == os.environ["HOME"]
    assert "GIT_DIR" not in environment and environment["GIT_CONFIG_KEY_0"] == "a.b"
    assert environment["GIT_CONFIG_COUNT"] == "4"
    assert environment["GIT_CONFIG_KEY_3"] == "http.https://example.org/.extraHeader"
    assert environment["GIT_CONFIG_VALUE_3"] == "Authorization: Basic bWU6c2VjcmV0"
    with pytest.raises(FetchError, match="use https"):
        git._environment("http://example.org/r.git", policy)


def test_no_git(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FetchError, match="needs the program git, which is not installed"):
        find("https://example.org/r.git")


@pytest.fixture
def silent() -> Iterator[tuple[str, threading.Event]]:
    """A server that takes connections and says nothing."""
    asked = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            taken = []
            try:
                while True:
                    taken.append(server.accept()[0])
                    asked.set()
            except OSError:
                for connection in taken:
                    connection.close()

        thread = threading.Thread(target=accept)
        thread.start()
        yield f"git://127.0.0.1:{server.getsockname()[1]}/r.git", asked
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_silent_server(silent: tuple[str, threading.Event]) -> None:
    with pytest.raises(FetchError, match=r"^git://127.0.0.1:\d+/r.git: git ls-remote took more than 0.1 s \(tried 2 t"):
        find(silent[0], None, Patient(current(), FAST, 0.1))


def test_cancel_ends_git(silent: tuple[str, threading.Event]) -> None:
    class Impatient(type(current())):  # type: ignore[misc]
        def check(self) -> None:
            if silent[1].is_set():
                raise CancelledWork

    with pytest.raises(CancelledWork):
        find(silent[0], None, Patient(Impatient(), FAST, 60.0))


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    with pytest.raises(FetchError, match=r"unable to connect.*\(tried 2 times\)$"):
        find(f"git://127.0.0.1:{port}/r.git", None, Patient(current(), FAST, 20.0))


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("https://h/o/r.git", GitPlace("https://h/o/r.git")),
        ("git@github.com:o/r.git", GitPlace("git@github.com:o/r.git")),
        ("git+https://h/o/r.git", GitPlace("https://h/o/r.git")),
        ("git+ssh://git@h/o/r.git@feature/x", GitPlace("ssh://git@h/o/r.git", "feature/x")),
        ("git+https://h/r@v1#subdirectory=a/b/", GitPlace("https://h/r", "v1", "a/b")),
    ],
)
def test_urls(url: str, place: GitPlace) -> None:
    assert GitPlace.of(url) == place


def test_wrong_urls(tmp_path: Path) -> None:
    with pytest.raises(FetchError, match="unknown option folder; there is subdirectory"):
        GitPlace.of("git+https://h/r#folder=a")
    with pytest.raises(DumperException, match="one repository, not 2"):
        dumper(tmp_path, SRC_URLS=["git+https://h/r", "git+https://h/s"]).create_todump_list()
    with pytest.raises(DumperException, match="has no GIT_REPO_URL"):
        dumper(tmp_path).create_todump_list()


def test_manifest_from_list_to_release(tmp_path: Path) -> None:
    repository = Repository(tmp_path)
    first = repository.commit(a="one", data__b="b")
    with bench_in(tmp_path / "home") as bench:
        bench.plugin("src", f"git+{repository.url}#subdirectory=data")
        assert bench.dump("src") == f"trunk {first[:7]}"
        assert bench.files("src") == {"b": b"b"}
        assert bench.dump("src") == "Nothing to dump"
        second = repository.commit(data__c="c")
        assert bench.dump("src") == f"trunk {second[:7]}"
        assert bench.files("src") == {"b": b"b", "c": b"c"}
        assert bench.dump("src", release=first, force=True) == first[:7]
        assert bench.files("src") == {"b": b"b"}
