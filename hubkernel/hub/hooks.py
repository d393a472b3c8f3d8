"""Hooks: functions of the hub's owner that it calls (:mod:`~hubkernel.hub.hookspecs`). Hook files: Python files that
run once all commands exist, and may add names, commands and endpoints.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path
from types import FunctionType
from typing import TYPE_CHECKING, Any

import pluggy

from hubkernel.hub import hookspecs
from hubkernel.hub.commands import Command, CommandDefinition, Role
from hubkernel.hub.hookspecs import POINTS, PROJECT, hookimpl

if TYPE_CHECKING:
    from hubkernel.hub.events import Event
    from hubkernel.hub.server import HubServer

log = logging.getLogger(__name__)

GROUP = "hubkernel.hooks"
"""Entry-point group of packages that have hooks."""
FINAL = ("done", "failed", "cancelled", "interrupted")


def hub_command(
    role: Role | str = Role.operator, *, tracked: bool = True, public: bool = True
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Decorates a function of a hook file that is to be a command like the hub's own, not one of developers only."""

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        chosen = Role[role] if isinstance(role, str) else role
        function.hub_command = CommandDefinition(function, tracked=tracked, role=chosen), public  # type: ignore[attr-defined]
        return function

    return mark


class Hooks:
    """The hooks of one hub. ``errors`` has one line for each hook or hook file that failed."""

    def __init__(self, server: HubServer) -> None:
        self.server = server
        self.errors: list[str] = []
        self._plugins = _PluginManager(PROJECT)
        self._plugins.add_hookspecs(hookspecs)

    def load_packages(self) -> None:
        """Register the hooks of installed packages."""
        for entry in metadata.entry_points(group=GROUP):
            try:
                self.register(entry.name, vars(entry.load()))
            except Exception as error:
                self._fail(f"hooks of package {entry.name}: {type(error).__name__}: {error}")

    def register(self, name: str, namespace: Mapping[str, Any]) -> None:
        """Register the functions of a namespace that are called as extension points are. Raises ``ValueError`` for one
        that wants an argument there is not.
        """
        found = {key: value for key, value in namespace.items() if key in POINTS and callable(value)}
        if not found:
            return
        for key, function in found.items():
            _check_arguments(key, function)
        plugin = _Plugin({key: self._guarded(name, value) for key, value in found.items()})
        if self._plugins.has_plugin(name):
            self._plugins.unregister(name=name)
        self._plugins.register(plugin, name)
        if "hub_commands" in found:
            self._add_commands(vars(plugin)["hub_commands"])

    def _add_commands(self, make: Callable[..., Any]) -> None:
        wants_hub = "hub" in inspect.signature(make).parameters
        for name, value in (make(*[self.server] if wants_hub else []) or {}).items():
            self.server.commands[name] = value

    def call(self, point: str, **arguments: Any) -> Any:
        """Call all that implement an extension point. Never raises."""
        return getattr(self._plugins.hook, point)(hub=self.server, **arguments)

    def has(self, point: str) -> bool:
        """Whether anybody implements it."""
        return bool(getattr(self._plugins.hook, point).get_hookimpls())

    def hear(self, event: Event) -> None:
        """Called with each event of the hub, by the dispatcher."""
        data = event.data or {}
        if event.entity == "job" and event.op == "insert":
            self.call("job_started", job=data)
        elif event.entity == "job" and event.op == "update" and data.get("state") in FINAL:
            self.call("job_ended", job=data)
        elif (event.entity, event.op) == ("schedule", "failed"):
            self.call("schedule_failed", schedule=str(event.id), error=str(data.get("error")))
        elif (event.entity, event.op) == ("data_plugin", "reloaded"):
            self.call("plugins_reloaded", changed=list(data["changed"]), broken=dict(data["broken"]))
        if self.has("event_published"):
            self.call("event_published", event=event)

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> Any:
            try:
                result = function(*args, **kwargs)
                if inspect.iscoroutine(result):
                    asyncio.run_coroutine_threadsafe(self._awaited(name, function, result), self.server.loop)
                    return None
                return result
            except Exception as error:
                self._failed(name, function, error)
                return None

        return guarded

    async def _awaited(self, name: str, function: Callable[..., Any], result: Any) -> None:
        try:
            await result
        except Exception as error:
            self._failed(name, function, error)

    def _failed(self, name: str, function: Callable[..., Any], error: Exception) -> None:
        log.exception("hook %s of %s failed", function.__name__, name)
        self._fail(f"{name}: {function.__name__}: {type(error).__name__}: {error}")

    def _fail(self, text: str) -> None:
        if text not in self.errors:
            self.errors.append(text)
            del self.errors[:-100]
            log.error("%s", text)

    # Hook files.

    def namespace(self, names: Mapping[str, Any]) -> dict[str, Any]:
        """What hook files see: the commands by name, the managers' short names, ``hub``, and decorators."""
        server = self.server
        helpers = {"__name__": "__hub_hooks__", "hub": server, "hub_command": hub_command, "hookimpl": hookimpl}
        return {**helpers, **names, **server.extra_commands, **server.commands}

    def run_file(self, file: Path) -> None:
        """Run one file. Its functions become commands (:meth:`_adopt`) and hooks; what fails stops no other file."""
        namespace = self.server.namespace
        before = dict(namespace)
        if error := run_hook_file(file, namespace):
            self._fail(error)
        own = dict(_defined_by(file, namespace))
        try:
            self.register(str(file), own)
        except ValueError as problem:
            self._fail(f"{file}: {problem}")
        for name, function in own.items():
            if name not in POINTS and not name.startswith("_"):
                self._adopt(file, name, function, before)

    def _adopt(self, file: Path, name: str, function: FunctionType, before: Mapping[str, Any]) -> None:
        """Make a function a command: hidden, untracked, for developers, unless :func:`hub_command` says otherwise."""
        server = self.server
        taken = server.commands.get(name) or server.extra_commands.get(name)
        if taken is not None:
            place = f"line {function.__code__.co_firstlineno}"
            self._fail(f"{file}, {place}: there is a command {name!r} already: give the function another name")
            server.namespace[name] = before.get(name, taken)
            return
        plain = (CommandDefinition(function, tracked=False, role=Role.developer), False)
        definition, public = getattr(function, "hub_command", plain)
        registry = server.commands if public else server.extra_commands
        registry[name] = Command.of(name, definition, public=public, hook=True)


class _PluginManager(pluggy.PluginManager):
    """Takes plain functions too: the name alone makes a function a hook."""

    def parse_hookimpl_opts(self, plugin: object, name: str) -> Any:
        if name not in POINTS:
            return None
        return super().parse_hookimpl_opts(plugin, name) or {}


class _Plugin:
    def __init__(self, functions: Mapping[str, Callable[..., Any]]) -> None:
        vars(self).update(functions)


def _check_arguments(point: str, function: Callable[..., Any]) -> None:
    there = set(inspect.signature(POINTS[point]).parameters)
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.default is parameter.empty and name not in there:
            raise ValueError(f"hook {point} has no argument {name!r}; it has {', '.join(sorted(there))}")


def _defined_by(file: Path, namespace: Mapping[str, Any]) -> Iterator[tuple[str, FunctionType]]:
    for name, value in namespace.items():
        if isinstance(value, FunctionType) and value.__code__.co_filename == str(file):
            yield name, value


def hook_files(folder: Path) -> list[Path]:
    """All ``*.py`` of the folder in alphabetical order; none if there is no such folder."""
    return sorted(folder.glob("*.py"))


def run_hook_file(file: Path, namespace: dict[str, Any]) -> str | None:
    """Run a file with ``namespace`` as its globals: it sees the commands, and later hooks and consoles see what it
    defines. Returns None, or the error as one line if it failed; a failed file stops nothing else.
    """
    try:
        code = compile(file.read_text("utf-8"), str(file), "exec")
        exec(code, namespace)
    except Exception as error:
        log.exception("hook %s failed", file)
        return f"{file}{_line(error, file)}: {type(error).__name__}: {error}"
    return None


def _line(error: BaseException, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f", line {error.lineno}"
    line, trace = 0, error.__traceback__
    while trace is not None:
        if trace.tb_frame.f_code.co_filename == str(file):
            line = trace.tb_lineno
        trace = trace.tb_next
    return f", line {line}" if line else ""
