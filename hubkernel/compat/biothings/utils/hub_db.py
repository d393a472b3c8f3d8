"""``biothings.utils.hub_db``: the hub's own state, for reading, in code that a hub runs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from hubkernel.compat.biothings._missing import answer
from hubkernel.pipeline.facade import CollectionView, Database, hub_db, source_db


def _getter(collection: str) -> Callable[..., CollectionView]:
    def get(conn: Any = None) -> CollectionView:
        return hub_db()[collection]

    get.__name__ = get.__qualname__ = f"get_{collection}"
    get.__doc__ = f"The hub's ``{collection}``."
    return get


get_src_dump = _getter("src_dump")
get_src_master = _getter("src_master")
get_src_build = _getter("src_build")
get_src_build_config = _getter("src_build_config")
get_data_plugin = _getter("data_plugin")
get_cmd = _getter("cmd")
get_event = _getter("event")
get_hub_config = _getter("hub_config")


def get_src_db(conn: Any = None) -> Database:
    """The sources' collections."""
    return source_db()


def get_source_fullname(col_name: str) -> str | None:
    """``source.collection`` of a collection, or its name alone if the source has the same; None if no source has it."""
    for source in get_src_dump().find(projection=["upload.jobs"]):
        if col_name in source.get("upload", {}).get("jobs", {}):
            return col_name if source["_id"] == col_name else f"{source['_id']}.{col_name}"
    return None


def get_source_fullnames(col_names: Iterable[str]) -> list[str]:
    """:func:`get_source_fullname` of those that have one."""
    return [full for name in col_names if (full := get_source_fullname(name))]


__getattr__ = answer(
    __name__,
    why={
        "setup": "there is nothing to set up: the hub knows its state",
        "backup": "use the hub's command backup()",
        "restore": "use the hub's command restore()",
    },
)
