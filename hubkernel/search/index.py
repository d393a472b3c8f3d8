"""One index: its documents (the truth, in SQLite) and the search files made from them.

Threading: writes and refreshes hold :attr:`Index.lock`; searches use the :class:`View` of the last refresh and wait for
nobody. A get reads the table and is always up to date.
"""

from __future__ import annotations

import logging
import shutil
import threading
import uuid
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson

from hubkernel.search.analysis import Analysis
from hubkernel.search.errors import ApiError, illegal, no_such_index
from hubkernel.search.files import SearchFiles, document
from hubkernel.search.flatten import Flat, Flattener
from hubkernel.search.mapping import Mapping
from hubkernel.search.table import DocumentTable, Row

log = logging.getLogger(__name__)

_SPILL_BYTES = 1_000_000
"""So much waits before the search files get it: enough for one call, little enough to keep their thread busy."""
_GROWING_BYTES = 16_000_000
"""The same while new fields appear: files that lack a field would have to be made again."""
_LONGEST_ID = 512


@dataclass(slots=True)
class Operation:
    """One write. ``action``: index, create, update, delete. ``source``: the JSON text (of the part, for an update)."""

    action: str
    id: str | None
    source: bytes = b""
    upsert: bytes | None = None
    if_seq_no: int | None = None
    detect_noop: bool = True


@dataclass(frozen=True, slots=True)
class View:
    """A point in time of the search files, with the mapping they were made for."""

    name: str
    mapping: Mapping
    settings: dict[str, Any]
    schema: Any
    searcher: Any
    generation: int = 0


class Index:
    """Lives in ``folder``: ``store.db`` and ``search-<n>/``. ``settings`` are the normalised ones."""

    def __init__(self, name: str, folder: Path, settings: dict[str, Any], mapping: dict[str, Any]) -> None:
        self.name = name
        self.folder = folder
        self.lock = threading.RLock()
        self._pins: Counter[int] = Counter()
        self._pinning = threading.Lock()
        self._retired: dict[int, set[int]] = {}
        self.closed = False
        analysis = Analysis(settings.get("analysis"))
        self.mapping = Mapping(mapping, analysis)
        self._flattener = Flattener(self.mapping)
        self.settings = settings
        folder.mkdir(parents=True, exist_ok=True)
        self.table = DocumentTable(folder / "store.db", compress=settings.get("codec") == "best_compression")
        self._pending: dict[int, Any] = {}
        self._pending_bytes = 0
        self._stale_files = False
        self._dirty = False
        self._generation = 0
        self._open_files()

    @classmethod
    def create(cls, name: str, folder: Path, settings: dict[str, Any], mapping: dict[str, Any]) -> Index:
        index = cls(name, folder, settings, mapping)
        with index.table.transaction():
            index.table.set_meta("settings", settings)
            index.table.set_meta("mapping", index.mapping.definition)
        return index

    @classmethod
    def open(cls, name: str, folder: Path) -> Index:
        if not (folder / "store.db").exists():
            raise FileNotFoundError(f"index {name}: {folder / 'store.db'} is missing")
        table = DocumentTable(folder / "store.db")
        settings, mapping = table.meta("settings"), table.meta("mapping")
        table.close()
        return cls(name, folder, settings, mapping)

    def close(self) -> None:
        with self.lock:
            self.closed = True
            self.files.close()
            self.table.close()

    # --- the search files

    def _open_files(self) -> None:
        """Open what the table says is current and replay what came later; rebuild if it does not fit."""
        self.seq = max(self.table.last_seq(), int(self.table.meta("searchable", 0)))
        current = self.table.meta("files")
        for folder in self.folder.glob("search-*"):
            if current is None or folder.name != current["folder"]:
                shutil.rmtree(folder, ignore_errors=True)
        self._recorded: str | None = None if current is None else current["folder"]
        signature = [list(each) for each in self.mapping.signature()]
        if current is None or current["signature"] != signature or not (self.folder / current["folder"]).exists():
            self._rebuild()
            return
        try:
            self.files = SearchFiles(self.folder / current["folder"], self.mapping)
        except ValueError as error:
            log.warning("index %s: the search files cannot be opened (%s); making them again", self.name, error)
            self._rebuild()
            return
        self._view()
        self._replay()

    def _replay(self) -> None:
        searchable = int(self.table.meta("searchable", 0))
        if self.seq > searchable or self.table.retired():
            self.files.delete_after(searchable)
            self._add_rows(searchable)
            self._commit()

    def _rebuild(self) -> None:
        """Make the search files again from the table, beside the old ones, and switch when they are complete."""
        self._stale_files = True
        self._pending.clear()
        self._pending_bytes = 0
        self._new_files()
        self._add_rows(0)
        self._commit()
        self._stale_files = False

    def _new_files(self) -> None:
        """Empty ones. The table names them from the next commit on."""
        old = self.__dict__.get("files")
        self.files = SearchFiles(self.folder / f"search-{uuid.uuid4().hex[:12]}", self.mapping)
        if old is not None:
            old.close()
            if old.folder.name != self._recorded:
                shutil.rmtree(old.folder, ignore_errors=True)

    def _add_rows(self, after: int) -> None:
        for row in self.table.live_after(after):
            self.files.add(document(row.seq, row.id, self._flattener.read(orjson.loads(row.source), row.id)))

    def _commit(self) -> None:
        retired = self.table.retired()
        self.files.delete(retired)
        self.files.commit()
        self._generation += 1
        self._view()
        self._retired[self._generation] = set(retired).difference(*self._retired.values())
        unneeded = self._unneeded()
        with self.table.transaction():
            self.table.set_meta("searchable", self.seq)
            if self.files.folder.name != self._recorded:
                self.table.set_meta("files", {"folder": self.files.folder.name, "signature": self.files.signature})
            self.table.purge([seq for generation in unneeded for seq in self._retired[generation]])
        for generation in unneeded:
            del self._retired[generation]
        if self._recorded not in (None, self.files.folder.name):
            shutil.rmtree(self.folder / str(self._recorded), ignore_errors=True)
        self._recorded = self.files.folder.name
        self._dirty = False

    def _view(self) -> None:
        files = self.files
        view = View(self.name, self.mapping, self.settings, files.schema, files.searcher, self._generation)
        with self._pinning:
            self.view = view

    def _unneeded(self) -> list[int]:
        """Generations whose retired rows no pinned view, all of them at least that new, can still show."""
        with self._pinning:
            oldest = min(self._pins, default=self._generation)
        return [generation for generation in self._retired if generation <= oldest]

    def pin(self) -> View:
        """The current view; the rows that it can show stay until :meth:`unpin`."""
        with self._pinning:
            self._pins[self.view.generation] += 1
            return self.view

    def unpin(self, view: View) -> None:
        with self._pinning:
            self._pins[view.generation] -= 1
            if not self._pins[view.generation]:
                del self._pins[view.generation]

    def refresh(self) -> None:
        """Make every write so far visible to searches."""
        with self.lock:
            self._alive()
            if self._dirty:
                self._spill()
            if self._stale_files:
                self._rebuild()
            elif self._dirty:
                self._commit()

    def _spill(self) -> None:
        """Hand what waits to the search files; it stays invisible. They are stale if they lack a field by now."""
        if not self._stale_files and self.files.signature != self.mapping.signature():
            if self.files.empty:
                self._new_files()
            else:
                self._stale_files = True
        if not self._stale_files:
            for waiting in self._pending.values():
                self.files.add(waiting)
        self._pending.clear()
        self._pending_bytes = 0

    def _alive(self) -> None:
        if self.closed:
            raise no_such_index(self.name)

    # --- writing

    def write(self, operations: list[Operation]) -> list[dict[str, Any] | ApiError]:
        """One result for each operation, in order; all of them are durable when this returns."""
        with self.lock:
            self._alive()
            seq, mapping, added = self.seq, self.mapping, len(self._pending)
            results: list[dict[str, Any] | ApiError] = []
            try:
                with self.table.transaction():
                    results.extend(map(self._attempt, operations))
                    if self.mapping is not mapping:
                        self.table.set_meta("mapping", self.mapping.definition)
            except BaseException:
                self._forget(seq, mapping, added)
                raise
            self._dirty = True
            if self._pending_bytes > (_SPILL_BYTES if self.mapping is mapping else _GROWING_BYTES):
                self._spill()
            return results

    def _forget(self, seq: int, mapping: Mapping, added: int) -> None:
        """The transaction was rolled back. What the failed writes dropped from the waiting ones is read again."""
        self.seq = seq
        self._pending.clear()
        self._set_mapping(mapping)
        self._stale_files = True
        log.warning("index %s: a write was rolled back (%d waiting); the search files are made again", self.name, added)

    def _attempt(self, operation: Operation) -> dict[str, Any] | ApiError:
        try:
            return self._apply(operation)
        except ApiError as error:
            return error

    def _apply(self, op: Operation) -> dict[str, Any]:
        id = op.id if op.id is not None else uuid.uuid4().hex[:20]
        if not id or len(id.encode()) > _LONGEST_ID:
            raise illegal(
                f"id [{id[:50]}] is empty or too long: {_LONGEST_ID} bytes at most, it has {len(id.encode())}"
            )
        found = self.table.latest(id)
        if op.if_seq_no is not None and (found is None or found[0] - 1 != op.if_seq_no):
            raise self._conflict(id, f"required seqNo [{op.if_seq_no}], current [{found[0] - 1 if found else -1}]")
        if op.action == "delete":
            return self._delete(id, found)
        if op.action == "create" and found:
            raise self._conflict(id, f"document already exists (current version [{found[1]}])")
        if op.action == "update":
            return self._update(op, id, found)
        return self._put(id, found, op.source)

    def _conflict(self, id: str, reason: str) -> ApiError:
        reason = f"[{id}]: version conflict, {reason}"
        return ApiError(409, "version_conflict_engine_exception", reason, index=self.name)

    def _delete(self, id: str, found: tuple[int, int] | None) -> dict[str, Any]:
        if found is None:
            return self._result(id, "not_found", 1, self.seq, 404)
        self._drop(found[0])
        return self._result(id, "deleted", found[1] + 1, self.seq, 200)

    def _update(self, op: Operation, id: str, found: tuple[int, int] | None) -> dict[str, Any]:
        if found is None:
            if op.upsert is None:
                raise ApiError(404, "document_missing_exception", f"[{id}]: document missing", index=self.name)
            return self._put(id, None, op.upsert)
        old = orjson.loads(self.table.latest_source(found[0]))
        new = _deep_merge(old, orjson.loads(op.source))
        if new == old and op.detect_noop:
            return self._result(id, "noop", found[1], found[0], 200)
        return self._put(id, found, orjson.dumps(new))

    def _put(self, id: str, found: tuple[int, int] | None, source: bytes) -> dict[str, Any]:
        flat = self._flatten(id, source)
        if found is not None:
            self._drop(found[0])
        self.seq += 1
        version = found[1] + 1 if found else 1
        self.table.insert(self.seq, id, version, source)
        if not self._stale_files:
            self._pending[self.seq] = document(self.seq, id, flat)
            self._pending_bytes += len(source)
        return self._result(id, "updated" if found else "created", version, self.seq, 200 if found else 201)

    def _drop(self, seq: int) -> None:
        self.table.retire(seq)
        self._pending.pop(seq, None)

    def _flatten(self, id: str, source: bytes) -> Flat:
        try:
            parsed = orjson.loads(source)
        except orjson.JSONDecodeError as error:
            raise ApiError(400, "document_parsing_exception", f"document with id '{id}' is no JSON: {error}") from error
        if not isinstance(parsed, dict):
            raise ApiError(400, "document_parsing_exception", f"document with id '{id}' is no JSON object")
        flat = self._flattener.read(parsed, id)
        while self._flattener.additions:
            grown = Flattener(self.mapping.grown(self._flattener.additions))
            flat = grown.read(parsed, id)
            self.mapping, self._flattener = grown.mapping, grown
        return flat

    def _result(self, id: str, result: str, version: int, seq: int, status: int) -> dict[str, Any]:
        return {
            "_index": self.name, "_id": id, "_version": version, "result": result,
            "_shards": {"total": 1, "successful": 1, "failed": 0}, "_seq_no": seq - 1, "_primary_term": 1,
            "status": status,
        }  # fmt: skip

    # --- mapping and settings

    def put_mapping(self, update: dict[str, Any]) -> None:
        with self.lock:
            self._alive()
            merged = self.mapping.merged(update)
            with self.table.transaction():
                self.table.set_meta("mapping", merged.definition)
            self._set_mapping(merged)
            if self.files.signature != merged.signature():
                self._rebuild()
            self._view()

    def _set_mapping(self, mapping: Mapping) -> None:
        self.mapping = mapping
        self._flattener = Flattener(mapping)
        self._dirty = True

    def put_settings(self, settings: dict[str, Any]) -> None:
        with self.lock:
            self._alive()
            with self.table.transaction():
                self.table.set_meta("settings", settings)
            self.settings = settings
            self._view()

    # --- reading

    def get(self, id: str) -> Row | None:
        return self.table.get(id)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())


def _deep_merge(old: Any, new: Any) -> Any:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return new
    return {**old, **{key: _deep_merge(old.get(key), value) for key, value in new.items()}}
