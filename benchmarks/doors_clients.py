"""Clients of a hub for ``benchmarks.doors``, in processes of their own.

``watch URL TOKEN N``: N websockets; connect, say ``ready``, read until a line comes in. Prints what they heard.
``ask URL TOKEN N SECONDS``: N clients that ask for the status about once a second, each on its own connection.
``attach``: what a kernel does at its first use, in a process that has loaded what a kernel has loaded.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
import time
from contextlib import suppress
from typing import Any

STATUS = ("GET", "status"), ("POST", "call/status")
"""The classic path, and the one that every command has."""


async def watch(url: str, token: str, count: int) -> dict[str, Any]:
    from tornado.httpclient import HTTPRequest
    from tornado.websocket import websocket_connect

    def request() -> HTTPRequest:
        address = f"{url.replace('http', 'ws', 1)}hubkernel/api/events"
        return HTTPRequest(address, headers={"Authorization": f"token {token}"})

    sockets = [await websocket_connect(request()) for _ in range(count)]
    heard: list[list[int]] = [[] for _ in sockets]
    gaps = [0]

    async def read(number: int) -> None:
        while (frame := await sockets[number].read_message()) is not None:
            event = json.loads(frame)
            if event["op"] == "gap":
                gaps[0] += 1
            heard[number].append(event["seq"])

    readers = [asyncio.create_task(read(number)) for number in range(count)]
    while not all(heard):
        await asyncio.sleep(0.01)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await asyncio.sleep(1)
    for reader in readers:
        reader.cancel()
    last = max(seqs[-1] for seqs in heard)
    # The first frame of each is the number of the newest event before it.
    whole = sum(seqs == list(range(seqs[0], last + 1)) for seqs in heard)
    return {"clients": count, "complete": whole, "gaps": gaps[0], "events": sum(len(seqs) - 1 for seqs in heard)}


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
    elif kind == "watch":
        found = asyncio.run(watch(given[0], given[1], int(given[2])))
    else:
        found = asyncio.run(ask(given[0], given[1], int(given[2]), float(given[3])))
    with suppress(BrokenPipeError):
        print(json.dumps(found), flush=True)


if __name__ == "__main__":
    main()
