"""What stands for the id lookups, which this hub cannot do yet.

Sources that use them can be loaded and dumped, and say at their upload what is missing.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, NoReturn

__all__ = [
    "BiothingsAPIEdge",
    "CIIDStruct",
    "CIMongoDBEdge",
    "DataTransform",
    "DataTransformAPI",
    "DataTransformEdge",
    "DataTransformMDB",
    "DataTransformMyChemInfo",
    "DataTransformMyGeneInfo",
    "IDStruct",
    "MongoDBEdge",
    "MyChemInfoEdge",
    "MyGeneInfoEdge",
    "RegExEdge",
    "nested_lookup",
]


class LookupMissingError(NotImplementedError):
    """Ids were to be looked up."""


class Later:
    """Takes any arguments; as a decorator it gives a function that raises :class:`LookupMissingError`."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.arguments = (args, kwargs)

    def __call__(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Callable[..., Any]:
        @functools.wraps(function)
        def fails(*args: Any, **kwargs: Any) -> NoReturn:
            self.refuse()

        return fails

    def lookup_one(self, doc: Any) -> NoReturn:
        self.refuse()

    def refuse(self) -> NoReturn:
        raise LookupMissingError(f"{type(self).__name__}: ids cannot be looked up yet; map them in load_data")


class DataTransform(Later): ...


class DataTransformMDB(DataTransform): ...


class DataTransformAPI(DataTransform): ...


class DataTransformMyChemInfo(DataTransformAPI): ...


class DataTransformMyGeneInfo(DataTransformAPI): ...


class DataTransformEdge(Later): ...


class MongoDBEdge(DataTransformEdge): ...


class CIMongoDBEdge(MongoDBEdge): ...


class BiothingsAPIEdge(DataTransformEdge): ...


class MyChemInfoEdge(BiothingsAPIEdge): ...


class MyGeneInfoEdge(BiothingsAPIEdge): ...


class RegExEdge(DataTransformEdge): ...


class IDStruct(Later): ...


class CIIDStruct(IDStruct): ...


def nested_lookup(doc: Any, field: str) -> Any:
    """The value at a dotted path; through a list, the values of its items. None where there is none."""
    for key in field.split("."):
        if isinstance(doc, list):
            doc = [item[key] for item in doc if isinstance(item, dict) and key in item]
        elif isinstance(doc, dict) and key in doc:
            doc = doc[key]
        else:
            return None
    return doc
