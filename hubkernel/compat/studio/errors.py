"""Errors as HTTP: 4xx where the caller can mend it, 5xx for bugs."""

from __future__ import annotations

from tornado import web

from hubkernel.api import HubClosedError, JobFailedError
from hubkernel.hub.commands import BadArgumentsError, UnknownCommandError


class RequestError(Exception):
    """The request cannot be followed: an HTTP status and a text for whoever made it."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnknownCommandError, 404),
    (BadArgumentsError, 400),
    (HubClosedError, 503),
)
_BY_NAME = (
    (("ExistsError", "BusyError", "AlreadyRunningError"), 409),
    (("ForbiddenError",), 403),
)
_REFUSED = (ValueError, TypeError, OSError)


def status_of(error: BaseException) -> int:
    match error:
        case RequestError():
            return error.status
        case web.HTTPError():
            return error.status_code
        case JobFailedError():
            return _by_name([_kind(error)]) or 422
    for kind, status in _STATUS:
        if isinstance(error, kind):
            return status
    if found := _by_name([kind.__name__ for kind in type(error).__mro__]):
        return found
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


def _by_name(names: list[str]) -> int | None:
    for endings, status in _BY_NAME:
        if any(name.endswith(endings) for name in names):
            return status
    return None
