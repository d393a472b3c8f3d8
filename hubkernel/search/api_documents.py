"""Handlers of documents: bulk, get, mget, index, update, delete."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson

from hubkernel.search.api_indices import named
from hubkernel.search.dsl import compile_query
from hubkernel.search.errors import ApiError, illegal, unsupported
from hubkernel.search.index import Index, Operation
from hubkernel.search.queries import Queries
from hubkernel.search.rest import ROUTER, Call
from hubkernel.search.source import Show, shown

_READ = ("_source", "_source_includes", "_source_excludes", "preference", "realtime", "refresh")
_WRITE = ("refresh", "wait_for_active_shards", "if_seq_no", "if_primary_term", "op_type", "require_alias")
_ACTIONS = ("index", "create", "update", "delete")
_META = frozenset(["_index", "_id", "if_seq_no", "if_primary_term", "retry_on_conflict", "require_alias", "_type"])


# --- bulk


@ROUTER.add("POST|PUT", "(?:/{index})?/_bulk", "refresh", "wait_for_active_shards", "require_alias")
def bulk(call: Call) -> Any:
    """Operations are carried out in order for each index; a bad item fails alone."""
    items: list[Any] = []
    batches: dict[Index, list[tuple[int, Operation]]] = {}
    for position, (action, meta, source) in enumerate(_lines(call.raw)):
        items.append((action, meta))
        try:
            index, operation = _operation(call, action, meta, source)
        except ApiError as error:
            items[position] = _failed(action, str(meta.get("_index", call.index)), meta.get("_id"), error)
        else:
            batches.setdefault(index, []).append((position, operation))
    for index, batch in batches.items():
        results = index.write([operation for _, operation in batch])
        for (position, operation), result in zip(batch, results, strict=True):
            failed = isinstance(result, ApiError)
            items[position] = (
                _failed(operation.action, index.name, operation.id, result)
                if failed and isinstance(result, ApiError)
                else {operation.action: result}
            )
        _refreshed(call, index)
    errors = any("error" in outcome for item in items for outcome in item.values())
    return {"took": 0, "errors": errors, "items": items}


def _lines(raw: bytes) -> Iterator[tuple[str, dict[str, Any], bytes]]:
    lines = raw.split(b"\n")
    if lines and lines[-1]:
        raise illegal("The bulk request must be terminated by a newline [\\n]")
    at = 0
    while at < len(lines):
        if not lines[at].strip():
            at += 1
            continue
        action, meta = _action(lines[at], at + 1)
        at += 1
        source = b""
        if action != "delete":
            if at >= len(lines) or not lines[at].strip():
                raise illegal(f"Malformed action/metadata line [{at}]: a source must follow [{action}]")
            source = lines[at].strip()
            at += 1
        yield action, meta, source


def _action(line: bytes, number: int) -> tuple[str, dict[str, Any]]:
    try:
        command = orjson.loads(line)
        ((action, meta),) = command.items()
    except (orjson.JSONDecodeError, ValueError, AttributeError) as error:
        raise illegal(f"Malformed action/metadata line [{number}], expected one action: {error}") from error
    if action not in _ACTIONS or not isinstance(meta, dict):
        raise illegal(f"Malformed action/metadata line [{number}], expected one of {_ACTIONS}, found [{action}]")
    if unknown := set(meta) - _META:
        raise illegal(f"Action/metadata line [{number}] contains an unknown parameter {sorted(unknown)}")
    return action, meta


def _operation(call: Call, action: str, meta: dict[str, Any], source: bytes) -> tuple[Index, Operation]:
    name = meta.get("_index") or call.index
    if not name:
        raise illegal("index is missing")
    index = call.engine.writable(name)
    id, if_seq_no = meta.get("_id"), meta.get("if_seq_no")
    id = str(id) if id is not None else None
    if action == "update":
        return index, _update(id, _json(source), if_seq_no)
    return index, Operation(action, id, source, if_seq_no=if_seq_no)


def _json(source: bytes) -> dict[str, Any]:
    try:
        body = orjson.loads(source)
    except orjson.JSONDecodeError as error:
        raise ApiError(400, "parse_exception", f"the body of an update is no JSON: {error}") from error
    if not isinstance(body, dict):
        raise illegal("the body of an update must be an object")
    return body


def _update(id: str | None, body: dict[str, Any], if_seq_no: int | None) -> Operation:
    if "script" in body:
        raise unsupported("scripts in updates", "send a partial document")
    if unknown := set(body) - {"doc", "upsert", "doc_as_upsert", "detect_noop", "_source"}:
        raise illegal(f"[UpdateRequest] unknown field {sorted(unknown)}")
    if "doc" not in body or id is None:
        raise illegal("an update needs an id and a [doc]")
    upsert = body["doc"] if body.get("doc_as_upsert") else body.get("upsert")
    return Operation(
        "update", id, orjson.dumps(body["doc"]), orjson.dumps(upsert) if upsert is not None else None,
        if_seq_no, bool(body.get("detect_noop", True)),
    )  # fmt: skip


def _failed(action: str, index: str, id: Any, error: ApiError) -> dict[str, Any]:
    return {action: {"_index": index, "_id": id, "status": error.status, "error": error.cause()}}


def _refreshed(call: Call, index: Index) -> None:
    if call.params.get("refresh") in ("true", "wait_for", ""):
        index.refresh()


# --- single documents


def _write(call: Call, operation: Operation) -> Any:
    assert call.index is not None
    index = call.engine.writable(call.index)
    if "if_seq_no" in call.params:
        operation.if_seq_no = int(call.params["if_seq_no"])
    (result,) = index.write([operation])
    if isinstance(result, ApiError):
        raise result
    _refreshed(call, index)
    call.status = result.pop("status")
    return result


@ROUTER.add("POST|PUT", "/{index}/_doc(?:/{id})?", *_WRITE)
def put(call: Call) -> Any:
    action = call.params.get("op_type", "index")
    if action not in ("index", "create"):
        raise illegal(f"opType must be 'create' or 'index', found: [{action}]")
    return _write(call, Operation(action, call.path.get("id"), call.raw))


@ROUTER.add("POST|PUT", "/{index}/_create/{id}", *_WRITE)
def create(call: Call) -> Any:
    return _write(call, Operation("create", call.path["id"], call.raw))


@ROUTER.add("POST", "/{index}/_update/{id}", "retry_on_conflict", *_WRITE)
def update(call: Call) -> Any:
    return _write(call, _update(call.path["id"], call.object(), None))


@ROUTER.add("DELETE", "/{index}/_doc/{id}", *_WRITE)
def delete(call: Call) -> Any:
    return _write(call, Operation("delete", call.path["id"]))


@ROUTER.add("GET|HEAD", "/{index}/_doc/{id}", *_READ)
def get(call: Call) -> Any:
    found = _document(_only_index(call, call.index), call.path["id"], shown(None, call.params))
    call.status = 200 if found["found"] else 404
    return found


@ROUTER.add("GET|HEAD", "/{index}/_source/{id}", *_READ)
def get_source(call: Call) -> Any:
    found = _document(_only_index(call, call.index), call.path["id"], shown(None, call.params))
    if not found["found"]:
        reason = f"Document not found [{call.index}]/[{call.path['id']}]"
        raise ApiError(404, "resource_not_found_exception", reason)
    return found["_source"]


@ROUTER.add("GET|POST", "(?:/{index})?/_mget", *_READ)
def mget(call: Call) -> Any:
    body = call.object("docs", "ids")
    wanted = body.get("docs") or [{"_id": id} for id in body.get("ids", [])]
    if not wanted:
        raise illegal("no documents to get")
    return {"docs": [_one_of_many(call, each) for each in wanted]}


def _one_of_many(call: Call, wanted: dict[str, Any]) -> dict[str, Any]:
    name = wanted.get("_index", call.index)
    try:
        index = _only_index(call, name)
    except ApiError as error:
        return {"_index": name, "_id": wanted.get("_id"), "error": error.cause()}
    return _document(index, str(wanted["_id"]), shown(wanted.get("_source"), call.params))


def _only_index(call: Call, name: str | None) -> Index:
    if not name:
        raise illegal("index is missing")
    indices = call.engine.resolve(name)
    if len(indices) != 1:
        raise illegal(f"[{name}] names {len(indices)} indices, a single document needs one")
    return indices[0]


def _document(index: Index, id: str, show: Show | None) -> dict[str, Any]:
    row = index.get(id)
    if row is None:
        return {"_index": index.name, "_id": id, "found": False}
    head = {"_index": index.name, "_id": id, "_version": row.version, "_seq_no": row.seq - 1, "_primary_term": 1}
    return {**head, "found": True, **({"_source": show(orjson.loads(row.source))} if show is not None else {})}


@ROUTER.add(
    "POST", "/{index}/_delete_by_query", "refresh", "conflicts", "ignore_unavailable", "wait_for_completion", "slices"
)
def delete_by_query(call: Call) -> Any:
    query = call.object("query").get("query")
    if query is None:
        raise illegal("query is missing")
    if call.params.get("wait_for_completion") == "false":
        raise unsupported("tasks in the background")
    deleted = 0
    for index in named(call):
        deleted += _delete_matching(index, query)
        _refreshed(call, index)
    return {"took": 0, "timed_out": False, "total": deleted, "deleted": deleted, "version_conflicts": 0, "failures": []}


def _delete_matching(index: Index, query: Any) -> int:
    with index.lock:
        queries = Queries(index.view)
        searcher = index.view.searcher
        hits = searcher.search(compile_query(queries, query), max(1, searcher.num_docs)).hits
        seqs = searcher.fast_field_values("_seq", [address for _, address in hits]) if hits else []
        rows = index.table.rows(seqs).values()
        results = index.write([Operation("delete", row.id, if_seq_no=row.seq - 1) for row in rows])
    return sum(not isinstance(result, ApiError) for result in results)
