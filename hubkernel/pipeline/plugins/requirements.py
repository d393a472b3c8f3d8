"""Python packages that plugins need: which are missing, and how they are installed if the hub's operator allows it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterable
from importlib import invalidate_caches, metadata
from pathlib import Path

from packaging.requirements import InvalidRequirement, Requirement

TIMEOUT = 600.0
"""Seconds that pip may take."""


def read_requirements(folder: Path) -> list[str]:
    """The lines of a plugin's ``requirements.txt`` that name packages; empty without such a file."""
    file = folder / "requirements.txt"
    lines = file.read_text("utf-8").splitlines() if file.is_file() else []
    texts = (line.split(" #")[0].strip() for line in lines)
    return [text for text in texts if text and not text.startswith(("#", "-"))]


def missing(requires: Iterable[str]) -> list[str]:
    """For each package that is not installed in a version that will do: what is the matter and the command to type."""
    return [_advice(text, fault) for text in requires if (fault := _fault(text))]


def _advice(text: str, fault: str) -> str:
    return f"needs {text}{'' if fault == 'missing' else f' ({fault})'}: {pip_command([text])}"


def pip_command(requires: Iterable[str]) -> str:
    """What a person types to install them."""
    return "pip install " + " ".join(f"'{text}'" for text in requires)


def unmet(requires: Iterable[str]) -> list[str]:
    """Those of ``requires`` that are not installed in a version that will do."""
    return [text for text in requires if _fault(text)]


def _fault(text: str) -> str | None:
    try:
        requirement = Requirement(text)
    except InvalidRequirement:
        return "pip does not understand this"
    if requirement.marker is not None and not requirement.marker.evaluate():
        return None
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        return "missing"
    if requirement.specifier.contains(version, prereleases=True):
        return None
    return f"{version} is installed"


def install(requires: Iterable[str]) -> str | None:
    """Install them with pip into this Python; returns what went wrong, None if nothing did."""
    wanted = [text for text in requires if not text.startswith("-")]
    command = [sys.executable, "-m", "pip", "install", "--disable-pip-version-check", "--no-input", *wanted]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"{pip_command(wanted)}: {error}"
    invalidate_caches()
    if done.returncode == 0:
        return None
    said = [line for line in done.stderr.splitlines() if line.strip()]
    return f"{pip_command(wanted)}: {said[-1] if said else f'pip ended with {done.returncode}'}"
