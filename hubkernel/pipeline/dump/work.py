"""What a worker is told of a dump, and how it makes the dumper of it."""

from __future__ import annotations

import asyncio
import functools
import inspect
import logging
import pickle
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from hubkernel.executors import CancelledWork, Worker
from hubkernel.pipeline.dump.dumpers.base import BaseDumper, Surroundings
from hubkernel.pipeline.dump.dumpers.table import dumper_class
from hubkernel.pipeline.dump.errors import DumpError
from hubkernel.pipeline.dump.models import RemoteFile
from hubkernel.pipeline.plugins.errors import nearest
from hubkernel.pipeline.plugins.loader import load_function
from hubkernel.pipeline.plugins.specs import DumperSpec
from hubkernel.pipeline.surroundings import Surroundings as HubSurroundings
from hubkernel.pipeline.surroundings import enter

T = TypeVar("T")

_NOT_KEPT = {"surroundings", "logger", "remote_is_better", "to_dump", "_client", "_described", "_recorded"}
"""Attributes of a dumper that stay where they are."""


@dataclass(frozen=True)
class Work:
    """One dump of one source, as it is sent to workers."""

    plugin_folder: str
    spec: DumperSpec
    surroundings: Surroundings
    hub: HubSurroundings | None = None
    """What its helpers ask of the hub."""

    @property
    def staging(self) -> Path:
        return Path(self.surroundings.staging)

    @property
    def current(self) -> Path | None:
        """Folder of the last good release."""
        return Path(self.surroundings.current_folder) if self.surroundings.current_folder else None


@dataclass(frozen=True)
class Item:
    """One file to download."""

    remote: str
    name: str
    """Where it goes, relative to the release's folder."""
    described: RemoteFile | None = None
    better: bool = False
    """The dumper was asked, and says that the server's file is better than that of the last good release."""


@dataclass(frozen=True)
class Listing:
    """What :meth:`BaseDumper.create_todump_list` came to."""

    release: str | None
    folder: str
    """Name of the release's folder."""
    items: list[Item]
    kept: dict[str, RemoteFile | None]
    """Files of the last good release that are taken over, with what the server says of them now."""
    state: bytes
    """The dumper's attributes."""
    uncompress: bool = False
    complete: bool = False
    always: bool = False
    by_content: bool = False
    named_by_date: bool = False
    """The folder is not named after the release."""
    keep_label: bool = False
    archive: bool = True
    auto_upload: bool = True
    max_parallel: int | None = None
    pause: float = 0.0
    """Seconds before each download."""


class _Handler(logging.Handler):
    """A dumper's log goes to that of its job."""

    def __init__(self, worker: Worker) -> None:
        super().__init__(logging.INFO)
        self.worker = worker

    def emit(self, record: logging.LogRecord) -> None:
        self.worker.log(record.getMessage())


def in_hub(step: Callable[..., T]) -> Callable[..., T]:
    """A step of a worker, which takes ``worker`` and ``work`` first, runs in the surroundings of its hub."""

    @functools.wraps(step)
    def run(worker: Worker, work: Work, *args: Any, **kwargs: Any) -> T:
        with enter(work.hub) if work.hub else nullcontext():
            return step(worker, work, *args, **kwargs)

    return run


def build(worker: Worker, work: Work, state: bytes | None = None) -> BaseDumper:
    """The dumper, with the attributes it had when it listed the files. Raises :class:`DumpError`."""
    kind = class_of(work)
    given = {"src_name": work.spec.source} if takes(kind, "src_name") else {}
    dumper: BaseDumper = call(work, f"{kind.__name__}()", kind, **given)
    dumper.src_name = dumper.src_name or work.spec.source
    vars(dumper).update(pickle.loads(state) if state else {})
    dumper.surroundings = replace(work.surroundings, worker=worker)
    dumper.log_folder = work.surroundings.log_folder
    for name, value in work.surroundings.settings.items():
        if name.isupper():
            setattr(dumper, name, value)
    dumper.archive = work.surroundings.settings.get("ARCHIVE", dumper.archive)
    dumper.logger = logging.Logger(f"hubkernel.dump.{work.spec.source}", logging.INFO)
    dumper.logger.addHandler(_Handler(worker))
    return dumper


def class_of(work: Work) -> type[BaseDumper]:
    """The class of the dumper: a plugin's own, or the protocol's one with what the manifest says."""
    spec = work.spec
    kind: Any = load_function(work.plugin_folder, spec.target) if spec.target else dumper_class(spec.urls[-1])
    if not (isinstance(kind, type) and issubclass(kind, BaseDumper)):
        raise DumpError(f"{spec.source}: {spec.target} is no dumper: derive it from BaseDumper")
    if spec.section is None:
        return kind
    attributes: dict[str, Any] = {"SRC_NAME": spec.source, "SRC_URLS": list(spec.urls), "UNCOMPRESS": spec.uncompress}
    if spec.section.release:
        attributes["set_release"] = _label_by(work, spec.section.release)
    return type(kind.__name__, (kind,), attributes)


def _label_by(work: Work, target: str) -> Callable[[BaseDumper], None]:
    def set_release(self: BaseDumper) -> None:
        function = load_function(work.plugin_folder, target)
        try:
            value = function(self) if inspect.signature(function).parameters else function()
        except Exception as error:
            raise failed(work, f"release function {target}", error) from error
        self.release = str(value).strip() if value is not None else ""
        if not self.release:
            raise DumpError(f"release function {target} returned {value!r}: it has to return the release's label")

    return set_release


def call(work: Work, what: str, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Call a method of the dumper, awaited if it is a coroutine. Raises :class:`DumpError` with the user's line."""
    try:
        value = function(*args, **kwargs)
        return asyncio.run(_awaited(value)) if inspect.isawaitable(value) else value
    except (DumpError, CancelledWork):
        raise
    except Exception as error:
        raise failed(work, what, error) from error


async def _awaited(value: Any) -> Any:
    return await value


def check_keywords(work: Work, function: Callable[..., Any], given: Mapping[str, Any]) -> None:
    """Raises :class:`DumpError` for an argument of ``dump`` that the dumper does not take."""
    parameters = inspect.signature(function).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    known = [parameter.name for parameter in parameters]
    for name in given:
        if name not in known:
            near = nearest(name, [*known, "force", "check_only", "skip_manual", "schedule", "steps"], cutoff=0.6)
            hint = f": did you mean {near!r}?" if near else ""
            raise DumpError(f"the dumper of {work.spec.source} takes no {name!r}{hint}")


def takes(function: Callable[..., Any], name: str) -> bool:
    """Whether it can be called with that keyword."""
    parameters = inspect.signature(function).parameters
    return name in parameters or any(p.kind is p.VAR_KEYWORD for p in parameters.values())


def failed(work: Work, what: str, error: Exception) -> DumpError:
    """The error with the user's file and line."""
    return DumpError(f"{what} failed: {_where(error, work.plugin_folder)}")


def _where(error: Exception, folder: str) -> str:
    trace, place = error.__traceback__, ""
    root = str(Path(folder).resolve())
    while trace:
        file = trace.tb_frame.f_code.co_filename
        if file.startswith(root):
            place = f"{file}:{trace.tb_lineno}: "
        trace = trace.tb_next
    return f"{place}{type(error).__name__}: {error}"


def state_of(dumper: BaseDumper) -> bytes:
    """Its attributes, without those that cannot be sent to another worker."""
    kept = {}
    for name, value in vars(dumper).items():
        if name in _NOT_KEPT:
            continue
        try:
            pickle.dumps(value)
        except Exception:  # whatever a client raises that cannot be pickled
            continue
        kept[name] = value
    return pickle.dumps(kept)
