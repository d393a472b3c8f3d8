"""Backup and restore of the hub's state: one file of JSON lines, complete or not there at all.

The first line is ``{"hubkernel_backup": 1, "created": ...}``; then comes one line a document, ``{"collection",
"document"}``, in MongoDB's extended JSON; the last line is ``{"end": {collection: number}}``, without which the file is
torn.
"""

from __future__ import annotations

import json
import os
import secrets
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Any

from hubkernel.hub.private import sync_folder
from hubkernel.store import StateStore

FORMAT = 1
LEFT_OUT = {"job", "trigger"}
"""The journal of jobs counts this hub's own jobs, the one that restores among them, and triggers name these jobs; both
are neither saved nor changed."""


class BackupError(ValueError):
    """A backup cannot be read; nothing was restored."""


def backup(state: StateStore, folder: str | os.PathLike[str] = ".", archive: str | None = None) -> str:
    """Write all collections of the hub's state to ``archive`` in ``folder``; returns the file's path.

    The name is ``hub_backup_<date>_<random>.jsonl`` unless given. A file of that name is replaced at the end only.
    """
    target = Path(folder).expanduser() / (
        archive or f"hub_backup_{time.strftime('%Y%m%d')}_{secrets.token_hex(4)}.jsonl"
    )
    if not target.parent.is_dir():
        raise NotADirectoryError(f"no folder {target.parent} to write the backup to")
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=target.parent, suffix=".part", delete=False) as file:
        try:
            _write(state, file)
            file.flush()
            os.fsync(file.fileno())
            Path(file.name).replace(target)
            sync_folder(target.parent)
        except BaseException:
            Path(file.name).unlink(missing_ok=True)
            raise
    return str(target.absolute())


def _write(state: StateStore, file: IO[str]) -> None:
    from bson import json_util

    counts: dict[str, int] = {}
    file.write(json.dumps({"hubkernel_backup": FORMAT, "created": time.time()}) + "\n")
    for name in sorted(set(state.names()) - LEFT_OUT):
        documents = state.collection(name).find()
        counts[name] = len(documents)
        for document in documents:
            file.write(json_util.dumps({"collection": name, "document": document}) + "\n")
    file.write(json.dumps({"end": counts}) + "\n")


def restore(state: StateStore, archive: str | os.PathLike[str], drop: bool = False) -> dict[str, int]:
    """Put the documents of a backup back; returns their number by collection. With ``drop``, documents that the backup
    does not have are removed, after all others are in place: a restore that is cut off lost nothing and can be run
    again. The file is checked to its end first; raises :class:`BackupError` naming its bad line.
    """
    path = Path(archive).expanduser()
    counts = dict.fromkeys(_check(path), 0)
    kept: dict[str, list[Any]] = {name: [] for name in counts}
    for name, document in _documents(path):
        state.collection(name).replace_one({"_id": document["_id"]}, document, upsert=True)
        kept[name].append(document["_id"])
        counts[name] += 1
    if drop:
        for name in {*state.names(), *kept} - LEFT_OUT:
            state.collection(name).delete_many({"_id": {"$nin": kept.get(name, [])}})
    return counts


def _check(path: Path) -> dict[str, int]:
    """Read to the end; the numbers of the last line."""
    if not path.is_file():
        raise FileNotFoundError(f"no backup {path}")
    counts: dict[str, int] = {}
    end: dict[str, int] | None = None
    for _, entry in _entries(path):
        end = entry.get("end")
        if name := entry.get("collection"):
            counts[name] = counts.get(name, 0) + 1
    if end is None:
        raise BackupError(f"{path} is torn: its last line is not the end of a backup")
    if {name: number for name, number in end.items() if number} != counts:
        raise BackupError(f"{path} is torn: it holds {counts}, but should hold {end}")
    return end


def _documents(path: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    for _, entry in _entries(path):
        if "document" in entry:
            yield entry["collection"], entry["document"]


def _entries(path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
    """Every line after the first, checked, with its number."""
    with path.open(encoding="utf-8") as file:
        first = file.readline()
        if not first or _parsed(path, 1, first).get("hubkernel_backup") != FORMAT:
            raise BackupError(f"{path}, line 1: not a backup of a hub (format {FORMAT})")
        for number, line in enumerate(file, 2):
            entry = _parsed(path, number, line)
            name = entry.get("collection")
            named = isinstance(name, str) and name not in LEFT_OUT and "_id" in entry.get("document", {})
            if not named and not isinstance(entry.get("end"), dict):
                raise BackupError(f"{path}, line {number}: no collection and document")
            yield number, entry


def _parsed(path: Path, number: int, line: str) -> dict[str, Any]:
    from bson import json_util

    try:
        entry = json_util.loads(line)
    except ValueError as error:
        raise BackupError(f"{path}, line {number}: not JSON: {error}") from None
    if not isinstance(entry, dict):
        raise BackupError(f"{path}, line {number}: not an object")
    return entry
