"""The JSON Schema of manifests, for editors: made from the models, so that it says what the hub checks."""

from __future__ import annotations

from typing import Any

from hubkernel.pipeline.plugins.models import Manifest

DIALECT = "https://json-schema.org/draft/2020-12/schema"
_ONE_OR_MANY = ("data_url", "requires")
_FUNCTIONS = ("release", "parser", "parallelizer", "mapping")
_FUNCTION = r"^[\w.]+:[A-Za-z_]\w*$"


def manifest_schema() -> dict[str, Any]:
    """A schema for ``manifest.json`` and ``manifest.yaml``, in the dialect 2020-12.

    It knows no more than a schema can: that functions are there, names differ and urls share a protocol is checked by
    ``hubkernel plugin validate``.
    """
    schema = Manifest.model_json_schema(by_alias=True)
    for model in (schema, *schema["$defs"].values()):
        _describe(model)
    schema["oneOf"] = [{"required": ["uploader"]}, {"required": ["uploaders"]}]
    dumper, uploader = schema["$defs"]["DumperSection"], schema["$defs"]["UploaderSection"]
    dumper["anyOf"] = [{"required": ["data_url"]}, {"required": ["class"]}]
    uploader["anyOf"] = [{"required": ["parser"]}, {"required": ["class"]}]
    many = schema["properties"]["uploaders"]
    many["items"] = {"allOf": [many["items"], {"required": ["name"]}]}
    return {"$schema": DIALECT, **schema, "title": "Manifest of a data plugin"}


def _describe(model: dict[str, Any]) -> None:
    """What differs between the models and a schema: null is refused, and one text stands for a list of one."""
    model.pop("title", None)
    for name, about in model["properties"].items():
        about.pop("title", None)
        _without_null(about)
        if name in _ONE_OR_MANY:
            model["properties"][name] = _one_or_many(about)
        elif name in _FUNCTIONS:
            about["pattern"] = _FUNCTION
        if about.get("default") in ([], {}):
            del about["default"]


def _without_null(about: dict[str, Any]) -> None:
    kinds = [kind for kind in about.get("anyOf", []) if kind.get("type") != "null"]
    if len(kinds) == 1:
        del about["anyOf"]
        about.update({**kinds[0], **about})
    if "default" in about and about["default"] is None:
        del about["default"]


def _one_or_many(about: dict[str, Any]) -> dict[str, Any]:
    items = {key: about.pop(key) for key in ("type", "items", "minItems") if key in about}
    about.pop("default", None)
    return {**about, "anyOf": [items["items"], items]}
