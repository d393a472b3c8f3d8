"""Build configurations: ``src_build_config``."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pydantic import ValidationError

from hubkernel.pipeline.build.errors import BuildExistsError, NoSuchRecipeError, RecipeError, unknown
from hubkernel.pipeline.build.models import Recipe, Source
from hubkernel.pipeline.merge import MergeOptions
from hubkernel.store import StateStore
from hubkernel.store.base import Document

OWED = {
    "cold_collection": "builds on a cold collection",
    "mapper": "id mappers",
}
"""Keys of recipes and of ``src_master`` that this hub cannot follow yet, and must not ignore."""


class RecipeBook:
    """The recipes of a hub. Every change is one durable write."""

    def __init__(self, state: StateStore, builder_classes: Iterable[str]) -> None:
        self._collection = state["src_build_config"]
        self._builder_classes = list(builder_classes)

    def all(self) -> list[Document]:
        return self._collection.find(sort=[("_id", 1)])

    def get(self, name: str) -> Document:
        """The stored document. Raises :class:`NoSuchRecipeError` with the nearest name."""
        found = self._collection.find_one({"_id": name})
        if found is None:
            names = [document["_id"] for document in self._collection.find(projection=["_id"])]
            raise NoSuchRecipeError(unknown("build configuration", name, names))
        return found

    def recipe(self, name: str) -> Recipe:
        """The checked recipe. Raises :class:`RecipeError` too."""
        return check(self.get(name), self._builder_classes)

    def create(self, document: Mapping[str, Any]) -> Document:
        """Raises :class:`RecipeError`, or :class:`BuildExistsError` if there is one of that name."""
        check(document, self._builder_classes)
        if self._collection.find_one({"_id": document["_id"]}):
            raise BuildExistsError(
                f"Configuration named {document['_id']!r} already exists: update it, or choose another name"
            )
        self._collection.insert_one(document)
        return dict(document)

    def update(self, name: str, changes: Mapping[str, Any]) -> Document:
        """Change what is given and keep the rest."""
        document = {**self.get(name), **changes}
        check(document, self._builder_classes)
        self._collection.replace_one({"_id": name}, document)
        return document

    def delete(self, name: str) -> None:
        """Its builds stay. One that is not there is no error."""
        self._collection.delete_one({"_id": name})


def check(document: Mapping[str, Any], builder_classes: Sequence[str]) -> Recipe:
    """Raises :class:`RecipeError` with every fault of a recipe."""
    name = document.get("name")
    try:
        recipe = Recipe.model_validate({key: value for key, value in document.items() if key != "_id"})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}" for fault in error.errors()]
        raise RecipeError(_message(name, faults)) from None
    faults = [*_name_faults(recipe), *_source_faults(recipe), *_key_faults(document)]
    if recipe.builder_class and recipe.builder_class not in builder_classes:
        faults.append(f"builder_class: {unknown('builder class', recipe.builder_class, builder_classes)}")
    if faults:
        raise RecipeError(_message(name, faults))
    return recipe


def _message(name: object, faults: Sequence[str]) -> str:
    start = f"build configuration {name!r}"
    return f"{start}: {faults[0]}" if len(faults) == 1 else f"{start}:\n" + "\n".join(f"  {fault}" for fault in faults)


def _name_faults(recipe: Recipe) -> Iterable[str]:
    if not re.fullmatch(r"[A-Za-z0-9_][\w.-]*", recipe.name, re.ASCII):
        yield f"name: {recipe.name!r} is not a name: use letters, digits, '_', '-' and '.'"
    if not recipe.doc_type:
        yield "doc_type: is empty; it says what the documents are, e.g. 'gene'"
    if "." in recipe.build_version or not recipe.build_version:
        yield f"build_version: {recipe.build_version!r} has a '.', which separates the two versions of an update"


def _source_faults(recipe: Recipe) -> Iterable[str]:
    if not recipe.sources:
        yield "sources: is empty; give at least one"
    doubled = sorted({name for name in recipe.sources if recipe.sources.count(name) > 1})
    if doubled:
        yield f"sources: {', '.join(doubled)} more than once"
    negated = [name for name in recipe.root if name.startswith("!")]
    if negated and len(negated) != len(recipe.root):
        yield f"root: cannot mix roots and negated roots ({', '.join(recipe.root)})"
    for key, names in (("root", recipe.root), ("merge_order", recipe.merge_order)):
        for name in names:
            if name.removeprefix("!" if key == "root" else "") not in recipe.sources:
                yield f"{key}: {unknown('source', name.removeprefix('!'), recipe.sources)}"


def _key_faults(document: Mapping[str, Any]) -> Iterable[str]:
    for key in sorted(OWED.keys() & document.keys()):
        yield f"{key}: this hub cannot do {OWED[key]} yet"


def roots(recipe: Recipe) -> list[str]:
    """The sources that may create documents, by name."""
    negated = {name[1:] for name in recipe.root if name.startswith("!")}
    if negated:
        return sorted(set(recipe.sources) - negated)
    return sorted(recipe.root or recipe.sources)


def merge_order(recipe: Recipe, chosen: Iterable[str]) -> list[str]:
    """``chosen`` sources in the order in which they are merged: later ones replace what earlier ones say.

    Roots come first whatever the recipe's own order says, for only they create documents.
    """
    may_create = set(roots(recipe))
    own = {name: place for place, name in enumerate(recipe.merge_order)}
    return sorted(chosen, key=lambda name: (name not in may_create, own.get(name, len(own)), name))


def plan(recipe: Recipe, chosen: Iterable[str], masters: Mapping[str, Document]) -> list[Source]:
    """The sources in merge order, each with its policy from ``src_master``. Raises :class:`RecipeError`."""
    may_create = set(roots(recipe))
    return [
        Source(name, name in may_create, *_policy(name, masters.get(name, {}))) for name in merge_order(recipe, chosen)
    ]


def _policy(name: str, master: Document) -> tuple[Any, MergeOptions]:
    if master.get("mapper"):
        raise RecipeError(f"source {name!r} wants the mapper {master['mapper']!r}: this hub cannot do id mappers yet")
    merger = master.get("merger") or "upsert"
    if merger not in ("upsert", "merge_struct"):
        raise RecipeError(f"source {name!r} has the merger {merger!r}: use 'upsert' or 'merge_struct'")
    try:
        return merger, MergeOptions.of(master.get("merger_kwargs"))
    except ValueError as error:
        raise RecipeError(f"source {name!r}: merger_kwargs: {error}") from None
