"""The dumpers: classes that know where a source's files are and how to get them. Plugins derive from them."""

from hubkernel.pipeline.dump.dumpers.base import BaseDumper, DumperException

__all__ = ["BaseDumper", "DumperException"]
