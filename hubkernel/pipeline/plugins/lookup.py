"""The key lookup of a hub: a class that it is given, by which manifests with ``keylookup`` have their ids looked up.

It is made as ``cls(**keylookup)`` from what the manifest says and then used as a decorator of the parser. It has to be
importable: workers import it.
"""

from __future__ import annotations

import importlib
import re
from typing import TYPE_CHECKING, Any

from hubkernel.pipeline.plugins.errors import ManifestError, PluginCodeError, Problem

if TYPE_CHECKING:
    from hubkernel.pipeline.plugins.plugin import Plugin


def lookup_target(given: Any) -> str | None:
    """``module:Class`` of a class, or of a text that is that already. Raises ``ValueError`` for anything else."""
    if given is None or (isinstance(given, str) and re.fullmatch(r"[\w.]+:[A-Za-z_]\w*", given)):
        return given
    name, module = getattr(given, "__qualname__", ""), getattr(given, "__module__", "")
    if not isinstance(given, type):
        raise ValueError(f"keylookup is {given!r}: it takes a class, or 'module:Class'")
    if module == "__main__" or not name.isidentifier():
        raise ValueError(f"keylookup {name} cannot be imported by workers: define it in a module, not in {module}")
    return f"{module}:{name}"


def load_lookup(target: str) -> Any:
    """The class. Raises :class:`PluginCodeError`."""
    module, _, name = target.partition(":")
    try:
        return getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise PluginCodeError(f"the hub's key lookup {target} cannot be imported: {error}") from error


def check_lookup(plugin: Plugin, lookup: str | None) -> None:
    """Raises :class:`ManifestError` if a plugin asks for a key lookup and the hub has none."""
    wants = [spec for spec in plugin.specs.values() if spec.section is not None and spec.section.keylookup is not None]
    if wants and lookup is None:
        text = 'this hub has no key lookup: give it one, managers_custom_args={"dataplugin": {"keylookup": ...}}, '
        file = plugin.manifest_file or plugin.folder
        raise ManifestError([Problem(file, 1, f"{wants[0].name}: keylookup", text + "or remove the key")])
