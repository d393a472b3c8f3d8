"""Load functions and classes of plugins. Their code runs in workers; the hub itself only reads what files say.

Every plugin folder is a package of its own, ``hubkernel_plugins.<name>_<hash of the folder>``. So two plugins may both
have a ``parser.py``; ``from .helper import x`` and a plain ``import helper`` of a file beside it both work; and nothing
is put on ``sys.path``. Plain imports are redirected by giving the modules of a plugin an ``__import__`` of their own:
only code of the plugin itself sees its files, and the packages that it knows by another name (:mod:`.aliases`). When a
file of the folder changed, the next load takes all of it anew.

A package of a hub's own code (``hub.dataload.sources.x``) is imported by its name, as its modules import each other;
when one of the files that were imported of it changed, the next load drops all of that code and imports it again.
"""

from __future__ import annotations

import ast
import builtins
import hashlib
import importlib
import linecache
import re
import sys
import threading
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder, SourceFileLoader
from importlib.util import find_spec
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

from hubkernel.pipeline.common import syntax_tree
from hubkernel.pipeline.plugins import aliases
from hubkernel.pipeline.plugins.errors import PluginCodeError, nearest

ROOT = "hubkernel_plugins"

_lock = threading.RLock()
_packages: dict[str, _Package] = {}
_trees: dict[str, _Tree] = {}


class _Package:
    """One plugin folder as a package, and the state of its files when it was imported."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.name = package_name(folder)
        self.fingerprint = _fingerprint(folder)
        entries = [entry for entry in folder.iterdir() if entry.suffix == ".py" or next(entry.glob("*.py"), None)]
        self.siblings = {entry.stem for entry in entries if entry.stem.isidentifier()} - {"__init__", "__pycache__"}
        self.builtins = {**vars(builtins), "__import__": self._import}

    def _import(
        self,
        name: str,
        globals: Mapping[str, Any] | None = None,
        locals: Mapping[str, Any] | None = None,
        fromlist: Sequence[str] | None = (),
        level: int = 0,
    ) -> ModuleType:
        """Called by Python for every ``import`` in a file of the plugin."""
        own = self._own_name(name, globals) if level == 0 else None
        if own is None:
            return self._import_other(name, globals, locals, fromlist or (), level)
        module = builtins.__import__(own, globals, locals, fromlist or ("__name__",), 0)
        depth = name.count(".")
        return module if fromlist or not depth else sys.modules[own.rsplit(".", depth)[0]]

    def _import_other(
        self,
        name: str,
        globals: Mapping[str, Any] | None,
        locals: Mapping[str, Any] | None,
        fromlist: Sequence[str],
        level: int,
    ) -> ModuleType:
        if level == 0 and aliases.is_alias(name):
            return aliases.import_for_plugin(name, fromlist)
        try:
            return builtins.__import__(name, globals, locals, fromlist, level)
        except ModuleNotFoundError as error:
            if level or error.name != name:
                raise
            return aliases.import_fallback(error, fromlist)

    def _own_name(self, name: str, globals: Mapping[str, Any] | None) -> str | None:
        """The full name of a file of this plugin that a plain import means; None if it means something else."""
        first, _, rest = name.partition(".")
        if name == self.folder.name and (self.folder / "__init__.py").is_file() and not _importable_file(name):
            return self.name
        if first == self.folder.name and rest and rest.partition(".")[0] in self.siblings:
            return f"{self.name}.{rest}"
        importer = (globals or {}).get("__name__")
        if first in self.siblings and importer != f"{self.name}.{first}":
            return f"{self.name}.{name}"
        return None


class _PluginLoader(SourceFileLoader):
    """Compiles from the source each time: no ``__pycache__`` in a user's folder, and no stale one is ever believed."""

    def get_code(self, fullname: str) -> CodeType:
        path = self.get_filename(fullname)
        return self.source_to_code(self.get_data(path), path)

    def exec_module(self, module: ModuleType) -> None:
        package = _packages[module.__name__.split(".")[1]]
        module.__dict__["__builtins__"] = package.builtins
        super().exec_module(module)


class _PluginFinder(MetaPathFinder):
    """Finds ``hubkernel_plugins`` and everything below it; nothing else."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        steps = fullname.split(".")
        if steps[0] != ROOT:
            return None
        if len(steps) == 1:
            return _package_spec(fullname, [])
        if len(steps) == 2:
            package = _packages.get(steps[1])
            return _folder_spec(fullname, package.folder) if package else None
        return _own_loader(PathFinder.find_spec(fullname, path))


def _package_spec(name: str, folders: list[str]) -> ModuleSpec:
    spec = ModuleSpec(name, None, is_package=True)
    spec.submodule_search_locations = folders
    return spec


def _folder_spec(name: str, folder: Path) -> ModuleSpec:
    init = folder / "__init__.py"
    if not init.is_file():
        return _package_spec(name, [str(folder)])
    loader = _PluginLoader(name, str(init))
    spec = ModuleSpec(name, loader, origin=str(init), is_package=True)
    spec.submodule_search_locations = [str(folder)]
    spec.has_location = True
    return spec


def _own_loader(spec: ModuleSpec | None) -> ModuleSpec | None:
    if spec and isinstance(spec.loader, SourceFileLoader):
        spec.loader = _PluginLoader(spec.loader.name, spec.loader.path)
        spec.cached = None
    return spec


class _Tree:
    """The code of a hub of which a source is a part, by its top-level package: what of it this process imported."""

    def __init__(self, top: str) -> None:
        self.top = top
        self.files: dict[str, tuple[int, int]] = {}
        self.seen = time.time_ns()

    def modules(self) -> dict[str, ModuleType]:
        prefix = self.top + "."
        return {
            name: module for name, module in list(sys.modules.items()) if name == self.top or name.startswith(prefix)
        }

    def refresh(self) -> None:
        """Drop all modules if the file of one is not what was imported."""
        modules = self.modules()
        if any(self._changed(module) for module in modules.values()):
            for name in modules:
                del sys.modules[name]
            self.files = {}
            importlib.invalidate_caches()
            linecache.checkcache()

    def _changed(self, module: ModuleType) -> bool:
        file = getattr(module, "__file__", None)
        if file is None:
            return False
        now = _stat(file)
        if file in self.files:
            return now != self.files[file]
        return now is None or now[0] > self.seen  # imported since then, by code that ran

    def note(self) -> None:
        """Remember the files as they are now that they were imported."""
        self.seen = time.time_ns()
        for module in self.modules().values():
            file = getattr(module, "__file__", None)
            if file is not None and file not in self.files and (stat := _stat(file)) is not None:
                self.files[file] = stat


def _stat(file: str) -> tuple[int, int] | None:
    try:
        stat = Path(file).stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size


def package_name(folder: Path) -> str:
    """The name under which the files of a plugin folder are imported: the same in every process."""
    digest = hashlib.sha256(str(folder).encode()).hexdigest()[:8]
    return f"{ROOT}.{re.sub(r'[^A-Za-z0-9_]', '_', folder.name)}_{digest}"


def load_function(folder: Path | str, target: str) -> Callable[..., Any]:
    """The function (or class) ``"module:function"`` of the plugin in ``folder``: of a file of it (``__init__`` is the
    package itself), else of any importable module.

    Callable in every process and thread. Raises :class:`PluginCodeError`, naming the user's file and line.
    """
    module = load_module(folder, target)
    function = getattr(module, target.partition(":")[2], None)
    if not callable(function):
        raise PluginCodeError(_no_function(target, module.__file__ or module.__name__, list(vars(module))))
    return function  # type: ignore[no-any-return]


def load_module(folder: Path | str, target: str) -> ModuleType:
    """The module that ``"module"`` or ``"module:function"`` means for the plugin in ``folder``.

    Raises :class:`PluginCodeError`, naming the user's file and line.
    """
    folder = Path(folder).resolve()
    name = target.partition(":")[0]
    with _lock:
        package = _current_package(folder)
        if name == "__init__":
            return _import_module(package.name, target, folder)
        if source_file(folder, name) is not None:
            return _import_module(f"{package.name}.{name}", target, folder)
        return _import_foreign(name, target, folder)


def _import_foreign(name: str, target: str, folder: Path) -> ModuleType:
    tree = tree_of(name, folder)
    if tree is None:
        return _import_module(name, target, folder)
    state = _trees.setdefault(name.partition(".")[0], _Tree(name.partition(".")[0]))
    state.refresh()
    try:
        return _import_module(name, target, tree)
    finally:
        state.note()


def tree_of(module: str, folder: Path) -> Path | None:
    """The folder of the top-level package of ``module`` if the plugin's folder is in it: both are one hub's code."""
    spec = locate(module.partition(".")[0])
    places = [Path(place).resolve() for place in (spec.submodule_search_locations if spec else None) or []]
    return next((place for place in places if place == folder or place in folder.parents), None)


def source_file(folder: Path, module: str) -> Path | None:
    """The file of a plugin that a dotted module name means, None if there is none."""
    base = folder.joinpath(*module.split("."))
    if not base.name:
        return None
    return next((file for file in (base.with_name(base.name + ".py"), base / "__init__.py") if file.is_file()), None)


def check_function(folder: Path, target: str) -> str | None:
    """What is wrong with ``"module:function"`` as far as the source tells, None if nothing is. Runs no plugin code; of
    a compiled module or one with a ``*`` import nothing is known before a worker imports it.
    """
    module, _, function = target.partition(":")
    try:
        file = source_file(folder, module) or _importable_file(module)
        if file is None:
            near = nearest(module, (entry.stem for entry in folder.glob("*.py")), cutoff=0.6)
            hint = f" (did you mean '{near}'?)" if near else ""
            return f"no file {module.replace('.', '/')}.py in {folder}, and no module '{module}' can be imported{hint}"
        if aliases.is_alias(module):
            ours = aliases.import_alias(module)
            return None if function in vars(ours) else _no_function(target, module, [*vars(ours)])
        if file.suffix != ".py":
            return None
        names = _top_level_names(syntax_tree(file.read_bytes(), str(file)))
        if function in names or names & {"*", "__getattr__"}:
            return None
        return _no_function(target, str(file), sorted(names))
    except SyntaxError as error:
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"


def forget(folder: Path) -> None:
    """Drop all that was imported of a plugin folder, so that the next load reads its files again."""
    with _lock:
        name = package_name(folder.resolve())
        _packages.pop(name.split(".")[1], None)
        for loaded in [key for key in sys.modules if key == name or key.startswith(name + ".")]:
            del sys.modules[loaded]
        importlib.invalidate_caches()
        linecache.checkcache()


def _current_package(folder: Path) -> _Package:
    aliases.settle()
    if not any(isinstance(finder, _PluginFinder) for finder in sys.meta_path):
        sys.meta_path.insert(0, _PluginFinder())
    key = package_name(folder).split(".")[1]
    package = _packages.get(key)
    if package and package.fingerprint == _fingerprint(folder):
        return package
    forget(folder)
    _packages[key] = _Package(folder)
    return _packages[key]


def _fingerprint(folder: Path) -> list[tuple[str, int, int]]:
    stats = [(file, file.stat()) for file in sorted(folder.rglob("*.py"))]
    return [(str(file), stat.st_mtime_ns, stat.st_size) for file, stat in stats]


def _import_module(name: str, target: str, folder: Path) -> ModuleType:
    try:
        return aliases.import_alias(name) if aliases.is_alias(name) else importlib.import_module(name)
    except (Exception, SystemExit) as error:
        raise PluginCodeError(f"{target} of plugin {folder.name} cannot be imported: {blame(error, folder)}") from error


def blame(error: BaseException, folder: Path) -> str:
    """``file:line: error`` with the innermost line that is the plugin's own, if there is one."""
    text = f"{type(error).__name__}: {error}"
    if isinstance(error, SyntaxError):
        return f"{error.filename}:{error.lineno}: {type(error).__name__}: {error.msg}"
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith(str(folder))]
    return f"{frames[-1].filename}:{frames[-1].lineno}: {text}" if frames else text


def locate(module: str) -> ModuleSpec | None:
    """Where a module would be imported from; imports nothing, not even the packages around it."""
    top, *rest = module.split(".")
    try:
        if aliases.is_alias(module):
            return aliases.import_alias(module).__spec__  # ours, no plugin's
        spec = find_spec(top)
    except (ImportError, ValueError):
        return None
    for step in rest:
        places = spec.submodule_search_locations if spec else None
        # By its last name: a namespace package looks for its parent, which is not imported.
        spec = PathFinder.find_spec(step, list(places)) if places else None
    return spec


def _importable_file(module: str) -> Path | None:
    spec = locate(module)
    return Path(spec.origin or "") if spec else None


def _no_function(target: str, file: str, names: list[str]) -> str:
    function = target.partition(":")[2]
    near = nearest(function, names, cutoff=0.6)
    return f"no function '{function}' in {file}" + (f": did you mean '{near}'?" if near else "")


def _top_level_names(tree: ast.AST) -> set[str]:
    """Names that a module binds at its top level; ``*`` for a star import."""
    names: set[str] = set()
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            names.add(node.name)
        elif isinstance(node, ast.Import | ast.ImportFrom):
            names.update((alias.asname or alias.name).partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.add(node.id)
        elif not isinstance(node, ast.Lambda):
            names |= _top_level_names(node)
    return names
