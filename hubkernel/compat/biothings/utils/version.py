"""``biothings.utils.version``: nothing has to be set; the hub knows its versions."""

from __future__ import annotations

import platform
import sys
from typing import Any

from hubkernel.compat.biothings._missing import answer


def set_versions(config: Any, app_folder: Any) -> None:
    """Changes nothing."""


def get_python_version() -> list[str]:
    """The installed packages, ``name==version``."""
    from importlib.metadata import distributions

    return sorted({f"{found.metadata['Name']}=={found.version}" for found in distributions()})


def get_python_exec_version() -> dict[str, Any]:
    """``{"version", "version_info"}`` of this Python."""
    return {"version": platform.python_version(), "version_info": dict(zip(_FIELDS, sys.version_info, strict=True))}


_FIELDS = ("major", "minor", "micro", "releaselevel", "serial")
__getattr__ = answer(__name__)
