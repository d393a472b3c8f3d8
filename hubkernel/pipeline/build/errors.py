"""Why a build was refused or failed."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches


class BuildError(Exception):
    """Base of all build errors."""


class RecipeError(BuildError, ValueError):
    """A build configuration says something that cannot be followed; the message lists every fault."""


class NoSuchRecipeError(BuildError, KeyError):
    """There is no build configuration of that name; the message has the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class NoSuchBuildError(BuildError, KeyError):
    """There is no build of that name; the message has the nearest one."""

    def __str__(self) -> str:
        return str(self.args[0])


class BuildExistsError(BuildError):
    """A build configuration or another collection has that name already."""


class SourcesNotReadyError(BuildError):
    """Sources of the recipe have no complete upload; the message lists them all."""


class MappingConflictError(BuildError):
    """Two sources map one field to different types; the message names the field and both sources."""


class SourceChangedError(BuildError):
    """A source was uploaded anew while it was being merged, so that the build would mix two releases of it."""


def unknown(kind: str, name: str, known: Iterable[str]) -> str:
    """``there is no <kind> 'name'``, with the nearest name there is, or all of a few."""
    names = sorted(known)
    near = get_close_matches(name, names, n=1)
    if near:
        return f"there is no {kind} {name!r}: did you mean {near[0]!r}?"
    return f"there is no {kind} {name!r}: there is {', '.join(names[:10]) or 'none yet'}"
