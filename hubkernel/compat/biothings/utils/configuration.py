"""``biothings.utils.configuration``: what a hub's ``config.py`` marks its settings with."""

from __future__ import annotations

from hubkernel.compat.biothings._missing import answer
from hubkernel.hub.config_values import ConfigurationDefault, ConfigurationError, ConfigurationValue

__all__ = ["ConfigurationDefault", "ConfigurationError", "ConfigurationValue"]

__getattr__ = answer(__name__)
