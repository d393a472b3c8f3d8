"""Check documents of a collection against its model, in workers. What is wrong is counted, never gathered."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from dataclasses import field as made
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.plugins import load_function
from hubkernel.pipeline.surroundings import enter
from hubkernel.pipeline.upload.documents import blamed
from hubkernel.pipeline.upload.errors import ParserError
from hubkernel.pipeline.upload.origin import Origin
from hubkernel.pipeline.upload.schema import class_name, model_source
from hubkernel.store import open_store
from hubkernel.store.encode import decode

EXAMPLES = 5
"""Ids that are kept of each kind of fault."""
KINDS = 100
"""Kinds of faults that are told apart; further ones are counted as one."""
EVERY = 2000
"""Documents between two reports of progress."""


@dataclass(frozen=True, slots=True)
class Check:
    """One range of ids of a collection, and the model: a file of the plugin, or made from a mapping."""

    origin: Origin
    collection: str
    model: str | None
    """``module:Class``"""
    mapping: Mapping[str, Any] | None
    start: str | None = None
    stop: str | None = None


@dataclass(slots=True)
class Fault:
    """One kind of fault: a field, and what is wrong with it."""

    field: str
    type: str
    message: str
    """As the first document had it."""
    count: int = 0
    examples: list[str] = made(default_factory=list)
    """Ids of the first documents that have it."""


@dataclass(slots=True)
class Findings:
    """What came of checking."""

    checked: int = 0
    invalid: int = 0
    faults: dict[tuple[str, str], Fault] = made(default_factory=dict)

    def add(self, fault: Fault, count: int, examples: Iterable[str]) -> None:
        key = (fault.field, fault.type)
        if key not in self.faults and len(self.faults) >= KINDS:
            key, fault = ("...", "more"), Fault("...", "more", "further kinds of faults")
        kept = self.faults.setdefault(key, fault)
        kept.count += count
        kept.examples += [*examples][: EXAMPLES - len(kept.examples)]

    def update(self, other: Findings) -> None:
        """Add those of another range."""
        self.checked += other.checked
        self.invalid += other.invalid
        for fault in other.faults.values():
            self.add(Fault(fault.field, fault.type, fault.message), fault.count, fault.examples)

    def worst(self) -> list[Fault]:
        """The most frequent first."""
        return sorted(self.faults.values(), key=lambda fault: (-fault.count, fault.field, fault.type))


def validate(worker: Worker, work: Check) -> Findings:
    """Check a range of documents. Raises :class:`ParserError` if the model cannot be used."""
    with blamed(work.origin, work.model or ""), enter(work.origin.surroundings):
        return _validate(worker, work, _model(work))


def _validate(worker: Worker, work: Check, model: Any) -> Findings:
    from pydantic import ValidationError

    findings, store = Findings(), open_store(work.origin.surroundings.store_url)
    check = model.model_validate
    try:
        for doc_id, data in store[work.collection].scan(work.start, work.stop):
            document = decode(data)
            try:
                check(document)
            except ValidationError as error:
                _note(findings, doc_id, document, error)
            findings.checked += 1
            if not findings.checked % EVERY:
                worker.progress(findings.checked, None, f"{findings.invalid:,} invalid")
    finally:
        store.close()
    return findings


def _model(work: Check) -> Any:
    name = class_name(work.origin.spec.name)
    if work.model is not None:
        model: Any = load_function(work.origin.plugin_folder, work.model)
    else:
        names: dict[str, Any] = {"__name__": f"model_of_{name}"}
        text = model_source(work.origin.spec.name, work.mapping or {})
        exec(compile(text, names["__name__"], "exec", dont_inherit=True), names)
        model = names[name]
    if not hasattr(model, "model_validate"):
        raise ParserError(f"{work.model} is no pydantic model")
    return model


def _note(findings: Findings, doc_id: str, document: Any, error: Any) -> None:
    """Of a value that fits none of several types pydantic tells for each why: the one that went deepest stands."""
    findings.invalid += 1
    deepest: dict[str, Any] = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        where = field_of(document, fault["loc"])
        if where not in deepest or len(fault["loc"]) > len(deepest[where]["loc"]):
            deepest[where] = fault
    for where, fault in deepest.items():
        if not any(other.startswith(f"{where}.") for other in deepest):
            findings.add(Fault(where, fault["type"], fault["msg"]), 1, [doc_id])


def field_of(document: Any, location: Iterable[str | int]) -> str:
    """The dotted field of a place that pydantic names, which also has positions in lists and names of types in it."""
    path: list[str] = []
    for step in location:
        if isinstance(document, list) and isinstance(step, int) and step < len(document):
            document = document[step]
        elif isinstance(document, Mapping) and step in document:
            document = document[step]
            path.append(str(step))
        elif isinstance(document, Mapping) and not path:
            path.append(str(step))  # a field that is missing
            break
    return ".".join(path)
