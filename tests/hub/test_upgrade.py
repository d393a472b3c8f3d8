"""Upgrades: of a git checkout, with real repositories; of a package, with real wheels; never over the network."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from hubkernel import __version__
from hubkernel.hub.home import HubHome
from hubkernel.hub.server import HubServer
from hubkernel.hub.upgrade import Application, Package, UpgradeError, run_program, unmet
from tests.hub.test_server import done

Open = Callable[..., HubServer]
IDENTITY = ["-c", "user.name=Ann", "-c", "user.email=ann@example.org", "-c", "init.defaultBranch=main"]


class Repository:
    """A remote repository, and a checkout of it."""

    def __init__(self, root: Path) -> None:
        self.remote, self.checkout = root / "remote", root / "checkout"
        self.remote.mkdir(parents=True)
        self.git("init", "--quiet")
        self.commit("app.py", "VERSION = 1\n")
        subprocess.run(["git", "clone", "--quiet", self.remote, self.checkout], check=True)

    def git(self, *arguments: str, folder: Path | None = None) -> str:
        argv = ["git", *IDENTITY, *arguments]
        return subprocess.run(
            argv, cwd=folder or self.remote, check=True, capture_output=True, text=True
        ).stdout.strip()

    def commit(self, file: str, text: str, folder: Path | None = None) -> str:
        ((folder or self.remote) / file).write_text(text)
        self.git("add", "-A", folder=folder)
        self.git("commit", "--quiet", "-m", f"Write {file}", folder=folder)
        return self.git("rev-parse", "HEAD", folder=folder)

    @property
    def head(self) -> str:
        return self.git("rev-parse", "HEAD", folder=self.checkout)

    def text(self, file: str) -> str:
        return (self.checkout / file).read_text()


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Repository:
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", "/dev/null")
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", "/dev/null")
    return Repository(tmp_path / "git")


class Recorder:
    """Runs git for real; what pip is asked for is written down, and fails if so wanted."""

    def __init__(self, fails: bool = False) -> None:
        self.pip: list[list[str]] = []
        self.fails = fails

    def __call__(self, argv: Sequence[str], folder: Path | None) -> str:
        if argv[0] == "git":
            return run_program(argv, folder)
        self.pip.append(list(argv))
        if self.fails:
            raise UpgradeError("pip failed: no such version")
        return ""


def nothing(text: str) -> None:
    pass


def test_the_version_and_what_is_new(repository: Repository) -> None:
    application = Application(repository.checkout)
    version = application.version()
    assert (version["branch"], version["giturl"]) == ("main", str(repository.remote))
    assert repository.head.startswith(version["commit"])
    assert application.check() is None
    for number in range(2, 14):
        repository.commit("app.py", f"VERSION = {number}\n")
    news = application.check()
    assert news is not None
    assert (news["total"], len(news["commits"])) == (12, 10)
    assert news["latest"] == news["commits"][0]["hash"]
    assert news["commits"][0]["message"] == "Write app.py"
    assert news["commits"][0]["url"] is None, "the remote has no web address"


def test_an_upgrade_goes_forward(repository: Repository) -> None:
    new = repository.commit("app.py", "VERSION = 2\n")
    application = Application(repository.checkout)
    said: list[str] = []
    dry = application.upgrade(True, said.append)
    assert (dry["upgraded"], dry["dry_run"], dry["files"]) == (False, True, ["app.py"])
    assert repository.text("app.py") == "VERSION = 1\n"
    assert len(said) == 1 and said[0].endswith("Write app.py")
    done = application.upgrade(False, nothing)
    assert (done["upgraded"], done["to"], done["needs_restart"]) == (True, new, True)
    assert (repository.text("app.py"), repository.head) == ("VERSION = 2\n", new)
    assert application.upgrade(False, nothing)["upgraded"] is False


def test_requirements_are_installed_before_it_counts(repository: Repository) -> None:
    repository.commit("requirements.txt", "pytest  # is there\nno-such-package-here>=3\n")
    run = Recorder()
    application = Application(repository.checkout, run, pip=["pip"], options=["--no-index"])
    assert application.upgrade(True, nothing)["requirements"] == ["no-such-package-here>=3"]
    assert run.pip == []
    assert application.upgrade(False, nothing)["upgraded"] is True
    assert run.pip == [["pip", "install", "--quiet", "--no-index", "-r", "requirements.txt"]]


def test_what_cannot_be_installed_is_undone(repository: Repository) -> None:
    old = repository.head
    repository.commit("requirements.txt", "no-such-package-here\n")
    with pytest.raises(UpgradeError, match=r"is at .* again: pip failed"):
        Application(repository.checkout, Recorder(fails=True)).upgrade(False, nothing)
    assert repository.head == old
    assert not (repository.checkout / "requirements.txt").exists()


def test_code_that_does_not_compile_is_undone(repository: Repository) -> None:
    old = repository.head
    (repository.checkout / "notes.txt").write_text("not in git")
    repository.commit("app.py", "VERSION = \n")
    with pytest.raises(UpgradeError, match=r"again: invalid syntax \(app.py, line 1\)"):
        Application(repository.checkout).upgrade(False, nothing)
    assert (repository.head, repository.text("app.py")) == (old, "VERSION = 1\n")
    assert repository.text("notes.txt") == "not in git"


def test_own_changes_and_commits_are_never_touched(repository: Repository) -> None:
    repository.commit("app.py", "VERSION = 2\n")
    application = Application(repository.checkout)
    (repository.checkout / "app.py").write_text("MINE = 1\n")
    with pytest.raises(UpgradeError, match=r"has changes of its own \(app.py\)"):
        application.upgrade(False, nothing)
    assert repository.text("app.py") == "MINE = 1\n"
    repository.git("checkout", "--quiet", "app.py", folder=repository.checkout)
    mine = repository.commit("mine.py", "", repository.checkout)
    with pytest.raises(UpgradeError, match="has commits that origin/main has not"):
        application.upgrade(False, nothing)
    assert repository.head == mine


def test_a_folder_or_branch_that_follows_nothing(repository: Repository, tmp_path: Path) -> None:
    repository.git("checkout", "--quiet", "-b", "alone", folder=repository.checkout)
    with pytest.raises(UpgradeError, match="git branch --set-upstream-to"):
        Application(repository.checkout).check()
    with pytest.raises(UpgradeError, match="not a git repository"):
        Application(tmp_path).version()


def test_a_password_in_the_url_is_not_shown(repository: Repository) -> None:
    url = "https://ann:hunter2@example.org/app.git"
    repository.git("remote", "set-url", "origin", url, folder=repository.checkout)
    application = Application(repository.checkout)
    assert application.version()["giturl"] == "https://ann:********@example.org/app.git"
    assert application._url("abc") == "https://ann:********@example.org/app/commit/abc"


def test_unmet_requirements() -> None:
    lines = [
        "# comment",
        "",
        "-e .",
        "pytest",
        "pytest<1",
        "nosuch[extra]>=2 # why",
        "old; python_version < '3'",
        "???",
    ]
    assert unmet(lines) == ["pytest<1", "nosuch[extra]>=2"]


# hubkernel itself: here a small package of that kind, in an environment of its own.


def wheel(folder: Path, version: str, code: str = "") -> None:
    folder.mkdir(exist_ok=True)
    info = f"smallhub-{version}.dist-info"
    with zipfile.ZipFile(folder / f"smallhub-{version}-py3-none-any.whl", "w") as archive:
        archive.writestr("smallhub.py", f"{code}\nVERSION = {version!r}\n")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: smallhub\nVersion: {version}\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")


@pytest.mark.service
def test_a_package_with_real_wheels(tmp_path: Path) -> None:
    wheels, environment = tmp_path / "wheels", tmp_path / "environment"
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", environment], check=True)
    python = str(environment / "bin" / "python")
    options = ["--no-index", "--find-links", str(wheels)]
    pip = [sys.executable, "-m", "pip", "--python", python]
    package = Package("smallhub", options=options, python=python, pip=pip)
    wheel(wheels, "1.0")
    run_program([*pip, "install", "--quiet", *options, "smallhub"])
    assert (package.version(), package.check()) == ("1.0", None)
    assert package.upgrade(False, nothing) == {"upgraded": False, "from": "1.0", "to": "1.0"}
    wheel(wheels, "1.1")
    assert package.check() == {"latest": "1.1", "packages": {"smallhub": "1.1"}}
    assert package.upgrade(True, nothing)["dry_run"] is True
    assert package.version() == "1.0"
    assert package.upgrade(False, nothing)["upgraded"] is True
    assert package.version() == "1.1"
    wheel(wheels, "1.2", "raise ImportError('a broken release')")
    with pytest.raises(UpgradeError, match=r"(?s)smallhub 1\.1 is installed again: .*a broken release") as raised:
        package.upgrade(False, nothing)
    assert "failed" in str(raised.value)
    assert package.version() == "1.1"


def answers(plan: dict[str, str], installed: dict[str, str], fails: str = "") -> tuple[Any, list[list[str]]]:
    """A pip that has this plan; what it is asked to install is written down."""
    asked: list[list[str]] = []

    def run(argv: Sequence[str], folder: Path | None) -> str:
        if "--report" in argv:
            items = [{"metadata": {"name": name, "version": version}} for name, version in plan.items()]
            return json.dumps({"install": items})
        if "install" in argv:
            asked.append(list(argv[argv.index("install") + 1 :]))
            return ""
        if argv[1] == "-I":
            return (
                "None" if "direct_url" in argv[3] else json.dumps({n: installed[n] for n in argv[4:] if n in installed})
            )
        if fails:
            raise UpgradeError(fails)
        return ""

    return run, asked


def test_what_came_with_a_release_goes_with_it() -> None:
    plan = {"hubkernel": "9.0", "Orjson": "8.0", "brand_new": "1.0"}
    run, asked = answers(plan, {"hubkernel": "1.0", "orjson": "3.0"}, fails="it cannot be imported")
    with pytest.raises(UpgradeError, match=r"hubkernel 1\.0, orjson 3\.0 is installed again: it cannot be imported"):
        Package("hubkernel", run, options=["--no-index"]).upgrade(False, nothing)
    assert asked == [
        ["--quiet", "--no-index", "hubkernel==9.0", "orjson==8.0", "brand-new==1.0"],
        ["--quiet", "--no-index", "--no-deps", "hubkernel==1.0", "orjson==3.0"],
    ]


def test_a_checkout_is_not_replaced() -> None:
    def run(argv: Sequence[str], folder: Path | None) -> str:
        return json.dumps({"url": "file:///code", "dir_info": {"editable": True}})

    with pytest.raises(UpgradeError, match="installed from the checkout file:///code"):
        Package(run=run).check()


# In a hub.


@pytest.fixture
def open_hub(
    home: HubHome, repository: Repository, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., HubServer]]:
    made: list[HubServer] = []

    def start(**settings: Any) -> HubServer:
        monkeypatch.setenv("HUBKERNEL_APP_FOLDER", str(settings.pop("app_folder", repository.checkout)))
        for name, value in settings.items():
            monkeypatch.setenv(f"HUBKERNEL_{name.upper()}", value)
        made.append(HubServer.open(home))
        made[-1].run_in_thread()
        upgrades = made[-1].upgrades
        assert upgrades is not None
        upgrades.bases["hubkernel"] = Package(run=answers({"hubkernel": "9.0"}, {"hubkernel": __version__})[0])
        return made[-1]

    yield start
    for server in made:
        server.shutdown()


def versions(server: HubServer) -> dict[str, Any]:
    found: dict[str, Any] = done(server, "status")["hub"]["versions"]
    return found


def test_the_hub_shows_versions_and_what_is_new(open_hub: Open, repository: Repository) -> None:
    server = open_hub()
    assert versions(server)["hubkernel"] == {"version": __version__}
    assert versions(server)["application"]["branch"] == "main"
    new = repository.commit("app.py", "VERSION = 2\n")
    events = server.bus.subscribe()
    found = done(server, "check_upgrade")
    assert found["hubkernel"]["latest"] == "9.0"
    assert new.startswith(found["application"]["latest"])
    assert versions(server)["application"]["upgrade"]["total"] == 1
    done(server, "check_upgrade")
    told = [event.id for event in events.pending() if (event.entity, event.op) == ("upgrade", "available")]
    assert told == ["hubkernel", "application"], "each is told once"


def test_upgrade_is_a_job(open_hub: Open, repository: Repository) -> None:
    server = open_hub()
    new = repository.commit("app.py", "VERSION = 2\n")
    assert done(server, "upgrade", "application", dry_run=True)["upgraded"] is False
    assert done(server, "upgrade")["to"] == new
    assert versions(server)["application"]["needs_restart"] is True
    assert repository.head == new
    assert done(server, "upgrade", "biothings_sdk", dry_run=True)["to"] == "9.0"
    assert any("Write app.py" in line for line in server.jobs.list()[1].log)
    with pytest.raises(UpgradeError, match="no code base 'aplication' here; did you mean 'application'"):
        done(server, "upgrade", "aplication")


def test_no_upgrade_under_running_jobs(open_hub: Open, repository: Repository) -> None:
    import asyncio

    server = open_hub()
    new = repository.commit("app.py", "VERSION = 2\n")
    job = server.jobs.start("endless", asyncio.Event().wait)
    with pytest.raises(UpgradeError, match=r"jobs run with the code as it is \(1 endless\): wait for them"):
        done(server, "upgrade")
    assert done(server, "upgrade", force=True)["to"] == new
    job.cancel()


def test_a_scheduled_look(open_hub: Open, repository: Repository) -> None:
    server = open_hub(upgrade_check="0 0 1 1 *")
    events = server.bus.subscribe()
    done(server, "run_schedule", "check:upgrade")
    seen = iter(lambda: events.get(timeout=30), None)
    assert next(event for event in seen if event is not None and event.entity == "upgrade").op == "available"


def test_a_folder_that_is_no_checkout_is_shown(open_hub: Open, tmp_path: Path) -> None:
    server = open_hub(app_folder=tmp_path)
    assert "not a git repository" in versions(server)["application"]["error"]
    assert "not a git repository" in done(server, "check_upgrade")["application"]["error"]
