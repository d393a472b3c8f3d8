"""How worker processes come to life: forked by a fork server (Linux), or started afresh (elsewhere)."""

from __future__ import annotations

import contextlib
import hmac
import os
import secrets
import signal
import socket
import subprocess
import sys
import threading
from abc import ABC, abstractmethod
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any

from hubkernel.executors.base import WorkerDied
from hubkernel.executors.forkserver import FATE, FORK

START_TIMEOUT = 60.0
_BOOT = "import sys; sys.path[:] = {path!r}; from {module} import main; main({arguments})"


def _command(module: str, arguments: str) -> list[str]:
    """An interpreter with this one's import path that calls ``module.main(arguments)`` and nothing of ``__main__``."""
    flags = ["-X", "utf8"] if sys.flags.utf8_mode else []
    boot = _BOOT.format(path=import_path(), module=module, arguments=arguments)
    return [sys.executable, *flags, "-c", boot]


def import_path() -> list[str]:
    """The import path of this process as another process can use it."""
    return [str(entry or Path.cwd()) for entry in sys.path]


def _output() -> int:
    """Where a worker's raw output goes: the hub's standard error, if it has one."""
    try:
        os.fstat(2)
    except OSError:
        return subprocess.DEVNULL
    return 2


class WorkerProcess(ABC):
    """One worker process, seen from the hub."""

    pid: int
    connection: Connection

    def sentinels(self) -> list[Any]:
        """What becomes readable when the process ends, besides :attr:`connection`."""
        return []

    @abstractmethod
    def wait(self, timeout: float) -> int | None:
        """Exit status (negative: the signal that killed it); None if it is not known after ``timeout`` seconds."""

    @abstractmethod
    def kill(self) -> None:
        """End it and what it started. Any thread, any time."""

    def close(self) -> None:
        """End it and forget it."""
        self.kill()
        self.connection.close()
        self.wait(START_TIMEOUT)


class Launcher(ABC):
    """Starts worker processes. Used by one thread at a time."""

    @abstractmethod
    def start(self) -> WorkerProcess:
        """Raises :class:`WorkerDied` if no process can be started."""

    def close(self) -> None:  # noqa: B027 - most hold nothing
        """Free what the launcher holds; its workers are closed already."""


class ForkLauncher(Launcher):
    """Asks a fork server, which it starts with the first worker and again if it should die."""

    def __init__(self, preload: tuple[str, ...]) -> None:
        self._preload = preload
        self._lock = threading.Lock()
        self._server: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None

    def start(self) -> WorkerProcess:
        with self._lock:
            for _ in range(2):
                with contextlib.suppress(OSError, EOFError):
                    return self._fork()
                self._stop()
        raise WorkerDied("no worker process can be started: the fork server ends as soon as it starts")

    def _fork(self) -> WorkerProcess:
        control = self._control or self._boot()
        ours, theirs = socket.socketpair()
        fate, tell = os.pipe()
        try:
            socket.send_fds(control, [FORK], [theirs.fileno(), tell])
        except OSError:
            os.close(fate)
            ours.close()
            raise
        finally:
            theirs.close()
            os.close(tell)
        return _Forked(Connection(ours.detach()), Connection(fate, writable=False))

    def _boot(self) -> socket.socket:
        ours, theirs = socket.socketpair()
        with theirs:
            arguments = f"{theirs.fileno()}, {os.getpid()}, {self._preload!r}"
            self._server = subprocess.Popen(
                _command("hubkernel.executors.forkserver", arguments),
                stdin=subprocess.DEVNULL,
                stdout=_output(),
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._control = ours
        return ours

    def _stop(self) -> None:
        control, self._control = self._control, None
        server, self._server = self._server, None
        if control is not None:
            control.close()
        if server is not None:
            server.wait()

    def close(self) -> None:
        with self._lock:
            self._stop()


class _Forked(WorkerProcess):
    def __init__(self, connection: Connection, fate: Connection) -> None:
        self.connection = connection
        self._fate = fate
        self._status: int | None = None
        self._lock = threading.Lock()
        self._told = False
        try:
            self.pid = self._read()
        except BaseException:
            connection.close()
            fate.close()
            raise

    def _read(self) -> int:
        """One number from the fork server. Raises ``EOFError`` if it is gone."""
        data = os.read(self._fate.fileno(), FATE.size)
        if len(data) < FATE.size:
            raise EOFError("the fork server is gone")
        return int(FATE.unpack(data)[0])

    def sentinels(self) -> list[Any]:
        return [self._fate]

    def wait(self, timeout: float) -> int | None:
        with self._lock:
            if not self._told and wait([self._fate], timeout):
                self._told = True  # or never will be, if the fork server is gone
                with contextlib.suppress(EOFError):
                    self._status = self._read()
            return self._status

    def kill(self) -> None:
        if self.wait(0) is None:  # once its fate is told, the pid may be another's
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)

    def close(self) -> None:
        super().close()
        self._fate.close()


class SpawnLauncher(Launcher):
    """Starts a fresh interpreter for each worker, which calls back on a loopback socket with a secret."""

    def __init__(self, preload: tuple[str, ...]) -> None:
        self._preload = preload

    def start(self) -> WorkerProcess:
        token = secrets.token_hex(16)
        with socket.create_server(("127.0.0.1", 0)) as server:
            server.settimeout(0.2)
            port = server.getsockname()[1]
            process = subprocess.Popen(
                _command("hubkernel.executors.spawned", f"{port}, {self._preload!r}"),
                stdin=subprocess.PIPE,
                stdout=_output(),
                start_new_session=True,
            )
            assert process.stdin is not None
            with contextlib.suppress(OSError), process.stdin:
                process.stdin.write(token.encode())
            return _Spawned(process, self._accept(server, token, process))

    def _accept(self, server: socket.socket, token: str, process: subprocess.Popen[bytes]) -> Connection:
        for _ in range(int(START_TIMEOUT / 0.2)):
            if process.poll() is not None:
                break
            with contextlib.suppress(TimeoutError):
                peer, _ = server.accept()
                peer.settimeout(START_TIMEOUT)
                if hmac.compare_digest(peer.recv(len(token)), token.encode()):
                    peer.settimeout(None)
                    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    return Connection(peer.detach())
                peer.close()
        process.kill()
        raise WorkerDied(f"no worker process can be started: it ended with status {process.wait()}")


class _Spawned(WorkerProcess):
    def __init__(self, process: subprocess.Popen[bytes], connection: Connection) -> None:
        self._process = process
        self.pid, self.connection = process.pid, connection

    def wait(self, timeout: float) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._process.wait(timeout)
        return None

    def kill(self) -> None:
        if self._process.poll() is not None:
            return
        if hasattr(os, "killpg"):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
        else:
            self._process.kill()


def launcher(start: str, preload: tuple[str, ...]) -> Launcher:
    """By the name of a start method: ``forkserver``, ``spawn``, or ``auto`` for this platform's."""
    if start == "auto":
        start = "forkserver" if sys.platform == "linux" else "spawn"
    if start == "forkserver" and hasattr(os, "fork") and hasattr(socket, "send_fds"):
        return ForkLauncher(preload)
    if start == "spawn":
        return SpawnLauncher(preload)
    raise ValueError(f"start={start!r} is not available here: use auto, spawn or (not on Windows) forkserver")
