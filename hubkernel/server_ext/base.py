"""What every handler of the hub has: who asks, the hub in their name, bodies and answers as JSON or BSON, errors."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http.client import responses
from typing import TYPE_CHECKING, Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.extension.handler import ExtensionHandlerMixin
from tornado import web

from hubkernel import wire
from hubkernel.api import ForbiddenError, HubAPI
from hubkernel.handles import HubClosedError
from hubkernel.hub.commands import AlreadyRunningError, BadArgumentsError, Role, UnknownCommandError
from hubkernel.hub.files import OutsideError
from hubkernel.hub.uploads import OffsetError, TooLargeError
from hubkernel.owner import OwnerError
from hubkernel.server_ext.access import HubIdentity, caller_of, role_of
from hubkernel.server_ext.forms import FormError

if TYPE_CHECKING:
    from hubkernel.server_ext.app import HubKernelApp

MAX_BODY = 16 * 1024 * 1024
"""Bytes of a command's arguments. Files come in otherwise."""
_STATUS: tuple[tuple[tuple[type[Exception], ...], int], ...] = (
    ((UnknownCommandError,), 404),
    ((BadArgumentsError, wire.WireError), 400),
    ((ForbiddenError,), 403),
    ((HubClosedError,), 503),
    ((OutsideError,), 403),
    ((FormError,), 400),
    ((AlreadyRunningError, OffsetError), 409),
    ((TooLargeError,), 413),
)
_REFUSED = (ValueError, TypeError, OSError)


def status_of(error: BaseException | None) -> int:
    """The HTTP status of an error: 4xx is the caller's to mend, 500 is ours."""
    if isinstance(error, web.HTTPError):
        return error.status_code
    for kinds, status in _STATUS:
        if isinstance(error, kinds):
            return status
    if any(kind.__name__.endswith(("BusyError", "ExistsError", "ConflictError")) for kind in type(error).__mro__):
        return 409
    if isinstance(error, OwnerError):
        return 503
    if isinstance(error, LookupError):
        return 404
    ours = type(error).__module__.startswith("hubkernel.")
    return 422 if ours or isinstance(error, _REFUSED) else 500


class HubAccess:
    """The part that plain handlers and websockets share. Mix it in before the handler's class."""

    auth_resource = "hubkernel"
    settings: dict[str, Any]
    request: Any
    current_user: Any
    _finished: bool
    hub: HubAPI
    """The hub in the name of who asks; there from :meth:`prepare` on."""
    hub_role: Role

    @property
    def app(self) -> HubKernelApp:
        found: HubKernelApp = self.settings["hubkernel"]
        return found

    @property
    def identity_provider(self) -> Any:
        """Tokens of the hub, then those whom the site knows."""
        return HubIdentity(self.app.tokens, self.settings["identity_provider"])

    async def prepare(self, *args: Any, **kwargs: Any) -> None:
        """Called by tornado before each request: nobody who is not known gets further than this."""
        await super().prepare(*args, **kwargs)  # type: ignore[misc]
        if self.request.method == "OPTIONS" or self._finished:
            return
        if self.current_user is None:
            self.refuse_nobody()
            return
        if len(self.request.body or b"") > MAX_BODY:
            raise web.HTTPError(413, f"the body is {len(self.request.body):,} bytes; the limit is {MAX_BODY:,}")
        self.hub_role = await role_of(self)
        self.hub = (await self.app.hub()).as_(**_named(caller_of(self, self.hub_role)))

    def refuse_nobody(self) -> None:
        """Called for requests of nobody who is known. Raises 403; a page may answer otherwise."""
        raise web.HTTPError(403, "a token is needed: hubkernel url shows it")

    async def run(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call something that may block, in a thread."""
        return await self.app.run(function, *args, **kwargs)

    def arguments(self) -> dict[str, Any]:
        """The body: an object as JSON or BSON; none is empty. Raises :class:`~hubkernel.wire.WireError`."""
        if not self.request.body:
            return {}
        kind = self.request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return wire.loads(self.request.body, wire.BSON if kind == wire.BSON else wire.JSON)

    @property
    def answer_kind(self) -> str:
        return wire.BSON if wire.BSON in self.request.headers.get("Accept", "") else wire.JSON

    def reply(self: Any, value: Mapping[str, Any], status: int = 200) -> None:
        """Answer with an object, in the form that was asked for."""
        kind = self.answer_kind
        self.set_status(status)
        self.set_header("Content-Type", kind)
        if self.app.epoch:
            self.set_header(wire.EPOCH, self.app.epoch)
        data = wire.dumps(value, kind)
        if isinstance(self, APIHandler):
            self.finish(data, set_content_type=kind)
        else:
            self.finish(data)

    def send_error(self, status_code: int = 500, **kwargs: Any) -> None:
        """Called by tornado for everything that a handler raises: find its status."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if error is not None:
            status_code = status_of(error)
        super().send_error(status_code, **kwargs)  # type: ignore[misc]

    def write_error(self: Any, status_code: int, **kwargs: Any) -> None:
        """Called by :meth:`send_error`: every error is an object with a reason."""
        error = (kwargs.get("exc_info") or (None, None))[1]
        if error is None or isinstance(error, web.HTTPError):
            text = getattr(error, "log_message", None) or getattr(error, "reason", None)
            found = {"error": text or responses.get(status_code, "error"), "type": "HTTPError"}
        else:
            found = wire.describe_error(error)
        if getattr(self, "_jupyter_current_user", None) is not None:
            self.set_cors_headers()  # gone with all other headers; without them a page of another origin sees no reason
        self.reply({**found, "status": "error", "code": status_code}, status_code)

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Called by tornado: only our own mistakes are worth a traceback."""
        if status_of(value) >= 500:
            super().log_exception(typ, value, tb)  # type: ignore[misc]


def _named(caller: Any) -> dict[str, Any]:
    return {"user": caller.user, "door": caller.door, "role": caller.role}


class HubHandler(HubAccess, ExtensionHandlerMixin, APIHandler):  # type: ignore[misc]
    """Base of the REST handlers: ``self.hub`` is the hub in the name of who asks, ``self.hub_role`` their role."""
