"""A plugin's manifest as Python classes: what it stands for, to go on from by hand where a manifest ends.

The classes are written with the names of the BioThings SDK, so they run on either hub.
"""

from __future__ import annotations

import keyword
import pprint
import re
import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from hubkernel.pipeline.plugins.errors import PluginError
from hubkernel.pipeline.plugins.loader import source_file
from hubkernel.pipeline.plugins.models import DumperSection, UploaderSection
from hubkernel.pipeline.plugins.plugin import Plugin
from hubkernel.pipeline.plugins.reader import MANIFESTS

PARTS = ("dumper", "uploader", "mapping")
_DUMPERS = {
    "http": "LastModifiedHTTPDumper",
    "https": "LastModifiedHTTPDumper",
    "ftp": "LastModifiedFTPDumper",
    "docker": "DockerContainerDumper",
}
_STORAGES = {"error": "BasicStorage", "ignore": "IgnoreDuplicatedStorage", "merge": "MergerStorage"}
_WIDTH = 100


def export_plugin(
    plugin: Plugin, folder: Path, what: Sequence[str] | str = PARTS, *, purge: bool = False
) -> dict[str, dict[str, Any]]:
    """Write the package ``<folder>/<name>``: ``dump.py``, ``upload.py``, ``__init__.py`` and the plugin's own files.

    ``what`` is some of ``dumper``, ``uploader``, ``mapping``. Returns by part ``{"status", "file", "class", "message",
    "origin"}``. Raises :class:`PluginError` if the plugin is made of classes already, or uses what classes cannot be
    written for, and ``FileExistsError`` if the package exists and ``purge`` is not given.
    """
    parts = [what] if isinstance(what, str) else list(what)
    if wrong := [part for part in parts if part not in PARTS]:
        raise ValueError(f"what is {wrong[0]!r}: use some of {', '.join(PARTS)}")
    if plugin.manifest is None:
        raise PluginError(f"{plugin.name} is made of classes already, in {plugin.folder}")
    target = folder.expanduser().absolute() / _identifier(plugin.name)
    if target == plugin.folder or plugin.folder in target.parents:
        raise PluginError(f"{target} is in the plugin itself: choose another folder")
    files = _files(plugin, parts)
    if target.exists() and not purge:
        raise FileExistsError(f"{target} exists already; purge=True (or --purge) replaces it")
    _write(plugin.folder, target, {name: text for name, text, _ in files.values()})
    return {part: _report(plugin, part, files, target) for part in parts}


def _files(plugin: Plugin, parts: Iterable[str]) -> dict[str, tuple[str, str, list[str]]]:
    """File name, text and class names by part."""
    manifest = plugin.manifest
    assert manifest is not None
    files: dict[str, tuple[str, str, list[str]]] = {}
    classes: list[str] = []
    if "dumper" in parts:
        text, name = _dumper(plugin, manifest.dumper)
        files["dumper"] = ("dump.py", text, [name])
        classes.append(f"from .dump import {name}")
    if "uploader" in parts or "mapping" in parts:
        text, names = _uploaders(plugin, manifest.all_uploaders, "mapping" in parts)
        files["uploader"] = ("upload.py", text, names)
        classes.append(f"from .upload import {', '.join(names)}")
    own = plugin.folder / "__init__.py"
    before = own.read_text("utf-8").rstrip() + "\n" if own.is_file() else ""
    files["package"] = ("__init__.py", (before + "\n".join(classes)).lstrip() + "\n", [])
    return files


def _write(source: Path, target: Path, texts: dict[str, str]) -> None:
    """Complete or not at all; what is written over is kept until then."""
    draft = target.with_name(f".{target.name}.new")
    shutil.rmtree(draft, ignore_errors=True)
    shutil.copytree(source, draft, ignore=shutil.ignore_patterns(*MANIFESTS, "__pycache__", ".git", "*.pyc"))
    for name, text in texts.items():
        if name != "__init__.py" and (draft / name).exists():
            shutil.rmtree(draft)
            raise PluginError(f"the plugin has a {name} of its own: rename it, the export writes one")
        (draft / name).write_text(text, "utf-8")
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)


def _report(plugin: Plugin, part: str, files: dict[str, tuple[str, str, list[str]]], target: Path) -> dict[str, Any]:
    name, _, classes = files["uploader" if part == "mapping" else part]
    about = {"origin": str(plugin.manifest_file), "class": ", ".join(classes)}
    manifest = plugin.manifest
    if part == "mapping" and manifest and not any(section.mapping for section in manifest.all_uploaders):
        return {**about, "status": "warning", "file": None, "message": "the manifest has no mapping"}
    module = _base(manifest.dumper.data_url[0])[0] if part == "dumper" and manifest else ""
    only_here = f"its base class is of {module}: it runs on no other kind of hub" if "hubkernel" in module else ""
    status = "warning" if only_here else "ok"
    return {**about, "status": status, "file": str(target / name), "message": only_here}


def _dumper(plugin: Plugin, section: DumperSection) -> tuple[str, str]:
    if section.custom_class:
        raise PluginError(f"{plugin.name}: its dumper is the class {section.custom_class} already")
    module, base = _base(section.data_url[0])
    name = f"{_camel(plugin.name)}Dumper"
    lines = [f'"""Dumper of {plugin.name}, from {plugin.manifest_file.name}."""', "", "import os", ""]
    lines += ["from biothings import config", f"from {module} import {base}"]
    if section.uncompress:
        lines += ["from biothings.utils.common import uncompressall"]
    if section.release:
        lines += ["", _import(plugin, section.release, "release_of")]
    lines += ["", "", f"class {name}({base}):", f"    SRC_NAME = {plugin.name!r}"]
    lines += [f"    SRC_ROOT_FOLDER = os.path.join(config.DATA_ARCHIVE_ROOT, {plugin.name!r})"]
    lines += [f"    SRC_URLS = {_literal(section.data_url)}"]
    lines += [f"    SCHEDULE = {section.schedule!r}"] if section.schedule else []
    lines += ["    DISABLED = True"] if section.disabled else []
    if section.release:
        lines += ["", "    def set_release(self):", "        self.release = release_of(self)"]
    if section.uncompress:
        lines += ["", "    def post_dump(self, *args, **kwargs):", "        uncompressall(self.new_data_folder)"]
        lines += ["        super().post_dump(*args, **kwargs)"]
    return "\n".join(lines) + "\n", name


def _base(url: str) -> tuple[str, str]:
    """Module and name of the class that dumps an url: the SDK's, if it has one."""
    from hubkernel.pipeline.dump.dumpers.table import PROTOCOLS

    scheme = urlsplit(url).scheme.lower()
    known = _DUMPERS.get("docker" if scheme.startswith("docker") else scheme)
    if known is not None:
        return "biothings.hub.dataload.dumper", known
    module, _, name = PROTOCOLS[scheme].partition(":")
    return module, name


def _uploaders(plugin: Plugin, sections: Iterable[UploaderSection], with_mapping: bool) -> tuple[str, list[str]]:
    bodies, imports, names, bases = [], [], [], {"BaseSourceUploader"}
    for section in sections:
        if section.custom_class:
            raise PluginError(f"{plugin.name}: an uploader of it is the class {section.custom_class} already")
        collection = section.name or plugin.name
        name = f"{_camel(collection)}Uploader"
        names.append(name)
        base = "ParallelizedSourceUploader" if section.parallelizer else "BaseSourceUploader"
        bases.add(base)
        imports += _imports_of(plugin, section, _identifier(collection), with_mapping)
        bodies.append("\n".join(_uploader(plugin, section, name, base, with_mapping)))
    used = sorted(base for base in bases if any(f"({base})" in body for body in bodies))
    lines = [f'"""Uploaders of {plugin.name}, from {plugin.manifest_file.name}."""', ""]
    lines += [
        f"from biothings.hub.dataload.uploader import {', '.join(used)}",
        "from biothings.utils import storage",
        "",
    ]
    return "\n".join([*lines, *imports]) + "\n\n\n" + "\n\n\n".join(bodies) + "\n", names


def _imports_of(plugin: Plugin, section: UploaderSection, prefix: str, with_mapping: bool) -> list[str]:
    targets = [(section.parser, "parser"), (section.parallelizer, "jobs")]
    targets += [(section.mapping, "mapping")] if with_mapping else []
    return [_import(plugin, target, f"{prefix}_{role}") for target, role in targets if target]


def _uploader(plugin: Plugin, section: UploaderSection, name: str, base: str, with_mapping: bool) -> list[str]:
    collection = section.name or plugin.name
    prefix = _identifier(collection)
    kwargs = f", **{_literal(section.parser_kwargs)}" if section.parser_kwargs else ""
    lines = [f"class {name}({base}):", f"    name = {collection!r}", f"    main_source = {plugin.name!r}"]
    lines += [f"    storage_class = storage.{_STORAGES[section.on_duplicates]}"]
    lines += [f"    __metadata__ = {_literal({'src_meta': plugin.metadata})}", ""]
    if section.parallelizer:
        lines += ["    def jobs(self):", f"        return {prefix}_jobs(self)", ""]
        lines += ["    def load_data(self, *args):", f"        return {prefix}_parser(*args{kwargs})"]
    else:
        lines += ["    def load_data(self, data_folder):", f"        return {prefix}_parser(data_folder{kwargs})"]
    if section.mapping and with_mapping:
        lines += ["", "    @classmethod", "    def get_mapping(cls):", f"        return {prefix}_mapping(cls)"]
    return lines


def _import(plugin: Plugin, target: str, name: str) -> str:
    module, _, function = target.partition(":")
    own = "." if source_file(plugin.folder, module) else ""
    return f"from {own}{module} import {function} as {name}"


def _literal(value: Any) -> str:
    if isinstance(value, list) and len(value) > 1:
        return "[\n" + "".join(f"        {item!r},\n" for item in value) + "    ]"
    return pprint.pformat(value, width=_WIDTH, sort_dicts=False).replace("\n", "\n    ")


def _camel(name: str) -> str:
    return "".join(part[:1].upper() + part[1:] for part in re.split(r"[_-]", name) if part) or "Source"


def _identifier(name: str) -> str:
    text = re.sub(r"\W", "_", name)
    return f"_{text}" if text[:1].isdigit() or keyword.iskeyword(text) else text
