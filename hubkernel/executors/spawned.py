"""What a worker process does that was started afresh: call the hub back, then serve."""

from __future__ import annotations

import contextlib
import importlib
import socket
import sys
from multiprocessing.connection import Connection

from hubkernel.executors import worker


def main(port: int, preload: tuple[str, ...]) -> None:
    """Connect to the hub on loopback ``port`` with the secret from standard input, and serve."""
    token = sys.stdin.buffer.read()
    for name in preload:
        with contextlib.suppress(ImportError):  # the work that needs it will say so
            importlib.import_module(name)
    link = socket.create_connection(("127.0.0.1", port))
    link.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    link.sendall(token)
    worker.serve(Connection(link.detach()))
