"""``connect()``: the hub of a home, for any door.

Where the hub lives is its *placement*. ``attach``, the default: in a process of its own, which the first door that
needs it starts. ``host``: in a Jupyter server, which has to run. ``embedded``: in this process, which owns the home for
as long as it is connected. There is one hub, or one connection to it, a process and home, however often one connects.
"""

from __future__ import annotations

import atexit
import concurrent.futures.thread  # noqa: F401 - its exit handler must be registered before ours, to run after it
import os
import threading
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from hubkernel.hub.home import HubHome
from hubkernel.hub.names import hint

if TYPE_CHECKING:
    from hubkernel.api import HubAPI
    from hubkernel.owned import OwnedHub

PLACEMENTS = ("attach", "host", "embedded")
ENVIRONMENT = "HUBKERNEL_PLACEMENT"


@dataclass
class _Open:
    hub: HubAPI
    owned: OwnedHub | None
    pid: int


_open: dict[Path, _Open] = {}
_guard = threading.RLock()


def connect(
    home: str | os.PathLike[str] | HubHome | None = None, *, placement: str | None = None, door: str = "python"
) -> HubAPI:
    """The hub of ``home`` (default: see :meth:`HubHome.find`), started if it does not run yet.

    ``placement`` overrides ``$HUBKERNEL_PLACEMENT`` and the setting of that name. ``door`` is what the records of its
    jobs name as the place where they were asked for; the first to connect sets it. Raises
    :class:`~hubkernel.owner.HubBusyError` while another process owns the home and cannot be reached, and
    :class:`~hubkernel.owner.OwnerError` if there is no owner that can be talked to.
    """
    found = home if isinstance(home, HubHome) else HubHome.find(home)
    key = found.root.resolve()
    with _guard:
        known = _open.get(key)
        if known is None or known.pid != os.getpid():  # a fork inherits the table, not the hub's threads
            known = _open[key] = _connect(found, checked(placement) or chosen_placement(found), door)
        return known.hub


def connected(home: HubHome) -> bool:
    """Whether this process has the hub of ``home`` open."""
    known = _open.get(home.root.resolve())
    return known is not None and known.pid == os.getpid()


def disconnect(home: HubHome | None = None) -> None:
    """Leave the hub of ``home``, or all hubs of this process. One that lives in this process ends: the home is given
    back, and unfinished jobs are interrupted. Every other goes on.
    """
    with _guard:
        for key in list(_open) if home is None else [home.root.resolve()]:
            known = _open.pop(key, None)
            if known is not None and known.pid == os.getpid():
                (known.owned or known.hub).close()


def chosen_placement(home: HubHome) -> str:
    """What the environment or the settings say; ``attach`` where they say nothing.

    The settings are typed and take their time to load, and most homes have none.
    """
    if chosen := checked(os.environ.get(ENVIRONMENT)):
        return chosen
    if home.config_file.exists() or home.config_file.with_name("config.py").exists():
        from hubkernel.hub.config import HubConfig

        return HubConfig.load(home).placement
    return "attach"


def checked(placement: str | None) -> str | None:
    """``placement`` if there is such a one. Raises ``ValueError`` that names the nearest."""
    if placement and placement not in PLACEMENTS:
        raise ValueError(
            f"no placement {placement!r}{hint(placement, PLACEMENTS) or '; there are ' + ', '.join(PLACEMENTS)}"
        )
    return placement or None


def _connect(home: HubHome, placement: str, door: str) -> _Open:
    if placement == "embedded":
        from hubkernel.owned import OwnedHub

        owned = OwnedHub(home, placement)
        owned.on_end = lambda restart: disconnect(home)  # who uses it next opens it again
        return _Open(owned.start(door=door), owned, os.getpid())
    from hubkernel.discovery import Finder
    from hubkernel.remote import RemoteHub

    finder = Finder(home)
    find = finder.ensure if placement == "attach" else finder.hosted
    find()
    return _Open(RemoteHub(str(home), find, finder.discover, door=door), None, os.getpid())


# An ordinary atexit function comes too late: by then no thread pool takes work, and ending a job needs one. Nothing
# public runs as early as the pools' own handler (a thread that joins the main one races with it). On a Python without
# this function running jobs would be left as a kill leaves them: marked as interrupted at the next start.
getattr(threading, "_register_atexit", atexit.register)(disconnect)
