"""Uploads that need not parse: what is in place already, and the parts of an upload that was interrupted.

Both rest on a *fingerprint* of all that an upload is made of: the release and the files of its folder, the code of the
plugin, what its uploader says of itself, the calls of its parser. Who parses something else than the files of a release
(a class may ask other collections, or the network) is always parsed anew.
"""

from __future__ import annotations

import contextlib
import json
import logging
import platform
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from hashlib import blake2b
from pathlib import Path
from typing import Any

import hubkernel
from hubkernel.pipeline.upload.intake import Marks, PartReport
from hubkernel.pipeline.upload.models import Described, Loaded, Unfinished
from hubkernel.pipeline.upload.options import Options
from hubkernel.pipeline.upload.origin import Origin
from hubkernel.pipeline.upload.state import UploadState, unfinished_tokens
from hubkernel.store import CollectionWriter, DocumentStore, StateStore, StoreError

logger = logging.getLogger(__name__)

_LARGE = 1 << 20
"""A part of which more than this has to be remembered is parsed again."""


def fingerprint(origin: Origin, answer: Described, options: Options) -> str | None:
    """Equal for uploads of which the same documents come; None if that cannot be known."""
    if origin.spec.target is not None or origin.keylookup is not None or options.limit is not None or options.more:
        return None
    what = [
        (hubkernel.__version__, platform.python_version(), origin.release, origin.data_folder),
        (origin.spec, answer.rules, answer.calls, options.batch_size),
        list(_files(Path(origin.data_folder), content=False)),
        list(_files(Path(origin.plugin_folder), content=True)),
    ]
    return blake2b(repr(what).encode(), digest_size=16).hexdigest()


def _files(folder: Path, *, content: bool) -> Iterator[tuple[object, ...]]:
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if not path.is_file() or "__pycache__" in name.parts or ".git" in name.parts:
            continue
        facts = path.stat()
        yield str(name), facts.st_size, _hash(path) if content else facts.st_mtime_ns


def _hash(path: Path) -> str:
    found = blake2b(digest_size=16)
    with path.open("rb") as stream:
        while chunk := stream.read(1 << 20):
            found.update(chunk)
    return found.hexdigest()


def in_place(store: DocumentStore, collection: str, current: Loaded | None, made_of: str | None) -> bool:
    """Whether the collection is what an upload of that fingerprint would make it."""
    if current is None or made_of is None or current.made_of != made_of or current.token is None:
        return False
    return store.token(collection) == current.token


class Progress:
    """What is parsed of an upload that may be interrupted. Off unless there is a fingerprint and more than one part."""

    def __init__(self, state: UploadState, states: StateStore, store: DocumentStore, collection: str) -> None:
        self._state = state
        self._states = states
        self._store = store
        self._collection = collection
        self._kept: Unfinished | None = None
        self.done: dict[int, PartReport] = {}
        """The parts that are not parsed again."""

    def open(self, made_of: str | None, parts: int, base: str | None) -> CollectionWriter:
        """The writer of an interrupted upload, or a new one. What is of no use any more is dropped."""
        if made_of is None or parts < 2:
            self._forget()
            return self._store.writer(base)
        before = self._state.unfinished()
        if before is not None and before.made_of == made_of and not before.is_old():
            with contextlib.suppress(StoreError):
                reports = {int(number): _report(text) for number, text in before.parts.items()}
                writer = self._store.resume(before.token, base, parts=reports)
                self.done = {number: reports[number] for number in writer.finished()}
                self._kept = before
                return writer
        self._forget()
        writer = self._store.writer(base)
        self._kept = Unfinished(token=writer.token, made_of=made_of, at=datetime.now(UTC))
        return writer

    def finished(self, number: int, report: PartReport) -> None:
        """A part is parsed."""
        text = json.dumps(asdict(report))
        if self._kept is not None and len(text) < _LARGE:
            self._kept.parts[str(number)] = text
            self._state.save_unfinished(self._kept)

    def interrupted(self, writer: CollectionWriter) -> None:
        """Keep what is parsed for the next upload, if anything is."""
        if self._kept is None or not self._kept.parts:
            writer.abort()
            return
        writer.leave()

    def end(self) -> None:
        """There is nothing to go on with."""
        self._kept = None
        if self._state.unfinished() is not None:
            self._state.save_unfinished(None)

    def _forget(self) -> None:
        if self._state.unfinished() is not None:
            self._state.save_unfinished(None)
            self._store.sweep(keep=unfinished_tokens(self._states))


def _report(text: str) -> PartReport:
    found: dict[str, Any] = json.loads(text)
    return PartReport(**{**found, "marks": Marks(**found["marks"])})
