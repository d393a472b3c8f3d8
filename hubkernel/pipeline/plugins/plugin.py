"""A plugin that can be used: what is known of a source, its dumper and its uploaders, however it was written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from hubkernel.pipeline.common import cron_expression
from hubkernel.pipeline.plugins.discovery import Classes
from hubkernel.pipeline.plugins.errors import UnknownPluginError, nearest
from hubkernel.pipeline.plugins.loader import load_function
from hubkernel.pipeline.plugins.models import Manifest, UploaderSection
from hubkernel.pipeline.plugins.specs import DumperSpec, UploaderSpec, dumper_of, uploader_of

_SETTINGS = {
    "SCHEDULE": ("schedule", str),
    "DISABLED": ("disabled", bool),
    "AUTO_UPLOAD": ("auto_upload", bool),
    "UNCOMPRESS": ("uncompress", bool),
    "MAX_PARALLEL_DUMP": ("max_parallel", int),
}
"""Attributes of a dumper class that the hub itself has to know."""


@dataclass
class Plugin:
    """A source of the hub. Nothing of its code is imported here."""

    name: str
    """Name of the plugin and of its source."""
    folder: Path
    manifest: Manifest | None
    """None for a plugin of classes."""
    manifest_file: Path
    """What describes it: its manifest, or the first file of its package."""
    warnings: list[str] = field(default_factory=list)
    classes: Classes = field(default_factory=Classes)
    """Classes that its code has (or those of them that its manifest names)."""
    module: str | None = None
    """Dotted name of its package, if that is part of a hub's own code."""
    requires: list[str] = field(default_factory=list)
    """Python packages that it needs, as pip writes them."""
    settings: dict[str, Any] = field(default_factory=dict)
    """What ``setconf("<source>.<ATTRIBUTE>", value)`` stored for its dumper."""

    @property
    def loader(self) -> str:
        """``manifest``, ``advanced`` (a folder of classes) or ``package`` (of a hub's own code)."""
        return "manifest" if self.manifest else "package" if self.module else "advanced"

    @property
    def display_name(self) -> str | None:
        return self.manifest.display_name if self.manifest else None

    @property
    def biothing_type(self) -> str | None:
        return self.manifest.biothing_type if self.manifest else None

    @property
    def dumper(self) -> DumperSpec | None:
        """What the hub knows of its dumper; None for a source whose collections are filled in another way."""
        found = next(iter(self.classes.dumpers), None)
        if self.manifest is None:
            return self._set(found) if found else None
        spec = dumper_of(self.name, self.name, self.manifest.dumper)
        return _completed(spec, found) if found else spec

    def _set(self, spec: DumperSpec) -> DumperSpec:
        known = {_SETTINGS[name][0]: value for name, value in self.settings.items() if name in _SETTINGS}
        return replace(spec, source=self.name, folder=spec.folder or self.name, **known)

    @property
    def specs(self) -> dict[str, UploaderSpec]:
        """What the hub knows of its uploaders, by collection name; empty for a source that is only dumped."""
        if self.manifest is None:
            return {spec.name: replace(spec, source=self.name) for spec in self.classes.uploaders}
        by_target = {spec.target: spec for spec in self.classes.uploaders}
        specs = [uploader_of(self.name, section, self.metadata) for section in self.manifest.all_uploaders]
        return {spec.name: _joined(spec, by_target.get(spec.target)) for spec in specs}

    @property
    def uploaders(self) -> dict[str, UploaderSpec]:
        """As :attr:`specs`."""
        return self.specs

    @property
    def metadata(self) -> dict[str, Any]:
        """``__metadata__`` of the manifest: the ``src_meta`` of its collections."""
        return self.manifest.metadata if self.manifest else {}

    def uploader(self, name: str | None = None) -> UploaderSection:
        """The manifest's uploader of that collection name; the only one if ``name`` is None."""
        sections = (
            {section.name or self.name: section for section in self.manifest.all_uploaders} if self.manifest else {}
        )
        if name is None and len(sections) == 1:
            return next(iter(sections.values()))
        if name in sections:
            return sections[name]
        there = ", ".join(sections) or "none in a manifest"
        raise UnknownPluginError(f"plugin {self.name} has no uploader {name!r}: it has {there}")

    def function(self, target: str) -> Callable[..., Any]:
        """Any ``"module:function"`` of the plugin, for workers. Raises :class:`PluginCodeError`."""
        return load_function(self.folder, target)

    def parser(self, uploader: str | None = None) -> Callable[..., Any]:
        """``function(data_folder, **parser_kwargs)``; gives documents."""
        return self.function(self.uploader(uploader).parser or "")

    def parallelizer(self, uploader: str | None = None) -> Callable[..., Any] | None:
        """``function(uploader)``; gives a list of tuples, each the arguments of one call of the parser."""
        target = self.uploader(uploader).parallelizer
        return self.function(target) if target else None

    def mapping(self, uploader: str | None = None) -> Callable[..., Any] | None:
        """``function(cls)``; gives Elasticsearch ``properties``."""
        target = self.uploader(uploader).mapping
        return self.function(target) if target else None

    def set(self, name: str, value: Any) -> None:
        """Give another value to an attribute of the dumper, in capitals. Raises ``ValueError``."""
        manifest, settings = self._with(name, value)
        self.manifest, self.settings = manifest, settings

    def check_setting(self, name: str, value: Any) -> None:
        """Raises ``ValueError`` if :meth:`set` would."""
        self._with(name, value)

    def _with(self, name: str, value: Any) -> tuple[Manifest | None, dict[str, Any]]:
        if self.manifest is None or name.lower() not in type(self.manifest.dumper).model_fields:
            if self.manifest is not None and not self.classes.dumpers:
                raise ValueError(f"no such key{_hint(name.lower(), type(self.manifest.dumper).model_fields)}")
            _check_attribute(name, value)
            return self.manifest, {**self.settings, name: value}
        dumper = self.manifest.dumper
        try:
            changed = type(dumper).model_validate({**dumper.model_dump(by_alias=True), name.lower(): value})
        except ValidationError as error:
            raise ValueError("; ".join(str(fault["msg"]) for fault in error.errors())) from None
        return self.manifest.model_copy(update={"dumper": changed}), self.settings


def _check_attribute(name: str, value: Any) -> None:
    if not name.isupper():
        raise ValueError(f"attributes of a dumper are in capitals{_hint(name.upper(), _SETTINGS)}")
    kind = _SETTINGS.get(name, ("", object))[1]
    if value is not None and (not isinstance(value, kind) or (kind is int and isinstance(value, bool))):
        raise ValueError(f"{value!r} is no {kind.__name__}")
    if name == "SCHEDULE" and value is not None:
        cron_expression(str(value))


def _hint(name: str, names: Any) -> str:
    near = nearest(name, names, cutoff=0.5)
    return f"; did you mean {near!r}?" if near else f"; there is {', '.join(names)}"


def _completed(spec: DumperSpec, found: DumperSpec) -> DumperSpec:
    """A manifest's dumper with what its class says where the manifest says nothing."""
    return replace(
        found,
        source=spec.source,
        folder=spec.folder,
        section=spec.section,
        urls=spec.urls or found.urls,
        schedule=spec.schedule or found.schedule,
        disabled=spec.disabled or found.disabled,
        uncompress=spec.uncompress or found.uncompress,
    )


def _joined(spec: UploaderSpec, found: UploaderSpec | None) -> UploaderSpec:
    """A manifest's uploader with what its class says where the manifest says nothing."""
    if found is None:
        return spec
    said = spec.section.model_fields_set if spec.section else set()
    return replace(
        found,
        name=spec.name,
        source=spec.source,
        section=spec.section,
        duplicates=spec.duplicates if "on_duplicates" in said else found.duplicates,
        parallel=spec.parallel or found.parallel,
        metadata=spec.metadata or found.metadata,
    )
