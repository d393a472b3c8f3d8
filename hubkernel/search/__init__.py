"""Search: the Elasticsearch REST API, through the official client, on a server or embedded in this process.

See docs/users/search.md for what the embedded engine can do, and docs/decisions/0003-embedded-search.md for why.
"""

from hubkernel.search.client import client
from hubkernel.search.errors import SearchBusyError

__all__ = ["SearchBusyError", "client"]
