"""Which dumper and uploader classes plugins have, found out without running any of their code in the hub.

A child process imports the code and answers with plain data; the answers are kept in a file for as long as nothing that
was imported has changed, so that a hub starts fast. Code that hangs or crashes costs only itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

from hubkernel import __version__
from hubkernel.pipeline.plugins.specs import DumperSpec, UploaderSpec
from hubkernel.pipeline.surroundings import Surroundings
from hubkernel.store import Duplicate

TIMEOUT = 60.0
"""Seconds that the code of one plugin may take to be imported."""
FORMAT = 1
"""Of the kept answers."""
_BOOT = "import sys; sys.path[:] = {path!r}; from hubkernel.pipeline.plugins.classes import main; main()"


@dataclass(frozen=True, slots=True)
class Request:
    """What is to be imported: the package ``module``; without it, the classes ``targets`` of the plugin in ``folder``;
    without them, that folder as a package of its own.
    """

    folder: str
    module: str | None = None
    targets: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        return json.dumps([self.folder, self.module, self.targets])


@dataclass(slots=True)
class Classes:
    """The answer. ``source`` of a spec is empty where the code does not say it."""

    dumpers: list[DumperSpec] = field(default_factory=list)
    uploaders: list[UploaderSpec] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    """Why the code cannot be used, each with file and line."""

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> Classes:
        dumpers = [_dumper(found) for found in answer["dumpers"]]
        return cls(dumpers, [_uploader(found) for found in answer["uploaders"]], list(answer["problems"]))


def _dumper(found: Mapping[str, Any]) -> DumperSpec:
    source = found["source"] or ""
    values = {**found, "urls": tuple(found["urls"]), "bases": tuple(found["bases"])}
    return DumperSpec(**{**values, "source": source, "folder": found["folder"] or source})


def _uploader(found: Mapping[str, Any]) -> UploaderSpec:
    duplicates, bases = Duplicate(found["duplicates"]), tuple(found["bases"])
    return UploaderSpec(**{**found, "source": found["source"] or "", "duplicates": duplicates, "bases": bases})


class Discovery:
    """Answers requests; ``kept`` is the file for the answers, None to keep none. One thread at a time.

    ``surroundings`` tells for which hub the code runs, when it is asked for.
    """

    def __init__(
        self,
        kept: Path | None = None,
        timeout: float = TIMEOUT,
        surroundings: Callable[[], Surroundings | None] = lambda: None,
    ) -> None:
        self.kept = kept
        self.timeout = timeout
        self.surroundings = surroundings

    def look(self, requests: Iterable[Request]) -> dict[Request, Classes]:
        """An answer for each request. Never raises for what is wrong with a plugin's code."""
        wanted = list(dict.fromkeys(requests))
        if not wanted:
            return {}
        kept = self._read()
        answers = {request: kept[request.key] for request in wanted if _still_true(request, kept.get(request.key))}
        missing = [request for request in wanted if request not in answers]
        for request, answer in zip(missing, self._ask(missing), strict=True):
            answers[request] = answer
            kept[request.key] = {**answer, "sources": _sources(request)}
        if missing:
            self._write({key: answer for key, answer in kept.items() if not answer["problems"]})
        return {request: Classes.of(answers[request]) for request in wanted}

    def _ask(self, requests: list[Request]) -> Iterable[dict[str, Any]]:
        answers: list[dict[str, Any]] = []
        surroundings = self.surroundings() if requests else None
        while len(answers) < len(requests):
            waiting = requests[len(answers) :]
            with _Child(waiting, surroundings) as child:
                for request in waiting:
                    answer = child.answer(self.timeout)
                    answers.append(answer or _failed(request, child.reason(self.timeout)))
                    if answer is None:
                        break  # the child is at its end; the rest goes to another one
        return answers

    def _maker(self) -> list[Any]:
        """Answers of another one do not count: class bodies may read the hub's folders and settings."""
        here = self.surroundings()
        digest = hashlib.sha256(json.dumps(asdict(here) if here else None, default=str, sort_keys=True).encode())
        return [FORMAT, __version__, sys.version, digest.hexdigest()]

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.kept.read_bytes()) if self.kept else {}
            return dict(kept["answers"]) if kept.get("of") == self._maker() else {}
        except (OSError, ValueError, KeyError, AttributeError):
            return {}

    def _write(self, answers: Mapping[str, Any]) -> None:
        if self.kept is None:
            return
        self.kept.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=self.kept.parent, encoding="utf-8", delete=False) as file:
            json.dump({"of": self._maker(), "answers": answers}, file)
        Path(file.name).replace(self.kept)


def _failed(request: Request, reason: str) -> dict[str, Any]:
    what = request.module or request.folder
    return {"dumpers": [], "uploaders": [], "files": {}, "problems": [f"{what}: {reason}"]}


def _sources(request: Request) -> dict[str, list[int]]:
    files: dict[str, list[int]] = {}
    for file in sorted(Path(request.folder).rglob("*.py")):
        with contextlib.suppress(OSError):
            stat = file.stat()
            files[str(file)] = [stat.st_mtime_ns, stat.st_size]
    return files


def _still_true(request: Request, answer: Mapping[str, Any] | None) -> bool:
    if answer is None or answer["sources"] != _sources(request):
        return False
    return all(_stat(file) == seen for file, seen in answer["files"].items())


def _stat(file: str) -> list[int] | None:
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    return [stat.st_mtime_ns, stat.st_size]


class _Child:
    """The process that imports. Ended, with all that the code started, when the ``with`` block is left."""

    def __init__(self, requests: list[Request], surroundings: Surroundings | None) -> None:
        around = asdict(surroundings) if surroundings else None
        self._task = {"requests": [asdict(request) for request in requests], "surroundings": around}
        self._answers: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._said: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115 - closed by __exit__
        self._late = False

    def __enter__(self) -> _Child:
        path = [str(entry or Path.cwd()) for entry in sys.path]
        self._process = subprocess.Popen(
            [sys.executable, "-X", "utf8", "-c", _BOOT.format(path=path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            start_new_session=True,
        )
        threading.Thread(target=self._read, name="hubkernel-discovery", daemon=True).start()
        with contextlib.suppress(OSError):
            assert self._process.stdin is not None
            self._process.stdin.write(json.dumps(self._task, default=str).encode() + b"\n")
            self._process.stdin.close()
        return self

    def _read(self) -> None:
        assert self._process.stdout is not None
        with contextlib.suppress(OSError, ValueError):
            for line in self._process.stdout:
                self._answers.put(line.decode())
        self._answers.put(None)

    def answer(self, timeout: float) -> dict[str, Any] | None:
        """The next answer; None if there is none in time, or never."""
        try:
            line = self._answers.get(timeout=timeout)
        except queue.Empty:
            self._late = True
            return None
        answer: dict[str, Any] | None = json.loads(line) if line else None
        return answer

    def reason(self, timeout: float) -> str:
        """Why there was no answer."""
        if self._late:
            return f"its code was not imported within {timeout:g} seconds: what takes long belongs into functions"
        self._process.wait()
        self._said.seek(0)
        said = self._said.read().decode("utf-8", "replace").strip().splitlines()
        told = f"; it said: {said[-1]}" if said else ""
        return f"the process that imported its code ended (status {self._process.returncode}){told}"

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()
        self._said.close()
