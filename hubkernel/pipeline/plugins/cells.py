"""A plugin written in one cell of a notebook: a manifest in YAML, a line ``---``, and Python.

The cell becomes two files of a plugin, ``manifest.yaml`` and ``parser.py``. They are checked before they take their
place, and what is wrong is told by the lines of the cell, of which the first is that with ``%%hub plugin``.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from hubkernel.pipeline.plugins.errors import PluginError
from hubkernel.pipeline.plugins.models import is_name
from hubkernel.pipeline.plugins.plugin import Plugin

SEPARATOR = "---"
RECORD = ".cell.json"
"""In the plugin's folder: hashes of the files as the cell wrote them."""
MANIFEST, CODE = "manifest.yaml", "parser.py"
HEADER = 1
"""Lines of the cell before its text: that of the magic."""


class CellError(PluginError):
    """A cell is no plugin; the message names lines of the cell."""


@dataclass(frozen=True)
class Cell:
    """The two parts of a cell."""

    manifest: str
    code: str
    code_begins: int
    """Lines of the cell's text before the code."""

    @classmethod
    def of(cls, text: str) -> Cell:
        """Raises :class:`CellError` if there are no two parts."""
        lines = text.splitlines(keepends=True)
        marks = [number for number, line in enumerate(lines) if line.rstrip() == SEPARATOR]
        if not marks:
            raise CellError(f"a plugin's cell is a manifest (YAML), a line {SEPARATOR}, and the parser (Python)")
        return cls(_completed("".join(lines[: marks[0]])), "".join(lines[marks[0] + 1 :]), marks[0] + 1)

    def told(self, message: str, folder: Path) -> str:
        """A message about the files as one about the lines of the cell."""
        for name, before in ((MANIFEST, 0), (CODE, self.code_begins)):
            message = _shifted(message, str(folder / name), before + HEADER)
            message = message.replace(str(folder / name), "the cell")
        return message


def _shifted(message: str, file: str, lines: int) -> str:
    return re.sub(rf"{re.escape(file)}:(\d+)", lambda found: f"cell line {int(found[1]) + lines}", message)


def _completed(manifest: str) -> str:
    """With what a cell need not say, at the end, so that lines keep their numbers."""
    keys = set(re.findall(r"^[\"']?(\w+)[\"']?\s*:", manifest, re.MULTILINE))
    text = manifest if manifest.endswith("\n") or not manifest else manifest + "\n"
    if not keys & {"uploader", "uploaders"}:
        text += "uploader: {parser: parser:load_data}\n"
    return text if "version" in keys else text + 'version: "1.0"\n'


def write_cell(plugins: Path, name: str, text: str, check: Callable[[Path], Plugin], overwrite: bool = False) -> Path:
    """Write the plugin ``name`` below ``plugins`` from the text of a cell, and return its folder. Other files that are
    in the folder stay.

    ``check`` raises :class:`PluginError` for a folder that is no good plugin; then nothing has changed, and the error
    has the lines of the cell. A plugin that was not written by a cell, or was edited since, is refused unless
    ``overwrite``.
    """
    if not is_name(name):
        raise CellError(f"{name!r} is no name for a source: use letters, digits, '_' and '-'")
    cell, folder = Cell.of(text), plugins / name
    if folder.exists() and not overwrite:
        _refuse_others(folder)
    draft = plugins / ".cells" / name
    shutil.rmtree(draft, ignore_errors=True)
    draft.parent.mkdir(parents=True, exist_ok=True)
    try:
        _make_draft(cell, folder, draft)
        try:
            check(draft)
        except PluginError as error:
            raise CellError(cell.told(str(error), draft)) from None
        folder.mkdir(parents=True, exist_ok=True)
        for file in (CODE, MANIFEST, RECORD):
            (draft / file).replace(folder / file)
        for other in ("manifest.json",) if overwrite else ():
            (folder / other).unlink(missing_ok=True)  # it would count more than the cell's
    finally:
        shutil.rmtree(draft.parent, ignore_errors=True)
    return folder


def _make_draft(cell: Cell, folder: Path, draft: Path) -> None:
    if folder.is_dir():
        shutil.copytree(folder, draft, ignore=shutil.ignore_patterns("manifest.json", "__pycache__", ".git"))
    draft.mkdir(exist_ok=True)
    (draft / MANIFEST).write_text(cell.manifest, "utf-8")
    (draft / CODE).write_text(cell.code, "utf-8")
    (draft / RECORD).write_text(json.dumps(_hashes(draft)), "utf-8")


def _hashes(folder: Path) -> dict[str, str]:
    files = (folder / MANIFEST, folder / CODE)
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files if file.is_file()}


def _refuse_others(folder: Path) -> None:
    try:
        written = json.loads((folder / RECORD).read_bytes())
    except (OSError, ValueError):
        raise CellError(f"{folder} is a plugin that no cell has written: use another name, or --overwrite") from None
    if written != _hashes(folder) or (folder / "manifest.json").exists():
        raise CellError(f"{folder} was edited since the cell wrote it: --overwrite discards that")
