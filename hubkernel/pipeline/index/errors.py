"""Why an index could not be made or searched. Messages say what to do; a served index is never harmed by a failure."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class SearchError(Exception):
    """Base of all errors here; also a query that cannot be run."""


class _UnknownNameError(SearchError, KeyError):
    what = "name"

    def __init__(self, name: str, known: Iterable[str]) -> None:
        names = sorted(known)
        near = get_close_matches(name, names, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(names[:10]) or 'none'}"
        super().__init__(f"there is no {self.what} {name!r}; {hint}")
        self.name = name

    def __str__(self) -> str:
        return str(self.args[0])


class NoSuchEnvironmentError(_UnknownNameError):
    """``indexer_env`` is none of the configured ones."""

    what = "index environment"


class NoSuchBuildError(_UnknownNameError):
    """Neither a build nor a collection has that name."""

    what = "build or collection"


class NoSuchIndexError(_UnknownNameError):
    """No environment has an index of that name."""

    what = "index"


class IndexBusyError(SearchError):
    """The same index is being made by another job."""


class IndexingError(SearchError):
    """Documents could not be indexed, or a count does not add up. ``ids`` has examples, ``count`` says how many."""

    def __init__(self, message: str, *, ids: Iterable[str] = (), count: int = 0) -> None:
        super().__init__(message)
        self.ids = tuple(ids)
        self.count = count
