"""Read terms from ``hp.obo``: one document a term."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"\s*(.*)')
REFERENCES = re.compile(r"\[(.*)\]")
QUALIFIERS = re.compile(r"\s*\{[^{}]*\}$")
LISTS = {"alt_id": "alt_ids", "subset": "subsets", "replaced_by": "replaced_by", "consider": "consider"}


def load_data(data_folder: str) -> Iterator[dict[str, Any]]:
    """Yield one document for each term, obsolete ones too.

    ``_id``, ``name``, ``obsolete``, and where the term has them ``definition``, ``synonyms`` (text, scope, type, refs),
    ``xrefs``, ``parents`` (ids), ``alt_ids``, ``replaced_by``, ``consider``, ``subsets``, ``comment``, ``created``.
    """
    with Path(data_folder, "hp.obo").open(encoding="utf-8") as lines:
        for tags in read_terms(lines):
            yield make_term(tags)


def read_terms(lines: Iterable[str]) -> Iterator[list[tuple[str, str]]]:
    """Yield the (tag, value) pairs of each ``[Term]`` stanza."""
    tags: list[tuple[str, str]] | None = None
    for line in map(str.rstrip, lines):
        if line.startswith("["):
            if tags:
                yield tags
            tags = [] if line == "[Term]" else None
        elif tags is not None and line:
            tag, _, value = line.partition(": ")
            tags.append((tag, QUALIFIERS.sub("", value)))
    if tags:
        yield tags


def make_term(tags: Iterable[tuple[str, str]]) -> dict[str, Any]:
    """The document of one stanza."""
    term: dict[str, Any] = {"_id": "", "name": "", "obsolete": False}
    for tag, value in tags:
        if tag == "id":
            term["_id"] = value
        elif tag in ("name", "comment"):
            term[tag] = unescape(value)
        elif tag == "def":
            add_definition(term, value)
        elif tag == "synonym":
            term.setdefault("synonyms", []).append(make_synonym(value))
        elif tag == "xref":
            term.setdefault("xrefs", []).append(value.partition(" ")[0])
        elif tag == "is_a":
            term.setdefault("parents", []).append(value.partition(" ")[0])
        elif tag == "is_obsolete":
            term["obsolete"] = value == "true"
        elif tag == "creation_date":
            term["created"] = value
        elif tag in LISTS:
            term.setdefault(LISTS[tag], []).append(value.partition(" ")[0])
    return term


def add_definition(term: dict[str, Any], value: str) -> None:
    """``"text" [ref, ref]`` becomes ``definition`` and ``definition_refs``."""
    text, tail = split_quoted(value)
    term["definition"] = unescape(text)
    refs = references(tail)
    if refs:
        term["definition_refs"] = refs


def make_synonym(value: str) -> dict[str, Any]:
    """``"text" EXACT layperson [refs]`` as an object; its type and references are left out if it has none."""
    text, tail = split_quoted(value)
    scope, *kind = tail.partition("[")[0].split()
    synonym: dict[str, Any] = {"text": unescape(text), "scope": scope}
    if kind:
        synonym["type"] = kind[0]
    refs = references(tail)
    if refs:
        synonym["refs"] = refs
    return synonym


def split_quoted(value: str) -> tuple[str, str]:
    """The text between the quotes, and what follows it."""
    found = QUOTED.match(value)
    if not found:
        raise ValueError(f"no quoted text in {value!r}")
    return found.group(1), found.group(2)


def references(text: str) -> list[str]:
    """The ids between brackets."""
    found = REFERENCES.search(text)
    return [ref.strip() for ref in found.group(1).split(", ") if ref.strip()] if found else []


def unescape(text: str) -> str:
    """OBO escapes a sign by a backslash before it."""
    return re.sub(r"\\(.)", lambda sign: {"n": "\n", "t": "\t"}.get(sign.group(1), sign.group(1)), text)
