"""``connect()``: the hub of a home, for any door.

The placement here is ``embedded``: the hub runs in this process, which owns the home for as long as it is connected.
There is one hub a process and home, however often one connects.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its exit handler must be registered before ours, to run after it
import os
import threading
from dataclasses import dataclass
from pathlib import Path

from hubkernel.api import HubAPI, LocalHub
from hubkernel.hub.home import HubHome
from hubkernel.owner import OwnerLock

NO_POLL: dict[str, dict[str, object]] = {"upload": {"poll_schedule": None}}
"""Here commands are given one after the other. A hub that uploads by itself what was dumped would be faster than its
user now and then, whose own ``upload`` is refused then."""


@dataclass
class _Embedded:
    hub: LocalHub
    lock: OwnerLock
    pid: int


_embedded: dict[Path, _Embedded] = {}
_guard = threading.RLock()


def connect(home: str | os.PathLike[str] | HubHome | None = None, *, door: str = "python") -> HubAPI:
    """The hub of ``home`` (default: see :meth:`HubHome.find`), started here if it does not run yet.

    ``door`` is what the records of its jobs name as the place where they were asked for; the first to connect sets it.
    Raises :class:`~hubkernel.owner.HubBusyError` while another process owns the home.
    """
    found = home if isinstance(home, HubHome) else HubHome.find(home)
    key = found.root.resolve()
    with _guard:
        known = _embedded.get(key)
        if known is None or known.pid != os.getpid():  # a fork inherits the table, not the hub's threads
            known = _embedded[key] = _open(found, door)
        return known.hub


def connected(home: HubHome) -> bool:
    """Whether this process has the hub of ``home`` open."""
    known = _embedded.get(home.root.resolve())
    return known is not None and known.pid == os.getpid()


def disconnect(home: HubHome | None = None) -> None:
    """Close the hub of ``home``, or all hubs of this process, and give the home back. Unfinished jobs are cancelled."""
    with _guard:
        for key in list(_embedded) if home is None else [home.root.resolve()]:
            known = _embedded.pop(key, None)
            if known is not None and known.pid == os.getpid():
                known.hub.close()
                known.lock.release()


def _open(home: HubHome, door: str) -> _Embedded:
    from hubkernel.hub.server import HubServer

    lock = OwnerLock(home.create().run)
    lock.acquire("embedded")
    try:
        server = HubServer.open(home, managers_custom_args=NO_POLL)
        server.run_in_thread()
        return _Embedded(LocalHub(server, door=door), lock, os.getpid())
    except BaseException:
        lock.release()
        raise


# An ordinary atexit function comes too late: by then no thread pool takes work, and ending a job needs one. Nothing
# public runs as early as the pools' own handler (a thread that joins the main one races with it). On a Python without
# this function running jobs would be left as a kill leaves them: marked as interrupted at the next start.
getattr(threading, "_register_atexit", atexit.register)(disconnect)
