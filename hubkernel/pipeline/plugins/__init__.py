"""Data plugins: a folder with a manifest and a parser is a source of the hub."""

from hubkernel.pipeline.plugins.errors import (
    ManifestError,
    PluginCodeError,
    PluginError,
    Problem,
    UnknownPluginError,
)
from hubkernel.pipeline.plugins.loader import load_function
from hubkernel.pipeline.plugins.manager import Plugin, PluginManager, load_plugin
from hubkernel.pipeline.plugins.models import DumperSection, Manifest, UploaderSection

__all__ = [
    "DumperSection",
    "Manifest",
    "ManifestError",
    "Plugin",
    "PluginCodeError",
    "PluginError",
    "PluginManager",
    "Problem",
    "UnknownPluginError",
    "UploaderSection",
    "load_function",
    "load_plugin",
]
