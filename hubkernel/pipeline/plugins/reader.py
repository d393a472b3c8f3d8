"""Read a manifest and report everything that is wrong with it at once, each with its line and what to do."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from hubkernel.pipeline.plugins.errors import ManifestError, Problem, nearest
from hubkernel.pipeline.plugins.loader import check_function
from hubkernel.pipeline.plugins.models import (
    DumperSection,
    Manifest,
    Section,
    UploaderSection,
    is_class,
    is_function,
    is_name,
)
from hubkernel.pipeline.plugins.positions import Path_, Positioned, json_path, parse_file
from hubkernel.pipeline.plugins.specs import class_target

MANIFESTS = ("manifest.json", "manifest.yaml", "manifest.yml")
"""File names of a manifest; if there are several the first of these is used."""

_KINDS = {"string": "a string", "bool": "true or false", "list": "a list", "dict": "an object", "model": "an object"}
_FUNCTIONS: dict[type[Section], tuple[str, ...]] = {
    DumperSection: ("release",),
    UploaderSection: ("parser", "parallelizer", "mapping"),
}
_NEEDED: dict[type[Section], tuple[str, ...]] = {DumperSection: ("data_url",), UploaderSection: ("parser",)}
"""Unless there is a ``class``."""
_RETIRED = {"ignore_duplicates": "use 'on_duplicates: ignore'"}


def find_manifest(folder: Path) -> Path | None:
    """The manifest of a plugin folder, None if it has none."""
    return next((folder / name for name in MANIFESTS if (folder / name).is_file()), None)


def read_manifest(file: Path) -> tuple[Manifest, list[Problem]]:
    """The manifest, and its warnings (unknown keys, which are kept). Runs no code of the plugin.

    Raises :class:`ManifestError` with all faults of the file and of the functions that it names.
    """
    document = parse_file(file)
    if not isinstance(document.value, dict):
        raise ManifestError([Problem(file, 1, "", "a manifest is an object with 'version', 'dumper' and 'uploader'")])
    warnings, mistyped = _check_keys(document)
    manifest = _validate(document, mistyped)
    _check_rules(document, mistyped)
    _check_code(document)
    if document.problems or manifest is None:
        raise ManifestError(document.problems)
    return manifest, warnings


def _sections(value: dict[str, Any]) -> Iterator[tuple[Path_, dict[str, Any], type[Section]]]:
    yield (), value, Manifest
    candidates: list[tuple[Path_, Any, type[Section]]] = [
        (("dumper",), value.get("dumper"), DumperSection),
        (("uploader",), value.get("uploader"), UploaderSection),
    ]
    uploaders = value.get("uploaders")
    for index, item in enumerate(uploaders if isinstance(uploaders, list) else []):
        candidates.append((("uploaders", index), item, UploaderSection))
    for path, section, model in candidates:
        if isinstance(section, dict):
            yield path, section, model


def _check_keys(document: Positioned) -> tuple[list[Problem], set[Path_]]:
    """Report keys that look mistyped; return warnings for the unknown rest, and the paths that were meant."""
    warnings: list[Problem] = []
    meant: set[Path_] = set()
    for path, section, model in _sections(document.value):
        known = [field.alias or name for name, field in model.model_fields.items()]
        for key in section:
            here = (*path, key)
            if key in known:
                if section[key] is None:
                    document.report(here, "is null: give a value or remove the key")
                continue
            near = nearest(key, [name for name in known if name not in section])
            if key in _RETIRED:
                document.report(here, f"'{key}' is no longer a key: {_RETIRED[key]}")
            elif near:
                document.report(here, f"unknown key '{key}': did you mean '{near}'?")
                meant.add((*path, near))
            else:
                message = f"unknown key '{key}' is kept and not used"
                warnings.append(Problem(document.file, document.line(here), json_path(here), message))
    return warnings, meant


def _validate(document: Positioned, mistyped: set[Path_]) -> Manifest | None:
    manifest = None
    try:
        manifest = Manifest.model_validate(document.value)
    except ValidationError as error:
        for detail in error.errors():
            path: Path_ = detail["loc"]
            if path and isinstance(path[-1], int) and path not in document.lines:
                path = path[:-1]  # one text where there may be a list of them
            if detail["input"] is not None and not (detail["type"] == "missing" and path in mistyped):
                document.report(path, _message(detail))
    return manifest


def _check_rules(document: Positioned, mistyped: set[Path_]) -> None:
    """Rules between keys; checked on the raw values, so that they are reported beside all other faults."""
    has_one, has_many = ("uploader" in document.value), ("uploaders" in document.value)
    if has_one and has_many:
        document.report(("uploaders",), "'uploader' and 'uploaders' are mutually exclusive: keep one")
    if not has_one and not has_many and not {("uploader",), ("uploaders",)} & mistyped:
        document.report((), "'uploader' (or 'uploaders') is missing: it says which function is the parser")
    names: dict[str, int] = {}
    for path, section, model in _sections(document.value):
        for key in _NEEDED.get(model, ()):
            if key not in section and "class" not in section and not {(*path, key), (*path, "class")} & mistyped:
                document.report((*path, key), f"'{key}' is missing")
        if path[:1] == ("uploaders",):
            _check_name(document, path, section, names, mistyped)


def _check_name(
    document: Positioned, path: Path_, section: dict[str, Any], names: dict[str, int], mistyped: set[Path_]
) -> None:
    name = section.get("name")
    if "name" not in section and (*path, "name") not in mistyped:
        document.report(path, "'name' is missing: each of several uploaders needs one, its collection's name")
    elif isinstance(name, str) and name in names:
        document.report((*path, "name"), f"uploader '{name}' is there twice (first on line {names[name]}): rename one")
    elif isinstance(name, str):
        names[name] = document.line((*path, "name"))


def _check_code(document: Positioned) -> None:
    """Report functions that are not there, and keys that ask for what this hub does not have."""
    folder = document.file.parent
    if "name" not in document.value and not is_name(folder.name):
        message = f"the folder's name {folder.name!r} cannot be a source's name: add \"name\" to the manifest"
        document.report((), message)
    for path, section, model in _sections(document.value):
        if model is Manifest:
            continue
        written = section.get("class")
        if isinstance(written, str) and is_class(written):
            fault = check_function(folder, class_target(written) or "")
            if fault:
                document.report((*path, "class"), fault.replace("no function", "no class", 1))
        for key in _FUNCTIONS[model]:
            target = section.get(key)
            fault = check_function(folder, target) if isinstance(target, str) and is_function(target) else None
            if fault:
                document.report((*path, key), fault)


def _message(detail: ErrorDetails) -> str:
    kind, given, context = detail["type"], detail["input"], detail.get("ctx", {})
    key = detail["loc"][-1] if detail["loc"] else ""
    if kind == "missing":
        return f"'{key}' is missing"
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        return f"{given!r} is not allowed: use one of {context['expected'].replace(' or ', ', ')}"
    if kind in ("too_short", "string_too_short"):
        return "is empty: give at least one"
    needed = _KINDS.get(kind.removesuffix("_type"))
    if needed is None:
        return detail["msg"]
    hint = f': write "{given}" in quotes' if needed == "a string" and isinstance(given, int | float) else ""
    return f"is {_kind_of(given)} where {needed} is needed{hint}"


def _kind_of(value: object) -> str:
    kinds: list[tuple[type | tuple[type, ...], str]] = [
        (bool, "true or false"),
        (str, "a string"),
        ((int, float), "a number"),
        (list, "a list"),
        (dict, "an object"),
    ]
    return next((text for kind, text in kinds if isinstance(value, kind)), f"a {type(value).__name__}")
