"""The embedded engine: one folder is one single-node "cluster".

::

    <folder>/lock                     held by the process that owns the folder
    <folder>/state.json               names of indices and aliases; replaced as a whole
    <folder>/indices/<uuid>/store.db  the documents, settings and mapping of one index
    <folder>/indices/<uuid>/search-*  the search files, made from store.db

An index exists once ``state.json`` names it; folders that it does not name are left-overs and are removed at start.
"""

from __future__ import annotations

import fnmatch
import os
import shutil
import threading
import time
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson

from hubkernel.search import settings as index_settings
from hubkernel.search.errors import ApiError, illegal, no_such_index, unsupported
from hubkernel.search.index import Index
from hubkernel.search.lock import FolderLock
from hubkernel.search.scrolls import Scrolls

VERSION = "8.19.0"
"""The Elasticsearch version whose API is spoken."""


class Engine:
    """Owns ``folder``; raises :class:`SearchBusyError` if another process does. Thread-safe."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self.lock = threading.RLock()
        self._owner = FolderLock(folder)
        self.scrolls = Scrolls()
        self.indices: dict[str, Index] = {}
        try:
            self._load()
        except BaseException:
            self.close()
            raise

    def _load(self) -> None:
        path = self.folder / "state.json"
        state: dict[str, Any] = {"uuid": uuid.uuid4().hex, "indices": {}}
        if path.exists():
            state = orjson.loads(path.read_bytes())
        self.uuid: str = state["uuid"]
        self.aliases: dict[str, dict[str, Any]] = {name: each["aliases"] for name, each in state["indices"].items()}
        self._folders = {name: each["uuid"] for name, each in state["indices"].items()}
        (self.folder / "indices").mkdir(exist_ok=True)
        for left_over in (self.folder / "indices").iterdir():
            if left_over.name not in self._folders.values():
                shutil.rmtree(left_over, ignore_errors=True)
        for name, each in self._folders.items():
            self.indices[name] = Index.open(name, self.folder / "indices" / each)

    def _save(self) -> None:
        indices = {name: {"uuid": self._folders[name], "aliases": self.aliases[name]} for name in self._folders}
        data = orjson.dumps({"uuid": self.uuid, "version": 1, "indices": indices}, option=orjson.OPT_INDENT_2)
        path = self.folder / "state.json.new"
        with path.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        path.replace(self.folder / "state.json")

    def close(self) -> None:
        """Everything acknowledged is on disk already; this frees memory, threads and the folder."""
        with self.lock:
            self.scrolls.clear_all()
            for index in self.indices.values():
                index.close()
            self.indices.clear()
            self._owner.release()

    # --- indices

    def create(self, name: str, settings: Any = None, mappings: Any = None, aliases: Any = None) -> Index:
        """400 if the name is taken or bad, or if settings or mapping are not accepted. Nothing is left behind then."""
        index_settings.check_name(name)
        with self.lock:
            if name in self.indices:
                raise ApiError(400, "resource_already_exists_exception", f"index [{name}] already exists", index=name)
            if any(name in each for each in self.aliases.values()):
                raise ApiError(400, "invalid_index_name_exception",
                               f"Invalid index name [{name}], already exists as alias", index=name)  # fmt: skip
            unique = uuid.uuid4().hex[:22]
            folder = self.folder / "indices" / unique
            try:
                index = Index.create(name, folder, self._new_settings(name, unique, settings), _normal(mappings))
                self.indices[name], self._folders[name], self.aliases[name] = index, unique, {}
                for alias, options in (aliases or {}).items():
                    self._put_alias(name, alias, options)
                self._save()
            except BaseException:
                self._discard(name, folder)
                raise
            return index

    @staticmethod
    def _new_settings(name: str, unique: str, settings: Any) -> dict[str, Any]:
        return {
            "number_of_shards": "1", "number_of_replicas": "1", **index_settings.normalise(settings),
            "provided_name": name, "creation_date": str(time.time_ns() // 1_000_000), "uuid": unique,
            "version": {"created": "8536000"},
        }  # fmt: skip

    def _discard(self, name: str, folder: Path) -> None:
        index = self.indices.get(name)
        if index is not None and index.folder == folder:
            index.close()
            for known in (self.indices, self._folders, self.aliases):
                known.pop(name, None)
        shutil.rmtree(folder, ignore_errors=True)

    def delete(self, names: Iterable[str]) -> None:
        with self.lock:
            gone = [self._remove(name) for name in names]
            self._save()
        self._destroy(gone)

    def _remove(self, name: str) -> Index:
        self._folders.pop(name)
        self.aliases.pop(name)
        return self.indices.pop(name)

    def _destroy(self, gone: list[Index]) -> None:
        for index in gone:
            self.scrolls.clear_index(index)
            index.close()
            shutil.rmtree(index.folder, ignore_errors=True)

    def resolve(self, expression: str | None, *, ignore_missing: bool = False) -> list[Index]:
        """Indices behind names, aliases and patterns, comma separated; 404 for a plain name that is none."""
        with self.lock:
            found: dict[str, Index] = {}
            for part in (expression or "_all").split(","):
                names = self._names(part)
                if not names and "*" not in part and part != "_all" and not ignore_missing:
                    raise no_such_index(part)
                found.update((name, self.indices[name]) for name in names)
            return list(found.values())

    def _names(self, part: str) -> list[str]:
        if part in ("_all", "*", ""):
            return list(self.indices)
        if "*" in part:
            return [
                name
                for name, aliases in self.aliases.items()
                if any(fnmatch.fnmatchcase(each, part) for each in (name, *aliases))
            ]
        if part in self.indices:
            return [part]
        return [name for name, aliases in self.aliases.items() if part in aliases]

    def writable(self, name: str) -> Index:
        """The one index that writes to ``name`` go to; it is made if there is none."""
        with self.lock:
            if "*" in name or "," in name:
                raise illegal(f"a write needs one index, not [{name}]")
            names = self._names(name)
            if not names:
                return self.create(name)
            if len(names) > 1:
                names = [each for each in names if self.aliases[each][name].get("is_write_index")]
            if len(names) != 1:
                raise illegal(f"no write index is defined for alias [{name}]: it points to multiple indices")
            return self.indices[names[0]]

    def alias_filters(self, index: Index, expression: str | None) -> list[dict[str, Any]]:
        """Filters of the aliases by which ``expression`` names the index; none if it is named directly too."""
        with self.lock:
            if index.name not in self.aliases:
                return []
            parts = (expression or "_all").split(",")
            if any(part == "_all" or fnmatch.fnmatchcase(index.name, part) for part in parts):
                return []
            named = [o for a, o in self.aliases[index.name].items() if any(fnmatch.fnmatchcase(a, p) for p in parts)]
            filters = [options["filter"] for options in named if options.get("filter")]
            return filters if len(filters) == len(named) else []

    # --- aliases

    def update_aliases(self, actions: list[dict[str, dict[str, Any]]]) -> None:
        """All actions or none: ``add``, ``remove``, ``remove_index``, in one replacement of the state."""
        with self.lock:
            before = {name: dict(aliases) for name, aliases in self.aliases.items()}
            doomed: list[str] = []
            try:
                for action in actions:
                    for kind, options in action.items():
                        if kind == "remove_index":
                            doomed += self._targets(options)
                        else:
                            self._alias_action(kind, options, doomed)
                gone = [self._remove(name) for name in dict.fromkeys(doomed)]
            except BaseException:
                self.aliases = before
                raise
            self._save()
        self._destroy(gone)

    def _targets(self, options: dict[str, Any]) -> list[str]:
        return [index.name for index in self.resolve(",".join(_listed(options, "index", "indices")))]

    def _alias_action(self, kind: str, options: dict[str, Any], doomed: list[str]) -> None:
        names = _listed(options, "alias", "aliases")
        if kind == "add":
            known = {"index", "indices", "alias", "aliases", "filter", "is_write_index", "is_hidden", "must_exist"}
            if unknown := set(options) - known:
                raise unsupported(f"{sorted(unknown)} in an alias")
            kept: dict[str, Any] = {
                key: options[key] for key in ("filter", "is_write_index", "is_hidden") if key in options
            }
            for target in self._targets(options):
                for alias in names:
                    self._put_alias(target, alias, kept, doomed)
        elif kind == "remove":
            removed = [self._drop_alias(target, alias) for target in self._targets(options) for alias in names]
            if not any(removed) and options.get("must_exist") is not False:
                raise ApiError(404, "aliases_not_found_exception", f"aliases {names} missing")
        else:
            raise illegal(f"[aliases] unknown action [{kind}]: use add, remove or remove_index")

    def _put_alias(self, index: str, alias: str, options: dict[str, Any], doomed: Iterable[str] = ()) -> None:
        index_settings.check_name(alias, "alias")
        if alias in self.indices and alias not in doomed:
            reason = f"Invalid alias name [{alias}]: an index exists with the same name as the alias"
            raise ApiError(400, "invalid_alias_name_exception", reason, index=alias)
        self.aliases[index] = {**self.aliases[index], alias: options}

    def _drop_alias(self, index: str, pattern: str) -> bool:
        kept = {
            name: options for name, options in self.aliases[index].items() if not fnmatch.fnmatchcase(name, pattern)
        }
        found = len(kept) < len(self.aliases[index])
        self.aliases[index] = kept
        return found


def _listed(options: dict[str, Any], one: str, many: str) -> list[str]:
    value = options.get(one, options.get(many))
    if not value:
        raise illegal(f"[aliases] one of [{one}] or [{many}] is required")
    return [value] if isinstance(value, str) else list(value)


def _normal(mappings: Any) -> dict[str, Any]:
    normal: dict[str, Any] = dict(mappings or {})
    if "dynamic" in normal:
        normal["dynamic"] = str(normal["dynamic"]).lower()
    return normal
