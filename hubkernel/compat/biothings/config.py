"""``from biothings import config``: the settings of the hub for which this code runs, by their names in capitals.

``config.logger`` logs to the job. ``DATA_ARCHIVE_ROOT`` and ``LOG_FOLDER`` are the hub's folders. Then come the hub's
plain settings (those of BioThings by their names there; no secrets), the other names in capitals of the hub's own
``config.py``, and those of a module given to ``biothings.config_for_app``. It also answers a plain ``import config`` in
the code of a plugin, if there is no other module of that name.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import Any

from hubkernel.compat.biothings._missing import answer
from hubkernel.pipeline.surroundings import NoSurroundingsError, current

logger = logging.getLogger("hubkernel.plugins")

_FOLDERS = {"DATA_ARCHIVE_ROOT": "archive", "LOG_FOLDER": "logs"}
_adopted: list[Any] = []


def adopt(module: Any) -> None:
    """Find the names of ``module`` here too, after all others."""
    if getattr(module, "__name__", None) != __name__ and module not in _adopted:
        _adopted.insert(0, module)


def _settings() -> dict[str, Any]:
    """By name, first of those that were adopted last."""
    found = {name: getattr(module, name) for module in reversed(_adopted) for name in dir(module) if name.isupper()}
    with suppress(NoSurroundingsError):
        found.update(current().settings)
    return found


def __getattr__(name: str) -> Any:
    if name in _FOLDERS:
        return getattr(current(), _FOLDERS[name])
    if name.startswith("_"):
        raise AttributeError(name)
    settings = _settings()
    if name in settings:
        return settings[name]
    return answer(__name__, known=(*settings, *_FOLDERS))(name)


def __dir__() -> list[str]:
    return sorted({"logger", *_FOLDERS, *_settings()})
