"""What the hub knows of a dumper and of an uploader without importing their code.

Both come from a manifest or from classes; the stages read these and never ask where they are from. For classes they are
found out by a worker (:mod:`hubkernel.pipeline.plugins.discovery`), so that no code of a plugin runs in the hub.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hubkernel.pipeline.plugins.models import DumperSection, UploaderSection
from hubkernel.store import Duplicate


@dataclass(frozen=True, slots=True)
class DumperSpec:
    """One dumper. ``target`` names its class as ``module:Class``; None: it is made from ``section``."""

    source: str
    """Name of the source."""
    folder: str
    """Name of the source's folder in the archive."""
    section: DumperSection | None = None
    target: str | None = None
    urls: tuple[str, ...] = ()
    schedule: str | None = None
    disabled: bool = False
    manual: bool = False
    """Its data are put in place by hand."""
    auto_upload: bool = True
    uncompress: bool = False
    max_parallel: int | None = None
    """Downloads at once; None leaves it to the hub."""
    bases: tuple[str, ...] = ()
    """Names of the classes it derives from, nearest first."""


@dataclass(frozen=True, slots=True)
class UploaderSpec:
    """One uploader, one collection. ``target`` names its class, ``module:Class``; None: it is made from ``section``."""

    name: str
    """Of the collection."""
    source: str
    section: UploaderSection | None = None
    target: str | None = None
    duplicates: Duplicate = Duplicate.ERROR
    parallel: bool = False
    """The plugin says which calls of its parser make the whole."""
    loads: bool = True
    """False: it has no data step (a dummy, or a mapping alone)."""
    dummy: bool = False
    keep_archive: int | None = None
    """Earlier versions to keep; None leaves it to the hub."""
    auto_validate: bool = False
    regex_name: str | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    """``src_meta`` of its collection."""
    bases: tuple[str, ...] = ()


def class_target(written: str | None) -> str | None:
    """``module:Class`` of what a manifest says: that, or ``module.Class``, or a ``Class`` of the package itself."""
    if written is None or ":" in written:
        return written
    module, _, name = written.rpartition(".")
    return f"{module or '__init__'}:{name}"


def dumper_of(source: str, folder: str, section: DumperSection) -> DumperSpec:
    """The dumper that a manifest describes."""
    return DumperSpec(
        source=source,
        folder=folder,
        section=section,
        target=class_target(section.custom_class),
        urls=tuple(section.data_url),
        schedule=section.schedule,
        disabled=section.disabled,
        uncompress=section.uncompress,
    )


def uploader_of(source: str, section: UploaderSection, metadata: dict[str, Any]) -> UploaderSpec:
    """An uploader that a manifest describes."""
    return UploaderSpec(
        name=section.name or source,
        source=source,
        section=section,
        target=class_target(section.custom_class),
        duplicates=section.duplicates,
        parallel=section.parallelizer is not None,
        metadata=metadata,
    )
