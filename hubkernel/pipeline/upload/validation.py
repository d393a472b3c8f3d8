"""The models of a plugin's collections: files in its folder ``validation``, and checking documents by them."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from hubkernel.jobs.context import JobContext
from hubkernel.jobs.render import timesofar
from hubkernel.pipeline.common import all_or_first_error
from hubkernel.pipeline.upload.errors import InvalidDocumentsError, NoModelError
from hubkernel.pipeline.upload.origin import Origin
from hubkernel.pipeline.upload.schema import class_name, model_source
from hubkernel.pipeline.upload.validating import Check, Findings, validate
from hubkernel.store import DocumentStore, StateStore

FOLDER = "validation"
SHOWN = 10
"""Kinds of faults in an error; the record has all."""
RANGE = 20_000
"""Documents of a range, about; smaller collections are not split."""
RANGES = 8


def model_files(folder: Path) -> list[str]:
    """The models of a plugin, by file name."""
    found = Path(folder, FOLDER)
    return sorted(file.name for file in found.glob("*.py") if file.name != "__init__.py") if found.is_dir() else []


def model_target(folder: Path, collection: str, file: str | None) -> str | None:
    """``module:Class`` of the model of a collection: of ``file``, or of ``<collection>_model.py``; None if the plugin
    has none. Raises :class:`NoModelError` if the file that was asked for is not there.
    """
    files, wanted = model_files(folder), file or f"{collection}_model.py"
    if wanted in files:
        return f"{FOLDER}.{wanted.removesuffix('.py')}:{class_name(collection)}"
    if file is None:
        return None
    near = get_close_matches(file, files, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"there is {', '.join(files) or 'none'}"
    raise NoModelError(f"no model {file!r} in {Path(folder, FOLDER)}: {hint}")


def write_model(folder: Path, collection: str, mapping: Mapping[str, Any] | None, overwrite: bool) -> Path:
    """Write the model that a mapping makes. Raises :class:`NoModelError` if there is no mapping, or a file already."""
    file = Path(folder, FOLDER, f"{collection}_model.py")
    if not mapping:
        raise NoModelError(f"{collection} has no mapping to make a model of: give it one, or write {file} by hand")
    if file.exists() and not overwrite:
        raise NoModelError(f"{file} is there already: overwrite=True writes it anew")
    file.parent.mkdir(exist_ok=True)
    file.write_text(model_source(collection, mapping), encoding="utf-8")
    return file


class Validation:
    """Checks one collection and remembers what came of it, as ``src_dump.validate.jobs.<collection>``."""

    def __init__(
        self, state: StateStore, store: DocumentStore, job: JobContext, origin: Origin, model_file: str | None = None
    ) -> None:
        """Raises :class:`NoModelError` if ``model_file`` is not there."""
        self._sources = state["src_dump"]
        self._store = store
        self._job = job
        self._origin = origin
        self._model = model_target(Path(origin.plugin_folder), origin.spec.name, model_file)

    def check_model(self, mapping: Mapping[str, Any] | None) -> None:
        """Raises :class:`NoModelError` if there is neither a model nor a mapping."""
        name, file = self._origin.spec.name, f"{FOLDER}/{self._origin.spec.name}_model.py"
        if self._model is None and not mapping:
            raise NoModelError(
                f"{name} cannot be validated: write its model into {file}, or give it a mapping, of which one is made"
            )

    async def run(self, mapping: Mapping[str, Any] | None, collection: str | None = None) -> dict[str, Any]:
        """Check all documents (of ``collection``, if its new version is called so yet).

        Returns ``{"model_file", "checked", "invalid", "faults"}``. Raises :class:`InvalidDocumentsError`.
        """
        self.check_model(mapping)
        started = datetime.now(UTC)
        self._record(status="validating", started_at=started)
        try:
            findings = await self._check(mapping, collection or self._origin.spec.name)
        except BaseException as error:
            self._record(status="failed", started_at=started, err=str(error) or type(error).__name__)
            raise
        seconds = (datetime.now(UTC) - started).total_seconds()
        result = self._result(findings)
        status = "failed" if findings.invalid else "success"
        text = summary(self._origin.spec.name, findings) if findings.invalid else None
        self._record(status=status, started_at=started, time=timesofar(0, seconds), err=text, **result)
        self._job.log(text or f"{self._origin.spec.name}: {findings.checked:,} documents are valid")
        if text:
            raise InvalidDocumentsError(text, faults=result["faults"])
        return result

    async def _check(self, mapping: Mapping[str, Any] | None, collection: str) -> Findings:
        ranges = await asyncio.to_thread(self._ranges, collection)
        given = dict(mapping) if mapping and self._model is None else None
        checks = [Check(self._origin, collection, self._model, given, start, stop) for start, stop in ranges]
        description = f"{self._origin.spec.name}: validate"
        parts = await all_or_first_error([self._job.run(validate, check, description=description) for check in checks])
        findings = Findings()
        for part in parts:
            findings.update(part)
        return findings

    def _ranges(self, collection: str) -> list[tuple[str | None, str | None]]:
        there = self._store[collection]
        return there.split(min(RANGES, there.count() // RANGE + 1)) or [(None, None)]

    def _result(self, findings: Findings) -> dict[str, Any]:
        model = f"{self._model.partition(':')[0].rpartition('.')[2]}.py" if self._model else None
        faults = [asdict(fault) for fault in findings.worst()]
        return {"model_file": model, "checked": findings.checked, "invalid": findings.invalid, "faults": faults}

    def _record(self, **job: Any) -> None:
        update = {"$set": {f"validate.jobs.{self._origin.spec.name}": job}}
        self._sources.update_one({"_id": self._origin.spec.source}, update, upsert=True)


def summary(collection: str, findings: Findings) -> str:
    """The most frequent faults, one a line."""
    worst = findings.worst()
    lines = [
        f"  {fault.field or 'document'}: {fault.message} ({fault.count:,}, e.g. {', '.join(map(repr, fault.examples))})"
        for fault in worst[:SHOWN]
    ]
    more = [f"  and {len(worst) - SHOWN} more kinds"] if len(worst) > SHOWN else []
    head = f"{collection}: {findings.invalid:,} of {findings.checked:,} documents do not fit the model:"
    return "\n".join([head, *lines, *more])
