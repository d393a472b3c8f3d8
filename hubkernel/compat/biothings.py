"""``import biothings.hub`` as our hub, for as long as a hub's own script is loaded.

Scripts of other hubs begin with ``import biothings``, ``biothings.config_for_app(config)`` and
``from biothings.hub import HubServer``. That much is answered here; of anything else the error says that it is missing.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import hubkernel.hub
from hubkernel.hub.names import hint

NAMES = tuple(hubkernel.hub.__all__)


class _Alias(ModuleType):
    """A module whose names are looked up in ours."""

    def __init__(self, name: str, known: dict[str, Any], more: tuple[str, ...] = ()) -> None:
        super().__init__(name, f"Stands for {name} while the script of a hub is loaded.")
        self.__dict__.update(known)
        self.__path__: list[str] = []
        self._more = more

    def __getattr__(self, name: str) -> Any:
        if name in self._more:
            return getattr(hubkernel.hub, name)
        if name.startswith("__"):
            raise AttributeError(name)
        raise AttributeError(f"hubkernel has no {self.__name__}.{name}{hint(name, self._more)}")


def _config_for_app(config: Any) -> None:
    """The settings of a hub are those of its home; the script's own stay its own."""


@contextmanager
def aliased() -> Iterator[None]:
    """While this is open, ``biothings`` and ``biothings.hub`` are ours; afterwards they are what they were."""
    hub = _Alias("biothings.hub", {}, NAMES)
    ours: dict[str, ModuleType] = {
        "biothings": _Alias("biothings", {"hub": hub, "config_for_app": _config_for_app}),
        "biothings.hub": hub,
    }
    before = {name: module for name, module in sys.modules.items() if name.partition(".")[0] == "biothings"}
    for name in before:
        del sys.modules[name]
    sys.modules.update(ours)
    try:
        yield
    finally:
        for name in [name for name in sys.modules if name.partition(".")[0] == "biothings"]:
            del sys.modules[name]
        sys.modules.update(before)
