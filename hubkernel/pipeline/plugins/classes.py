"""What a worker finds in the code of a plugin: its dumper and uploader classes, described as plain data.

This runs in a process of its own (:func:`main`), which imports the code of plugins so that the hub need not.
"""

from __future__ import annotations

import inspect
import json
import os
import sys
from collections.abc import Iterator
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import Any, TextIO

from hubkernel.pipeline.common import cron_expression
from hubkernel.pipeline.dump.dumpers.base import BaseDumper
from hubkernel.pipeline.plugins import aliases
from hubkernel.pipeline.plugins.errors import PluginCodeError
from hubkernel.pipeline.plugins.loader import ROOT, load_function, load_module, locate
from hubkernel.pipeline.surroundings import Surroundings, enter
from hubkernel.pipeline.upload.storages import BasicStorage
from hubkernel.pipeline.upload.uploaders import BaseSourceUploader, ParallelizedSourceUploader

LIBRARY = ("hubkernel", "biothings")
"""Packages whose own classes are what plugins derive from, never sources themselves."""
_SKIPPED = ("test", "setup", "conftest", ".", "_")

Described = dict[str, Any]


def examine(folder: str, module: str | None, targets: list[str]) -> Described:
    """``{"dumpers": [...], "uploaders": [...], "problems": [...], "warnings": [...]}`` of the code in ``folder``.

    With ``targets``, those classes; else the classes of the package ``module``, or of the folder as a package of its
    own. Never raises for what is wrong with the code.
    """
    answer: Described = {"dumpers": [], "uploaders": [], "problems": [], "warnings": []}
    for kind, key, describe in (
        (BaseDumper, "dumpers", describe_dumper),
        (BaseSourceUploader, "uploaders", describe_uploader),
    ):
        try:
            found = _chosen(folder, targets, kind) if targets else _Search(folder, module, kind).classes()
        except PluginCodeError as error:
            if str(error) not in answer["problems"]:
                answer["problems"].append(str(error))
            continue
        for target, cls in found:
            answer[key].append(_described(describe, target, cls, answer))
    return answer


def _described(describe: Any, target: str, cls: type, answer: Described) -> Described:
    described: Described = describe(cls)
    answer["problems"] += [f"{_place(cls)}: {text}" for text in described.pop("problems")]
    return {**described, "target": target, "bases": _bases(cls)}


def _chosen(folder: str, targets: list[str], kind: type) -> Iterator[tuple[str, type]]:
    for target in targets:
        cls = load_function(folder, target)
        if not isinstance(cls, type) or not issubclass(cls, BaseDumper | BaseSourceUploader):
            raise PluginCodeError(f"{target} of plugin {Path(folder).name} is neither a dumper nor an uploader class")
        if issubclass(cls, kind):
            yield target, cls


class _Search:
    """Classes of one kind: those at the top of the package, or else those in its files."""

    def __init__(self, folder: str, module: str | None, kind: type) -> None:
        self.folder, self.module, self.kind = Path(folder), module, kind

    def classes(self) -> list[tuple[str, type]]:
        """Raises :class:`PluginCodeError` if code that was looked at cannot be imported."""
        top = self.module or "__init__"
        found = dict(self._in(top))
        if not found:
            for name in self._below(top):
                found.update(self._in(name))
        return _without_bases(found)

    def _in(self, name: str) -> Iterator[tuple[str, type]]:
        module = load_module(self.folder, name)
        for attribute, value in vars(module).items():
            if isinstance(value, type) and issubclass(value, self.kind) and not _is_library(value):
                yield f"{name}:{attribute}", value

    def _below(self, top: str) -> Iterator[str]:
        """Modules that may define such classes, by what their files say; no other is imported."""
        package = self.folder
        if self.module is not None:
            spec = locate(self.module)
            if spec is None or not spec.submodule_search_locations:
                return
            package = Path(next(iter(spec.submodule_search_locations)))
        prefix = f"{top}." if self.module is not None else ""
        for file in sorted(package.rglob("*.py")):
            parts = file.relative_to(package).with_suffix("").parts
            if any(part.startswith(_SKIPPED) for part in parts if part != "__init__") or parts == ("__init__",):
                continue
            parts = parts[:-1] if parts[-1] == "__init__" else parts
            if all(part.isidentifier() for part in parts) and self._mentioned(file):
                yield prefix + ".".join(parts)

    def _mentioned(self, file: Path) -> bool:
        text = file.read_text("utf-8", "replace")
        return "class " in text and ("Dumper" if self.kind is BaseDumper else "Uploader") in text


def _is_library(cls: type) -> bool:
    return cls.__module__.split(".")[0] in LIBRARY


def _without_bases(found: dict[str, type]) -> list[tuple[str, type]]:
    """Each class once, and none that stands there only because another one derives from it."""
    unique = list({id(cls): (target, cls) for target, cls in reversed(found.items())}.values())[::-1]
    named = [(target, cls) for target, cls in unique if not _is_abstract(cls)]
    return [(target, cls) for target, cls in named if not _is_base_of_another(cls, [other for _, other in named])]


def _is_abstract(cls: type) -> bool:
    """An uploader without a name is meant to be derived from."""
    return inspect.isabstract(cls) or (issubclass(cls, BaseSourceUploader) and not cls.name)


def _is_base_of_another(cls: Any, others: list[Any]) -> bool:
    def identity(klass: Any) -> Any:
        return klass.SRC_NAME if issubclass(klass, BaseDumper) else klass.name

    return any(
        other is not cls and issubclass(other, cls) and (identity(other) == identity(cls) or not identity(cls))
        for other in others
    )


def _bases(cls: type) -> list[str]:
    return [base.__name__ for base in cls.__mro__[1:] if base is not object]


def _place(cls: type) -> str:
    with suppress(OSError, TypeError):
        return f"{inspect.getsourcefile(cls)}:{inspect.getsourcelines(cls)[1]}"
    return f"{cls.__module__}.{cls.__qualname__}"


def _own(cls: type, attribute: str, kind: type | tuple[type, ...]) -> Any:
    """The attribute if the plugin's code set it and it is of that type, else None."""
    owner = next((base for base in cls.__mro__ if attribute in vars(base)), None)
    if owner is None or _is_library(owner):
        return None
    value = vars(owner)[attribute]
    return value if isinstance(value, kind) else None


def describe_dumper(cls: type[BaseDumper]) -> Described:
    """What the hub has to know of a dumper class; ``problems`` has what is wrong with it."""
    problems = []
    schedule = _own(cls, "SCHEDULE", str)
    if schedule is not None:
        try:
            cron_expression(schedule)
        except ValueError as error:
            problems.append(f"SCHEDULE of {cls.__name__}: {error}")
    urls = getattr(cls, "SRC_URLS", None)
    root = _own(cls, "SRC_ROOT_FOLDER", str)
    limit = getattr(cls, "MAX_PARALLEL_DUMP", None)
    return {
        "source": cls.SRC_NAME if isinstance(cls.SRC_NAME, str) else None,
        "folder": Path(root).name if root else None,
        "urls": [url for url in urls if isinstance(url, str)] if isinstance(urls, list | tuple) else [],
        "schedule": schedule,
        "disabled": getattr(cls, "DISABLED", False) is True,
        "manual": "ManualDumper" in _bases(cls),
        "auto_upload": getattr(cls, "AUTO_UPLOAD", True) is not False,
        "uncompress": getattr(cls, "UNCOMPRESS", False) is True,
        "max_parallel": limit if isinstance(limit, int) and limit > 0 else None,
        "problems": problems,
    }


def describe_uploader(cls: type[BaseSourceUploader]) -> Described:
    """What the hub has to know of an uploader class; ``problems`` has what is wrong with it."""
    problems = []
    metadata = getattr(cls, "__metadata__", None)
    try:
        plain = json.loads(json.dumps(metadata if isinstance(metadata, dict) else {}, default=str))
    except (TypeError, ValueError) as error:
        plain = {}
        problems.append(f"__metadata__ of {cls.__name__} is no plain data: {error}")
    storages = cls.storage_class if isinstance(cls.storage_class, tuple) else (cls.storage_class,)
    wrong = [kind for kind in storages if not (isinstance(kind, type) and issubclass(kind, BasicStorage))]
    if wrong:
        problems.append(f"storage_class of {cls.__name__}: {wrong[0]!r} is no storage class")
    duplicates = [kind.duplicates for kind in storages if kind not in wrong]
    bases = _bases(cls)
    return {
        "name": cls.name,
        "source": cls.main_source if isinstance(cls.main_source, str) else None,
        "duplicates": next((str(d.value) for d in duplicates if d.value != "error"), "error"),
        "parallel": issubclass(cls, ParallelizedSourceUploader),
        "loads": not {"DummySourceUploader", "NoDataSourceUploader"} & set(bases),
        "dummy": "DummySourceUploader" in bases,
        "keep_archive": _own(cls, "keep_archive", int),
        "auto_validate": getattr(cls, "auto_validate", False) is True,
        "regex_name": cls.regex_name if isinstance(cls.regex_name, str) else None,
        "metadata": plain["src_meta"] if isinstance(plain.get("src_meta"), dict) else plain,
        "problems": problems,
    }


def imported_files(folder: str) -> dict[str, list[int]]:
    """``{file: [mtime in ns, size]}`` of all that was imported from outside of this Python's own libraries, except for
    the files of other plugins: when one of them changes, the answer may.
    """
    own = Path(folder).resolve()
    files: dict[str, list[int]] = {}
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if not file or name.split(".")[0] in LIBRARY or _is_installed(file):
            continue
        if name.startswith(ROOT + ".") and own not in Path(file).parents:
            continue
        with suppress(OSError):
            stat = Path(file).stat()
            files[file] = [stat.st_mtime_ns, stat.st_size]
    return files


def _is_installed(file: str) -> bool:
    return "site-packages" in file or "dist-packages" in file or file.startswith(_STDLIB)


_STDLIB = str(Path(os.__file__).parent) + os.sep


def main() -> None:
    """Read ``{"requests": [...], "surroundings": {...}}`` from stdin, and write one line of JSON for each request; what
    the code of plugins prints goes to stderr.
    """
    task = json.loads(sys.stdin.readline())
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    aliases.install()
    with enter(Surroundings(**task["surroundings"])) if task["surroundings"] else nullcontext():
        _answer(task["requests"], answers)
    os._exit(0)  # whatever threads the code of plugins began


def _answer(requests: list[Described], answers: TextIO) -> None:
    for request in requests:
        try:
            answer = examine(request["folder"], request["module"], request["targets"])
        except BaseException as error:  # what a class attribute may do is the plugin's
            answer = {"dumpers": [], "uploaders": [], "warnings": [], "problems": [f"{type(error).__name__}: {error}"]}
        answers.write(json.dumps({**answer, "files": imported_files(request["folder"])}) + "\n")
        answers.flush()
