"""The first documents that a plugin makes of a release, without storing anything. Runs in a worker."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from types import SimpleNamespace
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.plugins.loader import blame, load_function
from hubkernel.pipeline.plugins.specs import UploaderSpec
from hubkernel.pipeline.surroundings import Surroundings, enter


@dataclass(frozen=True)
class Preview:
    """One collection of a plugin."""

    folder: str
    spec: UploaderSpec
    data_folder: str
    limit: int
    surroundings: Surroundings


def preview(worker: Worker, work: Preview) -> dict[str, Any]:
    """``{"documents": [...], "error": None or "file:line: what"}``: documents as JSON has them; those before an error
    are there too.
    """
    documents: list[Any] = []
    try:
        with enter(work.surroundings):
            for document in islice(_documents(work), work.limit):
                worker.check()
                documents.append(_plain(document))
    except (Exception, SystemExit) as error:
        return {"documents": documents, "error": blame(error, _path(work))}
    return {"documents": documents, "error": None}


def _path(work: Preview) -> Any:
    from pathlib import Path

    return Path(work.folder).resolve()


def _documents(work: Preview) -> Iterator[Any]:
    section = work.spec.section
    if work.spec.target is not None or section is None or section.parser is None:
        uploader = load_function(work.folder, work.spec.target or "").create()  # type: ignore[attr-defined]
        uploader.data_folder = work.data_folder
        calls = uploader.jobs() if work.spec.parallel else [(work.data_folder,)]
        for call in calls:
            yield from _each(uploader.load_data(*call))
        return
    parser = load_function(work.folder, section.parser)
    for call in _calls(work):
        yield from _each(parser(*call, **section.parser_kwargs))


def _calls(work: Preview) -> Iterable[tuple[Any, ...]]:
    section = work.spec.section
    if section is None or section.parallelizer is None:
        return [(work.data_folder,)]
    view = SimpleNamespace(name=work.spec.name, data_folder=work.data_folder)
    calls: Iterable[tuple[Any, ...]] = load_function(work.folder, section.parallelizer)(view)
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
