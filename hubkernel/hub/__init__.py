"""The hub: features, managers and commands, settings, events, and the server that owns them.

The names below are loaded when they are first used, so that importing this package costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from hubkernel.hub.commands import HubCommands
    from hubkernel.hub.schedule import JobRenderer, get_schedule
    from hubkernel.hub.server import HubServer
    from hubkernel.hub.summary import status

__all__ = [
    "HubCommands",
    "HubSSHServer",
    "HubSSHServerSession",
    "HubServer",
    "JobRenderer",
    "get_schedule",
    "start_ssh_server",
    "status",
]

_HOMES = {
    "HubCommands": "hubkernel.hub.commands",
    "HubServer": "hubkernel.hub.server",
    "JobRenderer": "hubkernel.hub.schedule",
    "get_schedule": "hubkernel.hub.schedule",
    "status": "hubkernel.hub.summary",
    # Doors: the hub names them for its users, but no code of the hub imports them.
    "HubSSHServer": "hubkernel.ssh.server",
    "HubSSHServerSession": "hubkernel.ssh.server",
    "start_ssh_server": "hubkernel.ssh.server",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
