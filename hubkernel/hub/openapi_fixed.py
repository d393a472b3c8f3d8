"""The part of the OpenAPI document that no command makes: the hub, its jobs and events, logs, uploads, the terminal."""

from __future__ import annotations

from typing import Any

Json = dict[str, Any]


def _ref(name: str) -> Json:
    return {"$ref": f"#/components/schemas/{name}"}


def _json(description: str, schema: Json) -> Json:
    return {"description": description, "content": {"application/json": {"schema": schema}}}


def _object(**properties: Json) -> Json:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _query(name: str, schema: Json, description: str) -> Json:
    return {"name": name, "in": "query", "required": False, "schema": schema, "description": description}


def _path(name: str, schema: Json | None = None) -> Json:
    return {"name": name, "in": "path", "required": True, "schema": schema or _TEXT}


def _header(name: str, description: str, schema: Json | None = None) -> Json:
    return {"name": name, "in": "header", "required": True, "schema": schema or _COUNT, "description": description}


def _operation(id: str, tag: str, summary: str, responses: Json, **more: Any) -> Json:
    role = more.pop("role", "viewer")
    error = {"default": {"$ref": "#/components/responses/Error"}}
    head = {"operationId": id, "tags": [tag], "summary": summary, "x-hubkernel-role": role}
    return {**head, **more, "responses": {**responses, **error}}


_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer", "minimum": 0}
_ANSWER = _json("An empty answer: what happens is shown through the events.", {})
_JOB_ID = _path("id", {"type": "integer"})
_UPLOADED = _json(
    "The file stands in its folder.", _object(result={"const": "ok"}, status={"const": "ok"}, size=_COUNT)
)
_MORE: Json = {"description": "The part is kept.", "headers": {"Upload-Offset": {"schema": _COUNT}}}
_BYTES: Json = {
    "required": True,
    "content": {"application/octet-stream": {"schema": {"type": "string", "contentMediaType": "any"}}},
}
_FORM: Json = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {"type": "object", "properties": {"file": {"type": "string", "format": "binary"}}},
            "encoding": {"file": {"contentType": "application/octet-stream"}},
        }
    },
}
_UPLOAD_FILE = [_path("name"), _path("filename")]

FIXED: dict[str, Json] = {
    "/": {
        "get": _operation(
            "root", "hub", "Name, versions and features.", {"200": _json("The hub.", _object(result=_ref("Root")))}
        )
    },
    "/hub": {"get": _operation("hub", "hub", "What this hub is.", {"200": _json("The hub.", _ref("Hub"))})},
    "/registry": {
        "get": _operation(
            "registry",
            "hub",
            "Every command with its parameters.",
            {"200": _json("By name.", {"type": "object", "additionalProperties": _ref("Command")})},
        )
    },
    "/openapi.json": {
        "get": _operation("openapi", "hub", "This document.", {"200": _json("OpenAPI 3.1.", {"type": "object"})})
    },
    "/jobs": {
        "get": _operation(
            "jobs",
            "hub",
            "Jobs, newest first.",
            {"200": _json("The jobs.", _object(jobs={"type": "array", "items": _ref("Job")}))},
            parameters=[
                _query("running", {"type": "boolean"}, "Only those that have not ended, or have."),
                _query("failed", {"type": "boolean"}, "Only those that failed, or did not."),
                _query("limit", {"type": "integer", "minimum": 1, "default": 100}, "At most so many."),
            ],
        )
    },
    "/jobs/{id}": {
        "get": _operation(
            "job",
            "hub",
            "One job with its log.",
            {"200": _json("The job.", _object(job=_ref("Job")))},
            parameters=[_JOB_ID],
        ),
        "delete": _operation(
            "cancel_job",
            "hub",
            "Ask a job to end.",
            {"200": _json("Whether there was something to end.", _object(cancelled={"type": "boolean"}))},
            parameters=[_JOB_ID],
            role="operator",
        ),
    },
    "/events": {
        "get": _operation(
            "events",
            "hub",
            "A websocket with what happens in the hub.",
            {"101": {"description": "One JSON object an event; the first is `bus`/`hello`."}},
            parameters=[_query("since", _COUNT, "Begin after the event of this number.")],
        )
    },
    "/metrics": {
        "get": _operation(
            "metrics",
            "hub",
            "Jobs, workers and documents in numbers, for Prometheus.",
            {"200": {"description": "Prometheus text.", "content": {"text/plain": {"schema": _TEXT}}}},
        )
    },
    "/shell": {
        "put": _operation(
            "shell",
            "hub",
            "Run a line of commands; input and output come as events to their user only.",
            {"200": _ANSWER},
            requestBody={
                "required": True,
                "content": {"application/json": {"schema": _object(cmd={**_TEXT, "examples": ["status()"]})}},
            },
        )
    },
    "/logs/{path}": {
        "get": _operation(
            "logs",
            "files",
            "Names in a folder of the logs; folders end with `/`.",
            {"200": _json("Sorted.", {"type": "array", "items": _TEXT})},
            parameters=[_path("path"), _query("filter", _TEXT, "Only names that have one of these words: `a,b`.")],
        )
    },
    "/log/{path}": {
        "get": _operation(
            "log",
            "files",
            "A log file, `.gz` unpacked.",
            {"200": {"description": "The text.", "content": {"text/plain": {"schema": _TEXT}}}},
            parameters=[
                _path("path"),
                _query("lines", {"type": "integer", "minimum": 1}, "Only so many lines, the last ones."),
                _query("follow", {"type": "boolean"}, "Go on with what is written from now on."),
            ],
        )
    },
    "/dataupload/{name}": {
        "post": _operation(
            "upload_form",
            "files",
            "Upload a file of a source in one go, as a form.",
            {"200": _UPLOADED},
            parameters=[_path("name")],
            requestBody=_FORM,
            role="operator",
        )
    },
    "/dataupload/{name}/{filename}": {
        "head": _operation(
            "upload_offset",
            "files",
            "How many bytes of an interrupted upload are here.",
            {"200": _MORE},
            parameters=_UPLOAD_FILE,
            role="operator",
        ),
        "put": _operation(
            "upload_file",
            "files",
            "Upload a file in one go; what an interruption leaves can be resumed by PATCH.",
            {"201": _UPLOADED},
            parameters=_UPLOAD_FILE,
            requestBody=_BYTES,
            role="operator",
        ),
        "patch": _operation(
            "upload_part",
            "files",
            "Upload the part of a file that begins at `Upload-Offset`.",
            {"201": _UPLOADED, "204": _MORE},
            parameters=[
                *_UPLOAD_FILE,
                _header("Upload-Offset", "Bytes that are here already, as HEAD tells."),
                _header("Upload-Length", "Size of the whole file."),
            ],
            requestBody=_BYTES,
            role="operator",
        ),
    },
}
"""Path -> verb -> operation. A test holds it against the handlers that there are."""

ERROR = _json("What was wrong, and with what.", _ref("Error"))
"""The answer of every operation that fails."""

SCHEMAS: dict[str, Json] = {
    "Error": {
        "type": "object",
        "properties": {
            "error": {**_TEXT, "description": "One sentence: what was wrong, and what to do."},
            "status": {"const": "error"},
            "code": {"type": "integer"},
            "type": {**_TEXT, "description": "Class of the error, for instance `UnknownCommandError`."},
        },
        "required": ["error", "status", "code"],
    },
    "Job": {
        "type": "object",
        "description": "Times are in seconds since the epoch.",
        "properties": {
            "id": {"type": "integer"},
            "name": _TEXT,
            "command": {**_TEXT, "examples": ["dump(src='x',force=True)"]},
            "state": {"enum": ["created", "queued", "running", "done", "failed", "cancelled", "interrupted"]},
            "created": {"type": "number"},
            "started": {"type": ["number", "null"]},
            "finished": {"type": ["number", "null"]},
            "done": {"type": "number"},
            "total": {"type": ["number", "null"]},
            "message": _TEXT,
            "error": {"type": ["string", "null"]},
            "result": {},
            "log": {"type": "array", "items": _TEXT},
            "door": _TEXT,
            "user": _TEXT,
        },
        "required": ["id", "name", "state"],
    },
    "Launched": {
        "type": "object",
        "description": "A launched command; `command/{id}` tells when it is done, and its results.",
        "properties": {
            "cmd": _TEXT,
            "started_at": {"type": "number"},
            "id": {"type": "integer"},
            "is_done": {"type": "boolean"},
        },
        "required": ["cmd", "started_at", "id", "is_done"],
    },
    "Command": {
        "type": "object",
        "properties": {
            "parameters": {"type": "array", "items": {"type": "object"}},
            "doc": _TEXT,
            "tracked": {"type": "boolean"},
            "role": {"enum": ["viewer", "operator", "developer"]},
            "public": {"type": "boolean"},
            "is_async": {"type": "boolean"},
        },
    },
    "Hub": {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "home": _TEXT,
            "version": _TEXT,
            "protocol": {"type": "integer"},
            "placement": _TEXT,
            "features": {"type": "array", "items": _TEXT},
            "user": _TEXT,
            "role": {"enum": ["viewer", "operator", "developer"]},
        },
    },
    "Root": {
        "type": "object",
        "properties": {
            "name": _TEXT,
            "now": {**_TEXT, "format": "date-time"},
            "features": {"type": "array", "items": _TEXT},
        },
    },
}
