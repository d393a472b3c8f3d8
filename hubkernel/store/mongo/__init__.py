"""The MongoDB store, through pymongo: documents in :class:`MongoStore`, hub state in :class:`MongoState`.

A collection ``x`` of the store is the MongoDB collection ``x``, its documents exactly as they were uploaded. Everything
else that the store needs lies in collections whose names begin with ``hubkernel.`` (docs/operators/stores.md).
"""

from hubkernel.store.mongo.state import MongoState
from hubkernel.store.mongo.store import MongoStore

__all__ = ["MongoState", "MongoStore"]
