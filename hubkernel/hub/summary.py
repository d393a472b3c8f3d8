"""What a hub has, in numbers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from typing import Any

log = logging.getLogger(__name__)


def status(managers: Mapping[str, Any]) -> dict[str, dict[str, int | None]]:
    """Numbers of sources, documents, builds, build configurations and APIs: ``{"source": {"total", "documents"},
    "build": {"total"}, "build_conf": {"total"}, "api": {"total", "running"}}``. A part whose manager is missing, or
    fails, is None.
    """
    sources = _or_none("source_manager", managers, lambda manager: manager.get_sources())
    builds = _or_none("build_manager", managers, lambda manager: manager.build_info())
    configs = _or_none("build_manager", managers, lambda manager: manager.build_config_info()["build_configs"])
    apis = _or_none("api_manager", managers, lambda manager: manager.get_apis())
    return {
        "source": {"total": _size(sources), "documents": _documents(sources)},
        "build": {"total": _size(builds)},
        "build_conf": {"total": _size(configs)},
        "api": {"total": _size(apis), "running": _running(apis)},
    }


def _or_none(key: str, managers: Mapping[str, Any], ask: Callable[[Any], Any]) -> Any:
    manager = managers.get(key)
    if manager is None:
        return None
    try:
        return ask(manager)
    except Exception:
        log.warning("no status from %s", key, exc_info=True)
        return None


def _size(items: Any) -> int | None:
    return None if items is None else len(items)


def _documents(sources: Any) -> int | None:
    return None if sources is None else sum(source.get("count") or 0 for source in sources)


def _running(apis: Any) -> int | None:
    return None if apis is None else sum(api.get("status") == "running" for api in apis)
