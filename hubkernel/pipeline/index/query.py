"""Queries by people: a line of text, a page, some fields."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from hubkernel.pipeline.index.errors import SearchError

if TYPE_CHECKING:
    from elasticsearch import Elasticsearch

_PREFIXED = re.compile(r'"(?:\\.|[^"\\])*"|/(?:\\.|[^/\\])*/|(?<![\w\\.*])([A-Za-z_][\w.\-]*):(?=[\w])')


def run(  # noqa: PLR0917
    client: Elasticsearch, index: str, q: str, size: int, start: int, fields: Sequence[str] | str | None, sort: Any
) -> dict[str, Any]:
    """``{"took", "total", "max_score", "hits": [{"_id", "_score", ...}]}``. :class:`SearchError` for a bad query."""
    from elasticsearch import BadRequestError

    query: dict[str, Any] = {"match_all": {}}
    if q.strip() not in ("", "*"):
        text = escape_prefixes(q, _known_names(client, index))
        query = {"query_string": {"query": text, "default_operator": "AND", "lenient": True}}
    options: dict[str, Any] = {}
    if fields is not None:
        options["source_includes"] = fields.split(",") if isinstance(fields, str) else list(fields)
    if sort:
        options["sort"] = _sort(sort)
    try:
        answer = client.search(index=index, query=query, size=size, from_=start, track_total_hits=True, **options)
    except BadRequestError as error:
        raise SearchError(f"the query {q!r} cannot be run: {reason_of(error)}") from None
    return shaped(answer)


def shaped(answer: Any) -> dict[str, Any]:
    found = answer["hits"]
    hits = [{"_id": hit["_id"], "_score": hit["_score"], **hit.get("_source", {})} for hit in found["hits"]]
    return {"took": answer["took"], "total": found["total"]["value"], "max_score": found["max_score"], "hits": hits}


def _sort(sort: Any) -> Any:
    """``"name"``, ``"-taxid"``, ``"name,-taxid"`` as BioThings writes it; lists and objects as Elasticsearch does."""
    keys = sort.split(",") if isinstance(sort, str) else sort
    if isinstance(keys, dict):
        return keys
    return [{key[1:]: "desc"} if isinstance(key, str) and key.startswith("-") else key for key in keys]


def _known_names(client: Elasticsearch, index: str) -> set[str]:
    names: set[str] = {"_exists_", "_id", "_index"}
    for each in client.indices.get_mapping(index=index).values():
        names |= set(each["mappings"].get("properties", {}))
    return names


def escape_prefixes(q: str, known: Iterable[str]) -> str:
    r"""``HP:0001250`` is an identifier, not the field ``HP``: a colon after what is no field becomes ``\:``."""
    known = set(known)

    def escaped(match: re.Match[str]) -> str:
        name = match[1]
        if name is None or name in known or name.partition(".")[0] in known:
            return match[0]
        return f"{name}\\:"

    return _PREFIXED.sub(escaped, q)


def reason_of(error: Any) -> str:
    """The innermost reason in an error of the client."""
    body = error.body if isinstance(error.body, dict) else {}
    fault = body.get("error", {})
    if not isinstance(fault, dict):
        return str(fault)
    roots = fault.get("root_cause") or [fault]
    return str(roots[0].get("reason") or error)
