"""A hub's own script: Python code that makes a :class:`~hubkernel.hub.server.HubServer`, or has a subclass of it."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from hubkernel.hub.home import HubHome
    from hubkernel.hub.server import HubServer


class ScriptError(RuntimeError):
    """The script cannot be run, or has no hub. The message names the file, and the line if there is one."""


class _Begun(BaseException):
    """Ends the script where it would start its hub."""

    def __init__(self, server: HubServer) -> None:
        self.server = server


def load_script(file: Path, home: HubHome) -> HubServer:
    """Run a script as ``python file`` would, up to where it starts its hub; that hub is returned, not yet configured.

    A script that starts none has to have one as a global name, or one subclass of ``HubServer``. Raises
    :class:`ScriptError`.
    """
    from hubkernel.compat.biothings import aliased

    if not file.is_file():
        raise ScriptError(f"there is no file {file}")
    module = ModuleType("__main__")
    module.__file__ = str(file)
    sys.path.insert(0, str(file.resolve().parent))
    with aliased(), _as_main(module):
        try:
            exec(compile(file.read_bytes(), str(file), "exec"), module.__dict__)
            server = _found(module, file, home)
        except _Begun as begun:
            server = begun.server
        except SystemExit as error:
            raise ScriptError(f"{file} ended with {error.code!r} before it had a hub") from error
        except ScriptError:
            raise
        except Exception as error:
            raise ScriptError(f"{_place(error, file)}: {type(error).__name__}: {error}") from error
    _kept.append(module)
    server.home = home
    return server


_kept: list[ModuleType] = []
"""The script's names live as long as the process: its classes use them."""


@contextmanager
def _as_main(module: ModuleType) -> Iterator[None]:
    """The module is ``__main__`` meanwhile, and starting a hub ends it."""
    from hubkernel.hub.server import HubServer

    start, main = HubServer.start, sys.modules["__main__"]
    HubServer.start, sys.modules["__main__"] = _begin, module  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        HubServer.start, sys.modules["__main__"] = start, main  # type: ignore[method-assign]


def _begin(server: HubServer) -> NoReturn:
    raise _Begun(server)


def _found(module: ModuleType, file: Path, home: HubHome) -> HubServer:
    from hubkernel.hub.server import HubServer

    values = list(module.__dict__.values())
    servers = _distinct(value for value in values if isinstance(value, HubServer))
    if len(servers) == 1:
        return servers[0]  # type: ignore[no-any-return]
    kinds = _distinct(v for v in values if isinstance(v, type) and issubclass(v, HubServer) and v is not HubServer)
    last = [kind for kind in kinds if not any(other is not kind and issubclass(other, kind) for other in kinds)]
    if not servers and len(last) == 1:
        kind: type[HubServer] = last[0]
        return kind.open(home)
    what = f"{len(servers)} hubs" if servers else f"{len(last)} subclasses of HubServer"
    raise ScriptError(f"{file} has {what}; it needs one, or has to start the one that is meant")


def _distinct(values: Any) -> list[Any]:
    return list({id(value): value for value in values}.values())


def _place(error: Exception, file: Path) -> str:
    if isinstance(error, SyntaxError):
        return f"{error.filename}, line {error.lineno}"
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(file)]
    return f"{file}, line {lines[-1]}" if lines else str(file)
