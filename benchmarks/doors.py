"""What a door costs, and the hub under load: ``python -m benchmarks.doors [--runs 5] [--seconds 30] [--no-load]``.

Costs, against an owner in its own process: attaching from a kernel (target 100 ms), the round trip of a command that is
not tracked (5 ms), a tracked one that does nothing against the disk syncs that it needs, ``hubkernel status`` (0.4 s).

Load: 200 websockets, 50 REST clients, 10 Python shells and 10 prompts over ssh, all connected before timing, while the
owner merges with one worker and runs small jobs. Targets: p95 of the status 50 ms, no event lost, 400 MB for the owner.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

from benchmarks.harness import ROOT, scratch, workload
from benchmarks.ours import Home
from hubkernel import client, discovery
from hubkernel.api import HubAPI
from hubkernel.hub.home import HubHome
from hubkernel.owner import Owner, read_owner

SOURCES = ("src_a", "src_b")
SCRIPT = """
from hubkernel.hub import HubServer
from hubkernel.hub.commands import CommandDefinition, Role

class BenchHub(HubServer):
    def configure_commands(self):
        super().configure_commands()
        async def noop():
            "A job that does nothing."
        self.commands["noop"] = noop
        self.commands["nothing"] = CommandDefinition(lambda: None, tracked=False, role=Role.viewer)

BenchHub([], managers_custom_args={"upload": {"poll_schedule": None}}).start()
"""


def timed(function: Callable[[], object], times: int) -> list[float]:
    found = []
    for _ in range(times):
        started = time.perf_counter()
        function()
        found.append(time.perf_counter() - started)
    return found


def row(what: str, seconds: Sequence[float], target: float | None = None) -> None:
    p95 = sorted(seconds)[int(0.95 * len(seconds))] if len(seconds) > 19 else max(seconds)
    wanted = f"   target {target * 1e3:.0f} ms" if target else ""
    print(f"{what:<52}{statistics.median(seconds) * 1e3:>9.2f}{p95 * 1e3:>9.2f}{len(seconds):>7}{wanted}")


def fsync_seconds(folder: Path) -> list[float]:
    """One page, appended and synced, as a commit does it."""
    with (folder / "synced").open("wb", buffering=0) as file:
        return timed(lambda: (file.write(b"\0" * 4096), os.fsync(file.fileno())), 100)


@contextmanager
def owner(home: HubHome, script: Path) -> Iterator[Owner]:
    os.environ["HUBKERNEL_HOME"] = str(home.root)
    discovery.Finder(home).ensure_new(str(script))
    found = read_owner(home.run)
    assert found is not None
    try:
        yield found
    finally:
        client.disconnect(home)
        discovery.stop(home)


def process(*arguments: object) -> subprocess.Popen[str]:
    line = [sys.executable, "-m", *map(str, arguments)]
    return subprocess.Popen(line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def answer(child: subprocess.Popen[str], say: str = "") -> Any:
    out, _ = child.communicate(say)
    if child.returncode:
        sys.exit(f"{child.args} failed")
    return json.loads(out.splitlines()[-1])


def costs(hub: HubAPI, home: HubHome, runs: int) -> None:
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores")
    print(f"{'':<52}{'median ms':>9}{'p95 ms':>9}{'runs':>7}")
    attach = [answer(process("benchmarks.doors_clients", "attach")) for _ in range(runs)]
    row("attach from a kernel, with the registry", [found["seconds"] for found in attach], 0.1)
    row("  CPU time of it", [found["cpu"] for found in attach])
    hub.call("nothing")
    row("round trip of an untracked command", timed(lambda: hub.call("nothing"), 500), 0.005)
    row("round trip of status()", timed(lambda: hub.call("status"), 200), 0.005)
    jobs = timed(lambda: hub.call("noop").result(60), 100)
    syncs = fsync_seconds(home.root)
    row("tracked no-op, until its result is here", jobs)
    row("one write and fsync on this disk", syncs)
    transitions = len(hub.jobs(limit=1)[0].record.story)
    least = transitions * statistics.median(syncs)
    print(f"  {transitions} transitions are journaled before anyone is told: {least * 1e3:.2f} ms of syncs at least")
    line = [sys.executable, "-m", "hubkernel.cli", "status"]
    status = timed(lambda: subprocess.run(line, capture_output=True, check=True), runs)
    row("a bare interpreter", timed(lambda: subprocess.run([sys.executable, "-c", "pass"], check=True), runs))
    row("hubkernel status, the whole command", status, 0.4)


class Work:
    """What the owner does meanwhile: one merge after the other, and two small jobs a second."""

    def __init__(self, hub: HubAPI, pid: int) -> None:
        self._hub, self._process = hub, psutil.Process(pid)
        self._stop = threading.Event()
        self.merges, self.jobs, self.memory = 0, 0, 0
        self._threads = [threading.Thread(target=target) for target in (self._merge, self._small, self._measure)]

    def _merge(self) -> None:
        while not self._stop.is_set():
            job = self._hub.call("merge", "all", target_name=f"all_{self.merges}", force=True)
            while not self._stop.wait(0.05) and not job.finished:
                pass
            if not job.finished:
                job.cancel()
            job.wait(60)
            self.merges += job.state == "done"

    def _small(self) -> None:
        while not self._stop.wait(0.5):
            self._hub.call("noop").result(60)
            self.jobs += 1

    def _measure(self) -> None:
        while not self._stop.wait(0.2):
            self.memory = max(self.memory, self._process.memory_info().rss)

    def __enter__(self) -> Work:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def prepare(hub: HubAPI, home: HubHome, sources: Sequence[str]) -> None:
    data = workload(*(f"{name}.jsonl" for name in sources))
    plugins = Home(home.root)
    for name in sources:
        plugins.add(name, data / f"{name}.jsonl")
    hub.call("reload")
    for name in sources:
        hub.call("dump", name).result()
        hub.call("upload", name).result()
    hub.call("create_build_conf", "all", "gene", list(sources))


def keys(home: HubHome) -> Path:
    """A key for a developer, who gets Python, and one for an operator, who gets the command prompt."""
    import asyncssh

    private = home.root / "client_keys"
    private.mkdir()
    public = home.ssh / "authorized_keys"
    public.mkdir(parents=True)
    for role in ("developer", "operator"):
        key = asyncssh.generate_private_key("ssh-ed25519")
        key.write_private_key(private / role)
        line = f'environment="HUB_ROLE={role}" {key.export_public_key().decode()}'
        (public / f"{role}.pub").write_text(line)
    return private


def load(hub: HubAPI, found: Owner, arguments: argparse.Namespace) -> None:
    typing = process(
        "benchmarks.doors_clients", "type", found.ssh_port, keys(HubHome(Path(hub.home))), arguments.terminals
    )
    watchers = process("benchmarks.doors_clients", "watch", found.url, found.token, arguments.sockets)
    askers = process("benchmarks.doors_clients", "ask", found.url, found.token, arguments.rest, arguments.seconds)
    for child in (typing, watchers, askers):
        assert child.stdout is not None
        if child.stdout.readline().strip() != "ready":
            sys.exit("the clients cannot connect")
    idle = psutil.Process(found.pid).memory_info().rss
    with Work(hub, found.pid) as work:
        asked = answer(askers, "go\n")
    heard, typed = answer(watchers, "end\n"), answer(typing, "end\n")
    report(arguments, work, idle, asked, heard)
    print(
        f"terminals over ssh, half Python and half prompts: {typed['terminals']}, {typed['answers']} commands answered"
    )


def report(arguments: argparse.Namespace, work: Work, idle: int, asked: Any, heard: Any) -> None:
    clients = f"{arguments.sockets} websockets, {arguments.rest} REST clients, {2 * arguments.terminals} terminals"
    print(f"\nload: {clients}, {arguments.seconds:.0f} s; load average {os.getloadavg()[0]:.1f}")
    print(f"the owner meanwhile: {work.merges} merges done, {work.jobs} small jobs")
    print(f"{'':<52}{'median ms':>9}{'p95 ms':>9}{'runs':>7}")
    row(asked["path"], asked["times"], 0.05)
    complete = f"{heard['complete']} of {heard['clients']} heard every one"
    print(f"events: {heard['events']:,} frames; {complete}, {heard['gaps']} gaps")
    print(f"memory of the owner: {idle / 1e6:.0f} MB idle, {work.memory / 1e6:.0f} MB at most   target 400 MB")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=5, help="whole processes of each kind (default: 5)")
    parser.add_argument("--seconds", type=float, default=30, help="how long the load lasts (default: 30)")
    parser.add_argument("--sockets", type=int, default=200, help="websocket clients (default: 200)")
    parser.add_argument("--rest", type=int, default=50, help="REST clients (default: 50)")
    parser.add_argument("--terminals", type=int, default=10, help="Python shells, and prompts, over ssh (default: 10)")
    parser.add_argument("--no-load", action="store_true", help="costs only")
    arguments = parser.parse_args()
    os.environ |= {"HUBKERNEL_PLACEMENT": "attach", "HUBKERNEL_EXECUTOR_URL": "process://?workers=1"}
    os.environ["HUBKERNEL_SSH_PORT"] = "0"
    with scratch() as folder:
        home = HubHome(folder / "home").create()
        script = folder / "hub.py"
        script.write_text(SCRIPT)
        with owner(home, script) as found:
            hub = client.connect(home)
            costs(hub, home, arguments.runs)
            if not arguments.no_load:
                prepare(hub, home, SOURCES)
                load(hub, found, arguments)


if __name__ == "__main__":
    main()
