"""The hub's REST API as OpenAPI 3.1, made from the registry of commands, the table of endpoints and the fixed paths."""

from __future__ import annotations

import inspect
import re
from collections.abc import Mapping
from typing import Any

from hubkernel import __version__
from hubkernel.hub.commands import Command
from hubkernel.hub.openapi_fixed import ERROR, FIXED, SCHEMAS
from hubkernel.hub.parameters import mandatory_of, names_of, result_schema, schema_of, takes_any_name
from hubkernel.hub.routes import Routes, Verb

Json = dict[str, Any]


def openapi(name: str, commands: Mapping[str, Any], routes: Routes, *, server: str = "/hubkernel/api") -> Json:
    """The document of one hub. ``server``: where the paths begin; it may be relative to the document's own url."""
    paths: dict[str, Json] = {path: dict(verbs) for path, verbs in FIXED.items()}
    for command in sorted(_commands(commands), key=lambda command: command.name):
        paths[f"/call/{command.name}"] = {"post": _call(command)}
    for route in routes:
        for method, verb in route.verbs.items():
            paths.setdefault(f"/{route.template}", {})[method] = _endpoint(verb, method, route.template, route.argument)
    return {
        "openapi": "3.1.0",
        "info": {"title": name, "version": __version__, "description": _ABOUT},
        "servers": [{"url": server}],
        "security": [{"token": []}],
        "tags": [{"name": tag, "description": text} for tag, text in _TAGS.items()],
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": SCHEMAS, "responses": {"Error": ERROR}, "securitySchemes": _SECURITY},
    }


def _commands(commands: Mapping[str, Any]) -> list[Command]:
    return [command for command in commands.values() if isinstance(command, Command)]


def _call(command: Command) -> Json:
    """``call/<command>``: positional and named arguments in the body."""
    arguments = {
        "args": {"type": "array", "items": {}, "description": "Positional arguments."},
        "kwargs": _object(command, names_of(command.signature), required=[]),
    }
    body = {"type": "object", "properties": arguments, "additionalProperties": False}
    needed = bool(mandatory_of(command.signature))
    return _operation(command, f"call_{command.name}", "call", _results(command, "result"), _body(body, needed))


def _endpoint(verb: Verb, method: str, template: str, in_path: str | None) -> Json:
    """One verb of a classic path: arguments in the path, the query (GET) or the body."""
    command = verb.command
    names = [name for name in names_of(command.signature) if name != verb.argument]
    parameters = [_in_path(command, verb.argument, in_path)] if verb.argument and in_path else []
    body: Json = {}
    if method == "get":
        parameters += [_in_query(command.signature.parameters[name]) for name in names]
    else:
        required = [name for name in mandatory_of(command.signature) if name != verb.argument]
        body = _body(_object(command, names, required), bool(required))
    id = "_".join([method, *re.findall(r"\w+", template)])
    operation = _operation(command, id, "endpoints", _results(command, "enveloped"), body)
    return {**operation, "parameters": parameters} if parameters else operation


def _operation(command: Command, id: str, tag: str, responses: Json, body: Json) -> Json:
    operation: Json = {
        "operationId": id,
        "tags": [tag],
        "summary": command.summary or command.usage,
        "description": f"{command.doc}\n\nCommand `{command.usage}`, for {command.role.name}s.".strip(),
        "x-hubkernel-command": command.name,
        "x-hubkernel-role": command.role.name,
        "responses": {**responses, "default": {"$ref": "#/components/responses/Error"}},
    }
    return {**operation, **body}


def _body(schema: Json, required: bool) -> Json:
    return {"requestBody": {"required": required, "content": {"application/json": {"schema": schema}}}}


def _object(command: Command, names: list[str], required: list[str]) -> Json:
    parameters = command.signature.parameters
    schema: Json = {
        "type": "object",
        "properties": {name: schema_of(parameters[name]) for name in names},
        "additionalProperties": takes_any_name(command.signature),
    }
    return {**schema, "required": required} if required else schema


def _in_path(command: Command, argument: str, name: str) -> Json:
    schema = schema_of(command.signature.parameters[argument])
    return {"name": name, "in": "path", "required": True, "schema": schema}


def _in_query(parameter: inspect.Parameter) -> Json:
    required = parameter.default is inspect.Parameter.empty
    return {"name": parameter.name, "in": "query", "required": required, "schema": schema_of(parameter)}


def _results(command: Command, form: str) -> Json:
    """What a command answers. ``result``: 200 with a value or 202 with a job; ``enveloped``: always 200."""
    value = result_schema(command.signature)
    if form == "enveloped":
        launched = {"$ref": "#/components/schemas/Launched"}
        properties = {"result": launched if _is_job(command) else value, "status": {"const": "ok"}}
        return {"200": _answer("What the command returns, or the job that was launched.", properties)}
    if not _is_job(command):
        return {"200": _answer("What the command returns.", {"result": value})}
    job = _answer("The job that was started; `Location` is its path.", {"job": {"$ref": "#/components/schemas/Job"}})
    location = {"Location": {"schema": {"type": "string"}}}
    return {"202": {**job, "headers": location}}


def _is_job(command: Command) -> bool:
    return command.tracked and command.is_async


def _answer(description: str, properties: Json) -> Json:
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    return {"description": description, "content": {"application/json": {"schema": schema}}}


_ABOUT = (
    "Every command of the hub, its jobs, events, logs and uploads. Errors of the caller are 4xx with a reason; 5xx are "
    "faults of the hub."
)
_TAGS = {
    "hub": "The hub itself: what it is, its commands, jobs and events.",
    "call": "Every command by name.",
    "endpoints": "The classic paths: one command each, in an envelope `{result, status}`.",
    "files": "Logs and uploads.",
}
_SECURITY: Json = {
    "token": {"type": "apiKey", "in": "header", "name": "Authorization", "description": "`token <token>`"},
    "query": {"type": "apiKey", "in": "query", "name": "token"},
}
