"""Recipes, the plan of a build, and what its workers are handed and give back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, field_validator

from hubkernel.pipeline.common import cron_expression
from hubkernel.pipeline.merge import MergeOptions

Merger = Literal["upsert", "merge_struct"]
Range = tuple[str | None, str | None]
"""``[start, stop)`` of ids; None is the end of the collection."""
EXAMPLES = 3
MAX_FIELDS = 1000
"""So many different fields are counted by name in a report; collisions of others are counted as one."""


class Autobuild(BaseModel):
    """What a recipe says of its builds that the hub starts by itself. Other keys belong to later stages."""

    model_config = ConfigDict(extra="allow")

    schedule: str | None = None
    """Cron, by which a build starts if a source has news."""
    env: str | list[str] | None = None
    """Index environment of complete builds; in a list, the first one (BioThings: index, then snapshot)."""

    @property
    def index_env(self) -> str | None:
        return self.env if isinstance(self.env, str) else next(iter(self.env or ()), None)

    @field_validator("schedule")
    @classmethod
    def _is_a_cron(cls, schedule: str | None) -> str | None:
        if schedule is not None:
            cron_expression(schedule)
        return schedule


class Recipe(BaseModel):
    """A build configuration: a document of ``src_build_config``. Other keys are kept, for whoever reads them."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)

    name: str
    doc_type: str
    """Kind of the documents, e.g. ``gene``: ``_meta.biothing_type``."""
    sources: list[str]
    """Collections, in no order that matters: see ``merge_order``."""
    root: list[str] = []
    """Sources that may create documents (others only add to these), or ``!source`` for all others. Empty: all may."""
    merge_order: list[str] = []
    """Sources in the order in which they are merged; the default is roots, then others, each by name."""
    builder_class: str | None = None
    build_version: str = "%Y%m%d"
    """``strftime`` pattern of the version."""
    ids: list[str] | None = None
    """Build these documents only."""
    archived: bool = False
    autobuild: Autobuild | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """A source in its place of the merge order."""

    collection: str
    root: bool
    """May create documents."""
    merger: Merger = "upsert"
    options: MergeOptions = field(default_factory=MergeOptions)


@dataclass(frozen=True, slots=True)
class MergeRange:
    """One part of a build: all documents of a range of ids."""

    store_url: str
    token: str
    part: int
    sources: tuple[Source, ...]
    start: str | None
    stop: str | None
    ids: frozenset[str] | None = None


@dataclass(slots=True)
class Collisions:
    """How often a field of one source took the place of another source's, with a few ids to look at."""

    count: int = 0
    ids: list[str] = field(default_factory=list)

    def add(self, doc_id: str) -> None:
        self.count += 1
        if len(self.ids) < EXAMPLES:
            self.ids.append(doc_id)

    def join(self, other: Collisions) -> None:
        self.count += other.count
        self.ids = (self.ids + other.ids)[:EXAMPLES]


Collision = tuple[str, str, str]
"""``(field, source that lost it, source that won it)``."""


class MergeReport:
    """What became of the documents of each source. Adds up over the ranges of a build."""

    def __init__(self, sources: Sequence[str]) -> None:
        self.sources = list(sources)
        self.read = [0] * len(self.sources)
        self.written = [0] * len(self.sources)
        """Documents of the source that are part of a document of the build."""
        self.orphans = [0] * len(self.sources)
        """Documents of a non-root source that were left out, since no root has their id."""
        self.collisions: dict[Collision, Collisions] = {}

    def collide(self, collision: Collision, doc_id: str) -> None:
        if collision not in self.collisions and len(self.collisions) >= MAX_FIELDS:
            collision = ("(other fields)", *collision[1:])
        self.collisions.setdefault(collision, Collisions()).add(doc_id)

    def add(self, other: MergeReport) -> None:
        for mine, others in ((self.read, other.read), (self.written, other.written), (self.orphans, other.orphans)):
            mine[:] = [first + second for first, second in zip(mine, others, strict=True)]
        for collision, found in other.collisions.items():
            self.collisions.setdefault(collision, Collisions()).join(found)

    def stats(self) -> dict[str, dict[str, int]]:
        """``merge_stats``: ``{source: {"read", "written", "orphans"}}``."""
        rows = zip(self.sources, self.read, self.written, self.orphans, strict=True)
        return {name: {"read": read, "written": written, "orphans": lost} for name, read, written, lost in rows}

    def conflicts(self) -> list[dict[str, Any]]:
        """``merge_conflicts``: the fields that several sources have with different values, the most frequent first."""
        ordered = sorted(self.collisions.items(), key=lambda item: (-item[1].count, item[0]))
        return [
            {"field": name, "overwritten": lost, "by": won, "count": found.count, "ids": found.ids}
            for (name, lost, won), found in ordered
        ]


class Step(BaseModel):
    """An entry of ``src_build.jobs``."""

    step: str
    status: Literal["building", "success", "failed", "canceled"]
    step_started_at: datetime
    sources: list[str] | None = None
    job: int | None = None
    """Id of the hub job."""
    pid: int | None = None
    """Of the hub, while it builds."""
    logfile: str | None = None
    time: str | None = None
    time_in_s: float | None = None
    err: str | None = None


def divide(splits: Iterable[tuple[int, Sequence[Range]]], parts: int) -> list[Range]:
    """Cut the ids of several collections together into about ``parts`` ranges with about as many documents each.

    ``splits`` has, for each collection, its number of documents and its own ranges of about equal size.
    """
    marks: list[tuple[str, float]] = []
    total = 0
    for count, ranges in splits:
        total += count
        marks += [(stop, count / len(ranges)) for _, stop in ranges if stop is not None]
    cuts: list[str] = []
    passed = 0.0
    for boundary, weight in sorted(marks):
        passed += weight
        if passed * parts >= total * (len(cuts) + 1) and len(cuts) < parts - 1 and boundary not in cuts[-1:]:
            cuts.append(boundary)
    return list(zip([None, *cuts], [*cuts, None], strict=True))
