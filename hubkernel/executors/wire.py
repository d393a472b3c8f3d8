"""What travels between a hub and its worker processes, and how an error survives the way.

Only the two ends of one pipe, parent and child, ever read this: it is pickle, and never comes from outside.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable
from typing import Any

from hubkernel.executors.errors import NotSendableError, RemoteError, RemoteTraceback

Call = tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]
HINT = "functions and classes for a worker process live in an importable module, not in a notebook cell or a script"
_UNSAFE = (StopIteration, StopAsyncIteration, GeneratorExit)


def describe(function: Callable[..., Any]) -> str:
    """``module.name`` of a function, for messages."""
    function = getattr(function, "func", function)
    name = getattr(function, "__qualname__", type(function).__qualname__)
    return f"{getattr(function, '__module__', None) or '?'}.{name}"


def one_line(error: BaseException) -> str:
    """``Type: message`` on one line."""
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def dump_call(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> bytes:
    """Raises :class:`NotSendableError`, naming the function and what is wrong with it."""
    name = describe(function)
    if getattr(function, "__module__", None) == "__main__":
        raise NotSendableError(f"{name} cannot run in a worker process: {HINT}")
    try:
        return pickle.dumps((function, args, kwargs), pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise NotSendableError(
            f"{name} or its arguments cannot be sent to a worker process ({one_line(error)}): {HINT}"
        ) from error


def load_call(data: bytes) -> Call:
    """Raises :class:`RemoteError` if the function or an argument cannot be imported in this process."""
    try:
        call: Call = pickle.loads(data)
    except Exception as error:
        raise RemoteError(f"the work cannot be loaded in the worker ({one_line(error)}): {HINT}") from error
    return call


def dump_result(value: Any, function: Callable[..., Any]) -> bytes:
    try:
        return pickle.dumps(value, pickle.HIGHEST_PROTOCOL)
    except Exception as error:
        raise RemoteError(
            f"the result of {describe(function)}, of type {type(value).__qualname__}, cannot be sent back: "
            f"{one_line(error)}"
        ) from error


def load_result(data: bytes) -> Any:
    try:
        return pickle.loads(data)
    except Exception as error:
        raise RemoteError(f"the result of the work cannot be loaded in the hub: {one_line(error)}") from error


def presentable(error: BaseException) -> Exception:
    """The error itself if a future can carry it without harm, else a :class:`RemoteError` that stands for it."""
    if isinstance(error, Exception) and not isinstance(error, _UNSAFE):
        return error
    stand_in = RemoteError(one_line(error))
    stand_in.__cause__ = error
    return stand_in


def dump_error(error: BaseException) -> tuple[bytes | None, str, str]:
    """``(pickle or None, one line, traceback text)``; the pickle is known to load again."""
    text = "".join(traceback.format_exception(_without_own_frame(error)))
    data: bytes | None = None
    if presentable(error) is error:
        try:
            data = pickle.dumps(error, pickle.HIGHEST_PROTOCOL)
            if type(pickle.loads(data)) is not type(error):
                data = None
        except Exception:
            data = None  # many exception classes do not survive: the text stands for them
    return data, one_line(error), text


def _without_own_frame(error: BaseException) -> BaseException:
    trace = error.__traceback__
    return error.with_traceback(trace.tb_next) if trace is not None and trace.tb_next is not None else error


def load_error(data: bytes | None, line: str, text: str) -> Exception:
    """The error with its remote traceback as ``__cause__``."""
    error: Exception | None = None
    if data is not None:
        try:
            error = pickle.loads(data)
        except Exception:
            error = None  # the class is not importable here
    if not isinstance(error, Exception):
        error = RemoteError(line)
    error.__cause__ = RemoteTraceback(text)
    return error


def without_worker(worker: object, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
    """Run a function that takes no worker, as a work function."""
    return function(*args, **kwargs)
