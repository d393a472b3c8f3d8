"""Builds: recipes, and the collections that are merged by them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from hubkernel.pipeline.build.builder import DataBuilder, doc_line
from hubkernel.pipeline.build.errors import BuildError, RecipeError
from hubkernel.pipeline.build.metadata import source_infos
from hubkernel.pipeline.build.news import news
from hubkernel.pipeline.build.recipes import RecipeBook
from hubkernel.pipeline.build.state import Builds, status_of, without
from hubkernel.pipeline.context import PipelineContext
from hubkernel.store import NoSuchCollectionError
from hubkernel.store.base import Document

STATUSES = ("success", "failed", "canceled", "building", "unknown")


class BuildManager:
    """The recipes and builds of a hub. Threading: commands run on the hub loop, merging only in workers."""

    def __init__(self, context: PipelineContext) -> None:
        self.context = context
        self.builder_classes: dict[str, type[DataBuilder]] = {f"{DataBuilder.__module__}.DataBuilder": DataBuilder}
        """By dotted path; the first one is the default."""
        self.recipes = RecipeBook(context.state, self.builder_classes)
        self.builds = Builds(context.state)
        self._running: dict[str, str] = {}

    # Recipes

    def create_build_configuration(  # noqa: PLR0917 - the signature is given
        self,
        name: str,
        doc_type: str,
        sources: str | Sequence[str],
        roots: str | Sequence[str] | None = None,
        builder_class: str | None = None,
        params: Mapping[str, Any] | None = None,
        archived: bool = False,
    ) -> dict[str, Any]:
        """Write a recipe: the sources of a build, and which of them (``roots``) may create documents.

        ``roots`` may negate (``["!s1"]``: all but s1); without roots every source may. ``params`` are more keys of the
        recipe, e.g. ``{"merge_order": [...]}``. Returns the recipe.
        """
        recipe = {
            "_id": name,
            "name": name,
            "doc_type": doc_type,
            "sources": _names(sources),
            "root": _names(roots or []),
            "builder_class": builder_class or next(iter(self.builder_classes)),
            **_params(params),
        }
        if archived:
            recipe["archived"] = True
        return self.recipes.create(recipe)

    def update_build_configuration(  # noqa: PLR0917 - as above
        self,
        name: str,
        doc_type: str | None = None,
        sources: str | Sequence[str] | None = None,
        roots: str | Sequence[str] | None = None,
        builder_class: str | None = None,
        params: Mapping[str, Any] | None = None,
        archived: bool | None = None,
    ) -> dict[str, Any]:
        """Change a recipe; what is not given stays as it is. Returns the recipe."""
        given = {
            "doc_type": doc_type,
            "sources": None if sources is None else _names(sources),
            "root": None if roots is None else _names(roots),
            "builder_class": builder_class,
            "archived": archived,
        }
        changes = {key: value for key, value in given.items() if value is not None}
        return self.recipes.update(name, {**changes, **_params(params)})

    def delete_build_configuration(self, name: str) -> None:
        """Delete a recipe; its builds stay. One that is not there is no error."""
        self.recipes.delete(name)

    # Builds

    async def merge(
        self,
        build_name: str,
        sources: str | Sequence[str] | None = None,
        target_name: str | None = None,
        *,
        force: bool = False,
        ids: Iterable[str] | None = None,
    ) -> str:
        """Merge the sources of a recipe into a new collection, and return its name.

        ``sources`` merges some of them only; ``target_name`` names (or replaces) a build; ``force`` takes sources whose
        last upload failed as they are; ``ids`` builds these documents only.
        """
        document = self.recipes.get(build_name)
        recipe = self.recipes.recipe(build_name)
        builder = self.builder_classes[recipe.builder_class or next(iter(self.builder_classes))]
        self._reserve(target_name)
        try:
            return await builder(self.context, document, recipe).run(sources, target_name, force=force, ids=ids)
        finally:
            if target_name is not None:
                del self._running[target_name]

    def _reserve(self, target: str | None) -> None:
        """Two builds under one given name at once would write one document."""
        if target is None:
            return
        if target in self._running:
            raise BuildError(f"{target} is being built already: wait for it, or cancel it")
        self._running[target] = target

    def list_merge(self, build_config: str | None = None, only_archived: bool = False) -> list[str]:
        """The names of all builds, or of those of one recipe, newest first."""
        if build_config is not None:
            self.recipes.get(build_config)
        return [build["_id"] for build in self.builds.find(build_config, archived=only_archived)]

    def delete_merge(self, merge_name: str) -> None:
        """Delete a build: its documents and what is known of it."""
        build = self.builds.get(merge_name)
        if status_of(build) == "building" and merge_name in self._running:
            raise BuildError(f"{merge_name} is being built: cancel that first")
        self.context.store.drop(build["target_name"])
        self.builds.delete(merge_name)

    def archive_merge(self, merge_name: str) -> None:
        """Archive a build: its documents are deleted, what is known of it stays and says so."""
        build = self.builds.get(merge_name)
        if merge_name in self._running or status_of(build) == "building":
            raise BuildError(f"{merge_name} is being built: wait for it, or cancel it")
        self.builds.archive(merge_name)
        self.context.store.drop(build["target_name"])

    def save_mapping(
        self, name: str, mapping: dict[str, Any] | None = None, dest: str = "build", mode: str = "mapping"
    ) -> None:
        """Save a mapping (Elasticsearch ``properties``) for a build; the next index of it is made with it."""
        if dest != "build" or mode != "mapping" or not isinstance(mapping, dict):
            raise ValueError("only a given mapping can be saved, as dest='build': documents cannot be inspected yet")
        self.builds.get(name)
        self.context.state["src_build"].update_one({"_id": name}, {"$set": {"mapping": mapping}})

    def build_info(
        self,
        id: str | None = None,
        conf_name: str | None = None,
        fields: str | Sequence[str] | None = None,
        only_archived: bool = False,
        status: str | None = None,
    ) -> dict[str, Any] | list[dict[str, Any]]:
        """One build with all that is known of it, or a list of them, newest first.

        Each has ``status`` (that of its last step) and ``count``. The list leaves out ``mapping`` and ``sources``
        unless ``fields`` asks for them.
        """
        if status is not None and status not in STATUSES:
            raise ValueError(f"status is {status!r}: use one of {', '.join(STATUSES)}")
        if id is not None:
            return self._described(self.builds.get(id), fields)
        found = self.builds.find(conf_name, archived=only_archived, status=status)
        if fields is None:
            found = [without(build, ("mapping", "sources")) for build in found]
        return [self._described(build, fields) for build in found]

    def _described(self, build: Document, fields: str | Sequence[str] | None) -> dict[str, Any]:
        described = {**build, "status": status_of(build), "count": self._count(build["target_name"])}
        if fields is None:
            return described
        wanted = {"_id", *_names(fields)}
        return {key: value for key, value in described.items() if key in wanted}

    def _count(self, collection: str) -> int | None:
        try:
            return self.context.store[collection].count()
        except NoSuchCollectionError:
            return None

    def build_config_info(self) -> dict[str, Any]:
        """All recipes and builder classes: ``{"build_configs": {name: {...}}, "builder_classes": {path: {...}}}``.

        A recipe that cannot be followed has the reason under ``error``.
        """
        return {
            "build_configs": {document["_id"]: self._config_info(document) for document in self.recipes.all()},
            "builder_classes": {
                path: {"desc": doc_line(cls), "type": "class", "default": number == 0}
                for number, (path, cls) in enumerate(self.builder_classes.items())
            },
        }

    def _config_info(self, document: Document) -> dict[str, Any]:
        kind = self.context.store_url.split(":", 1)[0]
        info = {
            "build_config": document,
            "archived": bool(document.get("archived")),
            "source_backend": {"type": kind, "source_db": self.context.store_url},
            "target_backend": {"type": kind, "target_db": self.context.store_url},
        }
        try:
            self.recipes.recipe(document["_id"])
        except RecipeError as error:
            info["error"] = str(error)
        return info

    def whatsnew(self, build_name: str | None = None, old: str | None = None) -> dict[str, Any]:
        """Sources that have news since the last build (or the build ``old``) of a recipe, or of each recipe.

        ``{recipe: {"old_build": {"name", "built_at"}, "sources": {source: {"old": {"version"}, "new": {"version",
        "downloaded_at"}}}}}``. Without ``build_name``, recipes without news or builds and archived ones are left out.
        """
        if build_name is None:
            recipes = [document for document in self.recipes.all() if not document.get("archived")]
            found = {document["_id"]: self._news(document, old) for document in recipes}
            return {name: answer for name, answer in found.items() if answer and answer["sources"]}
        recipe = self.recipes.get(build_name)
        answer = self._news(recipe, old)
        if answer is None:
            raise BuildError(f"{build_name} has not been built yet: run merge({build_name!r})")
        return {build_name: answer}

    def schedules(self) -> dict[str, str]:
        """The cron of each recipe that is built by itself (``autobuild.schedule``)."""
        recipes = [document for document in self.recipes.all() if not document.get("archived")]
        crons = {document["_id"]: (document.get("autobuild") or {}).get("schedule") for document in recipes}
        return {name: cron for name, cron in crons.items() if cron}

    def uploads_since(self, build_name: str) -> list[int] | None:
        """The jobs that uploaded what a new build would have and the last one has not; None if there is nothing new.

        For the first build these are the uploads of all its sources; None as long as one of them has no documents.
        """
        recipe = self.recipes.get(build_name)
        infos = source_infos(self.context.state, recipe["sources"]).values()
        if self.builds.latest_success(build_name) is None:
            chosen = list(infos) if all(info.known for info in infos) else []
        else:
            changes = self.whatsnew(build_name)[build_name]["sources"]
            fresh = {main for main, change in changes.items() if change["new"] and "uploaded" not in change["new"]}
            chosen = [info for info in infos if info.main in fresh]
        if not chosen:
            return None
        return sorted({job for info in chosen if (job := info.upload.get("job")) is not None})

    def _news(self, recipe: Document, old: str | None) -> dict[str, Any] | None:
        build = self.builds.latest_success(recipe["_id"]) if old is None else self.builds.get(old)
        if build is None:
            return None
        if not (build.get("_meta") or {}).get("src"):
            raise BuildError(f"{old} is not a complete build (its status is {status_of(build)!r})")
        return news(self.context.state, recipe, build)


def _names(names: str | Sequence[str]) -> list[str]:
    return [names] if isinstance(names, str) else list(names)


def _params(params: Mapping[str, Any] | None) -> dict[str, Any]:
    fixed = {"_id", "name"} & (params or {}).keys()
    if fixed:
        raise RecipeError(f"params: {', '.join(sorted(fixed))} cannot be set")
    return dict(params or {})
