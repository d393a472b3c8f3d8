"""What goes over the wire between a hub and those who talk to it: values, commands, jobs and errors, as bytes and back.

Everybody may speak JSON. Our own client speaks BSON, in which dates and bytes stay what they are.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from dataclasses import asdict, fields, is_dataclass
from importlib import import_module
from pathlib import PurePath
from typing import TYPE_CHECKING, Any

from hubkernel.api import CommandInfo
from hubkernel.handles import JobCancelledError, JobFailedError

if TYPE_CHECKING:
    from hubkernel.jobs.models import JobRecord

JSON = "application/json"
BSON = "application/bson"
DOOR, USER, ROLE, EPOCH = "X-Hubkernel-Door", "X-Hubkernel-User", "X-Hubkernel-Role", "X-Hubkernel-Epoch"
"""Headers of a call: through which door, for whom, with how much of the caller's own rights. The last one is in every
answer: another value is another hub process.
"""
_INT64 = 1 << 63


class WireError(ValueError):
    """Bytes that are not what they should be."""


class RemoteCommandError(RuntimeError):
    """The hub refused, or a command failed with an error whose class is not known here."""


# --------------------------------------------------------------------------------------------------------------- values


def dumps(value: Mapping[str, Any], kind: str = JSON) -> bytes:
    """An object as JSON or BSON. What neither can hold becomes a list, a dict or, at worst, its repr."""
    if kind == BSON:
        import bson

        try:
            return bytes(bson.encode(value))
        except Exception:  # which one depends on what it was that BSON cannot hold
            return bytes(bson.encode({key: sendable(item) for key, item in value.items()}))
    import orjson

    options = orjson.OPT_NON_STR_KEYS | orjson.OPT_NAIVE_UTC
    try:
        return orjson.dumps(value, _as_json, options)
    except TypeError:  # numbers beyond 64 bits, surrogates, keys of no plain type
        return orjson.dumps(sendable(value), _as_json, options)


def loads(data: bytes, kind: str = JSON) -> dict[str, Any]:
    """An object from JSON or BSON. Raises :class:`WireError` with the reason."""
    if kind == BSON:
        from bson.errors import BSONError

        from hubkernel.store.encode import decode

        try:
            return decode(data)
        except (BSONError, ValueError, RecursionError) as error:
            raise WireError(f"this is no BSON document: {error}") from None
    import orjson

    try:
        found = orjson.loads(data)
    except orjson.JSONDecodeError as error:
        raise WireError(f"this is no JSON: {error}") from None
    if not isinstance(found, dict):
        raise WireError(f"an object is expected, not {type(found).__name__}")
    return found


def sendable(value: Any, *, strict: bool = False) -> Any:
    """``value`` of plain types. ``strict``: raise ``TypeError`` rather than send the repr of something else."""
    match value:
        case None | bool() | float() | bytes():
            return value
        case str():
            return value.encode("utf-8", "backslashreplace").decode()
        case int():
            return int(value) if -_INT64 <= value < _INT64 else _other(value, strict)
        case PurePath():
            return str(value)
        case Mapping():
            return {str(key): sendable(item, strict=strict) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [sendable(item, strict=strict) for item in value]
    if is_dataclass(value) and not isinstance(value, type):
        return sendable(asdict(value), strict=strict)
    if hasattr(value, "item") and hasattr(value, "dtype"):  # a number of numpy
        return value.item()
    return value if _is_bson(value) else _other(value, strict)


def _other(value: Any, strict: bool) -> str:
    if strict:
        raise TypeError(f"{_short(value)} ({type(value).__name__}) cannot be sent to a hub in another process")
    return _short(value, 10_000)


def _short(value: Any, limit: int = 60) -> str:
    text = repr(value).encode("utf-8", "backslashreplace").decode()
    return text if len(text) <= limit else f"{text[:limit]}..."


def _is_bson(value: Any) -> bool:
    import bson

    try:
        bson.encode({"value": value})
    except Exception:
        return False
    return True


def _as_json(value: Any) -> Any:
    """What orjson asks for what it does not know."""
    if isinstance(value, bytes):
        import base64

        return base64.b64encode(value).decode()
    if type(value).__module__.startswith("bson"):
        return str(value)
    return sendable(value) if isinstance(value, Mapping | PurePath | set | frozenset) else _short(value, 10_000)


# ------------------------------------------------------------------------------------------------------------- commands


class _Text(str):
    """An annotation or a default of which only the text is known."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def describe(info: CommandInfo) -> dict[str, Any]:
    """A command as plain JSON; :func:`restore` makes it again."""
    returns = info.signature.return_annotation
    return {
        "parameters": [_parameter(parameter) for parameter in info.signature.parameters.values()],
        "returns": None if returns is inspect.Signature.empty else inspect.formatannotation(returns),
        "doc": info.doc,
        "tracked": info.tracked,
        "role": info.role,
        "public": info.public,
        "is_async": info.is_async,
    }


def _parameter(parameter: inspect.Parameter) -> dict[str, Any]:
    found: dict[str, Any] = {"name": parameter.name, "kind": parameter.kind.name}
    if parameter.annotation is not parameter.empty:
        found["annotation"] = inspect.formatannotation(parameter.annotation)
    if parameter.default is not parameter.empty:
        plain = parameter.default is None or isinstance(parameter.default, bool | int | float | str)
        found["default" if plain else "default_text"] = parameter.default if plain else repr(parameter.default)
    return found


def restore(name: str, found: Mapping[str, Any]) -> CommandInfo:
    """The command of :func:`describe`; its signature reads as the original does."""
    returns = inspect.Signature.empty if found["returns"] is None else _Text(found["returns"])
    signature = inspect.Signature([_restored(item) for item in found["parameters"]], return_annotation=returns)
    facts = {key: found[key] for key in ("doc", "tracked", "role", "public", "is_async")}
    return CommandInfo(name=name, signature=signature, **facts)


def _restored(found: Mapping[str, Any]) -> inspect.Parameter:
    default: Any = inspect.Parameter.empty
    if "default" in found:
        default = found["default"]
    elif "default_text" in found:
        default = _Text(found["default_text"])
    annotation = _Text(found["annotation"]) if "annotation" in found else inspect.Parameter.empty
    kind = inspect._ParameterKind[found["kind"]]
    return inspect.Parameter(found["name"], kind, default=default, annotation=annotation)


# -------------------------------------------------------------------------------------------------------- jobs, errors


def job_record(found: Mapping[str, Any], log: list[str] | None = None) -> JobRecord:
    """A job's record; fields that this version does not know are left out. ``log`` is used where it has none."""
    from hubkernel.jobs.models import JobRecord

    known = {item.name for item in fields(JobRecord)}
    return JobRecord(**{"log": log or [], **{key: value for key, value in found.items() if key in known}})


def describe_error(error: BaseException) -> dict[str, Any]:
    """``{"error": text, "type", "module"}``, and the ``job`` of one that failed; :func:`revive` makes it again."""
    plain = type(error) is KeyError and len(error.args) == 1  # whose str() is a repr
    found: dict[str, Any] = {
        "error": str(error.args[0] if plain else error),
        "type": type(error).__name__,
        "module": type(error).__module__,
    }
    if isinstance(error, JobFailedError):
        found["job"] = error.record.to_dict()
    return found


def revive(found: Mapping[str, Any]) -> Exception:
    """The error that the other side met: of the same class where it is Python's or ours, with the same text."""
    text, name = str(found.get("error") or "no reason"), str(found.get("type") or "")
    if name in ("JobFailedError", "JobCancelledError") and isinstance(found.get("job"), Mapping):
        kind = JobCancelledError if name == "JobCancelledError" else JobFailedError
        return kind(job_record(found["job"]))
    if name == "HTTPError":
        return RemoteCommandError(text)
    cls = _error_class(str(found.get("module") or ""), name)
    if cls is not None:
        error = cls.__new__(cls, text)
        error.args = (text,)
        try:
            if str(error) in (text, repr(text)):
                return error
        except Exception:  # it wants attributes that did not come along
            return RemoteCommandError(f"{name}: {text}")
    return RemoteCommandError(f"{name}: {text}" if name else text)


def _error_class(module: str, name: str) -> type[Exception] | None:
    if module != "builtins" and not module.startswith("hubkernel."):
        return None
    try:
        found = getattr(import_module(module), name, None)
    except ImportError:
        return None
    return found if isinstance(found, type) and issubclass(found, Exception) else None
