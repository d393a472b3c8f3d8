"""The command registry: names, typed signatures, roles. Every door is made from it."""

from __future__ import annotations

import functools
import inspect
import types
import typing
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

from hubkernel.hub.names import hint


class Role(IntEnum):
    """Who may call a command; each role includes the ones before it."""

    viewer = 1
    operator = 2
    developer = 3


class CommandError(Exception):
    """Base of what calling a command can get wrong before it runs."""


class UnknownCommandError(CommandError, LookupError):
    """There is no such command; the message names the nearest one."""


class BadArgumentsError(CommandError, TypeError):
    """The arguments do not fit the command. The message names the command and the parameter."""


class UnknownNameError(CommandError, LookupError):
    """There is no such source, build, configuration, ...; the message names the nearest one there is."""


class ConflictError(CommandError):
    """What is asked for cannot be done now."""


class AlreadyRunningError(ConflictError):
    """The same command with the same arguments is running; the message has its number."""


class ForbiddenError(CommandError):
    """The command is for a higher role than the caller's."""


Check = Callable[[inspect.BoundArguments, Collection[str]], None]
"""Called with the arguments of a call before it runs, and with the kinds of names that something before it in a chain
makes, which therefore need not be there yet. Raises :class:`CommandError`."""


@dataclass(frozen=True, slots=True)
class CommandDefinition:
    """How a command is registered when the default (tracked, public, for operators) does not do."""

    command: Callable[..., Any]
    tracked: bool = True
    role: Role = Role.operator
    signature: inspect.Signature | None = None
    """Replaces that of the function."""
    doc: str | None = None
    check: Check | None = None
    makes: frozenset[str] = frozenset()
    """Kinds of names (``source``, ``build``, ...) that are there once it has run."""


@dataclass(frozen=True)
class Command:
    """A registered command. Calling it calls its function, after checking the arguments."""

    name: str
    function: Callable[..., Any]
    signature: inspect.Signature
    doc: str = ""
    tracked: bool = True
    """A tracked command that is asynchronous becomes a job; an untracked one leaves no trace."""
    role: Role = Role.operator
    public: bool = True
    """Listed by ``help()``; the others are shortcuts, or there for the doors."""
    is_async: bool = False
    check: Check | None = None
    makes: frozenset[str] = frozenset()
    hook: bool = False
    """Defined by a hook file."""

    def __post_init__(self) -> None:
        # What inspect, pydoc and IPython's ``dump?`` look at.
        for attribute, value in (("__doc__", self.doc), ("__name__", self.name), ("__signature__", self.signature)):
            object.__setattr__(self, attribute, value)

    @classmethod
    def of(
        cls,
        name: str,
        value: Callable[..., Any] | CommandDefinition | Command,
        *,
        public: bool = True,
        hook: bool = False,
    ) -> Command:
        """Make a command of a plain callable, a :class:`CommandDefinition`, or another command (under a new name)."""
        if isinstance(value, Command):
            return replace(value, name=name)
        definition = value if isinstance(value, CommandDefinition) else CommandDefinition(value)
        function = definition.command
        return cls(
            name=name,
            function=function,
            signature=definition.signature or _signature(function),
            doc=inspect.cleandoc(definition.doc if definition.doc is not None else _doc(function)),
            tracked=definition.tracked,
            role=definition.role,
            public=public,
            is_async=inspect.iscoroutinefunction(_innermost(function)),
            check=definition.check,
            makes=definition.makes,
            hook=hook,
        )

    def bind(
        self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None, *, made: Collection[str] = ()
    ) -> inspect.BoundArguments:
        """Fit arguments to the signature, and look whether the sources, builds, ... that they name are there.

        Raises :class:`BadArgumentsError` or :class:`UnknownNameError`; no value is ever converted. ``made`` are kinds
        of names that are not looked for, since they are yet to be made.
        """
        kwargs = kwargs or {}
        self._check_names(args, kwargs)
        try:
            bound = self.signature.bind(*args, **kwargs)
        except TypeError as error:
            raise BadArgumentsError(f"{self.name}: {error}; it is {self.usage}") from None
        for name, value in bound.arguments.items():
            self._check_type(self.signature.parameters[name], value)
        if self.check is not None:
            self.check(bound, made)
        return bound

    def _check_names(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> None:
        parameters = self.signature.parameters
        keywords = [p.name for p in parameters.values() if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
        open_ended = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        for name in kwargs:
            if name not in keywords and not open_ended:
                raise BadArgumentsError(
                    f"{self.name}: no parameter {name!r}{hint(name, keywords) or ';'} it is {self.usage}"
                )
        positional = [p for p in parameters.values() if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
        for parameter in positional[len(args) :]:
            if parameter.default is parameter.empty and parameter.name not in kwargs:
                raise BadArgumentsError(f"{self.name}: {parameter.name!r} is missing; it is {self.usage}")

    def _check_type(self, parameter: inspect.Parameter, value: Any) -> None:
        accepted = _simple_types(parameter.annotation)
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD) or accepted is None:
            return
        if value is parameter.default or _fits(value, accepted):
            return
        wanted = " or ".join(_TYPE_NAMES[kind] for kind in accepted)
        raise BadArgumentsError(f"{self.name}: {parameter.name!r} takes {wanted}, not {value!r}")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        bound = self.bind(args, kwargs)
        return self.function(*bound.args, **bound.kwargs)

    @property
    def usage(self) -> str:
        """``dump(src, force=False)``: name and parameters without types."""
        bare = [p.replace(annotation=inspect.Parameter.empty) for p in self.signature.parameters.values()]
        return f"{self.name}{inspect.Signature(bare)}"

    @property
    def summary(self) -> str:
        """The first line of the documentation."""
        return self.doc.split("\n", 1)[0]

    def text(self, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None) -> str:
        """The call as it is recorded: ``dump(src='x',force=True)``, with only what was passed."""
        bound = self.signature.bind_partial(*args, **(kwargs or {}))
        kinds = {name: self.signature.parameters[name].kind for name in bound.arguments}
        by_place = inspect.Parameter.VAR_POSITIONAL in kinds.values()  # what stands before it cannot be named
        parts = []
        for name, value in bound.arguments.items():
            kind = kinds[name]
            if kind is inspect.Parameter.VAR_POSITIONAL:
                parts += [repr(item) for item in value]
            elif kind is inspect.Parameter.VAR_KEYWORD:
                parts += [f"{key}={item!r}" for key, item in value.items()]
            elif by_place and kind is not inspect.Parameter.KEYWORD_ONLY:
                parts.append(repr(value))
            else:
                parts.append(f"{name}={value!r}")
        return f"{self.name}({','.join(parts)})"


class HubCommands(OrderedDict[str, Any]):
    """The commands of a hub by name. A name is given once: to set it again raises ``ValueError``.

    A callable or :class:`CommandDefinition` is kept as a :class:`Command`; any other object as it is.
    """

    public = True

    def __setitem__(self, key: str, value: Any) -> None:
        if key in self:
            raise ValueError(f"Command '{key}' already defined")
        if callable(value) or isinstance(value, CommandDefinition):
            value = Command.of(key, value, public=self.public)
        super().__setitem__(key, value)

    def setdefault(self, key: str, default: Any = None) -> Any:
        """The command of that name; if there is none, ``default`` becomes it."""
        if key not in self:
            self[key] = default
        return self[key]


class HiddenCommands(HubCommands):
    """Commands that ``help()`` does not list: shortcuts, and what supports doors."""

    public = False


def lookup(name: str, *registries: Mapping[str, Any]) -> Command:
    """The command ``name`` of the first registry that has it. Raises :class:`UnknownCommandError`."""
    for registry in registries:
        if isinstance(found := registry.get(name), Command):
            return found
    known = [key for registry in registries for key, value in registry.items() if isinstance(value, Command)]
    raise UnknownCommandError(f"no command {name!r}{hint(name, known)}")


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        found = inspect.signature(function)
        plain = [p.replace(annotation=_unquoted(p.annotation)) for p in found.parameters.values()]
        return found.replace(parameters=plain, return_annotation=_unquoted(found.return_annotation))
    except (TypeError, ValueError):  # builtins without one
        anything = [inspect.Parameter("args", inspect.Parameter.VAR_POSITIONAL)]
        return inspect.Signature([*anything, inspect.Parameter("kwargs", inspect.Parameter.VAR_KEYWORD)])


class _Annotation(str):
    """An annotation that is known as text only; signatures show it as it was written."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def _unquoted(annotation: Any) -> Any:
    return _Annotation(annotation) if isinstance(annotation, str) else annotation


def _innermost(function: Callable[..., Any]) -> Callable[..., Any]:
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    plain = inspect.isroutine(function) or inspect.isclass(function)
    return function if plain else type(function).__call__


def _doc(function: Callable[..., Any]) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    return inspect.getdoc(function) or ""


_TYPE_NAMES: dict[Any, str] = {
    bool: "True or False",
    int: "a whole number",
    float: "a number",
    str: "text in quotes",
    type(None): "None",
}
_BY_NAME: dict[str, Any] = {"bool": bool, "int": int, "float": float, "str": str, "None": type(None)}


def _simple_types(annotation: Any) -> list[Any] | None:
    """The types of an annotation such as ``int | None``, or None if it has others too."""
    if isinstance(annotation, str):
        parts: list[Any] = [_BY_NAME.get(part.strip()) for part in annotation.split("|")]
    elif typing.get_origin(annotation) in (typing.Union, types.UnionType):
        parts = list(typing.get_args(annotation))
    else:
        parts = [annotation]
    return parts if all(part in _TYPE_NAMES for part in parts) else None


def _fits(value: Any, accepted: list[Any]) -> bool:
    if isinstance(value, bool):
        return bool in accepted
    if isinstance(value, int) and float in accepted:
        return True
    return isinstance(value, tuple(accepted))
