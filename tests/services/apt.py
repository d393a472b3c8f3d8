"""Debian's packages for the tests, installed where this user may."""

from __future__ import annotations

import os
import shutil
import subprocess

from tests.services.fetch import cache_folder, locked

INSTALL_SECONDS = 300


def install(*packages: str) -> bool:
    """Through apt, if this is root on Debian."""
    apt = shutil.which("apt-get")
    if apt is None or os.geteuid() != 0:
        return False
    with locked(cache_folder() / "apt.lock"):
        _apt(apt, "update")
        return _apt(apt, "install", "--yes", "--no-install-recommends", *packages)


def _apt(*command: str) -> bool:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    try:
        done = subprocess.run(command, capture_output=True, env=environment, timeout=INSTALL_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0
