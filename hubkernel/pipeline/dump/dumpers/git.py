"""Files of git repositories, by the program ``git``; and the checkout that plugins are registered from."""

from __future__ import annotations

import asyncio
import difflib
import os
import re
import shutil
import signal
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn
from urllib.parse import parse_qs, unquote, urlsplit, urlunsplit

from hubkernel.executors import Worker
from hubkernel.jobs.context import current
from hubkernel.pipeline.credentials import CredentialError, authorization
from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException
from hubkernel.pipeline.dump.errors import FetchError
from hubkernel.pipeline.dump.models import ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.staging import files_in, sha256_of
from hubkernel.pipeline.dump.transfer import Patience, Policy, Retry, patiently, shown, stoppable

_HASH = re.compile(r"[0-9a-f]{7,40}|[0-9a-f]{64}")
_PASSING = re.compile(
    r"could not resolve host|connection (refused|reset|timed out)|(failed|unable) to connect|early EOF|RPC failed"
    r"|unexpected disconnect|hung up unexpectedly|returned error: (429|5\d\d)|timed? ?out",
    re.IGNORECASE,
)
"""What git says of trouble that another try may not have."""
_PROGRESS = re.compile(r"^(?:remote: )?([A-Z][\w ]+): +\d+% \((\d+)/(\d+)\)")
_OF_ANOTHER = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_OBJECT_DIRECTORY", "GIT_COMMON_DIR")
"""Set while a hook of another repository runs."""


@dataclass(frozen=True)
class Patient:
    """Who is told and asked while git runs, and how long it may."""

    worker: Worker
    policy: Policy
    timeout: float
    """Seconds that one call of git may take."""


@dataclass(frozen=True)
class GitPlace:
    """What a git url says: ``git+https://host/repo.git@ref#subdirectory=folder``, as pip writes it."""

    url: str
    """As git takes it."""
    ref: str | None = None
    folder: str = ""

    @classmethod
    def of(cls, url: str) -> GitPlace:
        """Also takes a plain url, which names neither ref nor folder. Raises :class:`FetchError`."""
        if not url.startswith("git+"):
            return cls(url)
        parts = urlsplit(url.removeprefix("git+"))
        options = parse_qs(parts.fragment)
        if unknown := options.keys() - {"subdirectory"}:
            raise FetchError(f"{shown(url)}: unknown option {min(unknown)}; there is subdirectory")
        path, _, ref = parts.path.partition("@")
        folder = options.get("subdirectory", [""])[0].strip("/")
        return cls(urlunsplit(parts._replace(path=path, fragment="")), unquote(ref) or None, folder)


@dataclass(frozen=True)
class Checkout:
    """A state of a repository."""

    url: str
    ref: str
    """What was asked for: a branch, a tag, or the commit's hash."""
    commit: str
    """Its full hash."""

    @property
    def label(self) -> str:
        """``<ref> <short hash>``, or the short hash alone if it was asked for by that."""
        short = self.commit[:7]
        return short if self.commit.startswith(self.ref) else f"{self.ref} {short}"


class GitDumper(BaseDumper):
    """The files of a repository at a branch, a tag or a commit; the release is ``<ref> <short hash>``.

    ``dump(source, release="v1.2")`` takes another ref than the default. The release has neither history nor ``.git``.
    """

    GIT_REPO_URL: str | None = None
    DEFAULT_BRANCH: str | None = None
    """None: the one that the server says, else ``main``, else ``master``."""
    SUBFOLDER = ""
    """Only what is below it becomes the release."""
    GIT_TIMEOUT = 3600.0
    """Seconds that one call of git may take."""
    SRC_URLS: list[str] = []
    """One git url, instead of the attributes above."""
    checkout: Checkout | None = None
    """What is dumped."""

    def create_todump_list(self, force: bool = False, release: str | None = None, **kwargs: Any) -> None:
        place = self._place()
        self.checkout = checkout = find(place.url, release or place.ref, self._patient())
        self.set_release()
        self.COMPLETE_LIST = force or self.release != self.current_release
        if self.COMPLETE_LIST:
            # the files are known only when they are here: they come as one, into the release itself
            self.to_dump = [{"remote": checkout.commit, "local": str(Path(self.new_data_folder, ".git-checkout"))}]

    def set_release(self) -> None:
        """Called once :attr:`checkout` is known."""
        self.release = self.checkout.label if self.checkout else None

    def remote_is_better(self, remotefile: str, localfile: str) -> bool:
        return self.release != self.current_release

    def describe(self, remotefile: str) -> RemoteFile | None:
        return None

    def download(self, remotefile: str, localfile: str) -> list[ReleaseFile]:
        """``remotefile`` is the commit. Raises :class:`FetchError`."""
        place, target, root = self._place(), Path(localfile), Path(self.new_data_folder)
        shutil.rmtree(target, ignore_errors=True)
        clone(place.url, remotefile, target, self.worker, self.policy, timeout=self.GIT_TIMEOUT, links=False)
        shutil.rmtree(target / ".git")
        wanted = (target / place.folder).resolve()
        if not wanted.is_relative_to(target.resolve()) or not wanted.is_dir():
            raise FetchError(f"{shown(place.url)}: there is no folder {place.folder!r} in it")
        made = []
        for name in files_in(wanted):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (wanted / name).replace(root / name)
            size, digest = (root / name).stat().st_size, sha256_of(root / name)
            made.append(ReleaseFile(url=shown(place.url), name=name, size=size, sha256=digest))
        shutil.rmtree(target)
        return made

    def _place(self) -> GitPlace:
        if len(self.SRC_URLS) > 1:
            raise DumperException(f"{type(self).__name__}: a source is one repository, not {len(self.SRC_URLS)}")
        if self.SRC_URLS:
            return GitPlace.of(self.SRC_URLS[0])
        if not self.GIT_REPO_URL:
            raise DumperException(f"{type(self).__name__} has no GIT_REPO_URL")
        return GitPlace(self.GIT_REPO_URL, self.DEFAULT_BRANCH, self.SUBFOLDER.strip("/"))

    def _patient(self) -> Patient:
        return Patient(self.worker, self.policy, self.GIT_TIMEOUT)


def find(url: str, ref: str | None = None, patient: Patient | None = None) -> Checkout:
    """What a branch, a tag or a commit is at the moment, without fetching it; None is the default branch.

    A short hash that no branch or tag points to stays as it is. Raises :class:`FetchError`.
    """
    patient = patient or Patient(current(), Policy(), 60.0)
    if ref == "HEAD":
        ref = None
    lines = _git(patient, url, "ls-remote", "--symref", "--", url).splitlines()
    rows = (line.split("\t", 1) for line in lines if not line.startswith("ref: "))
    found = {name: commit for commit, name in rows}
    if ref is None:
        ref = _default_branch(url, lines, found)
    for name in (f"refs/heads/{ref}", f"refs/tags/{ref}^{{}}", f"refs/tags/{ref}", ref):
        if name in found:
            return Checkout(url, ref, found[name])
    if not _HASH.fullmatch(ref):
        _no_such_ref(url, ref, found)
    commits = {commit for commit in found.values() if commit.startswith(ref)}
    return Checkout(url, ref, commits.pop() if len(commits) == 1 else ref)


def _default_branch(url: str, lines: list[str], found: Mapping[str, str]) -> str:
    said = [line.removeprefix("ref: refs/heads/").split("\t")[0] for line in lines if line.startswith("ref: ")]
    for branch in (*said, "main", "master"):
        if f"refs/heads/{branch}" in found:
            return branch
    raise FetchError(f"{shown(url)}: the repository has no default branch; say which branch to take")


def _no_such_ref(url: str, ref: str, found: Mapping[str, str]) -> NoReturn:
    names = sorted({name.split("/", 2)[2].removesuffix("^{}") for name in found if name.startswith("refs/")})
    near = difflib.get_close_matches(ref, names, 1)
    raise FetchError(f"{shown(url)}: no branch, tag or commit {ref!r}" + (f"; is it {near[0]!r}?" if near else ""))


def clone(
    url: str,
    ref: str | None,
    target: Path,
    worker: Worker | None = None,
    policy: Policy | None = None,
    *,
    timeout: float = 3600.0,
    links: bool = True,
) -> Checkout:
    """Make ``target`` a checkout of one commit (its ``.git`` without further history), or nothing at all.

    ``ref`` is a branch, a tag or a commit, None the default branch; ``links``: make symbolic links, not files in their
    place. ``target`` must not exist yet. Raises :class:`FetchError`.
    """
    patient = Patient(worker or current(), policy or Policy(), timeout)
    if target.exists():
        raise FetchError(f"{target} is there already")
    draft = target.with_name(f".{target.name}.part")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        checkout = _fetch(patient, find(url, ref, patient), draft, links)
        draft.rename(target)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return checkout


def _fetch(patient: Patient, checkout: Checkout, folder: Path, links: bool) -> Checkout:
    url = checkout.url

    def git(*words: str) -> str:
        return _git(patient, url, "-C", str(folder), *words).strip()

    git("init", "--quiet")
    git("config", "core.symlinks", str(links).lower())
    git("remote", "add", "origin", "--", shown(url))
    try:
        if len(checkout.commit) < 40:
            raise FetchError("a short hash has to be looked for in the history")
        git("fetch", "--progress", "--depth=1", "--no-tags", "--", url, checkout.commit)
        commit = git("rev-parse", "FETCH_HEAD^{commit}")
    except FetchError:  # also of a server that gives no commits by their hash
        git("fetch", "--progress", "--", url, "+refs/heads/*:refs/remotes/origin/*", "+refs/tags/*:refs/tags/*")
        try:
            commit = git("rev-parse", "--verify", f"{checkout.commit}^{{commit}}")
        except FetchError:
            raise FetchError(f"{shown(url)}: no branch, tag or commit {checkout.ref!r}") from None
    git("checkout", "--quiet", "--detach", commit)
    return Checkout(url, checkout.ref, commit)


# --- the program ------------------------------------------------------------------------------------------------------


def _git(patient: Patient, url: str, *words: str) -> str:
    """What git prints. Raises :class:`FetchError`."""
    return patiently(
        patient.worker,
        lambda: stoppable(patient.worker, _run(patient, url, words)),
        Patience(url, patient.policy),
    )


async def _run(patient: Patient, url: str, words: tuple[str, ...]) -> str:
    try:
        process = await asyncio.create_subprocess_exec(
            "git",
            *words,
            env=_environment(url, patient.policy),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # nothing asks for a password on our terminal, and all of it can be ended at once
        )
    except FileNotFoundError:
        raise FetchError(f"{shown(url)}: needs the program git, which is not installed") from None
    assert process.stdout and process.stderr
    try:
        async with asyncio.timeout(patient.timeout):
            output, errors = await asyncio.gather(
                process.stdout.read(), _errors(process.stderr, patient.worker.progress)
            )
            code = await process.wait()
    except TimeoutError:
        raise Retry(f"{shown(url)}: git {_verb(words)} took more than {patient.timeout:g} s") from None
    finally:
        await _end(process)
    if code:
        _explain(url, words, errors)
    return output.decode("utf-8", "replace")


async def _errors(stream: asyncio.StreamReader, progress: Callable[[float, float | None, str], None]) -> list[str]:
    """Read to the end; what tells of progress is passed on, all else is returned."""
    lines: list[str] = []
    rest = ""
    while piece := await stream.read(4096):
        *whole, rest = re.split(r"[\r\n]", rest + piece.decode("utf-8", "replace"))
        for line in whole:
            if told := _PROGRESS.match(line):
                progress(float(told[2]), float(told[3]), told[1])
            elif line.strip():
                lines.append(line.strip())
    return [*lines, rest.strip()] if rest.strip() else lines


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with suppress(ProcessLookupError):
            if hasattr(os, "killpg"):
                os.killpg(process.pid, signal.SIGKILL)  # git has helpers that it does not end itself
            else:
                process.kill()
        await process.wait()


def _explain(url: str, words: tuple[str, ...], errors: list[str]) -> NoReturn:
    said = [line.partition(": ")[2] for line in errors if line.startswith(("fatal: ", "error: ", "ERROR: "))]
    message = f"{shown(url)}: git {_verb(words)}: {'; '.join(said or errors[-1:]) or 'failed'}".replace(url, shown(url))
    raise Retry(message) if any(_PASSING.search(line) for line in errors) else FetchError(message)


def _verb(words: tuple[str, ...]) -> str:
    return words[2] if words[0] == "-C" else words[0]


def _environment(url: str, policy: Policy) -> dict[str, str]:
    """Ours, without what would make git wait for an answer or work in another repository."""
    environment = {name: value for name, value in os.environ.items() if name not in _OF_ANOTHER}
    environment |= {"GIT_TERMINAL_PROMPT": "0", "GCM_INTERACTIVE": "never", "LC_ALL": "C"}
    number = int(environment.get("GIT_CONFIG_COUNT") or 0)
    for name, value in _settings(url, policy).items():
        environment |= {f"GIT_CONFIG_KEY_{number}": name, f"GIT_CONFIG_VALUE_{number}": value}
        number += 1
    return environment | {"GIT_CONFIG_COUNT": str(number)}


def _settings(url: str, policy: Policy) -> dict[str, str]:
    """Not on the command line: others could read the login there."""
    settings = {"http.lowSpeedLimit": "1", "http.lowSpeedTime": str(max(1, round(policy.timeout)))}
    parts = urlsplit(url)
    if parts.scheme in ("http", "https") and parts.hostname:
        try:
            header = authorization(policy.logins, parts.scheme, parts.hostname)
        except CredentialError as error:
            raise FetchError(f"{shown(url)}: {error}") from None
        if header:
            settings[f"http.{parts.scheme}://{parts.netloc}/.extraHeader"] = f"Authorization: {header}"
    return settings
