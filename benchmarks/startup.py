"""How long a user waits before anything happens: ours against the peer's command and a bare interpreter.

``python -m benchmarks.startup [--runs 5]``. Whole processes. Targets: ``hubkernel --help`` 0.2 s, ``hubkernel status``
0.6 s, ``import hubkernel`` 0.05 s above a bare interpreter.
"""

from __future__ import annotations

import os
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.harness import measured, options, peer_python, scratch
from benchmarks.ours import plugin


def median_wall(command: Sequence[object], runs: int, folder: Path, env: dict[str, str]) -> float:
    measured(command, cwd=folder, env=env)  # fills the disk cache and __pycache__
    return statistics.median(measured(command, cwd=folder, env=env)[1]["wall"] for _ in range(runs))


def main() -> None:
    arguments = options(__doc__)
    peer = peer_python().with_name("biothings-cli")
    hubkernel = [sys.executable, "-m", "hubkernel.cli"]
    with scratch() as folder:
        env = {"HUBKERNEL_HOME": str(folder / "home"), "HUBKERNEL_PLACEMENT": "embedded"}
        here = plugin(folder, "listed", "http://127.0.0.1/listed.jsonl")  # the peer lists only inside of a plugin
        commands: dict[str, Sequence[object]] = {
            "bare interpreter": [sys.executable, "-c", "pass"],
            "import hubkernel": [sys.executable, "-c", "import hubkernel"],
            "hubkernel --help": [*hubkernel, "--help"],
            "hubkernel status": [*hubkernel, "status"],
            "hubkernel exec 'sources()'": [*hubkernel, "exec", "sources()"],
            "peer: biothings-cli --help": [peer, "--help"],
            "peer: biothings-cli dataplugin list": [peer, "dataplugin", "list"],
        }
        medians = {name: median_wall(line, arguments.runs, here, env) for name, line in commands.items()}
    print(f"median of {arguments.runs} runs, wall seconds; load average {os.getloadavg()[0]:.1f}")
    for name, wall in medians.items():
        print(f"{name:<40}{wall:>8.3f}")
    ratio = medians["peer: biothings-cli --help"] / medians["hubkernel --help"]
    print(f"hubkernel --help is {ratio:.1f}x as fast as the peer's --help")


if __name__ == "__main__":
    main()
