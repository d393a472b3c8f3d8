"""The real BioThings SDK in a virtual environment of its own, made once with pip and kept in the cache."""

from __future__ import annotations

import subprocess
import venv
from pathlib import Path

from tests.services import ServiceMissingError
from tests.services.fetch import cache_folder, locked

REQUIREMENT = "biothings[hub,cli]==1.2.2"
INSTALL_SECONDS = 900


def python() -> Path:
    """The interpreter that can ``import biothings`` (a minute and 280 MB on first use). Raises ServiceMissingError."""
    folder = cache_folder() / "peer"
    with locked(folder.with_name("peer.lock")):
        marker = folder / "complete"
        if not marker.exists():
            _install(folder)
            marker.touch()
    return folder / "bin" / "python"


def _install(folder: Path) -> None:
    venv.create(folder, with_pip=True, clear=True)
    command = [folder / "bin" / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check", REQUIREMENT]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        raise ServiceMissingError(f"{REQUIREMENT} could not be installed within {INSTALL_SECONDS} s") from None
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["pip said nothing"]
        raise ServiceMissingError(f"{REQUIREMENT} could not be installed: {said[-1]}")


def probe() -> str:
    """Say in one line which SDK there is. Raises ServiceMissingError."""
    command = [python(), "-c", "from importlib.metadata import version; print(version('biothings'))"]
    found = subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    return f"{found} ({python()})"
