"""What an annotation means to those who can only send text or JSON: its type, its JSON schema, and the value of a query
string.

Annotations are read as text (most are text anyway) by a small table of names. Nothing is evaluated; an annotation of
another name stands for any value.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Mapping, Sequence
from datetime import date, datetime
from functools import cache
from typing import Any, Literal, Union

from pydantic import TypeAdapter, ValidationError

from hubkernel.hub.commands import BadArgumentsError
from hubkernel.hub.names import hint

Parameter = inspect.Parameter

_TYPES: dict[str, Any] = {
    "str": str,
    "Path": str,
    "int": int,
    "float": float,
    "bool": bool,
    "None": None,
    "datetime": datetime,
    "date": date,
    "dict": dict,
    "Mapping": dict,
    **dict.fromkeys(("list", "tuple", "set", "frozenset", "Sequence", "Iterable", "Collection"), list),
}


def schema_of(parameter: inspect.Parameter) -> dict[str, Any]:
    """The JSON schema of a parameter's values, with its default if JSON has it."""
    schema = dict(_schema(_text(parameter.annotation)))
    default = parameter.default
    if isinstance(default, tuple):
        default = list(default)
    if default is not Parameter.empty and default is not None and _is_json(default):
        schema["default"] = default
    return schema


def result_schema(signature: inspect.Signature) -> dict[str, Any]:
    return dict(_schema(_text(signature.return_annotation)))


def names_of(signature: inspect.Signature) -> list[str]:
    """The parameters that can be given by name."""
    kinds = (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
    return [p.name for p in signature.parameters.values() if p.kind in kinds]


def mandatory_of(signature: inspect.Signature) -> list[str]:
    """Those of them that have no default, in order."""
    return [name for name in names_of(signature) if signature.parameters[name].default is Parameter.empty]


def takes_any_name(signature: inspect.Signature) -> bool:
    """Whether there is a ``**kwargs``."""
    return any(p.kind is p.VAR_KEYWORD for p in signature.parameters.values())


def from_query(command: str, signature: inspect.Signature, query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """Keyword arguments of a query string, each converted to its annotated type: ``limit=5`` is 5, ``dry_run=true`` is
    True; a name given twice is a list. Without an annotation a value stays text.

    Raises :class:`BadArgumentsError` for a value that does not fit, and for a name that the command does not have.
    """
    known = names_of(signature)
    arguments: dict[str, Any] = {}
    for name, values in query.items():
        if name in known:
            arguments[name] = convert(command, signature.parameters[name], values)
        elif takes_any_name(signature):
            arguments[name] = values[0] if len(values) == 1 else list(values)
        else:
            raise BadArgumentsError(f"{command}: no parameter {name!r}{hint(name, known)}")
    return arguments


def convert(command: str, parameter: inspect.Parameter, values: Sequence[str]) -> Any:
    """The value that ``values``, as they stand in a query, mean for one parameter."""
    text = _text(parameter.annotation)
    adapter = _adapter(text)
    given: Any = values[0] if len(values) == 1 else list(values)
    for attempt in (given, list(values)):
        try:
            return adapter.validate_python(attempt)
        except ValidationError:
            continue
    try:
        return adapter.validate_json(values[0] if len(values) == 1 else b"")
    except ValidationError:
        raise BadArgumentsError(f"{command}: {parameter.name!r} takes {text}, not {given!r}") from None


def _text(annotation: Any) -> str:
    if annotation is Parameter.empty:
        return "Any"
    return str(annotation) if isinstance(annotation, str) else inspect.formatannotation(annotation)


@cache
def _schema(text: str) -> dict[str, Any]:
    return _adapter(text).json_schema()


@cache
def _adapter(text: str) -> TypeAdapter[Any]:
    try:
        return TypeAdapter(_type(ast.parse(text, mode="eval").body))
    except SyntaxError:
        return TypeAdapter(Any)


def _type(node: ast.AST) -> Any:
    """A type that JSON has: every sequence is a list, every mapping a dict, what is unknown is Any."""
    match node:
        case ast.Constant(value=None):
            return None
        case ast.Constant(value=str() as quoted):
            return _type(ast.parse(quoted, mode="eval").body)
        case ast.Name(id=name) | ast.Attribute(attr=name):
            return _TYPES.get(name, Any)
        case ast.BinOp(left=left, op=ast.BitOr(), right=right):
            return _any_of(_type(left), _type(right))
        case ast.Subscript(value=ast.Name(id=name) | ast.Attribute(attr=name), slice=inner):
            parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
            return _generic(name, parts)
    return Any


def _generic(name: str, parts: Sequence[ast.expr]) -> Any:
    if name == "Literal":
        return Literal[tuple(ast.literal_eval(part) for part in parts)]
    if name == "Optional":
        return _any_of(_type(parts[0]), None)
    if name == "Union":
        return _any_of(*map(_type, parts))
    origin = _TYPES.get(name, Any)
    if origin is list:
        return list[_type(parts[0])]  # type: ignore[misc]
    return dict[str, _type(parts[-1])] if origin is dict else Any  # type: ignore[misc]


def _any_of(*parts: Any) -> Any:
    return Any if Any in parts else Union[parts]  # noqa: UP007 - made at run time


def _is_json(value: Any) -> bool:
    if isinstance(value, list | tuple):
        return all(map(_is_json, value))
    return value is None or isinstance(value, str | int | float | bool)
