"""Ask an uploader, in a worker, what it says of itself: mapping, parallel calls, what becomes of duplicates."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from hubkernel.executors import Worker
from hubkernel.pipeline.plugins import load_function
from hubkernel.pipeline.plugins.specs import UploaderSpec
from hubkernel.pipeline.upload.documents import blamed
from hubkernel.pipeline.upload.errors import ParserError, UploadError
from hubkernel.pipeline.upload.models import Described, described, master_of
from hubkernel.pipeline.upload.origin import ManifestUploader, Origin, overrides, storage_of
from hubkernel.pipeline.upload.storages import rules_of
from hubkernel.pipeline.upload.uploaders import BaseSourceUploader, ParallelizedSourceUploader


def needs_asking(spec: UploaderSpec, calls: bool = True) -> bool:
    """Whether a manifest does not say it all by itself."""
    section = spec.section
    return bool(spec.target or section is None or section.mapping or (calls and section.parallelizer))


def describe(worker: Worker, origin: Origin, calls: bool = True) -> Described:
    """What the uploader says of itself; its parallel calls only if ``calls``. Raises :class:`ParserError`."""
    worker.check()
    if not origin.spec.target:
        return _describe_manifest(origin, calls)
    with blamed(origin, origin.target), origin.uploader() as uploader:
        return _describe_class(worker, origin, uploader, calls)


def _describe_manifest(origin: Origin, calls: bool) -> Described:
    section, answer = origin.spec.section, described(origin.spec)
    assert section is not None
    mapping = _ask(origin, section.mapping, _mapping) if section.mapping else None
    parts = _ask(origin, section.parallelizer, _calls) if calls and section.parallelizer else None
    return Described(answer.rules, mapping, parts, answer.master, validates=answer.validates)


def _ask(origin: Origin, target: str, check: Callable[[str, str, Any], Any]) -> Any:
    """Call a function of the plugin and check its answer, which may itself still run code (a generator)."""
    with blamed(origin, target, target), origin.uploader() as uploader:
        assert isinstance(uploader, ManifestUploader)
        function = load_function(origin.plugin_folder, target)
        return check(origin.spec.name, target, function(uploader))


def _describe_class(worker: Worker, origin: Origin, uploader: BaseSourceUploader, calls: bool) -> Described:
    name, target = origin.spec.name, origin.spec.target
    jobs = uploader.jobs if isinstance(uploader, ParallelizedSourceUploader) else None
    _refuse_odd_ways(origin, uploader, jobs is not None)
    mapping = _mapping(name, f"{target}.get_mapping", uploader.get_mapping())
    worker.check()
    return Described(
        rules=rules_of(type(storage_of(uploader))),
        mapping=mapping,
        calls=_calls(name, f"{target}.jobs", jobs()) if jobs and calls else None,
        master=_master(uploader, origin.spec.section is not None, origin.spec.metadata),
        keep_archive=uploader.keep_archive,
        max_parallel=getattr(uploader, "MAX_PARALLEL_UPLOAD", None),
        max_loss=uploader.max_loss,
        validates=bool(uploader.auto_validate),
        has_post=overrides(uploader, "post_update_data"),
        takes_options=any(overrides(uploader, method) for method in ("load", "update_data", "post_update_data")),
    )


def _refuse_odd_ways(origin: Origin, uploader: BaseSourceUploader, parallel: bool) -> None:
    own = [method for method in ("load", "update_data") if overrides(uploader, method)]
    if parallel and own:
        raise UploadError(
            f"{origin.spec.name}: {type(uploader).__name__} has jobs() and overrides {own[0]}(): keep one of them"
        )


def _master(uploader: BaseSourceUploader, of_manifest: bool, metadata: Mapping[str, Any]) -> dict[str, Any]:
    """What it adds to ``src_master``: the ``__metadata__`` of its class, or else that of its manifest."""
    own = dict(type(uploader).__metadata__)
    if not own and of_manifest:
        return master_of(metadata)
    named = {"name": uploader.regex_name} if uploader.regex_name else {}
    return {**named, **own, "src_meta": dict(own.get("src_meta") or {})}


def _mapping(name: str, target: str, mapping: Any) -> dict[str, Any] | None:
    if mapping is None or isinstance(mapping, Mapping):
        return dict(mapping) if mapping else None
    raise ParserError(f"{name}: {target} returned {type(mapping).__name__}, not a dict of field mappings.")


def _calls(name: str, target: str, calls: Any) -> tuple[tuple[Any, ...], ...]:
    answer = list(calls)
    wrong = next((call for call in answer if not isinstance(call, (tuple, list))), None)
    if wrong is not None:
        raise ParserError(
            f"{name}: {target} returned {wrong!r} where a tuple of arguments is needed: return [({wrong!r},), ...]."
        )
    return tuple(tuple(call) for call in answer)
