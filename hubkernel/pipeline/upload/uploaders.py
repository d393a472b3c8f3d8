"""The uploaders: classes that turn the files of a release into documents of one collection. Plugins derive from them.

An uploader lives in a worker, never in the hub.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hubkernel.pipeline.upload.errors import UploadError
from hubkernel.pipeline.upload.storages import (
    BasicStorage,
    IgnoreDuplicatedStorage,
    MergerStorage,
    NoBatchIgnoreDuplicatedStorage,
    NoStorage,
)

DEFAULT_BATCH = 10_000


class BaseSourceUploader:
    """Set :attr:`name` and override :meth:`load_data`."""

    name: str | None = None
    """Of the collection."""
    main_source: str | None = None
    """Name of the source; that of the collection unless it is given."""
    regex_name: str | None = None
    """Pattern for the names of all collections over which the source is spread; builds know the source by it."""
    storage_class: type[BasicStorage] | tuple[type[BasicStorage], ...] = BasicStorage
    keep_archive = 10
    """Earlier versions to keep."""
    auto_validate = False
    """Check all documents against the model of the collection before they are put in place."""
    max_loss: float | None = None
    """Per cent of its documents that a collection may lose with a new release; None leaves it to the hub, 0 allows any
    loss."""
    __metadata__: dict[str, Any] = {}
    """Merged into the collection's document in ``src_master``; by convention ``{"src_meta": {...}}``."""

    def __init__(
        self, db_conn_info: Any = None, collection_name: str | None = None, log_folder: Any = None, **kwargs: Any
    ) -> None:
        self.db_conn_info = db_conn_info
        """Url of the document store."""
        self.collection_name = collection_name or self.name
        self.main_source = self.main_source or self.name
        self.log_folder = log_folder
        self.logger = logging.getLogger(f"hubkernel.upload.{self.name}")
        self.data_folder: str = ""
        """Folder of the release."""
        self.release: str | None = None
        self.src_doc: dict[str, Any] = {}
        """The source's document in ``src_dump``."""
        self.timestamp = datetime.now(UTC)
        self.validation_dir: Path | None = None
        self.write: Callable[[], int] | None = None
        """Set while the data step runs: stores what :meth:`load_data` gives, returns how many documents."""

    @classmethod
    def create(cls, db_conn_info: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Called in a worker to make the uploader. May return a list of them, with names of their own."""
        return cls(db_conn_info, *args, **kwargs)

    @property
    def fullname(self) -> str:
        return str(self.name) if self.main_source in (None, self.name) else f"{self.main_source}.{self.name}"

    @property
    def db(self) -> Any:
        """The collections of all sources, as a database of pymongo would give them, to read."""
        from hubkernel.pipeline.facade import open_source_db

        return open_source_db(str(self.db_conn_info))

    @property
    def collection(self) -> Any:
        """The collection as it stands: the earlier version until the new one is in place."""
        return self.db[str(self.collection_name)]

    @classmethod
    def get_mapping(cls) -> dict[str, Any]:
        """Called in a worker at each upload: the Elasticsearch ``properties`` of the documents."""
        return {}

    def load_data(self, data_path: str) -> Any:
        """Called in a worker with the folder of the release: documents, best as a generator."""
        raise NotImplementedError(f"{type(self).__name__} has no load_data")

    def post_update_data(
        self,
        steps: Iterable[str] = (),
        force: bool = False,
        batch_size: int = DEFAULT_BATCH,
        job_manager: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Called in a worker once the new collection is in place, with the options of ``upload``."""

    async def update_data(self, batch_size: int = DEFAULT_BATCH, job_manager: Any = None, **kwargs: Any) -> int:
        """Called in a worker for the data step: stores what :meth:`load_data` gives. Who overrides it does something
        before or after, and calls it; the swap comes later, in the hub. Returns how many documents.
        """
        if self.write is None:
            raise UploadError(f"{type(self).__name__}.update_data is called by the hub, in the data step of an upload")
        return self.write()

    async def load(
        self,
        steps: Iterable[str] = ("data",),
        force: bool = False,
        batch_size: int = DEFAULT_BATCH,
        job_manager: Any = None,
        **kwargs: Any,
    ) -> int:
        """As :meth:`update_data`, which it calls: the other steps are the hub's."""
        return await self.update_data(batch_size, job_manager, **kwargs)


class NoBatchIgnoreDuplicatedSourceUploader(BaseSourceUploader):
    """Of documents that share an ``_id`` the first one stays."""

    storage_class = NoBatchIgnoreDuplicatedStorage


class IgnoreDuplicatedSourceUploader(BaseSourceUploader):
    """Of documents that share an ``_id`` the first one stays."""

    storage_class = IgnoreDuplicatedStorage


class MergerSourceUploader(BaseSourceUploader):
    """Documents that share an ``_id`` become one."""

    storage_class = MergerStorage


class DummySourceUploader(BaseSourceUploader):
    """Its documents are there already: only its master document is written, for the ``release`` given to ``upload``."""


class NoDataSourceUploader(BaseSourceUploader):
    """Has no documents, only a mapping or metadata."""

    storage_class = NoStorage


class ParallelizedSourceUploader(BaseSourceUploader):
    """Override :meth:`jobs`."""

    MAX_PARALLEL_UPLOAD: int | None = None
    """Calls of :meth:`load_data` that run at once; None: as many as there are workers."""

    def jobs(self) -> list[tuple[Any, ...]]:
        """Called in a worker: the argument tuples, each for one call of :meth:`load_data`, made in parallel."""
        raise NotImplementedError(f"{type(self).__name__} has no jobs")
