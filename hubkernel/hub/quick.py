"""Index one source as it is, through a build that lives only as long as that takes."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer


async def quick_index(  # noqa: PLR0917 - the signature is given
    server: HubServer,
    datasource_name: str,
    doc_type: str,
    indexer_env: str,
    subsource: str | None = None,
    index_name: str | None = None,
    *,
    num_shards: int = 1,
    num_replicas: int = 0,
    extra_index_settings: dict[str, Any] | None = None,
    **kwargs: Any,
) -> Any:
    """Make a build configuration and a build of the source (or its ``subsource``), index it, then remove both.

    The index has the build's name, in small letters, unless ``index_name`` is given. Further arguments go to ``index``.
    """
    builds, indexes = server.managers["build_manager"], server.managers["index_manager"]
    name = f"{datasource_name}_{subsource}" if subsource else datasource_name
    config = f"{name}_configuration_{time.strftime('%Y%m%d')}_{secrets.token_hex(4)}"
    target = f"{name}_{time.strftime('%Y%m%d%H%M%S')}_{secrets.token_hex(4)}"
    params = {
        "num_shards": num_shards,
        "num_replicas": num_replicas,
        "extra_index_settings": extra_index_settings or {},
    }
    builds.create_build_configuration(config, doc_type, [subsource or datasource_name], params=params)
    try:
        await builds.merge(config, target_name=target)
        return await indexes.index(indexer_env, target, index_name=(index_name or target).lower(), **kwargs)
    finally:
        _remove(builds, config, target)


def _remove(builds: Any, config: str, target: str) -> None:
    if target in builds.list_merge(config):
        builds.delete_merge(target)
    builds.delete_build_configuration(config)
