"""Jobs as a graph: which job followed from which, and through what (a trigger, a schedule)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hubkernel.jobs.models import JobRecord

LOOK_BACK = 1000
"""Jobs that are looked at, from the newest on."""


def graph(records: Iterable[JobRecord], id: int | None = None) -> dict[str, Any]:
    """``{"jobs": {id: {"id", "command", "state", "created", "finished", "cause"}}, "edges": [{"from", "to", "by"}]}``.

    With ``id``: that job, all that led to it and all that followed from it. ``by`` is ``trigger 3``, ``schedule
    autobuild:x`` or ``command`` (the one job started the other).
    """
    jobs = {record.id: record for record in sorted(records, key=lambda record: record.id)}
    edges = [
        {"from": parent, "to": record.id, "by": _by(record.cause)}
        for record in jobs.values()
        for parent in record.cause.get("jobs", ())
        if parent in jobs
    ]
    if id is not None:
        kept = _reached(id, edges, "to", "from") | _reached(id, edges, "from", "to")
        jobs = {number: record for number, record in jobs.items() if number in kept}
        edges = [edge for edge in edges if edge["from"] in kept and edge["to"] in kept]
    return {"jobs": {number: _node(record) for number, record in jobs.items()}, "edges": edges}


def graph_text(found: Mapping[str, Any]) -> str:
    """The graph as indented lines, a job below each that it followed from; one that was shown is only named."""
    below: dict[int, list[dict[str, Any]]] = {}
    for edge in found["edges"]:
        below.setdefault(edge["from"], []).append(edge)
    followers = {edge["to"] for edge in found["edges"]}
    lines: list[str] = []
    shown: set[int] = set()

    def show(number: int, depth: int, by: str) -> None:
        node = found["jobs"][number]
        start = f"{'   ' * (depth - 1)}└─ " if depth else ""
        again = number in shown
        why = f"  ({by})" if by else ""
        lines.append(f"{start}{number} {'(above)' if again else node['command'] + ' ' + node['state']}{why}")
        shown.add(number)
        for edge in [] if again else below.get(number, []):
            show(edge["to"], depth + 1, edge["by"])

    for number, node in found["jobs"].items():
        if number not in followers:
            show(number, 0, _by(node["cause"]) if node["cause"] else "")
    return "\n".join(lines) or "no jobs"


def _node(record: JobRecord) -> dict[str, Any]:
    return {
        "id": record.id,
        "command": record.command or record.name,
        "state": str(record.state),
        "created": record.created,
        "finished": record.finished,
        "cause": dict(record.cause),
    }


def _by(cause: Mapping[str, Any]) -> str:
    for kind in ("trigger", "schedule"):
        if kind in cause:
            return f"{kind} {cause[kind]}"
    return "command"


def _reached(id: int, edges: Iterable[Mapping[str, Any]], here: str, there: str) -> set[int]:
    """``id`` and all that is reached from it by going over edges from their end ``here`` to their end ``there``."""
    reached, waiting = {id}, [id]
    while waiting:
        at = waiting.pop()
        for edge in edges:
            if edge[here] == at and edge[there] not in reached:
                reached.add(edge[there])
                waiting.append(edge[there])
    return reached
