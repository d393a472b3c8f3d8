"""A server for all workers of a pytest session: started by the first that asks, ended after the last.

Who stops it: every worker holds a shared lock on ``<name>.users`` for its life; a supervisor process waits for the
exclusive one. It gets it when the last worker is gone, however that happened (``kill -9`` included), and then ends the
server and removes its files. Should the supervisor itself be killed, the server ends too: each of them sees to that.
"""

from __future__ import annotations

import fcntl
import importlib
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from tests.services import ServiceMissingError
from tests.services.fetch import locked

SERVERS = {"mongod": "tests.services.mongod:Mongod", "elasticsearch": "tests.services.elasticsearch:SearchServer"}


class Server(Protocol):
    """Made with an empty folder for its files."""

    url: str

    def start(self) -> None:
        """Return when it answers at ``url``. Raises ServiceMissingError."""

    def stop(self) -> None:
        """End it, soon."""


@contextmanager
def shared(root: Path, name: str) -> Iterator[str]:
    """The url of the session's server, the same for every process that names the same ``root``."""
    with (root / f"{name}.users").open("a") as users:
        fcntl.flock(users, fcntl.LOCK_SH)
        with locked(root / f"{name}.lock"):
            url_file = root / f"{name}.url"
            if not url_file.exists():
                _start_supervisor(root, name)
        yield url_file.read_text(encoding="utf-8")


def _start_supervisor(root: Path, name: str) -> None:
    checkout = Path(__file__).resolve().parents[2]
    child = subprocess.Popen(
        [sys.executable, "-m", "tests.services.session", name, str(root)],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL, cwd=checkout, start_new_session=True,
    )  # fmt: skip
    assert child.stdout is not None
    with child.stdout:
        answer = json.loads(child.stdout.readline() or f'{{"error": "the supervisor of {name} died"}}')
    child.returncode = 0  # it outlives this process on purpose: not ours to wait for
    if "error" in answer:
        raise ServiceMissingError(answer["error"])


def supervise(name: str, root: Path) -> None:
    """Run the server until the last user is gone; answers on stdout once, with the url or an error."""
    module, _, kind = SERVERS[name].partition(":")
    with tempfile.TemporaryDirectory(prefix=f"{name}-", dir=root) as folder:
        server: Server = getattr(importlib.import_module(module), kind)(Path(folder))
        try:
            server.start()
        except ServiceMissingError as error:
            print(json.dumps({"error": str(error)}), flush=True)
            server.stop()
            return
        (root / f"{name}.url").write_text(server.url, encoding="utf-8")
        print(json.dumps({"url": server.url}), flush=True)
        with (root / f"{name}.users").open("a") as users:
            fcntl.flock(users, fcntl.LOCK_EX)
            (root / f"{name}.url").unlink()
            server.stop()


if __name__ == "__main__":
    supervise(sys.argv[1], Path(sys.argv[2]))
