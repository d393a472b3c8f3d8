"""A pydantic model of documents, as Python text, made from their Elasticsearch mapping."""

from __future__ import annotations

import builtins
import keyword
import re
from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import BaseModel

TYPES = {
    **dict.fromkeys(("text", "keyword", "match_only_text", "wildcard", "constant_keyword", "version", "ip"), "str"),
    **dict.fromkeys(("long", "integer", "short", "byte", "unsigned_long"), "int"),
    **dict.fromkeys(("double", "float", "half_float", "scaled_float"), "float"),
    **dict.fromkeys(("date", "date_nanos"), "Date"),
    "boolean": "bool",
    **dict.fromkeys(
        ("integer_range", "float_range", "long_range", "double_range", "date_range", "ip_range"), "dict[str, Any]"
    ),
}
"""Python's type for each of Elasticsearch's; any other is ``Any``."""
TAKEN = {*dir(builtins), *dir(BaseModel), "Annotated", "Any", "ConfigDict", "Date", "Field", "BeforeValidator"}
"""Names that mean something in the text; a field that is called so is an alias."""
_HEAD = '''"""Model of the documents of {collection}, made from their mapping. Change it as you like."""

from datetime import date
from typing import Annotated, Any

from dateutil.parser import parse
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field


def check_date(value: Any) -> Any:
    """Text that is a date, a number (milliseconds) or a date."""
    if isinstance(value, str):
        parse(value)
    elif isinstance(value, bool) or not isinstance(value, int | float | date):
        raise ValueError(f"{{value!r}} is no date")
    return value


Date = Annotated[Any, BeforeValidator(check_date)]
'''


def class_name(collection: str) -> str:
    """Name of the model of a collection."""
    return _identifier(collection.casefold())


def model_source(collection: str, mapping: Mapping[str, Any]) -> str:
    """The text of a module with the model; ``mapping`` is the ``properties``. Every field may be missing, be one value
    or a list of them; fields that the mapping does not have are let through.
    """
    classes = list(_classes(class_name(collection), mapping))
    return _HEAD.format(collection=collection) + "".join(f"\n\n{text}" for text in classes)


def _classes(name: str, properties: Mapping[str, Any]) -> Iterator[str]:
    """The class of an object, after those of the objects in it."""
    lines, used = [f"class {name}(BaseModel):", '    model_config = ConfigDict(extra="allow")', ""], {"model_config"}
    for field, info in properties.items():
        inner = info.get("properties") if isinstance(info, Mapping) else None
        kind = f"{name}_{_identifier(str(field)).capitalize()}" if inner else TYPES.get(_type(info), "Any")
        if inner:
            yield from _classes(kind, inner)
        lines.append(f"    {_line(str(field), kind, used)}")
    yield "\n".join(lines) + "\n"


def _type(info: Any) -> str:
    return str(info.get("type", "")) if isinstance(info, Mapping) else ""


def _line(field: str, kind: str, used: set[str]) -> str:
    name = _identifier(field).lstrip("_") or "field"
    while name in used or name in TAKEN or name.startswith("model_"):
        name = f"field_{name}"
    used.add(name)
    alias = "" if name == field else f", alias={field!r}"
    types = "Any" if kind == "Any" else f"{kind} | list[{kind}] | None"
    return f"{name}: {types} = Field(None{alias})"


def _identifier(text: str) -> str:
    name = re.sub(r"\W", "_", text, flags=re.ASCII)
    return f"n{name}" if name[:1].isdigit() or keyword.iskeyword(name) or not name else name
