"""Dump: bring the newest release of a source into the archive."""

from hubkernel.pipeline.dump.errors import DiskFullError, DumpError, FetchError, UnpackError
from hubkernel.pipeline.dump.manager import DumpManager
from hubkernel.pipeline.dump.models import Release, ReleaseFile, RemoteFile
from hubkernel.pipeline.dump.run import NOTHING

__all__ = [
    "NOTHING",
    "DiskFullError",
    "DumpError",
    "DumpManager",
    "FetchError",
    "Release",
    "ReleaseFile",
    "RemoteFile",
    "UnpackError",
]
