"""What an upload needs to know, what it leaves in the hub's state, and what its workers are handed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from hubkernel.pipeline.upload.storages import Rules

if TYPE_CHECKING:
    from hubkernel.pipeline.plugins.specs import UploaderSpec
    from hubkernel.pipeline.upload.origin import Origin

KEEP = timedelta(days=7)
"""So long what an interrupted upload has parsed is kept for the next one."""
Status = Literal["uploading", "success", "failed", "canceled"]
ROOT_KEYS = ("merger", "merger_kwargs", "mapper")
"""Keys of ``__metadata__`` in a manifest that steer builds: they stand beside ``src_meta`` in ``src_master``."""


class Loaded(BaseModel):
    """What stands in the collection now: the last upload that succeeded, whatever happened since."""

    release: str | None
    data_folder: str
    count: int
    bytes: int
    uploaded_at: datetime
    token: str | None = None
    """Of the writer that made it; by it the store tells which collection is this version, whatever its name."""
    made_of: str | None = None
    """Fingerprint of all that it was made of (:func:`hubkernel.pipeline.upload.resuming.fingerprint`)."""
    received: int | None = None
    duplicates: int | None = None


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
    rejected: int = 0
    too_large: int = 0
    bytes: int
    added: int | None = None
    """Documents that the collection had not before; then those that have other content now, those that are gone, and
    those that are the same. None where it is not known."""
    changed: int | None = None
    removed: int | None = None
    unchanged: int | None = None
    master: dict[str, Any] | None = None
    """What ``src_master`` is to be, if that is a step of the upload."""


class Unfinished(BaseModel):
    """``src_dump.upload.unfinished.<collection>``: the parts of an upload that are parsed while others are not."""

    token: str
    """Of the writer that has them."""
    made_of: str
    at: datetime
    parts: dict[str, str] = {}
    """By number what the worker of the part said, as JSON."""

    def is_old(self) -> bool:
        """It has waited for too long."""
        begun = self.at if self.at.tzinfo else self.at.replace(tzinfo=UTC)
        return datetime.now(UTC) - begun > KEEP


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
    rejected: int | None = None
    """Left out by ``check_doc_func``."""
    too_large: int | None = None
    """Left out for their size."""
    added: int | None = None
    """As in :class:`Prepared`."""
    changed: int | None = None
    removed: int | None = None
    unchanged: int | None = None
    last_success: datetime | None = None
    err: str | None = None
    tb: str | None = None
    current: Loaded | None = None
    made_of: str | None = None
    """As in :class:`Loaded`, of what is being uploaded."""
    history: list[Loaded] = []
    """Versions that were in place, oldest first; of some of them the store still has the documents."""
    rolled_back: dict[str, Any] | None = None
    """``{"at", "from"}`` if the current version was put back by ``upload_rollback``."""
    going_back: Loaded | None = None
    """While an earlier version is being put back: which."""
    prepared: Prepared | None = None
    """While it is not known whether the collection was swapped."""


@dataclass(frozen=True, slots=True)
class Parse:
    """One part of an upload: the calls of the parser whose documents go to it, in this order."""

    store_url: str
    token: str
    part: int
    origin: Origin
    calls: tuple[tuple[Any, ...], ...]
    parallel: bool = False
    """The calls come from a parallelizer, so that errors name their arguments."""
    limit: int | None = None
    """Stop after so many documents: for a preview."""
    batch_size: int = 0
    """Handed on to the plugin's own ``update_data``, if it has one."""

    @property
    def collection(self) -> str:
        return self.origin.spec.name


@dataclass(frozen=True, slots=True)
class Described:
    """What an uploader says of itself."""

    rules: Rules
    mapping: Mapping[str, Any] | None = None
    calls: tuple[tuple[Any, ...], ...] | None = None
    """Argument tuples of a parallel uploader, None for any other."""
    master: Mapping[str, Any] = field(default_factory=dict)
    """What it adds to its document in ``src_master``."""
    keep_archive: int | None = None
    max_parallel: int | None = None
    max_loss: float | None = None
    validates: bool = False
    """It wants its documents checked at each upload."""
    has_post: bool = False
    takes_options: bool = False
    """One of its own methods gets the options that the hub does not know."""


def described(spec: UploaderSpec) -> Described:
    """What a manifest says by itself, without its code."""
    return Described(Rules(spec.duplicates), master=master_of(spec.metadata), validates=spec.auto_validate)


def master_of(metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What the ``__metadata__`` of a manifest adds to ``src_master``."""
    own = {key: metadata[key] for key in ROOT_KEYS if key in metadata}
    return {**own, "src_meta": {key: value for key, value in metadata.items() if key not in ROOT_KEYS}}


def parser_file(folder: str | Path, target: str) -> str:
    """The file that ``module:function`` names, as shown in errors; the module if it is none of the plugin's."""
    module = target.partition(":")[0]
    file = Path(folder).joinpath(*module.split(".")).with_suffix(".py")
    return str(file) if file.is_file() else module
