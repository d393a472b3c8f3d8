"""Errors of the embedded search engine, in the shape in which Elasticsearch answers them."""

from __future__ import annotations

from typing import Any


class ApiError(Exception):
    """Becomes an HTTP answer: ``status`` and the JSON of :meth:`body`. The official client raises its own from that."""

    def __init__(self, status: int, type: str, reason: str, **extra: Any) -> None:
        super().__init__(f"{type}: {reason}")
        self.status = status
        self.type = type
        self.reason = reason
        self.extra = extra

    def cause(self) -> dict[str, Any]:
        """The inner JSON object, as it also stands in the items of a bulk answer."""
        return {"type": self.type, "reason": self.reason, **self.extra}

    def body(self) -> dict[str, Any]:
        return {"error": {"root_cause": [self.cause()], **self.cause()}, "status": self.status}


class QueryError(ApiError):
    """A query that cannot be run. Elasticsearch wraps its reason in "all shards failed", and so do we."""

    def __init__(self, type: str, reason: str, **extra: Any) -> None:
        super().__init__(400, type, reason, **extra)

    def body(self) -> dict[str, Any]:
        failed = {"type": "search_phase_execution_exception", "reason": "all shards failed", "phase": "query"}
        return {"error": {"root_cause": [self.cause()], **failed, "caused_by": self.cause()}, "status": 400}


class SearchBusyError(RuntimeError):
    """Another process owns the folder of the embedded engine."""


def illegal(reason: str, **extra: Any) -> ApiError:
    """400: an argument or a body that makes no sense."""
    return ApiError(400, "illegal_argument_exception", reason, **extra)


def unsupported(what: str, instead: str = "") -> ApiError:
    """400: Elasticsearch can do it, the embedded engine cannot and says so."""
    hint = f"; {instead}" if instead else ""
    return ApiError(400, "unsupported_operation_exception", f"the embedded engine does not support {what}{hint}")


def mapping_error(reason: str) -> ApiError:
    return ApiError(400, "mapper_parsing_exception", f"Failed to parse mapping: {reason}")


def parsing_error(reason: str) -> ApiError:
    return ApiError(400, "parsing_exception", reason)


def no_such_index(name: str) -> ApiError:
    extra = {"resource.type": "index_or_alias", "resource.id": name, "index": name}
    return ApiError(404, "index_not_found_exception", f"no such index [{name}]", **extra)
