"""Parse JSON and YAML and keep the line on which every value stands."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from hubkernel.pipeline.plugins.errors import ManifestError, Problem

if TYPE_CHECKING:
    import yaml

Path_ = tuple[str | int, ...]


@dataclass
class Positioned:
    """A parsed document. ``lines`` has the line (from 1) of each value by its path; that of a member is its key's."""

    file: Path
    value: Any = None
    lines: dict[Path_, int] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    """Faults that parsing can go on after: a key that stands twice."""

    def line(self, path: Path_) -> int:
        """The line of ``path``, or of the nearest thing around it that is there."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def report(self, path: Path_, message: str) -> None:
        self.problems.append(Problem(self.file, self.line(path), json_path(path), message))

    def repeated(self, path: Path_, line: int) -> None:
        message = f"the key is there twice (first on line {self.lines[path]}): remove one"
        self.problems.append(Problem(self.file, line, json_path(path), message))


def json_path(path: Path_) -> str:
    """``("uploaders", 1, "parser")`` as ``uploaders[1].parser``."""
    text = ""
    for step in path:
        text += f"[{step}]" if isinstance(step, int) else f".{step}" if text else step
    return text


def parse_file(file: Path) -> Positioned:
    """Raises :class:`ManifestError` if the file is no JSON or YAML at all, or not UTF-8."""
    document = Positioned(file)
    try:
        text = file.read_text("utf-8-sig")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise ManifestError([Problem(file, line, "", "not UTF-8 text: save the file as UTF-8")]) from None
    except OSError as error:
        raise ManifestError([Problem(file, 1, "", f"cannot be read: {error.strerror}")]) from None
    if file.suffix == ".json":
        _parse_json(document, text)
    else:
        _parse_yaml(document, text)
    return document


def _parse_json(document: Positioned, text: str) -> None:
    def refuse(constant: str) -> NoReturn:
        raise ManifestError([Problem(document.file, 1, "", f"{constant} is not JSON: use a number or a string")])

    try:
        json.loads(text, parse_constant=refuse)
    except json.JSONDecodeError as error:
        message = f"not JSON: {error.msg} (column {error.colno})"
        raise ManifestError([Problem(document.file, error.lineno, "", message)]) from None
    document.value = _JsonWalk(document, text).value(())


class _JsonWalk:
    """Walks text that is known to be good JSON, so it has no errors of its own."""

    _space = re.compile(r"[ \t\n\r]*")

    def __init__(self, document: Positioned, text: str) -> None:
        self.document = document
        self.text = text
        self.at = 0
        self.decoder = json.JSONDecoder()

    def value(self, path: Path_) -> Any:
        opening = self._peek()
        self.document.lines.setdefault(path, self._line())
        if opening == "{":
            return self._object(path)
        if opening == "[":
            return self._array(path)
        return self._scalar()

    def _object(self, path: Path_) -> dict[str, Any]:
        members: dict[str, Any] = {}
        self.at += 1
        while self._peek() != "}":
            line = self._line()
            key = self._scalar()
            if key in members:
                self.document.repeated((*path, key), line)
            self.document.lines.setdefault((*path, key), line)
            self._skip(":")
            members[key] = self.value((*path, key))
            self._skip(",")
        self.at += 1
        return members

    def _array(self, path: Path_) -> list[Any]:
        items: list[Any] = []
        self.at += 1
        while self._peek() != "]":
            items.append(self.value((*path, len(items))))
            self._skip(",")
        self.at += 1
        return items

    def _scalar(self) -> Any:
        value, self.at = self.decoder.raw_decode(self.text, self.at)
        return value

    def _peek(self) -> str:
        space = self._space.match(self.text, self.at)
        self.at = space.end() if space else self.at
        return self.text[self.at]

    def _skip(self, sign: str) -> None:
        if self._peek() == sign:
            self.at += 1

    def _line(self) -> int:
        return self.text.count("\n", 0, self.at) + 1


def _parse_yaml(document: Positioned, text: str) -> None:
    import yaml

    try:
        loader = yaml.SafeLoader(text)
        node = loader.get_single_node()
        document.value = None if node is None else _YamlWalk(document, loader).value(node, ())
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        message = f"not YAML: {error.problem or error.context}"
        raise ManifestError([Problem(document.file, mark.line + 1 if mark else 1, "", message)]) from None
    except yaml.YAMLError as error:
        raise ManifestError([Problem(document.file, 1, "", f"not YAML: {error}")]) from None


class _YamlWalk:
    def __init__(self, document: Positioned, loader: yaml.SafeLoader) -> None:
        self.document = document
        self.loader = loader

    def value(self, node: yaml.Node, path: Path_) -> Any:
        import yaml

        self.document.lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        return self.loader.construct_object(node, deep=True)

    def _mapping(self, node: yaml.MappingNode, path: Path_) -> dict[str, Any]:
        own = {id(key) for key, _ in node.value}
        self.loader.flatten_mapping(node)  # resolves `<<`; what it merges in may stand again as an own key
        members: dict[str, Any] = {}
        seen: set[str] = set()
        for key_node, value_node in node.value:
            key = str(self.loader.construct_object(key_node, deep=True))
            here = (*path, key)
            if id(key_node) in own and key in seen:
                self.document.repeated(here, key_node.start_mark.line + 1)
            if id(key_node) in own:
                seen.add(key)
                self.document.lines.setdefault(here, key_node.start_mark.line + 1)
            members[key] = self.value(value_node, here)
        return members
