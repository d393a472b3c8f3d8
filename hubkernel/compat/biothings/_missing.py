"""What a module answers for a name that it does not have: a module of its own, or an error that says what is near."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from opcode import opmap
from pkgutil import iter_modules
from typing import Any, NoReturn

from hubkernel.hub.names import hint

OURS = "hubkernel.compat."


def answer(
    module: str, *, loads: Callable[[str], Any] | None = None, known: Iterable[str] = (), why: Mapping[str, str] = {}
) -> Callable[[str], Any]:
    """The ``__getattr__`` of a module. ``known`` names come from ``loads(name)`` when they are first used; ``why`` says
    what to do instead of other ones; under ``*`` it is said of every name.
    """
    names = tuple(known)

    def find(name: str) -> Any:
        if loads is not None and name in names:
            return loads(name)
        if name.startswith("__"):
            raise AttributeError(f"module {module!r} has no attribute {name!r}")
        if name in _modules(module):
            return import_module(f"{module}.{name}")  # of the SDK's modules, one has always imported the others
        return _refuse(module, name, names, why.get(name) or why.get("*"))

    return find


def _refuse(module: str, name: str, names: Iterable[str], why: str | None) -> NoReturn:
    shown = module.removeprefix(OURS)
    here = sys.modules[module]
    public = [known for known in (*vars(here), *_modules(module)) if not known.startswith("_")]
    text = f"hubkernel has no {shown}.{name}{f': {why}' if why else hint(name, [*names, *public])}"
    # Python replaces the AttributeError of a `from ... import` by one that knows nothing of what is near.
    if _is_import(sys._getframe(2)):
        raise ImportError(text, name=shown)
    raise AttributeError(text)


def _modules(module: str) -> list[str]:
    return [found.name for found in iter_modules(getattr(sys.modules[module], "__path__", []))]


def _is_import(frame: Any) -> bool:
    code: bytes = frame.f_code.co_code
    return bool(code[frame.f_lasti] == opmap["IMPORT_FROM"])
