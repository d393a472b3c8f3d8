"""How genes of phenotypes are indexed."""

from typing import Any


def gene_mapping(cls: "Any") -> "dict[str, Any]":
    """Symbols and ids are searched as they are."""
    keyword = {"type": "keyword"}
    return {"genes": {"properties": {"ncbi": keyword, "symbol": keyword, "diseases": keyword}}}
