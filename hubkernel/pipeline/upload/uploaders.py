"""The uploaders: classes that turn the files of a release into documents of one collection. Plugins derive from them.

An uploader lives in a worker, never in the hub.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Any

from hubkernel.pipeline.upload.storages import (
    BasicStorage,
    IgnoreDuplicatedStorage,
    MergerStorage,
    NoBatchIgnoreDuplicatedStorage,
)


class BaseSourceUploader:
    """Set :attr:`name` and override :meth:`load_data`."""

    name: str | None = None
    """Of the collection."""
    main_source: str | None = None
    """Name of the source; that of the collection unless it is given."""
    regex_name: str | None = None
    storage_class: type[BasicStorage] | tuple[type[BasicStorage], ...] = BasicStorage
    keep_archive = 10
    auto_validate = False
    MAX_PARALLEL_UPLOAD: int | None = None
    __metadata__: dict[str, Any] = {}

    def __init__(self, db_conn_info: Any = None, collection_name: str | None = None, **kwargs: Any) -> None:
        self.db_conn_info = db_conn_info
        self.collection_name = collection_name or self.name
        self.main_source = self.main_source or self.name
        self.logger = logging.getLogger(f"hubkernel.upload.{self.name}")
        self.data_folder: str | None = None
        """Folder of the release."""
        self.release: str | None = None

    @classmethod
    def create(cls, db_conn_info: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Called in a worker to make the uploader (or a list of them)."""
        return cls(db_conn_info, *args, **kwargs)

    @property
    def fullname(self) -> str:
        return str(self.name) if self.main_source in (None, self.name) else f"{self.main_source}.{self.name}"

    @classmethod
    def get_mapping(cls) -> dict[str, Any]:
        """Called in a worker at each upload: the Elasticsearch ``properties`` of the documents."""
        return {}

    def load_data(self, data_path: str) -> Any:
        """Called in a worker with the folder of the release: documents, best as a generator."""
        raise NotImplementedError(f"{type(self).__name__} has no load_data")

    def post_update_data(self, steps: Iterable[str] = (), force: bool = False, **kwargs: Any) -> None:
        """Called in a worker once the new collection is in place."""


class NoBatchIgnoreDuplicatedSourceUploader(BaseSourceUploader):
    storage_class = NoBatchIgnoreDuplicatedStorage


class IgnoreDuplicatedSourceUploader(BaseSourceUploader):
    storage_class = IgnoreDuplicatedStorage


class MergerSourceUploader(BaseSourceUploader):
    storage_class = MergerStorage


class DummySourceUploader(BaseSourceUploader):
    """Its documents are there already: only its master document is written, for the ``release`` given to ``upload``."""


class NoDataSourceUploader(BaseSourceUploader):
    """Has no documents, only a mapping or metadata."""


class ParallelizedSourceUploader(BaseSourceUploader):
    """Override :meth:`jobs`."""

    def jobs(self) -> list[tuple[Any, ...]]:
        """Called in a worker: the argument tuples, each for one call of :meth:`load_data`, made in parallel."""
        raise NotImplementedError(f"{type(self).__name__} has no jobs")
