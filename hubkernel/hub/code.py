"""Python code that runs inside the hub, for developers: with the live managers, which no other process can hold."""

from __future__ import annotations

import ast
import asyncio
import inspect
import io
import sys
import threading
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

from hubkernel.pipeline.common import syntax_tree

if TYPE_CHECKING:
    from hubkernel.hub.server import HubServer

FILE = "<hub exec>"
_output: ContextVar[io.StringIO | None] = ContextVar("_output", default=None)
_one_at_a_time = threading.Lock()


def run_code(server: HubServer, code: str) -> dict[str, Any]:
    """Run ``code`` with the hub's namespace as its globals; ``await`` is allowed and runs on the hub's loop.

    Returns ``{"output": what it printed, "value": repr of a last expression or None, "error": traceback or None}``.
    What other threads print meanwhile is not among the output.
    """
    output = io.StringIO()
    token = _output.set(output)
    value, error = None, None
    try:
        with _one_at_a_time, _printing_to_callers():
            value = _run(server, code)
    except BaseException as raised:  # also SystemExit: the hub goes on
        error = _traceback(raised)
    finally:
        _output.reset(token)
    return {"output": output.getvalue(), "value": None if value is None else repr(value), "error": error}


def _run(server: HubServer, code: str) -> Any:
    tree = syntax_tree(code, FILE)
    last = tree.body[-1] if tree.body else None
    if not isinstance(last, ast.Expr):
        return _finish(server, _evaluate(server, tree, "exec"))
    del tree.body[-1]
    _finish(server, _evaluate(server, tree, "exec"))
    return _finish(server, _evaluate(server, ast.Expression(last.value), "eval"))


def _evaluate(server: HubServer, tree: Any, mode: str) -> Any:
    compiled = compile(tree, FILE, mode, flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    return eval(compiled, server.namespace)


def _finish(server: HubServer, value: Any) -> Any:
    """A coroutine is what code with ``await`` in it evaluates to."""
    if not inspect.iscoroutine(value):
        return value
    return asyncio.run_coroutine_threadsafe(value, server.loop).result()


def _traceback(error: BaseException) -> str:
    """Without our own frames."""
    found = traceback.TracebackException.from_exception(error)
    first = next((n for n, frame in enumerate(found.stack) if frame.filename == FILE), len(found.stack))
    found.stack = traceback.StackSummary.from_list(found.stack[first:])
    return "".join(found.format())


class _Routed(io.TextIOBase):
    """Text goes to whoever runs code in this context, else where it always went."""

    def __init__(self, usual: Any) -> None:
        self._usual = usual

    def write(self, text: str) -> int:
        written: int = (_output.get() or self._usual).write(text)
        return written

    def flush(self) -> None:
        if _output.get() is None:
            self._usual.flush()


@contextmanager
def _printing_to_callers() -> Iterator[None]:
    before = sys.stdout, sys.stderr
    sys.stdout, sys.stderr = _Routed(sys.stdout), _Routed(sys.stderr)
    try:
        yield
    finally:
        sys.stdout, sys.stderr = before
