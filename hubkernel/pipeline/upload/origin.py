"""Where the documents of one collection come from, in a form that goes to workers; and the uploader they make of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from hubkernel.pipeline.plugins import load_function
from hubkernel.pipeline.plugins.lookup import load_lookup
from hubkernel.pipeline.plugins.specs import UploaderSpec
from hubkernel.pipeline.surroundings import Surroundings, enter
from hubkernel.pipeline.upload.errors import ParserError
from hubkernel.pipeline.upload.models import parser_file
from hubkernel.pipeline.upload.storages import BY_POLICY, BasicStorage, combined
from hubkernel.pipeline.upload.uploaders import BaseSourceUploader, ParallelizedSourceUploader


@dataclass(frozen=True, slots=True)
class Origin:
    """One uploader at one release."""

    plugin_folder: str
    spec: UploaderSpec
    data_folder: str
    release: str | None
    surroundings: Surroundings
    src_doc: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)
    """What ``upload`` was given beyond what the hub knows: for the plugin's own methods."""
    keylookup: str | None = None
    """``module:Class`` of the hub's key lookup, if the uploader asks for one."""

    @property
    def target(self) -> str:
        """What gives the documents, ``module:name``."""
        return self.spec.target or (self.spec.section and self.spec.section.parser) or ""

    @property
    def label(self) -> str:
        """The same as errors show it."""
        return f"{self.spec.target}.load_data" if self.spec.target else self.target

    @property
    def file(self) -> str:
        return parser_file(self.plugin_folder, self.target)

    @contextmanager
    def uploader(self) -> Iterator[BaseSourceUploader]:
        """The uploader, in the plugin's surroundings. Raises :class:`ParserError`, or the plugin loader's error."""
        with enter(self.surroundings):
            yield _of_class(self) if self.spec.target else ManifestUploader(self)


class ManifestUploader(ParallelizedSourceUploader):
    """The functions of a manifest as an uploader; they get it as their ``self`` or ``cls``."""

    def __init__(self, origin: Origin) -> None:
        self.name, self.main_source = origin.spec.name, origin.spec.source
        super().__init__(origin.surroundings.store_url)
        self.metadata = dict(origin.spec.metadata)
        self.__metadata__ = {"src_meta": self.metadata}
        self.storage_class = BY_POLICY[origin.spec.duplicates]
        self._origin = origin
        prepare(self, origin)

    def load_data(self, *call: Any) -> Any:
        return self.parser(*call)

    @property
    def parser(self) -> Callable[..., Any]:
        """The parser, with its keyword arguments and the hub's key lookup around it."""
        section, folder = self._origin.spec.section, Path(self._origin.plugin_folder)
        assert section is not None
        parser = load_function(folder, self._origin.target)
        if section.parser_kwargs:
            parser = partial(parser, **section.parser_kwargs)
        if self._origin.keylookup and section.keylookup is not None:
            parser = load_lookup(self._origin.keylookup)(**section.keylookup)(parser)
        return parser


def prepare(uploader: BaseSourceUploader, origin: Origin) -> None:
    """Tell an uploader what it works on."""
    uploader.db_conn_info = origin.surroundings.store_url
    uploader.data_folder, uploader.release = origin.data_folder, origin.release
    uploader.src_doc = dict(origin.src_doc)
    uploader.log_folder = origin.surroundings.logs
    uploader.validation_dir = Path(origin.plugin_folder, "validation")


def _of_class(origin: Origin) -> BaseSourceUploader:
    cls: Any = load_function(Path(origin.plugin_folder), str(origin.spec.target))
    made = cls.create(origin.surroundings.store_url) if hasattr(cls, "create") else cls
    several: Iterable[Any] = made if isinstance(made, (list, tuple)) else [made]
    uploader = next((one for one in several if _name(one) in (origin.spec.name, None)), None)
    if not isinstance(uploader, BaseSourceUploader):
        raise ParserError(
            f"{origin.spec.name}: {origin.spec.target} gives no uploader of that name: derive it from "
            f"BaseSourceUploader and set name = {origin.spec.name!r}"
        )
    uploader.name = uploader.name or origin.spec.name
    uploader.collection_name, uploader.main_source = uploader.collection_name or uploader.name, origin.spec.source
    prepare(uploader, origin)
    return uploader


def _name(uploader: Any) -> str | None:
    name: str | None = getattr(uploader, "name", None)
    return name


def storage_of(uploader: BaseSourceUploader) -> BasicStorage:
    """The storage of an uploader, made anew. Raises :class:`UploadError`."""
    cls = combined(uploader.storage_class, f"{uploader.fullname}")
    return cls(None, uploader.collection_name, uploader.logger)


def overrides(uploader: BaseSourceUploader, method: str) -> bool:
    """Whether an uploader has a method of its own in place of the base's."""
    return getattr(type(uploader), method) is not getattr(BaseSourceUploader, method)
