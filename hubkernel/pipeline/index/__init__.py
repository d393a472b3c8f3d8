"""Index: the documents of a build become a searchable index, on an embedded engine or an Elasticsearch server."""

from hubkernel.pipeline.index.errors import (
    IndexBusyError,
    IndexingError,
    NoSuchBuildError,
    NoSuchEnvironmentError,
    NoSuchIndexError,
    SearchError,
)
from hubkernel.pipeline.index.manager import IndexManager

__all__ = [
    "IndexBusyError",
    "IndexManager",
    "IndexingError",
    "NoSuchBuildError",
    "NoSuchEnvironmentError",
    "NoSuchIndexError",
    "SearchError",
]
