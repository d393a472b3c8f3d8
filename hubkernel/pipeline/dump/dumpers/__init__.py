"""The dumpers: classes that know where a source's files are and how to get them. Plugins derive from them."""

from __future__ import annotations

import importlib
from typing import Any

from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException

_PLACES = {
    "LastModifiedBaseDumper": "lastmodified",
    "HTTPDumper": "http",
    "LastModifiedHTTPDumper": "http",
    "WgetDumper": "http",
    "APIDumper": "api",
    "FileDumper": "files",
    "FilesystemDumper": "files",
    "ManualDumper": "files",
    "DummyDumper": "files",
    "FTPDumper": "ftp",
    "LastModifiedFTPDumper": "ftp",
    "S3Dumper": "s3",
    "GitDumper": "git",
    "GoogleDriveDumper": "gdrive",
    "DockerContainerDumper": "docker",
}
"""Module of each class; imported when it is asked for, since some need much."""


def __getattr__(name: str) -> Any:
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)


__all__ = ["BaseDumper", "DumperException", *_PLACES]  # noqa: PLE0604 - names of classes that __getattr__ imports
