"""``%%hub plugin``: the options of the line, and how the first documents of a plugin look."""

from __future__ import annotations

import argparse
import json
import re
import shlex
from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, NoReturn

from hubkernel import display


class CellOptionsError(ValueError):
    """The line of ``%%hub plugin`` is not understood."""


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise CellOptionsError(f"{message}; it is %%hub plugin NAME [--data FOLDER] [--limit N] [--overwrite]")


def cell_options(line: str) -> dict[str, Any]:
    """The arguments of the command ``plugin_cell``. Raises :class:`CellOptionsError`."""
    parser = _Parser(add_help=False, prog="%%hub")
    parser.add_argument("plugin", choices=["plugin"])
    parser.add_argument("name")
    parser.add_argument("--data", dest="data_folder")
    parser.add_argument("--limit", type=int, default=10)
    parser.add_argument("--overwrite", action="store_true")
    options = vars(parser.parse_args(shlex.split(line)))
    del options["plugin"]
    return options


def lines_of(error: str) -> str:
    """The error of a job, which is one line, with each fault of the cell on a line of its own again."""
    return re.sub(r"(?<!:) (?=cell line \d+: )", "\n", error)


def preview_bundles(found: Mapping[str, Any]) -> Iterator[display.Bundle]:
    """What to show of the command's answer: the plugin, and a table of documents for each collection."""
    name, preview = found["name"], found["preview"]
    yield _text("\n".join([f"plugin {name}: {found['folder']}", *(f"warning: {text}" for text in found["warnings"])]))
    if preview is None:
        yield _text(f"No data yet: `%hub dump {name}` brings it, or --data FOLDER names a folder with files.")
        return
    of = f" of release {found['release']}" if found["release"] else ""
    for collection, about in preview.items():
        documents = about["documents"]
        yield _text(f"{collection}: the first {len(documents)} document(s){of}")
        if documents:
            yield _documents(documents)
        if about["error"]:
            yield _text(f"then an error: {about['error']}")
        elif not documents:
            yield _text("The parser made no documents of these files.")


def _documents(documents: list[dict[str, Any]]) -> display.Bundle:
    """As a table, and as JSON where there is more to a value than a table shows."""
    bundle = display.table_bundle(documents)
    whole = json.dumps(documents, indent=2, ensure_ascii=False)
    html = f"{bundle['text/html']}<details><summary>as JSON</summary><pre>{escape(whole)}</pre></details>"
    return {**bundle, "text/html": html}


def _text(text: str) -> display.Bundle:
    return {"text/plain": text}
