"""The embedded store: SQLite files on a local disk, shared by any number of threads and processes.

A *document store* is a folder: one immutable SQLite file a collection and a small catalog (name -> file) in which
rename, drop and swap are one transaction. A *state store* is one file. Why it is laid out so:
docs/decisions/0002-store-layout.md.
"""

from hubkernel.store.sqlite.state import SQLiteState
from hubkernel.store.sqlite.store import SQLiteStore

__all__ = ["SQLiteState", "SQLiteStore"]
