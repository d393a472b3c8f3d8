"""A hub in another process: :class:`RemoteHub` has the methods of :class:`~hubkernel.api.HubAPI`, over REST and one
websocket.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from weakref import WeakValueDictionary

from hubkernel import wire
from hubkernel.api import BoundHub, Caller, CommandInfo, EventStream
from hubkernel.handles import HubClosedError, HubStoppingError, JobHandle
from hubkernel.hub.commands import BadArgumentsError, Role
from hubkernel.hub.events import Event
from hubkernel.link import Link, LinkError
from hubkernel.mirror import Mirror

if TYPE_CHECKING:
    import urllib3
    import websocket

    from hubkernel.jobs.models import JobRecord
    from hubkernel.owner import Owner

log = logging.getLogger(__name__)

PATIENCE = 5.0
"""Seconds for what is asked in the background."""
GIVE_UP = 10.0
"""Seconds for which a lost owner that still holds its lock is looked for."""
PAUSE = 0.1
CATCH_UP = 1.0
"""Seconds for which :meth:`RemoteHub.events` waits for what happened before it was called."""
RECENT = 512
"""Jobs whose last event is remembered, for handles that are made a moment later."""

Find = Callable[[], "Owner | None"]


class RemoteJob(JobHandle):
    """A handle whose log is fetched when it is wanted: events leave it out."""

    _hub: RemoteHub

    @property
    def log(self) -> list[str]:
        if not self.finished:
            self._hub._refresh(self)
        return super().log


class RemoteHub:
    """A hub in the process that owns it.

    ``ensure`` finds its owner or starts one, ``discover`` only finds it; both are called again whenever the owner is
    lost, and what they raise is what callers get.

    Threading: a thread, ``hub-remote``, reads the websocket from the first job or subscription on and updates the
    handles; everything else happens in the thread that calls.
    """

    def __init__(self, home: str, ensure: Find, discover: Find, *, door: str = "python") -> None:
        self.home = home
        self.caller = Caller.here(door)
        self._find, self._discover = ensure, discover
        self._lock = threading.RLock()
        self._link: Link | None = None
        self._commands: dict[str, CommandInfo] | None = None
        self._epoch = ""
        """Of the hub process that answered last; the events are those of ``_epoch_heard``."""
        self._epoch_heard = ""
        self._answered = 0
        """The newest event that an answer knew of."""
        self._handles: WeakValueDictionary[int, RemoteJob] = WeakValueDictionary()
        self._seen: dict[int, int] = {}
        self._recent: OrderedDict[int, Event] = OrderedDict()
        self._events = Mirror()
        self._socket: websocket.WebSocket | None = None
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    # The protocol.

    @property
    def placement(self) -> str:
        return self._linked().owner.placement

    @property
    def epoch(self) -> str:
        return self._epoch or str(self.about()["epoch"])

    def about(self) -> dict[str, Any]:
        return self._ask("GET", "hub")

    def commands(self) -> dict[str, CommandInfo]:
        known = self._commands
        if known is None:
            found = self._ask("GET", "registry")
            known = self._commands = {name: wire.restore(name, info) for name, info in found.items()}
        return known

    def call(self, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self.call_as(self.caller, name, args, kwargs)

    def call_as(self, caller: Caller, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
        """:meth:`call` in someone's name."""
        info = self.commands().get(name)
        if (info is not None and info.tracked and info.is_async) or self._anybody_waits():
            self._listen()  # before the job begins, so that nothing of it is missed
        try:
            body = wire.sendable({"args": args, "kwargs": kwargs}, strict=True)
        except TypeError as error:
            raise BadArgumentsError(f"{name}: {error}") from None
        answer = self._ask("POST", f"call/{name}", body, caller=caller, again=False)
        if "job" not in answer:
            return answer["result"]
        handle = self._handle(answer["job"], answer["seq"])
        self._listen()  # also to the job of a command that is none itself but runs others
        return handle

    def jobs(self, *, running: bool | None = None, failed: bool | None = None, limit: int = 100) -> list[JobHandle]:
        given = {"running": running, "failed": failed, "limit": limit}
        self._listen()
        params = {name: str(value).lower() for name, value in given.items() if value is not None}
        answer = self._ask("GET", "jobs", params=params)
        return [self._handle(record, answer["seq"]) for record in answer["jobs"]]

    def job(self, id: int, /) -> JobHandle:
        self._listen()
        answer = self._ask("GET", f"jobs/{_job_id(id)}")
        return self._handle(answer["job"], answer["seq"])

    def cancel(self, id: int, /) -> bool:
        return self.cancel_as(self.caller, id)

    def cancel_as(self, caller: Caller, id: int) -> bool:
        """:meth:`cancel` in someone's name."""
        try:
            return bool(self._ask("DELETE", f"jobs/{_job_id(id)}", caller=caller)["cancelled"])
        except LookupError:
            return False

    def events(self, since: int | None = None) -> EventStream:
        self._listen()
        if since is None:
            self._events.reach(self._answered, CATCH_UP)
        elif since < self._events.first_after():
            found = self._ask("GET", "events", params={"since": str(since)})
            self._events.relay_older([Event(**event) for event in found["events"]])
        return self._events.subscribe(since)

    def as_(self, *, user: str | None = None, door: str | None = None, role: Role | None = None) -> BoundHub:
        return BoundHub(self, self.caller.other(user, door, role))

    def close(self) -> None:
        """Leave the hub, which goes on. Safe to call twice."""
        self._stop.set()
        with self._lock:
            thread, websocket = self._thread, self._socket
        if websocket is not None:
            websocket.abort()
        if thread is not None and thread is not threading.current_thread():
            thread.join(PATIENCE)
        with self._lock:
            self._drop()
        self._events.close()
        self._lose_handles()

    # One request.

    def _ask(
        self,
        method: str,
        path: str,
        body: Mapping[str, Any] | None = None,
        *,
        params: Mapping[str, str] | None = None,
        caller: Caller | None = None,
        again: bool = True,
    ) -> dict[str, Any]:
        """The answer of the owner. ``again``: asking twice does no harm, so it is asked again if the owner was lost."""
        caller = caller or self.caller
        headers = {wire.DOOR: caller.door, wire.USER: quote(caller.user), wire.ROLE: caller.role.name}
        content = None if body is None else wire.dumps(body, wire.BSON)
        for last in (False, True):
            link = self._linked()
            try:
                answer = link.ask(method, path, content, params=params, headers=headers)
            except LinkError as error:
                self._forget(link)
                if last or (error.reached and not again):
                    raise HubClosedError(f"the hub at {self.home} ended while it was asked: {error}") from None
                continue
            if answer.status in (401, 403) and not last and self._is_stale(link):
                continue  # another owner has got the old one's port
            try:
                return self._read(answer)
            except HubStoppingError:
                self._forget(link)
                if last:
                    raise
        raise AssertionError("unreachable")

    def _read(self, answer: urllib3.BaseHTTPResponse) -> dict[str, Any]:
        kind = answer.headers.get("Content-Type", "").partition(";")[0]
        try:
            found = wire.loads(answer.data, wire.BSON if kind == wire.BSON else wire.JSON)
        except wire.WireError:
            raise HubClosedError(
                f"the hub at {self.home} does not answer as a hub does (HTTP {answer.status})"
            ) from None
        self._note_epoch(answer.headers.get(wire.EPOCH, ""))
        if answer.status >= 400:
            raise wire.revive(found)
        return found

    def _note_epoch(self, epoch: str) -> None:
        if epoch and epoch != self._epoch:
            self._epoch, self._commands, self._answered = epoch, None, 0

    def _linked(self) -> Link:
        with self._lock:
            if self._stop.is_set():
                raise HubClosedError(f"the connection to the hub at {self.home} was closed")
            if self._link is None:
                owner = self._find()
                if owner is None:
                    raise HubClosedError(f"no hub runs at {self.home}")
                self._link = Link(owner)
            return self._link

    def _is_stale(self, link: Link) -> bool:
        owner = self._discover()
        if owner is None or owner == link.owner:
            return False
        self._forget(link)
        return True

    def _forget(self, link: Link | None) -> None:
        with self._lock:
            if link is not None and self._link is link:
                self._drop()

    def _drop(self) -> None:
        if self._link is not None:
            self._link.close()
        self._link = None

    # Jobs.

    def _handle(self, found: Mapping[str, Any], seq: int) -> RemoteJob:
        """One handle a job, so that all who hold it see the same."""
        record = wire.job_record(found)
        with self._lock:
            self._answered = max(self._answered, seq)
            handle = self._handles.get(record.id)
            if handle is None:
                handle = self._handles[record.id] = RemoteJob(self, record)
                self._seen[record.id] = -1
        self._update(handle, record, seq)
        later = self._recent.get(record.id)
        if later is not None and later.seq > seq:
            self._hear_job(later)
        return handle

    def _update(self, handle: RemoteJob, record: JobRecord, seq: int) -> None:
        """What is older than what is known changes nothing: answers and events overtake each other."""
        with self._lock:
            if seq < self._seen.get(handle.id, -1):
                return
            self._seen[handle.id] = seq
        handle.update(record)
        if len(self._seen) > 2 * len(self._handles) + RECENT:
            with self._lock:
                self._seen = {id: seen for id, seen in self._seen.items() if id in self._handles}

    def _hear_job(self, event: Event) -> None:
        handle = self._handles.get(event.id)
        if handle is None or handle.finished:
            return
        record = wire.job_record(event.data or {}, handle.record.log)
        if record.ended:
            record = self._whole(event.id) or record
        self._update(handle, record, event.seq)

    def _whole(self, id: int) -> JobRecord | None:
        """The record with its log; None from an owner that is about to end."""
        try:
            return wire.job_record(self._ask_owner(f"jobs/{id}")["job"])
        except (HubClosedError, LookupError):
            return None

    def _ask_owner(self, path: str) -> dict[str, Any]:
        """Ask the owner that there is; start none."""
        link = self._link
        if link is None:
            raise HubClosedError(f"the hub at {self.home} was lost")
        try:
            return self._read(link.ask("GET", path, timeout=PATIENCE))
        except LinkError as error:
            raise HubClosedError(f"the hub at {self.home} was lost: {error}") from None

    def _refresh(self, handle: RemoteJob) -> None:
        try:
            answer = self._ask_owner(f"jobs/{handle.id}")
        except (HubClosedError, LookupError):
            return
        self._update(handle, wire.job_record(answer["job"]), answer["seq"])

    def _refresh_all(self) -> None:
        with self._lock:
            self._recent.clear()
            handles = list(self._handles.values())
            for handle in handles:
                self._seen[handle.id] = -1
        for handle in handles:
            if not handle.finished:
                handle.reopen()
                self._refresh(handle)

    def _anybody_waits(self) -> bool:
        return any(not handle.finished for handle in list(self._handles.values()))

    def _lose_handles(self) -> None:
        for handle in list(self._handles.values()):
            handle.close()

    # Events.

    def _listen(self) -> None:
        """Make sure that the websocket is read; returns once nothing can be missed any more."""
        with self._lock:
            if self._thread is not None and self._thread.is_alive() and self._socket is not None:
                return
            self._socket = self._opened()
            self._thread = threading.Thread(target=self._read_events, name="hub-remote", daemon=True)
            self._thread.start()
        self._refresh_all()

    def _opened(self) -> websocket.WebSocket:
        """A websocket; if the owner that is known here is gone, that of the next one."""
        try:
            return self._open_socket(self._linked())
        except HubClosedError:
            self._drop()
            return self._open_socket(self._linked())

    def _open_socket(self, link: Link) -> websocket.WebSocket:
        """Connect, and hear from the hub which of its events is the last."""
        import websocket

        known = self._epoch_heard and self._events.last
        try:
            connection = link.events({"since": self._events.last, "epoch": self._epoch_heard} if known else {})
        except LinkError as error:
            raise HubClosedError(f"the hub at {self.home} was lost: {error}") from None
        try:
            hello = self._next_event(connection)
        except (websocket.WebSocketException, OSError, wire.WireError) as error:
            connection.shutdown()
            raise HubClosedError(f"the hub at {self.home} was lost: {error}") from None
        connection.settimeout(None)
        self._begin(hello)
        return connection

    def _begin(self, hello: Event) -> None:
        epoch = (hello.data or {}).get("epoch", "")
        known, before = self._events.last, self._epoch_heard
        self._epoch_heard = epoch
        if epoch != before or not known:
            self._events.restart(hello.seq, lost=bool(before))
        self._note_epoch(epoch)

    @staticmethod
    def _next_event(connection: websocket.WebSocket) -> Event:
        frame = connection.recv()
        if not frame:
            raise ConnectionError("it closed the connection")
        data = frame.encode() if isinstance(frame, str) else frame
        return Event(**wire.loads(data, wire.JSON if isinstance(frame, str) else wire.BSON))

    def _read_events(self) -> None:
        import websocket

        me = threading.current_thread()
        while (connection := self._connection_of(me)) is not None:
            try:
                while True:
                    self._hear(self._next_event(connection))
            except (websocket.WebSocketException, OSError, wire.WireError) as error:
                log.debug("the hub at %s was lost: %s", self.home, error)
            finally:
                connection.shutdown()
            if not self._find_again(me):
                break
        with self._lock:
            if self._thread is not me:
                return
            left, self._socket, self._thread = self._socket, None, None
        if left is not None:
            left.shutdown()
        self._lose_handles()

    def _connection_of(self, reader: threading.Thread) -> websocket.WebSocket | None:
        """None for one that has to end: the hub is left, or another thread reads now."""
        with self._lock:
            return self._socket if self._thread is reader and not self._stop.is_set() else None

    def _hear(self, event: Event) -> None:
        if event.entity == "bus":
            self._events.restart(event.seq, lost=True)
            self._refresh_all()
            return
        if event.entity == "job":
            with self._lock:
                self._recent[event.id] = event
                self._recent.move_to_end(event.id)
                while len(self._recent) > RECENT:
                    self._recent.popitem(last=False)
            self._hear_job(event)
        self._events.relay(event)

    def _find_again(self, reader: threading.Thread) -> bool:
        """Whether the owner, or the next one, could be found without starting one."""
        deadline = time.monotonic() + GIVE_UP
        with self._lock:
            if self._thread is reader:
                self._socket = None
        while not self._stop.is_set() and time.monotonic() < deadline:
            try:
                owner = self._discover()
            except Exception as error:  # of another version, or it does not answer
                log.debug("%s", error)
                return False
            if owner is None:
                self._forget(self._link)
                return False
            if self._take(owner, reader):
                self._refresh_all()
                return True
            self._stop.wait(PAUSE)
        return False

    def _take(self, owner: Owner, reader: threading.Thread) -> bool:
        with self._lock:
            if self._thread is not reader or self._socket is not None:
                return True
            if self._link is None or owner != self._link.owner:
                self._drop()
                self._link = Link(owner)
            try:
                self._socket = self._open_socket(self._link)
            except HubClosedError:
                return False
        return True

    def __repr__(self) -> str:
        return f"<RemoteHub {self.home}>"


def _job_id(id: Any) -> int:
    if isinstance(id, bool) or not isinstance(id, int) or id < 0:
        raise LookupError(f"no job {id!r}; jobs() lists them")
    return id
