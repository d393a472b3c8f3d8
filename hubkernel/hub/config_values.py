"""Special values of a Python configuration module, as BioThings hubs use them.

::

    from hubkernel.hub.config_values import ConfigurationDefault, ConfigurationError, ConfigurationValue

    BUCKET = ConfigurationError("the bucket that releases go to")    # has to be set by somebody
    WORKERS = ConfigurationDefault(default=4, desc="worker processes")
    LOGS = ConfigurationValue("DATA_ARCHIVE_ROOT + '/logs'")         # from other settings of the module
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


class ConfigurationError(Exception):
    """Stands where a value has to be given; the text says what for. The hub starts, and says what is missing."""


@dataclass(frozen=True, slots=True)
class ConfigurationDefault:
    """A value with its description."""

    default: Any
    desc: str | None = None


@dataclass(frozen=True, slots=True)
class ConfigurationValue:
    """An expression over the other names of the module; evaluated when the module has been read."""

    code: str


def plain_value(value: Any, names: Mapping[str, Any]) -> Any:
    """``value`` without any of these classes in it, however deep. Raises what an expression raises."""
    if isinstance(value, ConfigurationDefault):
        return plain_value(value.default, names)
    if isinstance(value, ConfigurationValue):
        return eval(value.code, {**names})  # the module's own code, run as the module was
    if isinstance(value, dict):
        return {key: plain_value(item, names) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(plain_value(item, names) for item in value)
    return value
