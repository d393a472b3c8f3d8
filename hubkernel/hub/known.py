"""Whether what a command is told to work on is there, so that a mistake is refused before a job is made of it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Collection, Iterable, Mapping
from typing import TYPE_CHECKING, Any

from hubkernel.hub.commands import BadArgumentsError, UnknownNameError
from hubkernel.hub.names import hint

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer


class KnownNames:
    """One method a kind of name; each raises whatever error names the nearest one there is.

    ``source``: a plugin that can be used. ``upload``: that, or ``source.collection``. ``recorded``: also a source whose
    plugin is gone. ``collections``: what builds are made of. ``recipe``: a build configuration. ``recipe_sources``:
    sources of the one called ``build_name``. ``build``, ``subject`` (a build or a plain collection), ``environment``
    (of indices), ``quick`` (a collection, or the source of the collection ``subsource``).
    """

    def __init__(self, server: HubServer) -> None:
        self.server = server

    def check(self, takes: Mapping[str, str], bound: inspect.BoundArguments, made: Collection[str] = ()) -> None:
        """Look at the arguments that ``takes`` names (parameter -> kind), except those of kinds in ``made``.

        Raises :class:`UnknownNameError`.
        """
        for parameter, kind in takes.items():
            value = bound.arguments.get(parameter)
            if value is None or kind in made or "*" in made:
                continue
            try:
                getattr(self, f"_{kind}")(value, bound.arguments)
            except LookupError as error:  # each stage has its own; all of them say what there is instead
                raise UnknownNameError(str(error)) from None

    def _source(self, name: str, _: Mapping[str, Any]) -> None:
        self.server.plugins[name]

    def _upload(self, name: str, _: Mapping[str, Any]) -> None:
        self.server.managers["upload_manager"].find(name)

    def _recorded(self, name: str, _: Mapping[str, Any]) -> None:
        self.server.managers["source_manager"].known(name)

    def _recipe(self, name: str, _: Mapping[str, Any]) -> None:
        self.server.managers["build_manager"].recipes.get(name)

    def _recipe_sources(self, names: str | Iterable[str], arguments: Mapping[str, Any]) -> None:
        recipe = self.server.managers["build_manager"].recipes.get(arguments["build_name"])
        _among(_list(names), recipe["sources"], f"the sources of {arguments['build_name']}")

    def _build(self, name: str, _: Mapping[str, Any]) -> None:
        self.server.managers["build_manager"].builds.get(name)

    def _subject(self, name: str, _: Mapping[str, Any]) -> None:
        self.server.managers["index_manager"].find(name)

    def _quick(self, name: str, arguments: Mapping[str, Any]) -> None:
        if (collection := arguments.get("subsource")) is not None:
            self._recorded(name, arguments)
        _among([collection or name], self.collections(), "the sources")

    def _environment(self, name: str, _: Mapping[str, Any]) -> None:
        self.server.managers["index_manager"].environments.url(name)

    def _collections(self, names: str | Iterable[str], _: Mapping[str, Any]) -> None:
        _among(_list(names), self.collections(), "the sources")

    def _roots(self, names: str | Iterable[str], arguments: Mapping[str, Any]) -> None:
        if arguments.get("sources") is not None:
            _among([name.removeprefix("!") for name in _list(names)], _list(arguments["sources"]), "'sources'")

    def collections(self) -> set[str]:
        """The collections that sources have or will have once they are uploaded."""
        declared = {name for plugin in self.server.plugins.plugins.values() for name in plugin.uploaders}
        return declared | {document["_id"] for document in self.server.state["src_master"].find({}, {"_id": 1})}


def _list(names: str | Iterable[str]) -> list[str]:
    found = [names] if isinstance(names, str) else list(names)
    for name in found:
        if not isinstance(name, str):
            raise BadArgumentsError(f"{name!r} is no name; names are text in quotes")
    return found


def _among(names: Iterable[str], known: Collection[str], what: str) -> None:
    """Every name is known, or a pattern (a regular expression), which may well match later."""
    for name in names:
        if name not in known and not _is_pattern(name):
            near = hint(name, known) or f": there is {', '.join(sorted(known)[:10]) or 'none yet'}"
            raise UnknownNameError(f"no source {name!r} among {what}{near}")


def _is_pattern(name: str) -> bool:
    if re.fullmatch(r"[\w.-]*", name):
        return False
    try:
        re.compile(name)
    except re.error as error:
        raise BadArgumentsError(f"{name!r} is neither a name nor a regular expression: {error}") from None
    return True
