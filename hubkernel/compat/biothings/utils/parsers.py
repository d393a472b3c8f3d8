"""``biothings.utils.parsers``: parsers that need no code. In a manifest::

    "parser": "biothings.utils.parsers:ndjson_parser", "parser_kwargs": {"patterns": ["*.ndjson"]}

Each is a parser itself (called with the release's folder), and makes one (called without a folder).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from hubkernel.compat.biothings._missing import answer
from hubkernel.compat.biothings.utils._files import anyfile
from hubkernel.pipeline.dump.dumpers.docker import docker_source_info_parser

__all__ = ["docker_source_info_parser", "json_array_parser", "ndjson_parser"]

Document = dict[str, Any]
Patterns = Iterable[str] | str | None
Parser = Callable[[str], Iterator[Document]]


def ndjson_parser(data_folder: Any = None, patterns: Patterns = None) -> Any:
    """Documents of files with one JSON object a line, compressed or not; empty lines are none. ``patterns`` are globs
    below the folder, default ``*.ndjson`` and ``*.jsonl``. Raises ``ValueError`` naming file and line.

    Without a folder (or with patterns alone, as the SDK's is called) it returns a parser.
    """
    return _parser(_lines, data_folder, patterns, ("*.ndjson", "*.jsonl", "*.ndjson.*", "*.jsonl.*"))


def json_array_parser(data_folder: Any = None, patterns: Patterns = None) -> Any:
    """Documents of files that each are one JSON array of objects; default ``*.json``. Otherwise as
    :func:`ndjson_parser`. A file is read as a whole.
    """
    return _parser(_array, data_folder, patterns, ("*.json", "*.json.*"))


def _parser(read: Callable[[Path], Iterator[Document]], folder: Any, patterns: Patterns, default: Iterable[str]) -> Any:
    if folder is not None and not isinstance(folder, str | Path):
        folder, patterns = None, folder  # the SDK's only argument
    elif isinstance(folder, str) and patterns is None and not Path(folder).is_dir():
        folder, patterns = None, folder
    wanted = [patterns] if isinstance(patterns, str) else list(default if patterns is None else patterns)
    parse = partial(_documents, read, wanted)
    return parse if folder is None else parse(str(folder))


def _documents(read: Callable[[Path], Iterator[Document]], patterns: list[str], data_folder: str) -> Iterator[Document]:
    found = dict.fromkeys(file for pattern in patterns for file in sorted(Path(data_folder).glob(pattern)))
    if not found:
        raise FileNotFoundError(f"no file in {data_folder} matches {', '.join(patterns)}")
    for file in found:
        yield from read(file)


def _lines(file: Path) -> Iterator[Document]:
    import orjson

    with anyfile(str(file), "rb") as lines:
        for number, line in enumerate(lines, 1):
            if not line.strip():
                continue
            try:
                yield orjson.loads(line)
            except orjson.JSONDecodeError as error:
                raise ValueError(f"{file}, line {number}: no JSON: {error}") from None


def _array(file: Path) -> Iterator[Document]:
    import orjson

    with anyfile(str(file), "rb") as stream:
        try:
            documents = orjson.loads(stream.read())
        except orjson.JSONDecodeError as error:
            raise ValueError(f"{file}: no JSON: {error}") from None
    if not isinstance(documents, list):
        raise ValueError(f"{file}: its JSON is no array")
    yield from documents


__getattr__ = answer(__name__)
