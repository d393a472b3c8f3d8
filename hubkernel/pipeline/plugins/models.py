"""The manifest of a plugin: what it may say, as pydantic models. Each field's description is its documentation.

The format is that of BioThings data plugins, so that a plugin runs on either hub. Keys that are not known are kept
(``model_extra``); :mod:`hubkernel.pipeline.plugins.reader` decides whether one of them is a typing error.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from hubkernel.pipeline.common import cron_expression
from hubkernel.store import Duplicate

SCHEMES = {"http": "http", "https": "http", "file": "file", "ftp": "ftp", "ftps": "ftp", "s3": "s3", "gdrive": "gdrive"}
SCHEMES |= dict.fromkeys(("git", "git+https", "git+http", "git+ssh", "git+file"), "git")
"""Family of each scheme; all urls of one dumper belong to the same family. ``docker...`` is a family too."""


def is_function(text: str) -> bool:
    return re.fullmatch(r"[\w.]+:[A-Za-z_]\w*", text) is not None


def is_class(text: str) -> bool:
    return re.fullmatch(r"(\w+(\.\w+)*[.:])?[A-Za-z_]\w*", text) is not None


def is_name(text: str) -> bool:
    """Whether it may name a source or a collection."""
    return re.fullmatch(r"[A-Za-z0-9_][\w-]*", text, re.ASCII) is not None


def _check_function(text: str) -> str:
    if not is_function(text):
        raise ValueError(f"{text!r} is not a function: write 'module:function', e.g. 'parser:load_data'")
    return text


def _check_class(text: str) -> str:
    if not is_class(text):
        raise ValueError(f"{text!r} is not a class: write 'module:Class', e.g. 'dump:MyDumper'")
    return text


def _check_name(text: str) -> str:
    if not is_name(text):
        raise ValueError(f"{text!r} is not a name: use letters, digits, '_' and '-', and begin with a letter or digit")
    return text


def _check_url(text: str) -> str:
    scheme = urlsplit(text).scheme
    if not scheme or "/" in text.split(":", 1)[0]:
        raise ValueError(f"missing scheme in {text!r}: begin it with http://, https:// or file:///")
    if family(text) is None:
        raise ValueError(f"no protocol for {scheme}:// in {text!r}: use one of {', '.join(SCHEMES)}, docker")
    return text


def _check_urls(urls: list[str]) -> list[str]:
    families = sorted({str(family(url)) for url in urls})
    if len(families) > 1:
        raise ValueError(f"urls of one dumper share one protocol, here are {' and '.join(families)}: split the plugin")
    return urls


def _check_schedule(text: str) -> str:
    cron_expression(text)
    return text


def _one_or_many(value: object) -> object:
    return [value] if isinstance(value, str) else value


def family(url: str) -> str | None:
    """The protocol family of an url, None if there is none. ``http`` and ``https`` are one family."""
    scheme = urlsplit(url).scheme.lower()
    return "docker" if scheme.startswith("docker") else SCHEMES.get(scheme)


Text = Annotated[str, StringConstraints(min_length=1, strip_whitespace=True)]
Function = Annotated[Text, AfterValidator(_check_function)]
Class = Annotated[Text, AfterValidator(_check_class)]
Name = Annotated[Text, AfterValidator(_check_name)]
Url = Annotated[Text, AfterValidator(_check_url)]
Urls = Annotated[list[Url], BeforeValidator(_one_or_many), Field(min_length=1), AfterValidator(_check_urls)]
Requirements = Annotated[list[Text], BeforeValidator(_one_or_many)]


class Section(BaseModel):
    """An object in a manifest. Strict, and keeps keys that it does not know."""

    model_config = ConfigDict(extra="allow", strict=True)


class DumperSection(Section):
    """``dumper``: where the data come from."""

    data_url: Urls = Field(
        [],
        description="One url or a list of them (http, https, ftp, ftps, s3, git+https, docker, gdrive or file; a file "
        "url may name a folder). All of one protocol. The last one decides the default release. Needed, unless there "
        "is a `class`.",
    )
    uncompress: bool = Field(False, description="Unpack zip, tar, gz, bz2, xz and zst files after the download.")
    schedule: Annotated[Text, AfterValidator(_check_schedule)] | None = Field(
        None, description="When to dump by itself: cron, 5 fields; a 6th field is seconds."
    )
    release: Function | None = Field(
        None,
        description="A function that returns the release's label. It gets an object with `SRC_URLS`, `client` and "
        "`logger`. Default: the date of the last url (Last-Modified), else its ETag, else today's date and a hash.",
    )
    disabled: bool = Field(False, description="The hub neither dumps nor schedules this source.")
    custom_class: Class | None = Field(
        None,
        alias="class",
        description="A dumper class of the plugin's own, as `module:Class` or `module.Class`. Then `data_url` is not "
        "needed; what the manifest says counts more than what the class says.",
    )


class UploaderSection(Section):
    """``uploader``, and each item of ``uploaders``: how the data become documents."""

    name: Name | None = Field(
        None, description="Name of the collection. Needed in `uploaders`; default in `uploader`: the plugin's name."
    )
    parser: Function | None = Field(
        None,
        description="Called with the folder of the release; returns documents (dicts with a string `_id`), best as a "
        "generator. `module` is a file of the plugin or an importable module. Needed, unless there is a `class`.",
    )
    parser_kwargs: dict[str, Any] = Field({}, description="More keyword arguments for the parser.")
    on_duplicates: Literal["error", "ignore", "merge"] = Field(
        "error", description="Documents of one `_id`: an error, keep the first, or merge them."
    )
    parallelizer: Function | None = Field(
        None, description="Returns a list of tuples of arguments; the parser is called with each, in parallel."
    )
    mapping: Function | None = Field(None, description="Returns the Elasticsearch `properties` of the documents.")
    keylookup: dict[str, Any] | None = Field(
        None, description="Arguments of the hub's key lookup, which gives documents other ids; an error without one."
    )
    custom_class: Class | None = Field(
        None,
        alias="class",
        description="An uploader class of the plugin's own, as `module:Class`, in place of a `parser`.",
    )

    @property
    def duplicates(self) -> Duplicate:
        return Duplicate(self.on_duplicates)


class Manifest(Section):
    """The whole document: ``manifest.json``, ``manifest.yaml``."""

    version: Text = Field(description='Version of the manifest format, e.g. "1.0". Kept, never interpreted.')
    name: Name | None = Field(None, description="Name of the plugin and its source. Default: name of the folder.")
    display_name: Text | None = Field(None, description="Name for people.")
    biothing_type: Text | None = Field(None, description="Kind of the documents, e.g. `gene`.")
    metadata: dict[str, Any] = Field(
        {}, alias="__metadata__", description="Kept as `src_meta`: `url`, `license`, `license_url`, `author`, anything."
    )
    requires: Requirements = Field([], description="Python packages that the plugin imports: a list, or one string.")
    dumper: DumperSection = Field(description="Where the data come from.")
    uploader: UploaderSection | None = Field(None, description="The one uploader; or else `uploaders`.")
    uploaders: Annotated[list[UploaderSection], Field(min_length=1)] | None = Field(
        None, description="Several uploaders, each with a name of its own."
    )

    @property
    def all_uploaders(self) -> list[UploaderSection]:
        return [self.uploader] if self.uploader else list(self.uploaders or [])
