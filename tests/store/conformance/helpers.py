"""Shared by the tests of this folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any

from hubkernel.store import Collection, DocumentStore, Duplicate, WriteReport

AWKWARD_IDS = ["0", "A", "B", "a", "a\0b", "a.b", "aa", "b", "é", "z", "\x7f", "\u07ff", "\uffff", "😀", "10", "9"]
"""Ids whose orders differ by locale, by UTF-16 and by UTF-8 bytes."""


def load(
    store: DocumentStore,
    name: str,
    documents: Iterable[Mapping[str, Any]],
    policy: Duplicate = Duplicate.ERROR,
    **commit: Any,
) -> WriteReport:
    """Write a collection in one part and commit it."""
    writer = store.writer()
    with writer.part() as part:
        part.write(documents)
    report = writer.seal(policy)
    writer.commit(name, **commit)
    return report


def numbered(count: int) -> list[dict[str, Any]]:
    return [{"_id": f"n{number:06}", "n": number} for number in range(count)]


def naive(*moment: int) -> datetime:
    """A datetime as stores return it: UTC, without saying so."""
    return datetime(*moment, tzinfo=UTC).replace(tzinfo=None)  # type: ignore[misc,arg-type]


def ids(collection: Collection, **query: Any) -> list[str]:
    return [document["_id"] for document in collection.find(**query)]
