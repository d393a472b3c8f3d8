"""From a folder, or an entry of ``source_list``, to plugins: read what is written, then ask what classes there are."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType

from hubkernel.pipeline.plugins.discovery import Classes, Discovery, Request
from hubkernel.pipeline.plugins.errors import PluginCodeError, PluginError
from hubkernel.pipeline.plugins.loader import forget, locate
from hubkernel.pipeline.plugins.models import Manifest
from hubkernel.pipeline.plugins.plugin import Plugin
from hubkernel.pipeline.plugins.reader import find_manifest, read_manifest
from hubkernel.pipeline.plugins.requirements import missing, read_requirements
from hubkernel.pipeline.plugins.specs import DumperSpec, UploaderSpec, class_target
from hubkernel.pipeline.surroundings import Surroundings

Look = Callable[[Iterable[Request]], Mapping[Request, Classes]]


_NO_HUB = Surroundings(store_url="", state_url="", archive="archive", logs="logs")
"""For code that is looked at where there is no hub: classes often name the folders of theirs."""


@dataclass
class Draft:
    """What a folder says without its code being imported."""

    name: str
    folder: Path
    file: Path
    """The manifest, or the first file of the package."""
    manifest: Manifest | None = None
    module: str | None = None
    """Dotted name, if it is a package of a hub's own code."""
    requires: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    request: Request | None = None
    """What has to be asked of its code."""


def load_plugin(folder: Path, look: Look | None = None) -> Plugin:
    """Read and check the plugin of ``folder``; its code is only imported elsewhere, by ``look`` (default: in a process
    of its own), and only for classes.

    Raises :class:`ManifestError` with every fault, or :class:`PluginError` if it is no plugin or its code is broken.
    """
    return finish(draft_of(folder), look or Discovery(surroundings=lambda: _NO_HUB).look)[0]


def draft_of(folder: Path) -> Draft:
    """What a folder says. Raises as :func:`load_plugin`."""
    folder = folder.resolve()
    file = find_manifest(folder)
    if file is not None:
        return _manifest_draft(folder, file)
    init = folder / "__init__.py"
    if not init.is_file():
        raise PluginError(_no_plugin(folder))
    forget(folder)
    requires = read_requirements(folder)
    return Draft(folder.name, folder, init, None, None, requires, [], Request(str(folder)))


def _manifest_draft(folder: Path, file: Path) -> Draft:
    manifest, warnings = read_manifest(file)
    forget(folder)
    written = [manifest.dumper.custom_class, *(section.custom_class for section in manifest.all_uploaders)]
    targets = tuple(dict.fromkeys(target for text in written if (target := class_target(text))))
    request = Request(str(folder), None, targets) if targets else None
    name = manifest.name or folder.name
    return Draft(name, folder, file, manifest, None, list(manifest.requires), [*map(str, warnings)], request)


def _no_plugin(folder: Path) -> str:
    if not folder.is_dir():
        return f"{folder}: no such folder"
    return f"{folder}: no manifest.json or manifest.yaml, and no __init__.py with a dumper and uploaders"


def finish(draft: Draft, look: Look) -> list[Plugin]:
    """The plugins of a draft: one, or one for each source of a package. Raises :class:`PluginError`."""
    classes = look([draft.request])[draft.request] if draft.request else Classes()
    needs = missing(draft.requires)
    if classes.problems:
        raise PluginCodeError("\n".join([*classes.problems, *needs]))
    if draft.manifest is not None:
        _check_kinds(draft, classes)
        return [_plugin(draft, draft.name, classes, needs)]
    if not classes.dumpers and not classes.uploaders:
        raise PluginError(f"{draft.file}: {_no_classes(draft)}")
    by_source = _by_source(draft, classes) if draft.module else {_advanced_name(draft, classes): classes}
    for source, found in by_source.items():
        _check_once(draft, source, found)
    return [_plugin(draft, source, found, needs) for source, found in by_source.items()]


def _plugin(draft: Draft, name: str, classes: Classes, needs: list[str]) -> Plugin:
    warnings = [*draft.warnings, *needs]
    return Plugin(name, draft.folder, draft.manifest, draft.file, warnings, classes, draft.module, draft.requires)


def _no_classes(draft: Draft) -> str:
    where = f"the package {draft.module}" if draft.module else "it"
    return (
        f"{where} has no dumper class with SRC_NAME and no uploader class with a name, neither there nor in its modules"
    )


def _check_kinds(draft: Draft, classes: Classes) -> None:
    """Each class that a manifest names is of the kind that its place needs."""
    manifest = draft.manifest
    assert manifest is not None
    dumpers = {spec.target for spec in classes.dumpers}
    uploaders = {spec.target for spec in classes.uploaders}
    dumper = class_target(manifest.dumper.custom_class)
    if dumper and dumper not in dumpers:
        raise PluginCodeError(f"{draft.file}: dumper.class: {dumper} is no dumper: derive it from BaseDumper")
    for section in manifest.all_uploaders:
        target = class_target(section.custom_class)
        if target and target not in uploaders:
            raise PluginCodeError(f"{draft.file}: class: {target} is no uploader: derive it from BaseSourceUploader")


def _advanced_name(draft: Draft, classes: Classes) -> str:
    """All classes of a plugin's folder belong to one source."""
    named = [spec.source for spec in classes.dumpers] + [spec.source for spec in classes.uploaders]
    return next(filter(None, named), draft.name)


def _by_source(draft: Draft, classes: Classes) -> dict[str, Classes]:
    """The sources of a package; an uploader that names no source is one by itself, of its own name."""
    found: dict[str, Classes] = {}
    for dumper in classes.dumpers:
        if not dumper.source:
            raise PluginError(f"{draft.file}: the dumper {dumper.target} has no SRC_NAME")
        found.setdefault(dumper.source, Classes()).dumpers.append(dumper)
    for uploader in classes.uploaders:
        found.setdefault(uploader.source or uploader.name, Classes()).uploaders.append(uploader)
    return found


def _check_once(draft: Draft, source: str, found: Classes) -> None:
    if len(found.dumpers) > 1:
        raise PluginError(f"{draft.file}: source {source!r} has {_listed(found.dumpers)}: a source has one dumper")
    names: dict[str, UploaderSpec] = {}
    for spec in found.uploaders:
        if spec.name in names:
            both = _listed([names[spec.name], spec])
            raise PluginError(f"{draft.file}: collection {spec.name!r} has {both}: give each a name of its own")
        names[spec.name] = spec


def _listed(specs: Iterable[DumperSpec | UploaderSpec]) -> str:
    return " and ".join(str(spec.target) for spec in specs)


# ------------------------------------------------------------------------------------------------------- source_list


def source_drafts(source: str | ModuleType) -> list[Draft | tuple[str, Path, PluginError]]:
    """What an entry of ``source_list`` means: each plugin, or its name, its folder and what is wrong with it.

    A dotted name or a package object means its own package if that is a source, else those below it; the path of a
    folder, the plugin in it or those below it. Raises ``ImportError`` if there is no such module.
    """
    if isinstance(source, str) and Path(source).is_dir():
        return [_tried(folder) for folder in _plugin_folders(Path(source))]
    name = source if isinstance(source, str) else source.__name__
    spec = locate(source) if isinstance(source, str) else source.__spec__
    if spec is None:
        raise ModuleNotFoundError(f"no module named {name!r}")
    parents = [Path(place) for place in spec.submodule_search_locations or []]
    if not parents:
        file = Path(spec.origin or "")
        return [_module_draft(name, file.parent, file)]
    own = [parent for parent in parents if _is_source(parent)]
    if own and isinstance(source, str):
        return [_tried(parent, name) for parent in own]
    below = [folder for parent in parents for folder in sorted(parent.iterdir()) if looks_like_plugin(folder)]
    if not below:
        return [_tried(parent, name) for parent in parents]
    return [_tried(folder, f"{name}.{folder.name}") for folder in below]


def _plugin_folders(parent: Path) -> list[Path]:
    if find_manifest(parent) or _is_source(parent):
        return [parent]
    return [folder for folder in sorted(parent.iterdir()) if looks_like_plugin(folder)] or [parent]


def _is_source(folder: Path) -> bool:
    """Whether the package itself is one, as far as its files tell without being imported."""
    if find_manifest(folder):
        return True
    files = [file for file in folder.glob("*.py") if not file.name.startswith("test")]
    return any(word in file.read_text("utf-8", "replace") for file in files for word in ("Dumper", "Uploader"))


def _tried(folder: Path, module: str | None = None) -> Draft | tuple[str, Path, PluginError]:
    try:
        if module is None or find_manifest(folder):
            return draft_of(folder)
        return _module_draft(module, folder, folder / "__init__.py")
    except PluginError as error:
        return folder.name, folder, error


def _module_draft(module: str, folder: Path, file: Path) -> Draft:
    name = module.rpartition(".")[2]
    return Draft(name, folder.resolve(), file, None, module, [], [], Request(str(folder.resolve()), module))


def looks_like_plugin(folder: Path) -> bool:
    """Whether a folder among plugins is meant to be one."""
    if not folder.is_dir() or folder.name.startswith((".", "_")):
        return False
    return any(entry.suffix in (".py", ".json", ".yaml", ".yml") for entry in folder.iterdir())
