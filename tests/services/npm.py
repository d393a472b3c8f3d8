"""Packages from npm as data files: installed once, by a lock file with hashes, into the cache folder."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from pathlib import Path

from tests.services import ServiceMissingError, fetch
from tests.services.apt import install

SOCKJS = Path(__file__).parents[1] / "compat" / "studio" / "client"


def node() -> str:
    """The program; raises :class:`ServiceMissingError`."""
    for name in ("node", "npm"):
        if shutil.which(name) is None and not (install("nodejs", "npm") and shutil.which(name)):
            raise ServiceMissingError(f"no {name}: put Node.js 20 or newer on PATH")
    return str(shutil.which("node"))


def installed(package: Path) -> Path:
    """The ``node_modules`` of a folder with ``package.json`` and ``package-lock.json``. No script of a package runs."""
    node()
    lock = (package / "package-lock.json").read_bytes()
    target = fetch.cache_folder() / f"npm-{hashlib.sha256(lock).hexdigest()[:16]}"
    target.mkdir(exist_ok=True)
    with fetch.locked(target / ".lock"):
        done = target / ".installed"
        if not done.exists():
            for name in ("package.json", "package-lock.json"):
                shutil.copy(package / name, target)
            _install(target)
            done.touch()
    return target / "node_modules"


def _install(folder: Path) -> None:
    command = ["npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--loglevel=error"]
    try:
        done = subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=fetch.FETCH_SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        raise ServiceMissingError(f"packages could not be fetched with npm within {fetch.FETCH_SECONDS} s") from None
    if done.returncode:
        lines = done.stderr.strip().splitlines() or ["npm said nothing"]
        raise ServiceMissingError(f"packages could not be fetched with npm: {lines[-1]}")


def probe() -> str:
    return f"sockjs-client in {installed(SOCKJS)}, with {node()}"
