"""Packages that plugins know by another name: ``import biothings...`` in the code of a plugin means a package of ours.

Which ones, entry points say: in the group ``hubkernel.aliases`` a name always means ours, whether or not a package of
that name is installed; in ``hubkernel.aliases.fallback`` only where nothing else has the name (``config``, a module
that hubs keep beside their scripts). A module is one object under both names: its classes are the same everywhere.

- The files of a plugin are redirected by the ``__import__`` that the loader gives them, in every process: no other code
  sees anything of it.
- A worker process gets an :class:`AliasFinder` as soon as it loads code of a plugin (:func:`settle`), for whatever that
  pulls in: packages of a hub's sources, libraries, ``importlib.import_module``.
"""

from __future__ import annotations

import builtins
import importlib
import pkgutil
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from importlib.metadata import entry_points
from types import ModuleType

from hubkernel.executors.worker import in_worker
from hubkernel.pipeline.plugins.errors import nearest

GROUP = "hubkernel.aliases"
FALLBACK_GROUP = "hubkernel.aliases.fallback"


@cache
def aliases() -> dict[str, str]:
    """Our packages by the name that always means them."""
    return {point.name: point.value for point in entry_points(group=GROUP)}


@cache
def fallbacks() -> dict[str, str]:
    """Our modules by the name that means them where nothing else has it."""
    return {point.name: point.value for point in entry_points(group=FALLBACK_GROUP)}


def is_alias(name: str) -> bool:
    """Whether a dotted module name always means something of ours."""
    return name.partition(".")[0] in aliases()


def import_alias(name: str) -> ModuleType:
    """The module of ours that ``name`` means. Raises ``ModuleNotFoundError`` naming the nearest one there is."""
    ours = our_name(name)
    try:
        return importlib.import_module(ours)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{ours}.".startswith(f"{error.name}."):
            raise
        raise ModuleNotFoundError(_no_such(name, error.name), name=name) from None


def import_for_plugin(name: str, fromlist: Sequence[str] | None) -> ModuleType:
    """What ``__import__(name, fromlist=...)`` answers for an alias: the module itself or, without ``fromlist``, the
    topmost package.
    """
    module = import_alias(name)
    if not fromlist:
        return import_alias(name.partition(".")[0])
    if hasattr(module, "__path__"):
        return builtins.__import__(module.__name__, fromlist=fromlist)  # imports submodules that it names
    return module


def import_fallback(error: ModuleNotFoundError, fromlist: Sequence[str] | None) -> ModuleType:
    """Called when an import in a plugin's file has failed: ours, if it has the name. Raises ``error`` if not."""
    if error.name not in fallbacks():
        raise error
    return import_for_plugin(error.name, fromlist)


class AliasFinder(MetaPathFinder):
    """Answers for the aliases before any other finder, and for the fallbacks where no other one has the name."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if is_alias(fullname) or (fullname in fallbacks() and PathFinder.find_spec(fullname) is None):
            import_alias(fullname)
            return ModuleSpec(fullname, _AliasLoader())
        return None


class _AliasLoader(Loader):
    def exec_module(self, module: ModuleType) -> None:
        # Python takes from here what it finds under the name once the module has run.
        sys.modules[module.__name__] = import_alias(module.__name__)


def settle() -> None:
    """Called by the loader before it loads code of a plugin: a worker process is the plugins' from here on."""
    if in_worker():
        install()


def install() -> None:
    """Redirect every import of this process. For processes that do nothing but run code of plugins."""
    if any(isinstance(finder, AliasFinder) for finder in sys.meta_path):
        return
    sys.meta_path.insert(0, AliasFinder())
    _take_away(aliases())


@contextmanager
def installed() -> Iterator[None]:
    """Redirect every import of this process meanwhile; afterwards ``sys.modules`` is what it was."""
    finder, before = AliasFinder(), _take_away([*aliases(), *fallbacks()])
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)
        _take_away([*aliases(), *fallbacks()])
        sys.modules.update(before)


def _take_away(names: Iterable[str]) -> dict[str, ModuleType]:
    """Forget what is imported under these names and below them."""
    firsts = set(names)
    found = {name: module for name, module in sys.modules.items() if name.partition(".")[0] in firsts}
    for name in found:
        del sys.modules[name]
    return found


def our_name(name: str) -> str:
    """The name of the module of ours that ``name`` means; ``name`` itself if it means none."""
    first, dot, rest = name.partition(".")
    return {**fallbacks(), **aliases()}.get(first, first) + dot + rest


def _no_such(name: str, missing: str) -> str:
    """``missing`` is the part of our name that is not there."""
    depth = missing.count(".") - our_name(name.partition(".")[0]).count(".")
    shown = ".".join(name.split(".")[: depth + 1])
    package, _, last = shown.rpartition(".")
    known = [module.name for module in pkgutil.iter_modules(import_alias(package).__path__)] if package else []
    known = [module for module in known if not module.startswith("_")]
    near = nearest(last, known, cutoff=0.6)
    hint = f"did you mean {package}.{near}?" if near else f"{package} has {', '.join(known) or 'no modules'}"
    return f"hubkernel has no module {shown}; {hint}"
