"""What every stage of the pipeline is given: folders, stores and the job manager. The hub makes one and hands it on."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hubkernel.store import DocumentStore, StateStore, open_store

if TYPE_CHECKING:
    from hubkernel.jobs.manager import JobManager


@dataclass
class PipelineContext:
    """Shared by all managers of one hub. Opens nothing before it is used."""

    root: Path
    """The hub's data folder; below it ``archive/`` (downloaded releases), ``plugins/`` and ``logs/``."""
    state: StateStore
    store_url: str
    """Url of the document store; what a worker process is given instead of :attr:`store`."""
    search_url: str
    """``embedded:///folder`` or the url of an Elasticsearch server."""
    jobs: JobManager
    plugin_folders: list[Path] = field(default_factory=list)
    """Folders whose sub-folders are plugins, besides :attr:`plugins`."""
    log_folder: Path | None = None
    """Unless given, ``logs`` below the root."""
    settings: Callable[[], Mapping[str, Any]] = dict
    """Called for each step that runs code of a plugin: what that may read of the hub's settings."""

    @cached_property
    def store(self) -> DocumentStore:
        return open_store(self.store_url)

    @property
    def archive(self) -> Path:
        return self.root / "archive"

    @property
    def plugins(self) -> Path:
        return self.root / "plugins"

    @property
    def logs(self) -> Path:
        return self.log_folder or self.root / "logs"

    def close(self) -> None:
        """Close what was opened here; the state store and the jobs belong to the hub."""
        store = self.__dict__.pop("store", None)
        if store is not None:
            store.close()
