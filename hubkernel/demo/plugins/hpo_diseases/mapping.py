"""How diseases of phenotypes are indexed."""

from typing import Any


def disease_mapping(cls: "Any") -> "dict[str, Any]":
    """Names are searched by word, everything else as it is."""
    keyword = {"type": "keyword"}
    names = ["id", "evidence", "frequency", "onset", "reference", "sex", "modifier", "aspect", "curation"]
    annotation = {"properties": {"name": {"type": "text"}, **dict.fromkeys(names, keyword)}}
    return {"diseases": annotation, "excluded_diseases": annotation}
