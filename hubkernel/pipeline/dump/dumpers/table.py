"""Which dumper serves which protocol, for manifests: they name urls, not classes."""

from __future__ import annotations

import importlib
from typing import Any
from urllib.parse import urlsplit

from hubkernel.pipeline.dump.dumpers.base import BaseDumper
from hubkernel.pipeline.dump.errors import FetchError

_HERE = "hubkernel.pipeline.dump.dumpers"
PROTOCOLS: dict[str, str] = {
    "http": f"{_HERE}.http:LastModifiedHTTPDumper",
    "https": f"{_HERE}.http:LastModifiedHTTPDumper",
    "file": f"{_HERE}.files:FileDumper",
    "ftp": f"{_HERE}.ftp:LastModifiedFTPDumper",
    "ftps": f"{_HERE}.ftp:LastModifiedFTPDumper",
    "s3": f"{_HERE}.s3:S3Dumper",
    **dict.fromkeys(("git+https", "git+http", "git+ssh", "git+file", "git"), f"{_HERE}.git:GitDumper"),
    "gdrive": f"{_HERE}.gdrive:GoogleDriveDumper",
    "docker": f"{_HERE}.docker:DockerContainerDumper",
}
"""``module:Class`` by scheme. A scheme that begins with ``docker`` is ``docker``'s."""


def dumper_class(url: str) -> type[BaseDumper]:
    """The class that dumps an url, imported now. Raises :class:`FetchError`."""
    scheme = urlsplit(url).scheme.lower()
    target = PROTOCOLS.get("docker" if scheme.startswith("docker") else scheme)
    if target is None:
        raise FetchError(f"the protocol {scheme}:// cannot be dumped: use one of {', '.join(PROTOCOLS)}")
    module, _, name = target.partition(":")
    found: type[BaseDumper] = getattr(importlib.import_module(module), name)
    return found


def is_own(kind: type[Any]) -> bool:
    """Whether a class is one of the hub's, not of a plugin."""
    return kind.__module__.startswith(f"{_HERE}.")
