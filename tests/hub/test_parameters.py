from __future__ import annotations

import collections.abc
import inspect
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

import pytest

from hubkernel.hub.commands import BadArgumentsError, Command
from hubkernel.hub.parameters import from_query, mandatory_of, result_schema, schema_of, takes_any_name


def shape(
    name: str,
    count: int = 5,
    ratio: float | None = None,
    force: bool = False,
    fields: str | Sequence[str] | None = None,
    ids: Iterable[int] | None = None,
    query: dict[str, Any] | None = None,
    mode: Literal["a", "b"] = "a",
    anything=(1, 2),  # type: ignore[no-untyped-def]
    **more: Any,
) -> dict[str, list[str]] | None: ...


SIGNATURE = Command.of("shape", shape).signature


def asked(**query: str | list[str]) -> dict[str, Any]:
    return from_query("shape", SIGNATURE, {k: v if isinstance(v, list) else [v] for k, v in query.items()})


@pytest.mark.parametrize(
    ("given", "value"),
    [
        ({"count": "7"}, {"count": 7}),
        ({"ratio": "0.5"}, {"ratio": 0.5}),
        ({"force": "true"}, {"force": True}),
        ({"force": "0"}, {"force": False}),
        ({"fields": "a"}, {"fields": "a"}),
        ({"fields": ["a", "b"]}, {"fields": ["a", "b"]}),
        ({"ids": "3"}, {"ids": [3]}),
        ({"ids": ["3", "4"]}, {"ids": [3, 4]}),
        ({"query": '{"x": 1}'}, {"query": {"x": 1}}),
        ({"mode": "b"}, {"mode": "b"}),
        ({"anything": "7"}, {"anything": "7"}),
        ({"other": "7"}, {"other": "7"}),
        ({"other": ["7", "8"]}, {"other": ["7", "8"]}),
    ],
)
def test_a_query_has_the_annotated_types(given: dict[str, Any], value: dict[str, Any]) -> None:
    assert asked(**given) == value
    assert [type(v) for v in asked(**given).values()] == [type(v) for v in value.values()]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"count": "many"}, "shape: 'count' takes int, not 'many'"),
        ({"count": ""}, "shape: 'count' takes int, not ''"),
        ({"force": "maybe"}, "shape: 'force' takes bool, not 'maybe'"),
        ({"mode": "c"}, "shape: 'mode' takes Literal"),
        ({"count": ["1", "2"]}, "shape: 'count' takes int"),
    ],
)
def test_what_does_not_fit_is_named(given: dict[str, Any], message: str) -> None:
    with pytest.raises(BadArgumentsError, match=message):
        asked(**given)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    closed = Command.of("closed", lambda limit=1, force=False: None).signature
    with pytest.raises(BadArgumentsError, match="closed: no parameter 'limt'; did you mean 'limit'"):
        from_query("closed", closed, {"limt": ["5"]})


def test_nothing_is_evaluated() -> None:
    def evil(x: __import__("os").getpid() = 1) -> None: ...  # type: ignore[valid-type]

    signature = Command.of("evil", evil).signature
    assert from_query("evil", signature, {"x": ["__import__('os').getpid()"]}) == {"x": "__import__('os').getpid()"}
    assert schema_of(signature.parameters["x"]) == {"default": 1}


def test_schemas_are_those_of_json() -> None:
    schemas = {name: schema_of(parameter) for name, parameter in SIGNATURE.parameters.items()}
    assert schemas["name"] == {"type": "string"}
    assert schemas["count"] == {"type": "integer", "default": 5}
    assert schemas["force"] == {"type": "boolean", "default": False}
    assert schemas["anything"] == {"default": [1, 2]}
    texts = {"type": "array", "items": {"type": "string"}}
    assert schemas["fields"] == {"anyOf": [{"type": "string"}, texts, {"type": "null"}]}
    assert schemas["mode"] == {"enum": ["a", "b"], "type": "string", "default": "a"}
    assert result_schema(SIGNATURE) == {"anyOf": [{"type": "object", "additionalProperties": texts}, {"type": "null"}]}
    assert (mandatory_of(SIGNATURE), takes_any_name(SIGNATURE)) == (["name"], True)


def test_annotations_that_are_objects_are_understood_too() -> None:
    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
    for annotation, schema in [
        (
            collections.abc.Sequence[str] | None,
            {"anyOf": [{"type": "array", "items": {"type": "string"}}, {"type": "null"}]},
        ),
        (Mapping[str, int], {"type": "object", "additionalProperties": {"type": "integer"}}),
        (int, {"type": "integer"}),
        (object(), {}),
    ]:
        assert schema_of(inspect.Parameter("x", kind, annotation=annotation)) == schema
