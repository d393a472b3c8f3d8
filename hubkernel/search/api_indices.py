"""Handlers of the cluster and of whole indices: create, delete, mapping, settings, aliases, stats."""

from __future__ import annotations

import fnmatch
from typing import Any

from hubkernel.search.engine import VERSION
from hubkernel.search.errors import ApiError, unsupported
from hubkernel.search.index import Index
from hubkernel.search.rest import ROUTER, Answer, Call
from hubkernel.search.settings import changed

_ACK = {"acknowledged": True}
_WHICH = ("ignore_unavailable", "allow_no_indices", "expand_wildcards", "local", "flat_settings", "include_defaults")


def shards(indices: list[Index]) -> dict[str, Any]:
    return {"_shards": {"total": len(indices), "successful": len(indices), "failed": 0}}


def named(call: Call) -> list[Index]:
    return call.engine.resolve(call.index, ignore_missing=call.flag("ignore_unavailable"))


@ROUTER.add("GET|HEAD", "/")
def info(call: Call) -> Any:
    version = {
        "number": VERSION, "build_flavor": "default", "build_type": "hubkernel", "build_hash": "embedded",
        "build_date": "2026-11-23T00:00:00Z", "build_snapshot": False, "lucene_version": "tantivy",
        "minimum_wire_compatibility_version": "7.17.0", "minimum_index_compatibility_version": "7.0.0",
    }  # fmt: skip
    return {
        "name": "hubkernel", "cluster_name": "embedded", "cluster_uuid": call.engine.uuid, "version": version,
        "tagline": "You Know, for Search",
    }  # fmt: skip


@ROUTER.add("GET", "/_cluster/health(?:/{index})?", "wait_for_status", "level", *_WHICH)
def health(call: Call) -> Any:
    count = len(named(call))
    return {
        "cluster_name": "embedded", "status": "green", "timed_out": False, "number_of_nodes": 1,
        "number_of_data_nodes": 1, "active_primary_shards": count, "active_shards": count, "relocating_shards": 0,
        "initializing_shards": 0, "unassigned_shards": 0, "delayed_unassigned_shards": 0,
        "number_of_pending_tasks": 0, "number_of_in_flight_fetch": 0, "active_shards_percent_as_number": 100.0,
    }  # fmt: skip


@ROUTER.add("GET", "/_cat/indices(?:/{index})?", "format", "bytes", "h", "v", "s", "health", *_WHICH)
def cat_indices(call: Call) -> Any:
    rows = [_cat_row(call, index) for index in sorted(named(call), key=lambda each: each.name)]
    columns = call.params["h"].split(",") if call.params.get("h") else None
    if columns and (unknown := set(columns) - {key for row in rows for key in row} if rows else set()):
        raise unsupported(f"columns {sorted(unknown)} of _cat/indices")
    rows = [{column: row[column] for column in columns} for row in rows] if columns else rows
    if call.params.get("format") == "json":
        return rows
    lines = [" ".join(row.values()) for row in rows]
    if rows and call.flag("v"):
        lines.insert(0, " ".join(rows[0]))
    return Answer(200, "".join(f"{line}\n" for line in lines).encode(), "text/plain")


def _cat_row(call: Call, index: Index) -> dict[str, str]:
    size = index.size()
    text = str(size) if call.params.get("bytes") == "b" else _readable(size)
    return {
        "health": "green", "status": "open", "index": index.name, "uuid": str(index.settings.get("uuid", "")),
        "pri": "1", "rep": "0", "docs.count": str(index.view.searcher.num_docs), "docs.deleted": "0",
        "store.size": text, "pri.store.size": text,
    }  # fmt: skip


def _readable(size: float) -> str:
    for unit in ("b", "kb", "mb", "gb"):
        if size < 1024:
            return f"{size:.0f}{unit}" if unit == "b" else f"{size:.1f}{unit}"
        size /= 1024
    return f"{size:.1f}tb"


@ROUTER.add("GET", "/_cat/aliases(?:/{name})?", "format", "v", "h", *_WHICH)
def cat_aliases(call: Call) -> Any:
    if call.params.get("format") != "json":
        raise unsupported("_cat/aliases as text", "use format=json")
    pattern = call.path.get("name", "*")
    return [
        {"alias": alias, "index": name}
        for name, aliases in call.engine.aliases.items()
        for alias in aliases
        if fnmatch.fnmatchcase(alias, pattern)
    ]


# --- the index itself


@ROUTER.add("PUT", "/{index}", "wait_for_active_shards")
def create(call: Call) -> Any:
    body = call.object("settings", "mappings", "aliases")
    assert call.index is not None
    call.engine.create(call.index, body.get("settings"), body.get("mappings"), body.get("aliases"))
    return {**_ACK, "shards_acknowledged": True, "index": call.index}


@ROUTER.add("DELETE", "/{index}", *_WHICH)
def delete(call: Call) -> Any:
    names = [index.name for index in named(call)]
    for part in (call.index or "").split(","):
        if part not in names and "*" not in part and part in {a for each in call.engine.aliases.values() for a in each}:
            raise ApiError(400, "illegal_argument_exception",
                           f"The provided expression [{part}] matches an alias, specify the corresponding concrete "
                           "indices instead.")  # fmt: skip
    call.engine.delete(names)
    return _ACK


@ROUTER.add("GET|HEAD", "/{index}", "features", *_WHICH)
def get(call: Call) -> Any:
    return {
        index.name: {
            "aliases": call.engine.aliases.get(index.name, {}),
            "mappings": index.mapping.definition,
            "settings": {"index": index.settings},
        }
        for index in named(call)
    }


@ROUTER.add("GET", "(?:/{index})?/_mapping", *_WHICH)
def get_mapping(call: Call) -> Any:
    return {index.name: {"mappings": index.mapping.definition} for index in named(call)}


@ROUTER.add("PUT|POST", "/{index}/_mapping", "write_index_only", *_WHICH)
def put_mapping(call: Call) -> Any:
    for index in named(call):
        index.put_mapping(call.object())
    return _ACK


@ROUTER.add("GET", "(?:/{index})?/_settings", *_WHICH)
def get_settings(call: Call) -> Any:
    return {index.name: {"settings": {"index": index.settings}} for index in named(call)}


@ROUTER.add("PUT", "(?:/{index})?/_settings", "preserve_existing", *_WHICH)
def put_settings(call: Call) -> Any:
    body = call.object()
    for index in named(call):
        index.put_settings(changed(index.settings, body.get("settings", body)))
    return _ACK


@ROUTER.add("GET|POST", "(?:/{index})?/_(?:refresh|flush)", "force", "wait_if_ongoing", *_WHICH)
def refresh(call: Call) -> Any:
    indices = named(call)
    for index in indices:
        index.refresh()
    return shards(indices)


@ROUTER.add(
    "POST",
    "(?:/{index})?/_forcemerge",
    "max_num_segments",
    "only_expunge_deletes",
    "flush",
    "wait_for_completion",
    *_WHICH,
)
def forcemerge(call: Call) -> Any:
    """The search files merge by themselves; accepted so that callers need not know."""
    return refresh(call)


@ROUTER.add("GET", "(?:/{index})?/_stats(?:/{metric})?", "level", "fields", *_WHICH)
def stats(call: Call) -> Any:
    each = {index.name: _stats(index) for index in named(call)}
    total = {
        "docs": {"count": sum(one["docs"]["count"] for one in each.values()), "deleted": 0},
        "store": {"size_in_bytes": sum(one["store"]["size_in_bytes"] for one in each.values())},
    }
    return {
        **shards(named(call)),
        "_all": {"primaries": total, "total": total},
        "indices": {
            name: {"primaries": one, "total": one, "health": "green", "status": "open"} for name, one in each.items()
        },
    }


def _stats(index: Index) -> dict[str, Any]:
    size = index.size()
    return {
        "docs": {"count": index.view.searcher.num_docs, "deleted": 0},
        "store": {"size_in_bytes": size, "total_data_set_size_in_bytes": size},
    }


@ROUTER.add("GET|POST", "(?:/{index})?/_analyze")
def analyze(call: Call) -> Any:
    from hubkernel.search.analysis import Analysis

    body = call.object("analyzer", "text", "field")
    index = named(call)[0] if call.index else None
    analysis = index.mapping.analysis if index is not None else Analysis()
    field = index.mapping.resolve(body["field"]) if index is not None and "field" in body else None
    analyzer = field.analyzer if field is not None else analysis.analyzer(body.get("analyzer", "standard"))
    texts = body.get("text", "")
    words = (
        []
        if analyzer is None
        else [w for t in ([texts] if isinstance(texts, str) else texts) for w in analyzer.terms(t)]
    )
    return {"tokens": [{"token": word, "position": position} for position, word in enumerate(words)]}


# --- aliases


@ROUTER.add("POST", "/_aliases")
def update_aliases(call: Call) -> Any:
    call.engine.update_aliases(call.object("actions").get("actions", []))
    return _ACK


@ROUTER.add("PUT|POST", "/{index}/_alias(?:es)?/{name}")
def put_alias(call: Call) -> Any:
    options = call.object("filter", "is_write_index", "is_hidden", "routing", "index_routing", "search_routing")
    call.engine.update_aliases([{"add": {"index": call.index, "alias": call.path["name"], **options}}])
    return _ACK


@ROUTER.add("DELETE", "/{index}/_alias(?:es)?/{name}")
def delete_alias(call: Call) -> Any:
    call.engine.update_aliases([{"remove": {"index": call.index, "aliases": call.path["name"].split(",")}}])
    return _ACK


@ROUTER.add("GET|HEAD", "(?:/{index})?/_alias(?:/{name})?", *_WHICH)
def get_alias(call: Call) -> Any:
    patterns = call.path["name"].split(",") if "name" in call.path else None
    answer: dict[str, Any] = {}
    for index in named(call):
        aliases = call.engine.aliases.get(index.name, {})
        if patterns is None:
            answer[index.name] = {"aliases": aliases}
        elif kept := {a: o for a, o in aliases.items() if any(fnmatch.fnmatchcase(a, p) for p in patterns)}:
            answer[index.name] = {"aliases": kept}
    if patterns and not answer and not any("*" in pattern for pattern in patterns):
        raise ApiError(404, "aliases_not_found_exception", f"alias {patterns} missing")
    return answer
