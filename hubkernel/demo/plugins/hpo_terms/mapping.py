"""How terms are indexed."""

from typing import Any


def term_mapping(cls: "Any") -> "dict[str, Any]":
    """Names and texts are searched by word, ids as they are."""
    keyword = {"type": "keyword"}
    text = {"type": "text"}
    return {
        "name": text,
        "definition": text,
        "definition_refs": keyword,
        "comment": text,
        "synonyms": {"properties": {"text": text, "scope": keyword, "type": keyword, "refs": keyword}},
        "xrefs": keyword,
        "parents": keyword,
        "alt_ids": keyword,
        "subsets": keyword,
        "replaced_by": keyword,
        "consider": keyword,
        "obsolete": {"type": "boolean"},
        "created": {"type": "date"},
    }
