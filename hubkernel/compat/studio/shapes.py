"""What Studio calls things: settings, events and launched commands of a hub in its names and shapes."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from hubkernel.hub.commands import Role
from hubkernel.hub.config import known_names
from hubkernel.hub.events import Event

OPS = {"insert": "insert_one", "update": "update_one", "replace": "replace_one", "delete": "remove"}
ENTITIES = ("source", "master", "build", "build_config", "data_plugin", "api", "config", "command")
VOID = ("dump", "upload", "inspect")
"""Commands whose result Studio expects to be null."""


def change(event: Event) -> dict[str, Any] | None:
    """The message of a change: ``{"_id", "obj", "op"}``, for a notification also ``data``; None for what Studio has no
    use for.
    """
    match event.entity:
        case "job":
            return None if event.op == "progress" else _message(event.id, "command", event.op)
        case "config":
            return _message(setting_name(event.id), "config", event.op)
        case "event":
            return {**_message(event.id, "event", event.op), "data": _notification(event.data or {}, event.id)}
        case "schedule" | "trigger" if event.op in ("failed", "refused"):
            return _failure(event)
        case entity if entity in ENTITIES:
            return _message(event.id, entity, event.op)
    return None


def _message(id: Any, obj: str, op: str) -> dict[str, Any]:
    named = {} if id is None else {"_id": id}
    return {**named, "obj": obj, "op": OPS.get(op, op)}


def _notification(document: Mapping[str, Any], id: Any) -> dict[str, Any]:
    """Studio reads ``msg`` and ``level`` of every notification, and fails without them."""
    return {"_id": id, "name": "hub", "level": "INFO", **document, "msg": str(document.get("msg", ""))}


def _failure(event: Event) -> dict[str, Any]:
    """What the hub could not do by itself, as a notification."""
    id = f"{event.entity}-{event.seq}"
    at = datetime.fromtimestamp(event.time, UTC).isoformat()
    data = event.data or {}
    document = {
        "_id": id,
        "name": str(event.id),
        "msg": str(data.get("error") or data.get("reason") or event.op),
        "level": "ERROR" if event.op == "failed" else "WARNING",
        "asctime": at,
    }
    return {"_id": id, "obj": "event", "op": "insert_one", "data": document}


def reload_all() -> list[dict[str, Any]]:
    """For a client that has missed changes: everything may have changed."""
    return [{"obj": entity, "op": "update"} for entity in ENTITIES]


def alert(event: str, text: str) -> dict[str, Any]:
    """The message upon which Studio shows that the hub stops (``hub_stop``) or restarts (``hub_restart``)."""
    inner = json.dumps({"type": "alert", "msg": text, "event": event})
    id = f"{event}-{time.time():.3f}"
    document = {"_id": id, "name": "hub", "msg": inner, "level": "CRITICAL", "asctime": datetime.now(UTC).isoformat()}
    return {"_id": id, "obj": "event", "op": "insert_one", "data": document}


def is_alert(message: Mapping[str, Any] | None) -> bool:
    """Whether it says that the hub ends."""
    text = str((message or {}).get("data", {}).get("msg", ""))
    return text.startswith("{") and '"type": "alert"' in text


def command(info: Mapping[str, Any]) -> dict[str, Any]:
    """A launched command; the results of :data:`VOID` ones are null."""
    name = str(info["cmd"]).partition("(")[0]
    if info.get("is_done") and not info.get("failed") and name in VOID:
        return {**info, "results": [None]}
    return dict(info)


def commands(infos: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    return {id: command(info) for id, info in infos.items()}


def config(shown: Mapping[str, Any], role: Role) -> dict[str, Any]:
    """All settings under the names that a BioThings ``config.py`` gives them; who may not change them sees so."""
    fields = {
        setting_name(name): {"diff": None, **field, "hidden": field["hidden"] or field["secret"]}
        for name, field in shown["scope"]["config"].items()
    }
    allow = bool(shown["allow_edits"]) and role >= Role.developer
    return {**shown, "scope": {**shown["scope"], "config": fields}, "allow_edits": allow}


def source(found: Mapping[str, Any]) -> dict[str, Any]:
    """A source. Studio reads the plugin and the download of each that has a ``data_plugin``, also of a broken one."""
    about = found.get("data_plugin")
    if not about:
        return dict(found)
    unknown = {"url": "", "type": "local", "active": False, "loader": "manifest"}
    return {**found, "data_plugin": {"plugin": unknown, "download": {}, **about}}


def index_info(shown: Mapping[str, Any]) -> dict[str, Any]:
    """The environments of indices, each with the arguments of a client."""
    environments = {
        name: {**about, "indexer": {"args": {"hosts": [about["host"]]}}} for name, about in shown["env"].items()
    }
    return {"indexer_select": {}, **shown, "env": environments}


@cache
def _old_names() -> dict[str, str]:
    return {field: spelling for spelling, field in known_names().items() if spelling != field}


def setting_name(name: Any) -> Any:
    """``hub_name`` -> ``HUB_NAME``."""
    return _old_names().get(name, name)


RESULTS: dict[str, Callable[[Any, Role], Any]] = {
    "config": config,
    "command": lambda value, role: command(value),
    "commands": lambda value, role: commands(value),
    "index_info": lambda value, role: index_info(value),
    "source_info": lambda value, role: source(value),
    "sources": lambda value, role: [source(found) for found in value],
}
"""Command -> what makes its result Studio's."""


def features(listed: Iterable[str], unavailable: Iterable[str], role: Role) -> list[str]:
    """What Studio makes its menu of. A viewer sees the read-only Studio: no buttons that act, no terminal."""
    own = ("ws", "terminal", "dataupload")  # served here, whatever other doors have
    there = [name for name in listed if name in own or name not in unavailable]
    left_out = {"studio", "readonly"} | ({"terminal", "dataupload"} if role < Role.operator else set())
    shown = [name for name in there if name not in left_out]
    return [*shown, "readonly"] if role < Role.operator else shown
