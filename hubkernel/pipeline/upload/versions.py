"""The versions of a collection that the store still has, and the way back to one of them."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from difflib import get_close_matches
from typing import Any

from hubkernel.pipeline.upload.archives import archive_name, archives
from hubkernel.pipeline.upload.errors import NoSuchVersionError
from hubkernel.pipeline.upload.models import Loaded
from hubkernel.pipeline.upload.state import UploadState
from hubkernel.store import DocumentStore


class Versions:
    """Of one collection. Blocks while it asks the store."""

    def __init__(self, store: DocumentStore, state: UploadState, collection: str) -> None:
        self._store = store
        self._state = state
        self._collection = collection

    def list(self) -> list[dict[str, Any]]:
        """Newest first, the one in place before all: ``{"name", "live", "release", "count", "bytes", "uploaded_at"}``.
        Release and time are None for one that nobody remembers.
        """
        names = archives(self._store, self._collection)[::-1]
        live = [self._collection] if self._collection in self._store else []
        return [self._described(name) for name in [*live, *names]]

    def back(self, archive: str | None = None) -> dict[str, Any]:
        """Put an archive (the newest one unless it is named) in the place of the collection, which becomes an archive:
        in one step of the store, and then in the hub's state. Raises :class:`NoSuchVersionError`.

        Returns ``{"collection", "release", "count", "archive"}``; ``archive`` is the name of what stood there before.
        """
        chosen = self.choose(archive)
        version = self._version(chosen)
        there = self._collection in self._store
        kept = archive_name(self._collection) if there else None
        self._state.go_back(version)
        self._store.rename(chosen, self._collection, archive=kept)
        self._state.put_back(version, datetime.now(UTC))
        return {"collection": self._collection, "release": version.release, "count": version.count, "archive": kept}

    def choose(self, archive: str | None = None) -> str:
        """The name of the archive that is meant. Raises :class:`NoSuchVersionError`."""
        names = archives(self._store, self._collection)
        if not names:
            raise NoSuchVersionError(f"{self._collection} has no earlier version: none has been archived")
        if archive is None:
            return names[-1]
        if archive in names:
            return archive
        near = get_close_matches(archive, names, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(names)}"
        raise NoSuchVersionError(f"{self._collection} has no version {archive!r}: {hint}")

    def _version(self, name: str) -> Loaded:
        token, there = self._store.token(name), self._store[name]
        job = self._state.load()
        remembered = [*(job.get("history") or []), *([job["current"]] if job.get("current") else [])]
        for version in reversed(remembered):
            if token is not None and version.get("token") == token:
                return Loaded.model_validate(version)
        now = datetime.now(UTC)
        return Loaded(
            release=None, data_folder="", count=there.count(), bytes=there.size(), uploaded_at=now, token=token
        )

    def _described(self, name: str) -> dict[str, Any]:
        version = self._version(name)
        known = version.release is not None
        return {
            "name": name,
            "live": name == self._collection,
            "release": version.release,
            "count": version.count,
            "bytes": version.bytes,
            "uploaded_at": version.uploaded_at if known else None,
        }


async def go_back(versions: Versions, archive: str | None) -> dict[str, Any]:
    """:meth:`Versions.back` in a thread; once begun it is not given up halfway."""
    return await asyncio.shield(asyncio.to_thread(versions.back, archive))
