"""Clients of a hub for ``benchmarks.doors``, in processes of their own.

``watch URL TOKEN N``: N websockets; connect, say ``ready``, read until a line comes in. Prints what they heard.
``ask URL TOKEN N SECONDS``: N clients that ask for the status about once a second, each on its own connection.
``type PORT FOLDER N``: N terminals over ssh for each file ``<user>`` in FOLDER that has a key; ``status`` now and then.
``attach``: what a kernel does at its first use, in a process that has loaded what a kernel has loaded.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import orjson

PROMPTS = re.compile(r"hub>|hub \[")
ANSWERED = re.compile(r"'restart': \[\]")
"""The end of what ``status`` shows."""
STATUS = ("GET", "status"), ("POST", "call/status")
"""The classic path, and the one that every command has."""


class Watcher(asyncio.Protocol):
    """A websocket that takes frames apart and no more: it stands for one elsewhere, whose work is not the hub's."""

    def __init__(self, host: str, path: str, token: str) -> None:
        lines = [
            f"GET {path} HTTP/1.1",
            f"Host: {host}",
            "Upgrade: websocket",
            "Connection: Upgrade",
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version: 13",
            f"Authorization: token {token}",
        ]
        self._request = "\r\n".join([*lines, "", ""])
        self._data = b""
        self._open = False
        self.heard: list[int] = []
        self.gaps = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.write(self._request.encode())

    def data_received(self, data: bytes) -> None:
        self._data += data
        if not self._open:
            head, found, self._data = self._data.partition(b"\r\n\r\n")
            assert head.startswith(b"HTTP/1.1 101"), head
            self._open = bool(found)
        while (frame := self._next()) is not None:
            event = orjson.loads(frame)
            self.gaps += event["op"] == "gap"
            self.heard.append(event["seq"])

    def _next(self) -> bytes | None:
        data = self._data
        if len(data) < 2:
            return None
        size, begin = data[1], 2
        if size > 125:
            begin = 4 if size == 126 else 10
            size = int.from_bytes(data[2:begin], "big")
        if len(data) < begin + size:
            return None
        self._data = data[begin + size :]
        return data[begin : begin + size] if data[0] & 0x0F in (1, 2) else self._next()


async def watch(url: str, token: str, count: int) -> dict[str, Any]:
    address, loop = urlsplit(url), asyncio.get_running_loop()
    path = f"{address.path}hubkernel/api/events"
    watchers = []
    for _ in range(count):
        _, watcher = await loop.create_connection(
            lambda: Watcher(address.netloc, path, token), address.hostname, address.port
        )
        watchers.append(watcher)
    while not all(watcher.heard for watcher in watchers):
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.sleep(1)
    heard, gaps = [watcher.heard for watcher in watchers], sum(watcher.gaps for watcher in watchers)
    last = max(seqs[-1] for seqs in heard)
    # The first frame of each is the number of the newest event before it.
    whole = sum(seqs == list(range(seqs[0], last + 1)) for seqs in heard)
    return {"clients": count, "complete": whole, "gaps": gaps, "events": sum(len(seqs) - 1 for seqs in heard)}


async def ask(url: str, token: str, count: int, seconds: float) -> dict[str, Any]:
    import httpx

    headers = {"Authorization": f"token {token}"}
    clients = [
        httpx.AsyncClient(base_url=f"{url}hubkernel/api/", headers=headers, trust_env=False, timeout=60)
        for _ in range(count)
    ]
    method, path = STATUS[0] if (await clients[0].get("status")).status_code == 200 else STATUS[1]
    for client in clients:
        (await client.request(method, path)).raise_for_status()
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    times: list[float] = []
    until = time.perf_counter() + seconds

    async def poll(client: httpx.AsyncClient) -> None:
        await asyncio.sleep(random.random())
        while time.perf_counter() < until:
            started = time.perf_counter()
            (await client.request(method, path)).raise_for_status()
            times.append(time.perf_counter() - started)
            await asyncio.sleep(random.uniform(0.5, 1.5))

    await asyncio.gather(*(poll(client) for client in clients))
    return {"path": f"{method} {path}", "times": times}


async def terminals(port: int, folder: Path, count: int) -> dict[str, Any]:
    import asyncssh

    async def opened(key: Path) -> Any:
        connection = await asyncssh.connect(
            "127.0.0.1", port, username=key.name, client_keys=[str(key)], known_hosts=None, config=None
        )
        process = await connection.create_process(term_type="xterm", term_size=(80, 24))
        await asyncio.wait_for(process.stdout.readuntil(PROMPTS), 120)
        return key.name, connection, process

    sessions = [await opened(key) for key in sorted(folder.iterdir()) for _ in range(count)]
    print("ready", flush=True)
    ending = asyncio.create_task(asyncio.to_thread(sys.stdin.readline))
    answers = 0

    async def use(name: str, process: Any) -> None:
        nonlocal answers
        while not ending.done():
            process.stdin.write("%hub status\r" if name == "developer" else "status\r")
            await asyncio.wait_for(process.stdout.readuntil(ANSWERED), 60)
            answers += 1
            await asyncio.wait({ending}, timeout=random.uniform(1, 3))

    await asyncio.gather(*(use(name, process) for name, _, process in sessions))
    for _, connection, _ in sessions:
        connection.abort()
    return {"terminals": len(sessions), "answers": answers}


def attach() -> dict[str, Any]:
    import ipykernel.ipkernel  # noqa: F401 - a kernel has it loaded

    from hubkernel import client, magics

    assert magics
    started, spent = time.perf_counter(), time.process_time()
    hub = client.connect(door="notebook")
    hub.commands()
    return {"seconds": time.perf_counter() - started, "cpu": time.process_time() - spent}


def main() -> None:
    kind, *given = sys.argv[1:]
    if kind == "attach":
        found = attach()
    elif kind == "type":
        found = asyncio.run(terminals(int(given[0]), Path(given[1]), int(given[2])))
    elif kind == "watch":
        found = asyncio.run(watch(given[0], given[1], int(given[2])))
    else:
        found = asyncio.run(ask(given[0], given[1], int(given[2]), float(given[3])))
    with suppress(BrokenPipeError):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
