"""What may come next while someone writes a command: names of commands, arguments, sources, builds and indices."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from hubkernel.api import HubAPI

_SOURCE_PARAMETERS = {"src", "name", "source", "datasource_name"}
_BUILD_PARAMETERS = {"build_name", "merge_name", "collection", "old", "new"}
_INDEX_PARAMETERS = {"index", "index_name"}


class Candidates:
    """What may stand at the cursor, for every door that completes. ``connect`` is called by every question."""

    def __init__(self, connect: Callable[[], HubAPI]) -> None:
        self._connect = connect

    def magic(self, text: str) -> list[tuple[str, str]]:
        """``(text, type)`` for a command that is written as words, up to the cursor."""
        words = re.split(r"&&", text)[-1].lstrip()
        head, space, rest = words.partition(" ")
        if not space and "(" not in head:
            return [(name, "command") for name in self._connect().commands()]
        if "(" in head:
            name, _, inside = words.partition("(")
            return self.arguments(name, inside)
        return self.arguments(head, rest, words=True)

    def arguments(self, name: str, before: str, *, words: bool = False) -> list[tuple[str, str]]:
        """What may come next as an argument of a command, after the arguments ``before``."""
        info = self._connect().commands().get(name)
        if info is None:
            return []
        parts = re.split(r"\s+" if words else r"\s*,\s*", before.lstrip())
        keyword, equals, _ = parts[-1].partition("=")
        position = len(parts) - 1
        given = {part.partition("=")[0] for part in parts[:-1]}
        if equals:
            return self._values(keyword.strip())
        names = [(f"{parameter}=", "param") for parameter in info.parameters[position:] if parameter not in given]
        values = self._values(info.parameters[position]) if position < len(info.parameters) else []
        return values if before.rstrip().endswith(("'", '"')) else [*values, *names]

    def _values(self, parameter: str) -> list[tuple[str, str]]:
        api = self._connect()
        if parameter == "command":
            return [(name, "command") for name in api.commands()]
        if parameter in _SOURCE_PARAMETERS:
            return [(name, "source") for name in source_names(api)]
        if parameter in _BUILD_PARAMETERS:
            return [(name, "build") for name in build_names(api)]
        if parameter in _INDEX_PARAMETERS:
            return [(name, "index") for build in api.call("builds") for name in build.get("index") or ()]
        return []


def source_names(api: HubAPI) -> list[str]:
    """The names of all sources."""
    return _names(api.call("sources"), "name", "_id")


def build_names(api: HubAPI) -> list[str]:
    """The names of build configurations, then of builds."""
    return [*api.call("build_config_info").get("build_configs", {}), *_names(api.call("builds"), "_id")]


def _names(rows: Iterable[dict[str, Any]], *keys: str) -> list[str]:
    found = (next((row[key] for key in keys if row.get(key)), None) for row in rows)
    return sorted({str(name) for name in found if name is not None})
