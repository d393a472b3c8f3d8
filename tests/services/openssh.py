"""OpenSSH's client programs, as users have them."""

from __future__ import annotations

import shutil
import subprocess

from tests.services import ServiceMissingError
from tests.services.apt import install

PROGRAMS = ("ssh", "scp", "sftp", "ssh-keygen")


def probe() -> str:
    """Which version there is. Raises :class:`ServiceMissingError`."""
    absent = _absent()
    if absent and install("openssh-client"):
        absent = _absent()
    if absent:
        raise ServiceMissingError(f"no {', '.join(absent)} on PATH: install OpenSSH's client (openssh-client)")
    return subprocess.run(["ssh", "-V"], capture_output=True, text=True, check=True).stderr.strip()


def _absent() -> list[str]:
    return [program for program in PROGRAMS if shutil.which(program) is None]
