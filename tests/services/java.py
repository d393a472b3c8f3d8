"""A JDK for the tests: one that is there, else Debian's, installed where this user may."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.services import ServiceMissingError
from tests.services.apt import install

OLDEST = 17
PACKAGES = ("openjdk-17-jdk-headless", "default-jdk-headless")


def find() -> Path:
    """The ``bin`` folder of a JDK, the oldest from 17 on. Raises ServiceMissingError."""
    found = _found() or _installed()
    if found is None:
        raise ServiceMissingError(
            f"no Java compiler from version {OLDEST} on: install {PACKAGES[0]}, or put a JDK on PATH or in $JAVA_HOME"
        )
    return found


def _found() -> Path | None:
    folders = [Path(os.environ["JAVA_HOME"]) / "bin"] if "JAVA_HOME" in os.environ else []
    if compiler := shutil.which("javac"):
        folders.append(Path(compiler).resolve().parent)
    folders += sorted(Path("/usr/lib/jvm").glob("*/bin"))
    versions = {folder: _version(folder) for folder in folders}
    new_enough = [folder for folder, version in versions.items() if version >= OLDEST]
    return min(new_enough, key=versions.__getitem__, default=None)


def _version(folder: Path) -> int:
    """0 if there is no compiler beside the interpreter."""
    try:
        done = subprocess.run([folder / "javac", "-version"], capture_output=True, text=True, timeout=60, check=False)
    except OSError:
        return 0
    match = re.search(r"javac (\d+)", done.stdout + done.stderr)
    return int(match[1]) if match and (folder / "java").exists() else 0


def _installed() -> Path | None:
    for package in PACKAGES:
        if install(package):
            break
    return _found()
