"""Upgrades of the code: of the hub's application, a git checkout, and of hubkernel itself, a Python package.

Each can be asked what is new, can show what an upgrade would do (``dry_run``), and goes back to where it was if an
upgrade fails. What was upgraded counts from the next start of the hub on. All of it blocks: call it in a thread.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from packaging.requirements import InvalidRequirement, Requirement

from hubkernel.hub.config import masked

TIMEOUT = 1800
COMMITS = 10
"""Commits that are shown of those that are new."""
Run = Callable[[Sequence[str], Path | None], str]
"""``(program and arguments, folder)``: runs it, returns its standard output, raises :class:`UpgradeError`."""
Log = Callable[[str], object]


class UpgradeError(RuntimeError):
    """There is no upgrade, or it failed and was undone; the message says which, and what to do."""


def run_program(argv: Sequence[str], folder: Path | None = None) -> str:
    """Run a program without a terminal; see :data:`Run`."""
    environment = {**os.environ, "GIT_TERMINAL_PROMPT": "0", "LC_ALL": "C", "PIP_NO_INPUT": "1"}
    try:
        done = subprocess.run(
            argv, cwd=folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT,
            stdin=subprocess.DEVNULL, check=False,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UpgradeError(f"{argv[0]} cannot be run: {error}") from None
    if done.returncode:
        said = "\n".join((done.stderr.strip() or done.stdout.strip()).splitlines()[-10:])
        raise UpgradeError(f"{' '.join(argv[:4])} ... failed: {masked(said)}")
    return done.stdout


class Application:
    """A git checkout whose branch follows a remote one."""

    def __init__(
        self, folder: Path, run: Run = run_program, pip: Sequence[str] = (), options: Sequence[str] = ()
    ) -> None:
        """``pip`` is the pip to run (default: this Python's), ``options`` are options of its ``install``."""
        self.folder = folder.resolve()
        self._run, self._options = run, list(options)
        self._pip = list(pip) or [sys.executable, "-m", "pip"]

    def _git(self, *arguments: str) -> str:
        return self._run(["git", *arguments], self.folder).strip()

    def version(self) -> dict[str, Any]:
        """``{"branch", "commit", "date", "giturl"}``. Raises :class:`UpgradeError` if it is no git checkout."""
        commit, date = self._git("log", "-1", "--format=%h %cI").split()
        try:
            url: str | None = masked(self._git("remote", "get-url", "origin"))
        except UpgradeError:
            url = None
        return {"branch": self._git("rev-parse", "--abbrev-ref", "HEAD"), "commit": commit, "date": date, "giturl": url}

    def check(self) -> dict[str, Any] | None:
        """Fetch; ``{"latest", "commits": [{"hash", "url", "date", "message"}], "total"}``, newest first, or None."""
        upstream = self._upstream()
        self._git("fetch", "--quiet")
        total = int(self._git("rev-list", "--count", f"HEAD..{upstream}"))
        if not total:
            return None
        lines = self._git("log", f"-{COMMITS}", "--format=%h%x09%cI%x09%s", f"HEAD..{upstream}").splitlines()
        commits: list[dict[str, Any]] = [
            dict(zip(("hash", "date", "message"), line.split("\t", 2), strict=True)) for line in lines
        ]
        for commit in commits:
            commit["url"] = self._url(commit["hash"])
        return {"latest": commits[0]["hash"], "commits": commits, "total": total}

    def _url(self, commit: str) -> str | None:
        url = self.version()["giturl"]
        return f"{url.removesuffix('.git')}/commit/{commit}" if url and url.startswith("http") else None

    def _upstream(self) -> str:
        self._git("rev-parse", "--git-dir")
        try:
            return self._git("rev-parse", "--abbrev-ref", "--symbolic-full-name", "@{upstream}")
        except UpgradeError:
            raise UpgradeError(
                f"{self.folder}: the branch follows no other: git branch --set-upstream-to=origin/<branch>"
            ) from None

    def upgrade(self, dry_run: bool, log: Log) -> dict[str, Any]:
        """Fast-forward to the remote branch; install what its ``requirements.txt`` asks for and is not there; compile
        what changed. If any of it fails, everything but installed packages is as before, and :class:`UpgradeError` is
        raised. Returns ``{"upgraded", "from", "to", "commits", "files", "requirements", "needs_restart"}``.
        """
        old = self._git("rev-parse", "HEAD")
        news = self.check()
        if news is None:
            log("there are no new commits")
            return {"upgraded": False, "from": old, "to": old}
        upstream = self._upstream()
        self._refuse(upstream)
        files = self._git("diff", "--name-only", "HEAD", upstream).splitlines()
        missing = unmet(self._requirements(upstream))
        plan = {"from": old, "to": self._git("rev-parse", upstream), "files": files, "requirements": missing, **news}
        for commit in news["commits"]:
            log(f"{commit['hash']} {commit['date']} {commit['message']}")
        if dry_run:
            return {"upgraded": False, "dry_run": True, **plan}
        self._git("merge", "--ff-only", "--quiet", upstream)
        try:
            if missing:
                log(f"installing {', '.join(missing)}")
                self._run([*self._pip, "install", "--quiet", *self._options, "-r", "requirements.txt"], self.folder)
            self._compile(files)
        except BaseException as error:
            self._git("reset", "--quiet", "--keep", old)
            raise UpgradeError(f"the upgrade failed, {self.folder} is at {old[:10]} again: {error}") from error
        return {"upgraded": True, "needs_restart": True, **plan}

    def _refuse(self, upstream: str) -> None:
        changed = self._git("status", "--porcelain", "--untracked-files=no").splitlines()
        if changed:
            files = ", ".join(line[2:].strip() for line in changed[:5])
            raise UpgradeError(f"{self.folder} has changes of its own ({files}): commit or undo them first")
        if int(self._git("rev-list", "--count", f"{upstream}..HEAD")):
            raise UpgradeError(f"{self.folder} has commits that {upstream} has not: merge or rebase them by hand")

    def _requirements(self, commit: str) -> list[str]:
        try:
            return self._git("show", f"{commit}:requirements.txt").splitlines()
        except UpgradeError:
            return []

    def _compile(self, files: Iterable[str]) -> None:
        for file in (self.folder / name for name in files if name.endswith(".py")):
            if file.is_file():
                compile(file.read_bytes(), str(file), "exec")


class Package:
    """A package that pip installed, of the Python that ``pip`` and ``python`` stand for."""

    def __init__(
        self,
        name: str = "hubkernel",
        run: Run = run_program,
        *,
        options: Sequence[str] = (),
        python: str = sys.executable,
        pip: Sequence[str] = (),
    ) -> None:
        """``options`` are options of ``pip install``, for instance ``--no-index --find-links FOLDER``."""
        self.name = name
        self._run, self._options, self._python = run, list(options), python
        self._pip = [*(list(pip) or [python, "-m", "pip"]), "--disable-pip-version-check"]

    def version(self) -> str:
        """What is installed. Raises :class:`UpgradeError` if it is not."""
        found = self._versions([self.name])
        if self.name not in found:
            raise UpgradeError(f"{self.name} is not installed for {self._python}")
        return found[self.name]

    def _versions(self, names: Sequence[str]) -> dict[str, str]:
        """Of those that are installed."""
        code = (
            "import json, sys\nfrom importlib import metadata\nfound = {}\nfor name in sys.argv[1:]:\n"
            "    try: found[name] = metadata.version(name)\n    except metadata.PackageNotFoundError: pass\n"
            "print(json.dumps(found))"
        )
        found: dict[str, str] = json.loads(self._run([self._python, "-I", "-c", code, *names], None))
        return found

    def check(self) -> dict[str, Any] | None:
        """``{"latest", "packages": {name: version}}`` that an upgrade would install, or None."""
        self._refuse()
        report = self._install("--dry-run", "--report", "-", "--upgrade", self.name)
        found = [item["metadata"] for item in json.loads(report)["install"]]
        packages = {item["name"].lower().replace("_", "-"): item["version"] for item in found}
        latest = packages.get(self.name)
        return {"latest": latest, "packages": packages} if latest is not None else None

    def _install(self, *arguments: str) -> str:
        return self._run([*self._pip, "install", "--quiet", *self._options, *arguments], None)

    def _refuse(self) -> None:
        code = f"from importlib.metadata import distribution as d; print(d({self.name!r}).read_text('direct_url.json'))"
        text = self._run([self._python, "-I", "-c", code], None).strip()
        origin = json.loads(text) if text.startswith("{") else {}
        if origin.get("dir_info", {}).get("editable"):
            raise UpgradeError(f"{self.name} is installed from the checkout {origin['url']}: upgrade that")

    def upgrade(self, dry_run: bool, log: Log) -> dict[str, Any]:
        """Install the newest version and look whether it can be imported; if not, install again what was there, and
        raise :class:`UpgradeError`. Returns ``{"upgraded", "from", "to", "packages", "needs_restart"}``.
        """
        old = self.version()
        news = self.check()
        if news is None:
            log(f"{self.name} {old} is the newest version")
            return {"upgraded": False, "from": old, "to": old}
        plan = {"from": old, "to": news["latest"], "packages": news["packages"]}
        log(f"{self.name} {old} -> {news['latest']}; packages: {_shown(news['packages'])}")
        if dry_run:
            return {"upgraded": False, "dry_run": True, **plan}
        before = self._versions(list(news["packages"]))
        try:
            self._install(*[f"{name}=={version}" for name, version in news["packages"].items()])
            self._run([self._python, "-c", f"import {self.name.replace('-', '_')}"], None)
        except BaseException as error:
            self._go_back(before, error)
        return {"upgraded": True, "needs_restart": True, **plan}

    def _go_back(self, before: dict[str, str], error: BaseException) -> None:
        pins = [f"{name}=={version}" for name, version in before.items()]
        try:
            self._install("--no-deps", *pins)
        except UpgradeError as second:
            raise UpgradeError(
                f"the upgrade failed ({error}), and so did going back ({second}): pip install {' '.join(pins)}"
            ) from error
        raise UpgradeError(f"the upgrade failed, {_shown(before)} is installed again: {error}") from error


def unmet(requirements: Iterable[str]) -> list[str]:
    """The lines of a ``requirements.txt`` that what is installed does not satisfy. Options and urls are left to pip."""
    missing = []
    for line in requirements:
        text = line.split(" #")[0].strip()
        if not text or text.startswith(("#", "-")):
            continue
        try:
            requirement = Requirement(text)
            applies = requirement.marker is None or requirement.marker.evaluate()
            if applies and not requirement.specifier.contains(metadata.version(requirement.name), prereleases=True):
                missing.append(text)
        except metadata.PackageNotFoundError:
            missing.append(text)
        except InvalidRequirement:
            continue
    return missing


def _shown(packages: dict[str, str]) -> str:
    return ", ".join(f"{name} {version}" for name, version in packages.items())
