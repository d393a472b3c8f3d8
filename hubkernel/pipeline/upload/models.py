"""What an upload needs to know, what it leaves in the hub's state, and what its workers are handed."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from hubkernel.store import Duplicate

Status = Literal["uploading", "success", "failed", "canceled"]


class Loaded(BaseModel):
    """What stands in the collection now: the last upload that succeeded, whatever happened since."""

    release: str | None
    data_folder: str
    count: int
    bytes: int
    uploaded_at: datetime


class Prepared(BaseModel):
    """What an upload comes to once its collection is in place. Written before that happens: after a hub died at the
    moment of the swap, this and the store tell what is true.
    """

    token: str
    """Of the writer of the collection."""
    at: datetime
    count: int
    received: int
    duplicates: int
    bytes: int
    added: int | None = None
    """Documents that the collection had not before; then those that have other content now, those that are gone, and
    those that are the same. None where it is not known."""
    changed: int | None = None
    removed: int | None = None
    unchanged: int | None = None
    master: dict[str, Any] | None = None
    """What ``src_master`` is to be, if that is a step of the upload."""


class UploadJob(BaseModel):
    """``src_dump.upload.jobs.<collection>``: the last upload of one collection."""

    status: Status
    step: str
    """The collection."""
    started_at: datetime
    release: str | None = None
    data_folder: str | None = None
    job: int | None = None
    """Id of the hub job."""
    pid: int | None = None
    """Of the hub, while it uploads."""
    time: str | None = None
    """As in ``1m2.0s``."""
    time_in_s: float | None = None
    count: int | None = None
    received: int | None = None
    duplicates: int | None = None
    added: int | None = None
    """As in :class:`Prepared`."""
    changed: int | None = None
    removed: int | None = None
    unchanged: int | None = None
    last_success: datetime | None = None
    err: str | None = None
    tb: str | None = None
    current: Loaded | None = None
    prepared: Prepared | None = None
    """While it is not known whether the collection was swapped."""


@dataclass(frozen=True, slots=True)
class Parse:
    """One part of an upload: the calls of the parser whose documents go to it, in this order."""

    store_url: str
    token: str
    part: int
    collection: str
    plugin_folder: str
    parser: str
    """``module:function``"""
    calls: tuple[tuple[Any, ...], ...]
    kwargs: dict[str, Any]
    data_folder: str
    parallel: bool = False
    """The calls come from a parallelizer, so that errors name their arguments."""


@dataclass(frozen=True, slots=True)
class Finish:
    """How to seal what was written, make it the collection and forget the oldest archives."""

    collection: str
    on_duplicates: Duplicate
    keep_archive: int
    parser: str
    """As shown in errors: the file of the parser."""


@dataclass(frozen=True, slots=True)
class Describe:
    """Ask the plugin for its mapping and for its parallel calls."""

    plugin_folder: str
    uploader: UploaderView
    mapping: str | None
    parallelizer: str | None


@dataclass(frozen=True)
class UploaderView:
    """What the functions of a plugin get as ``self`` or ``cls``."""

    name: str
    main_source: str
    data_folder: str
    release: str | None
    metadata: dict[str, Any] = field(default_factory=dict)

    @property
    def fullname(self) -> str:
        return self.name if self.name == self.main_source else f"{self.main_source}.{self.name}"

    @property
    def collection_name(self) -> str:
        return self.name

    @property
    def logger(self) -> logging.Logger:
        return logging.getLogger(f"hubkernel.upload.{self.name}")

    @property
    def __metadata__(self) -> dict[str, Any]:
        return {"src_meta": self.metadata}


def parser_file(folder: str | Path, target: str) -> str:
    """The file that ``module:function`` names, as shown in errors; the module if it is none of the plugin's."""
    module = target.partition(":")[0]
    file = Path(folder).joinpath(*module.split(".")).with_suffix(".py")
    return str(file) if file.is_file() else module
