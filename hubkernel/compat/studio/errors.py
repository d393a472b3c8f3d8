"""Errors as HTTP: 4xx where the caller can mend it, 5xx for bugs."""

from __future__ import annotations

from tornado import web

from hubkernel.api import HubClosedError, JobFailedError
from hubkernel.hub.commands import BadArgumentsError, ConflictError, ForbiddenError, UnknownCommandError


class RequestError(Exception):
    """The request cannot be followed: an HTTP status and a text for whoever made it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnknownCommandError, 404),
    (BadArgumentsError, 400),
    (ForbiddenError, 403),
    (ConflictError, 409),
    (HubClosedError, 503),
)
_BUSY = ("ExistsError", "BusyError")
_REFUSED = (ValueError, TypeError, OSError)


def status_of(error: BaseException) -> int:
    match error:
        case RequestError():
            return error.status
        case web.HTTPError():
            return error.status_code
        case JobFailedError():
            return 409 if _kind(error).endswith(_BUSY) else 422
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    if any(kind.__name__.endswith(_BUSY) for kind in type(error).__mro__):
        return 409
    if isinstance(error, LookupError):
        return 404
    ours = type(error).__module__.startswith("hubkernel.")
    return 422 if ours or isinstance(error, _REFUSED) else 500


def text_of(error: BaseException) -> str:
    """What Studio shows: the reason alone, also if it was a job that failed."""
    if isinstance(error, JobFailedError) and error.record.error:
        return error.record.error.removeprefix(f"{_kind(error)}: ")
    return str(error) or type(error).__name__


def _kind(error: JobFailedError) -> str:
    """The name of the exception that ended the job."""
    return (error.record.error or "").partition(":")[0]
