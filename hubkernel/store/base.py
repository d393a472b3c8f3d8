"""The two interfaces of a store, and how one is opened by url.

*Documents* (:class:`DocumentStore`): big collections that are written once, as a whole, and then read. A collection is
written under cover by a :class:`CollectionWriter` (from several processes if need be) and becomes visible in one atomic
step. *State* (:class:`StateStore`): the hub's own small documents (sources, builds, jobs, ...), changed one at a time,
each change durable before the call returns.

A document is a ``dict`` with a string ``_id``. Encoded, it is BSON with ``_id`` as its first element: its *canonical
bytes*. Beside it stands a 16-byte BLAKE2b hash of these bytes, so that comparing collections touches no document.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

Document = dict[str, Any]
Filter = Mapping[str, Any]
Projection = Mapping[str, int] | Sequence[str]
Sort = Sequence[tuple[str, int]]
Fold = Callable[[list[Document]], Document]
"""Folds all documents of one ``_id``, in the order in which they were written, into one. Called while sealing."""


class Duplicate(StrEnum):
    """What happens to documents that share an ``_id``. The outcome depends on the order of the documents alone
    (part number, then order within the part), never on batch size, number of workers or backend.
    """

    ERROR = "error"
    IGNORE = "ignore"
    """The first one stays."""
    LAST = "last"
    """The last one stays."""
    MERGE = "merge"
    """All are folded into one."""


@dataclass(frozen=True, slots=True)
class WriteReport:
    """What :meth:`CollectionWriter.seal` made of what was written."""

    received: int
    """Documents handed to the parts."""
    documents: int
    """Documents in the sealed collection."""
    duplicates: int
    """Documents that shared an ``_id`` with an earlier one: ``received - documents``."""
    bytes: int
    """Total size of the documents' BSON."""
    added: int | None = None
    """Compared with the base of the writer (None without one): documents whose ``_id`` it has not ..."""
    changed: int | None = None
    """... those that it has with other content ..."""
    removed: int | None = None
    """... its documents that are gone ..."""
    unchanged: int | None = None
    """... and those that are the same, byte by byte. They are not written again."""
    same: bool = False
    """Nothing differs from the base: :meth:`CollectionWriter.commit` leaves it where it is."""
    token: str = ""
    """What :meth:`DocumentStore.token` says once this is committed: the writer's, or its base's if that stays."""

    @property
    def differences(self) -> dict[str, int | None]:
        """``{"added", "changed", "removed", "unchanged"}``"""
        return {what: getattr(self, what) for what in ("added", "changed", "removed", "unchanged")}


class PartWriter(ABC):
    """Appends documents to one part of a new collection; one part belongs to one process or thread.

    Usable as a context manager: leaving it without an error flushes, leaving it with one discards what is not flushed.
    """

    @abstractmethod
    def write(self, documents: Iterable[Mapping[str, Any]]) -> int:
        """Validate, encode and append; returns how many. Streams: holds no more than one small batch.

        Raises :class:`InvalidDocumentError` or :class:`DocumentTooLargeError` with the position of the bad document,
        and :class:`StoreFullError`.
        """

    @abstractmethod
    def write_encoded(self, rows: Iterable[tuple[str, bytes]]) -> int:
        """Append ``(id, canonical bytes)`` rows as they are: for documents that come out of a store unchanged."""

    @abstractmethod
    def flush(self) -> None:
        """Make all rows so far durable. They stay invisible until the collection is committed."""

    @abstractmethod
    def close(self) -> None: ...

    def __enter__(self) -> PartWriter:
        return self

    @abstractmethod
    def __exit__(self, kind: object, error: object, trace: object) -> None: ...


class CollectionWriter(ABC):
    """A new collection in the making: parts, then :meth:`seal`, then :meth:`commit`; or :meth:`abort`.

    Another process joins with ``store.join(token).part(n)``. What is never committed (an error, a ``kill -9``) is never
    seen and is removed by :meth:`DocumentStore.sweep`.
    """

    token: str
    """Small, picklable; names this writer in ``store.join(token)``."""

    @abstractmethod
    def part(self, number: int = 0) -> PartWriter: ...

    @abstractmethod
    def seal(
        self,
        on_duplicate: Duplicate = Duplicate.ERROR,
        *,
        fold: Fold | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> WriteReport:
        """All parts are closed: sort by ``_id``, settle duplicates, write hashes. ``fold`` is needed for ``MERGE``.

        ``progress(done, total)`` is called from this thread now and then and may raise to stop.
        Raises :class:`DuplicateIdError`; the writer can then only be aborted.
        """

    @abstractmethod
    def commit(self, name: str, *, archive: str | None = None) -> None:
        """Make the sealed collection visible as ``name``, in one atomic and durable step.

        An existing ``name`` is renamed to ``archive`` in the same step, or dropped if ``archive`` is None. If sealing
        found that nothing differs from the base (:attr:`WriteReport.same`), the base stays what it is, with its token,
        and nothing becomes an archive. Raises :class:`StoreError` if it is not called ``name`` any more.
        """

    @abstractmethod
    def finished(self) -> dict[int, int]:
        """The parts that were closed, and how many documents each has."""

    @abstractmethod
    def leave(self) -> None:
        """Let go of what is written so far without dropping it, for :meth:`DocumentStore.resume`."""

    @abstractmethod
    def abort(self) -> None:
        """Drop everything written. Safe to call twice, and after a commit (then it does nothing)."""


class Collection(ABC):
    """A committed, read-mostly collection."""

    name: str

    @abstractmethod
    def count(self, filter: Filter | None = None) -> int: ...

    @abstractmethod
    def get(self, id: str) -> Document | None: ...

    @abstractmethod
    def get_many(self, ids: Iterable[str]) -> Iterator[Document]:
        """The documents that exist, in the order of ``ids``."""

    @abstractmethod
    def find(
        self,
        filter: Filter | None = None,
        projection: Projection | None = None,
        *,
        sort: Sort | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> Iterator[Document]:
        """Documents that match, in ``_id`` order unless ``sort`` is given. Flat memory without ``sort``.

        Raises :class:`UnsupportedQueryError` for an operator outside the subset (docs/users/queries.md).
        """

    @abstractmethod
    def scan(self, start: str | None = None, stop: str | None = None) -> Iterator[tuple[str, bytes]]:
        """``(id, canonical bytes)`` for ``start <= id < stop`` in ``_id`` order (by UTF-8 bytes). Flat memory."""

    @abstractmethod
    def hashes(self, start: str | None = None, stop: str | None = None) -> Iterator[tuple[str, bytes]]:
        """``(id, 16-byte hash)`` in the same order, without reading any document."""

    @abstractmethod
    def split(self, parts: int) -> list[tuple[str | None, str | None]]:
        """Up to ``parts`` adjoining id ranges ``[start, stop)`` of about equal size that cover the whole collection."""

    @abstractmethod
    def size(self) -> int:
        """Bytes on disk."""

    @abstractmethod
    def create_index(self, field: str, *, progress: Callable[[], None] | None = None) -> None:
        """Let :meth:`find` and :meth:`count` look up equality and ``$in`` on a (dotted) field instead of reading every
        document. One that is there already is no error. A collection that replaces this one gets the same indexes
        before it is committed. ``progress()`` is called now and then and may raise to stop. Raises ``ValueError`` for
        what is no field.
        """

    @abstractmethod
    def indexes(self) -> list[str]:
        """The fields that have an index, in order. ``_id`` always has one and is not among them."""

    @abstractmethod
    def drop_index(self, field: str) -> None:
        """One that does not exist is no error."""


def check_field(field: str) -> bool:
    """Whether an index of the field is to be made: not of ``_id``. Raises ``ValueError`` for what is no field."""
    parts = field.split(".") if isinstance(field, str) else [""]
    if any(not part or part.startswith("$") or "\0" in part for part in parts):
        raise ValueError(f"{field!r} is no field: give a name, or names with dots between them")
    return field != "_id"


class DocumentStore(ABC):
    """Collections by name. Safe to use from several threads and processes; open one per process by :attr:`url`."""

    url: str

    @abstractmethod
    def names(self) -> list[str]: ...

    @abstractmethod
    def collection(self, name: str) -> Collection:
        """Raises :class:`NoSuchCollectionError`, naming the nearest name there is."""

    def __getitem__(self, name: str) -> Collection:
        return self.collection(name)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    @abstractmethod
    def token(self, name: str) -> str | None:
        """That of the writer whose commit made what is called ``name`` now; None if nothing is. Tells after a crash
        whether a commit has happened.
        """

    @abstractmethod
    def writer(self, base: str | None = None) -> CollectionWriter:
        """A writer of a new collection. ``base`` names the collection that it is to replace: documents that this has
        already are not written again, and the report of sealing counts the differences. What comes of it is the same
        with and without a base. One that does not exist is like an empty one. Raises ``ValueError`` if it is committed
        under another name.
        """

    @abstractmethod
    def join(self, token: str) -> CollectionWriter:
        """The writer of that token, seen from another process: only :meth:`CollectionWriter.part` may be used."""

    @abstractmethod
    def resume(self, token: str, base: str | None = None, *, parts: Container[int] | None = None) -> CollectionWriter:
        """Go on with a writer that was left, or whose process died. Parts that were closed are as they were
        (:meth:`CollectionWriter.finished`), of these only ``parts`` if that is given; what other parts wrote is
        dropped. ``base`` as it was.

        Raises :class:`StoreError` if that cannot be: it lives, has ended, was being sealed, or its base was replaced.
        """

    @abstractmethod
    def rename(self, old: str, new: str, *, replace: bool = False, archive: str | None = None) -> None:
        """Atomic. An existing ``new`` is dropped if ``replace`` is true, or renamed to ``archive`` if that is given;
        otherwise it raises :class:`CollectionExistsError`.
        """

    @abstractmethod
    def drop(self, name: str) -> None:
        """Drop a collection; one that does not exist is no error."""

    @abstractmethod
    def sweep(self, keep: Container[str] = ()) -> list[str]:
        """Remove what dead writers left behind, except for the tokens ``keep``; returns their tokens. Never touches a
        living writer or a collection.
        """

    @abstractmethod
    def close(self) -> None: ...


class StateCollection(ABC):
    """One kind of hub state, in MongoDB's dialect: the documented subset, the same results on every backend.

    Filters: equality, dotted paths, ``$eq $ne $gt $gte $lt $lte $in $nin $exists $and $or $nor $not $regex $size $all
    $elemMatch``. Updates: ``$set $unset $inc $push $addToSet $pull $setOnInsert``. Anything else raises
    :class:`UnsupportedQueryError`. ``_id`` is a string or an int. Every write is durable when the call returns.
    """

    name: str

    @abstractmethod
    def find(
        self,
        filter: Filter | None = None,
        projection: Projection | None = None,
        *,
        sort: Sort | None = None,
        skip: int = 0,
        limit: int = 0,
    ) -> list[Document]: ...

    @abstractmethod
    def find_one(
        self, filter: Filter | None = None, projection: Projection | None = None, *, sort: Sort | None = None
    ) -> Document | None: ...

    @abstractmethod
    def count(self, filter: Filter | None = None) -> int: ...

    @abstractmethod
    def insert_one(self, document: Mapping[str, Any]) -> None:
        """Raises :class:`DuplicateIdError`."""

    @abstractmethod
    def replace_one(self, filter: Filter, document: Mapping[str, Any], *, upsert: bool = False) -> int:
        """Returns how many were replaced or inserted (0 or 1)."""

    @abstractmethod
    def update_one(self, filter: Filter, update: Mapping[str, Any], *, upsert: bool = False) -> int: ...

    @abstractmethod
    def update_many(self, filter: Filter, update: Mapping[str, Any]) -> int: ...

    @abstractmethod
    def delete_one(self, filter: Filter) -> int: ...

    @abstractmethod
    def delete_many(self, filter: Filter) -> int: ...

    @abstractmethod
    def next_id(self) -> int:
        """A new integer id, greater than every one given out before, also across restarts. The first is 1."""


OnChange = Callable[[str, str, Any, Document | None], None]
"""``(collection, operation, _id or None, document or None)``; called after the commit, once a change, by the writing
thread. ``operation`` is one of ``insert update replace delete``; ``_id`` is None where several documents may have
changed."""


class StateStore(ABC):
    """The hub's state. ``on_change`` may be assigned by the hub; an error in it is logged and never fails the write."""

    url: str
    on_change: OnChange | None = None

    @abstractmethod
    def collection(self, name: str) -> StateCollection: ...

    def __getitem__(self, name: str) -> StateCollection:
        return self.collection(name)

    @abstractmethod
    def names(self) -> list[str]: ...

    @abstractmethod
    def close(self) -> None: ...
