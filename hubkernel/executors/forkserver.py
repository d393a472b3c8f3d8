"""A small process without threads that imports once and forks the workers of one hub.

The hub itself is never forked: it has threads. ``multiprocessing`` has a fork server too, but its children import the
hub's ``__main__`` again, which fails or repeats a script's work when the hub runs from stdin or a plain script.

Each request is one byte with two descriptors: the worker's end of its pipe, and a pipe for its fate, on which the
server writes the pid at once and, after the end, the exit status. When the hub goes away, all workers are killed.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import os
import selectors
import signal
import socket
import struct
import sys
import traceback
from multiprocessing.connection import Connection

from hubkernel.executors import worker

FATE = struct.Struct("!q")
FORK = b"f"


def main(descriptor: int, hub: int, preload: tuple[str, ...]) -> None:
    """Serve on the socket ``descriptor`` until it ends or the process ``hub`` does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    for name in preload:
        with contextlib.suppress(ImportError):  # the work that needs it will say so
            importlib.import_module(name)
    gc.collect()
    gc.freeze()
    with socket.socket(fileno=descriptor) as control:
        ForkServer(control, hub).run()


class ForkServer:
    """Forks on request, and tells each worker's fate."""

    def __init__(self, control: socket.socket, hub: int) -> None:
        self._control = control
        self._fates: dict[int, int] = {}
        self._selector = selectors.DefaultSelector()
        self._selector.register(control, selectors.EVENT_READ, self._fork)
        self._signals, self._wakeup = os.pipe()
        for end in (self._signals, self._wakeup):
            os.set_blocking(end, False)
        signal.set_wakeup_fd(self._wakeup, warn_on_full_buffer=False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        self._selector.register(self._signals, selectors.EVENT_READ, self._reap)
        self._watch(hub)
        self._open = True

    def _watch(self, hub: int) -> None:
        """Notice the hub's death even if a process that it forked keeps its end of the socket."""
        if not hasattr(os, "pidfd_open"):
            return
        with contextlib.suppress(OSError):
            self._selector.register(os.pidfd_open(hub), selectors.EVENT_READ, self._close)
        if os.getppid() != hub:
            raise SystemExit(0)

    def run(self) -> None:
        while self._open:
            for key, _ in self._selector.select():
                key.data()
        for pid in self._fates:
            _kill_group(pid)

    def _close(self) -> None:
        self._open = False

    def _fork(self) -> None:
        message, descriptors, _, _ = socket.recv_fds(self._control, 1, 2)
        if message != FORK:
            self._close()
            return
        pipe, fate = descriptors
        pid = os.fork()
        if pid == 0:
            self._become_worker(pipe, fate)
        os.close(pipe)
        self._fates[pid] = fate
        _tell(fate, pid)

    def _become_worker(self, pipe: int, fate: int) -> None:
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            self._selector.close()
            self._control.close()
            for descriptor in (self._signals, self._wakeup, fate, *self._fates.values()):
                os.close(descriptor)
            worker.serve(Connection(pipe))
        except BaseException:
            traceback.print_exc()
        finally:
            os._exit(1)

    def _reap(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(self._signals, 4096)
        for pid in list(self._fates):
            # Not reaped yet, the pid cannot belong to anyone else: now end what the worker left behind.
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
                continue
            _kill_group(pid)
            _, status = os.waitpid(pid, 0)
            fate = self._fates.pop(pid)
            _tell(fate, os.waitstatus_to_exitcode(status))
            os.close(fate)


def _tell(fate: int, value: int) -> None:
    with contextlib.suppress(OSError):  # the hub no longer listens for this one
        os.write(fate, FATE.pack(value))


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), tuple(sys.argv[3:]))
