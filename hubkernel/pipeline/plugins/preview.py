"""The first documents that a plugin makes of a release, without storing anything. Runs in a worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from hubkernel.executors import CancelledWork, Worker
from hubkernel.pipeline.plugins.loader import blame, load_function
from hubkernel.pipeline.plugins.specs import UploaderSpec
from hubkernel.pipeline.surroundings import Surroundings


@dataclass(frozen=True)
class Preview:
    """One collection of a plugin."""

    folder: str
    spec: UploaderSpec
    data_folder: str
    limit: int
    surroundings: Surroundings
    keylookup: str | None = None
    """``module:Class`` of the hub's key lookup, for a manifest that asks for one."""


def preview(worker: Worker, work: Preview) -> dict[str, Any]:
    """``{"documents": [...], "error": None or "file:line: what"}``: documents as JSON has them; those before an error
    are there too.
    """
    documents: list[Any] = []
    try:
        for document in islice(_documents(work), work.limit):
            worker.check()
            documents.append(_plain(document))
    except (Exception, SystemExit) as error:
        if isinstance(error, CancelledWork):
            raise
        return {"documents": documents, "error": blame(error, Path(work.folder).resolve())}
    return {"documents": documents, "error": None}


def _documents(work: Preview) -> Iterator[Any]:
    from hubkernel.pipeline.upload.origin import Origin

    origin = Origin(work.folder, work.spec, work.data_folder, None, work.surroundings, keylookup=work.keylookup)
    with origin.uploader() as uploader:
        for call in _calls(work, uploader):
            yield from _each(uploader.load_data(*call))


def _calls(work: Preview, uploader: Any) -> Iterable[tuple[Any, ...]]:
    section = work.spec.section
    if not work.spec.parallel:
        return [(work.data_folder,)]
    jobs = load_function(work.folder, section.parallelizer) if section and section.parallelizer else None
    calls: Iterable[tuple[Any, ...]] = jobs(uploader) if jobs else uploader.jobs()
    return calls


def _each(made: Any) -> Iterator[Any]:
    if made is None:
        raise TypeError("the parser returned None: it has to return or yield documents")
    if isinstance(made, Mapping):
        yield from ({**document, "_id": id} for id, document in made.items())
        return
    for number, document in enumerate(made, 1):
        if not isinstance(document, Mapping) or "_id" not in document:
            raise TypeError(f"number {number} is no document: it has to be a dict with an '_id', not {document!r:.200}")
        yield document


def _plain(document: Mapping[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = json.loads(json.dumps(document, default=str))
    return plain
