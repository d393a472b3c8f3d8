"""``biothings.utils.mongo``: the hub's databases, on whatever store it has (:mod:`hubkernel.pipeline.facade`). For
reading, in code that a hub runs.
"""

from __future__ import annotations

from typing import Any

from hubkernel.compat.biothings._missing import answer
from hubkernel.compat.biothings.utils.hub_db import (
    get_cmd,
    get_data_plugin,
    get_event,
    get_hub_config,
    get_source_fullname,
    get_source_fullnames,
    get_src_build,
    get_src_build_config,
    get_src_dump,
    get_src_master,
)
from hubkernel.pipeline.facade import CollectionView as Collection
from hubkernel.pipeline.facade import Database, hub_db, source_db
from hubkernel.pipeline.feeders import doc_feeder, id_feeder

__all__ = [
    "Collection",
    "Database",
    "check_document_size",
    "doc_feeder",
    "get_cmd",
    "get_data_plugin",
    "get_event",
    "get_hub_config",
    "get_hub_db_conn",
    "get_source_fullname",
    "get_source_fullnames",
    "get_src_build",
    "get_src_build_config",
    "get_src_db",
    "get_src_dump",
    "get_src_master",
    "get_target_db",
    "id_feeder",
]


def get_src_db(conn: Any = None) -> Database:
    """The sources' collections. Raises ``NoSurroundingsError`` outside of a hub."""
    return source_db()


def get_target_db(conn: Any = None) -> Database:
    """The builds' collections: they are in the same store."""
    return source_db()


def get_hub_db_conn() -> Any:
    """``conn[anything]`` is the hub's state."""
    return _Connection()


class _Connection:
    def __getitem__(self, name: str) -> Database:
        return hub_db()


def check_document_size(doc: dict[str, Any]) -> bool:
    """Whether a document is small enough (16 MiB as BSON) to be stored. Raises ``InvalidDocumentError`` if it cannot be
    stored at all.
    """
    from hubkernel.store.encode import encode
    from hubkernel.store.errors import DocumentTooLargeError

    try:
        encode(doc)
    except DocumentTooLargeError:
        return False
    return True


_CLIENTS = "the hub's store may be none; get_src_db() and get_target_db() answer the same calls"
__getattr__ = answer(
    __name__, why=dict.fromkeys(("get_conn", "get_src_conn", "get_target_conn", "DatabaseClient"), _CLIENTS)
)
