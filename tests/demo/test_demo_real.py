"""``hubkernel demo`` as a user runs it: the whole ontology, a process of its own, time and memory measured."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from hubkernel.demo.data import LATEST, DemoDataError, prepare
from tests.services import ServiceMissingError, missing

SECONDS = 180
MEMORY = 1_000_000_000


@pytest.fixture(scope="module")
def cache(shared_root: Path) -> Path:
    """The user's cache folder, with the data of the demo in it."""
    cache = shared_root / "cache"
    try:
        prepare(cache / "hubkernel" / "demo", LATEST)
    except DemoDataError as error:
        missing(ServiceMissingError(f"the demo's data: {error}"))
    return cache


def demo(home: Path, cache: Path) -> tuple[str, float, int]:
    """Output, seconds and the largest sum of memory of all its processes, pages that they share counted once."""
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache), "PIP_NO_INDEX": "1", "PIP_CONFIG_FILE": os.devnull}
    command = [sys.executable, "-m", "hubkernel.cli", "--home", str(home), "demo"]
    started, peak = time.monotonic(), 0
    with (home.parent / "out.txt").open("w+") as output:
        process = psutil.Popen(command, env=environment, stdout=output, stderr=subprocess.STDOUT)
        while process.poll() is None:
            peak = max(peak, memory(process))
            try:
                process.wait(0.1)
            except psutil.TimeoutExpired:
                continue
        seconds = time.monotonic() - started
        output.seek(0)
        text = output.read()
    assert process.returncode == 0, text
    return text, seconds, peak


def memory(process: psutil.Process) -> int:
    total = 0
    try:
        for each in [process, *process.children(recursive=True)]:
            total += getattr(each.memory_full_info(), "pss", 0)
    except psutil.Error:
        return 0
    return total


@pytest.mark.service
@pytest.mark.timeout(600)
def test_demo_of_the_whole_ontology(tmp_path: Path, cache: Path) -> None:
    home = tmp_path / "home"
    first, seconds, peak = demo(home, cache)
    assert first.count("ok\n") == 3 and "no orphan" in first
    assert all(f"{count:,}" in first for count in (19_484, 11_571, 11_367))
    assert seconds < SECONDS and peak < MEMORY
    second, seconds, _ = demo(home, cache)
    assert "Nothing is new" in second and seconds < 30
