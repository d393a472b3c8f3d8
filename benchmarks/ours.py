"""Our side of every comparison: a hub home of its own, driven through the ``hubkernel`` command like a user would."""

from __future__ import annotations

import json
import shutil
import sys
from pathlib import Path
from typing import Any

from benchmarks.harness import Run, measured

PARSER = """
import json
import os


def load_data(data_folder):
    with open(os.path.join(data_folder, "{name}.jsonl")) as lines:
        for line in lines:
            yield json.loads(line)
"""

IN_PARTS = """
import json
from pathlib import Path


def parts(self):
    return [(str(file),) for file in sorted(Path(self.data_folder).glob("part*.jsonl"))]


def load_data(file):
    with open(file) as lines:
        for line in lines:
            yield json.loads(line)
"""

REPEATED = """
import json
import os


def load_data(data_folder):
    for time in range({times}):
        with open(os.path.join(data_folder, "{name}.jsonl")) as lines:
            for line in lines:
                document = json.loads(line)
                document["_id"] += f"-{{time}}"
                yield document
"""


def plugin(
    folder: Path, name: str, url: str | list[str], on_duplicates: str = "error", *, parser: str = PARSER, **options: Any
) -> Path:
    """Write the plugin that both sides run: a JSON lines parser as people write it."""
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    uploader = {"parser": "parser:load_data", "on_duplicates": on_duplicates}
    if "def parts" in parser:
        uploader["parallelizer"] = "parser:parts"
    manifest = {"version": "0.3", "dumper": {"data_url": url, "uncompress": False}, "uploader": uploader}
    (target / "manifest.json").write_text(json.dumps(manifest, indent=2))
    (target / "parser.py").write_text(parser.format(name=name, **options) if "{name}" in parser else parser)
    return target


class Home:
    """A hub home with plugins for workloads; every command is a whole process, measured with all its workers."""

    def __init__(self, root: Path, *, workers: int = 1, store: str = "") -> None:
        self.root = root
        self.environment = {
            "HUBKERNEL_HOME": str(root),
            "HUBKERNEL_EXECUTOR_URL": f"process://?workers={workers}",
            "HUBKERNEL_PLACEMENT": "embedded",
        }
        if store:
            self.environment["HUBKERNEL_STORE_URL"] = store

    def reset(self) -> None:
        shutil.rmtree(self.root, ignore_errors=True)
        self.root.mkdir(parents=True)

    def add(self, name: str, *data: Path, on_duplicates: str = "error", **options: Any) -> None:
        urls = [file.as_uri() for file in data]
        plugin(self.root / "plugins", name, urls if len(urls) > 1 else urls[0], on_duplicates, **options)

    def execute(self, command: str) -> tuple[Any, dict[str, Any]]:
        line = [sys.executable, "-m", "hubkernel.cli", "exec", "--json", command]
        output, figures = measured(line, cwd=self.root, env=self.environment)
        return json.loads(output), figures

    def measure(self, command: str, documents: int) -> Run:
        _, figures = self.execute(command)
        return Run(documents, figures["wall"], figures["cpu"], figures["rss"])

    def upload(self, name: str, documents: int, *, force: bool = False, **expected: int) -> Run:
        """Upload a source and check what that says of itself: a benchmark cannot lose any document."""
        answer, figures = self.execute(f"upload({name!r}, force=True)" if force else f"upload({name!r})")
        found = answer["result"][name]
        if {what: found[what] for what in expected} != expected:
            sys.exit(f"ours: upload({name!r}) says {found}, not {expected}")
        held, _ = self.execute(f"sources({name!r})")
        if held[0]["count"] != found["count"]:
            sys.exit(f"ours holds {held[0]['count']} documents of {name}, not {found['count']}")
        # What a hub and its first worker take to start: a look for a newer release, which does nothing else.
        _, idle = self.execute(f"dump({name!r}, check_only=True)")
        return Run(documents, figures["wall"], figures["cpu"], figures["rss"], idle["cpu"])
