"""``import biothings`` as our hub: what code of plugins and scripts of hubs find under that name.

The modules have the paths of the BioThings SDK, and its behaviour of version 1.2.2 where the SDK does what it says;
what it does wrong is put right (docs/plugin-authors/helpers.md). In code of plugins the name means this package always
(:mod:`hubkernel.pipeline.plugins.aliases`); in the script of a hub for as long as it is loaded (:func:`aliased`).
Nowhere else.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import hubkernel.hub
from hubkernel.compat.biothings._missing import answer
from hubkernel.hub.config_values import ConfigurationError
from hubkernel.pipeline.plugins.aliases import installed

__all__ = ["NAMES", "ConfigurationError", "aliased", "config_for_app", "get_version"]

__version__ = "1.2.2"
"""Of the SDK whose behaviour this has."""
NAMES = tuple(hubkernel.hub.__all__)
"""Of :mod:`hubkernel.hub`, which ``biothings.hub`` has too."""


def config_for_app(config: Any) -> None:
    """Names of ``config`` (a module) are found in ``biothings.config`` too, after the hub's own settings."""
    from hubkernel.compat.biothings.config import adopt

    adopt(config)


def get_version() -> str:
    return __version__


@contextmanager
def aliased() -> Iterator[None]:
    """While this is open, ``biothings`` is this package; afterwards it is what it was."""
    with installed():
        yield


__getattr__ = answer(__name__)
